package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// Administrator does administration operations: through the running server,
// or on the database itself when none runs (decisions 6.1).
type Administrator struct {
	admin.Doer
	actor   string
	offline bool
	close   func() error
}

// AdministerRemote reaches a running server over the network, by a token of
// `signet admin token`.
func AdministerRemote(server, token string) (*Administrator, error) {
	c, err := admin.DialRemote(server, token)
	if err != nil {
		return nil, err
	}
	return &Administrator{Doer: c, close: func() error { c.Close(); return nil }}, nil
}

// Administer reaches the server that uses the data folder; when there is none
// it takes the folder's lock and opens the database.
func Administer(ctx context.Context, cfg Config) (*Administrator, error) {
	cfg = cfg.quiet()
	if c, err := admin.Dial(ctx, filepath.Join(cfg.Data, AdminSocket)); err == nil {
		return &Administrator{Doer: c, close: func() error { c.Close(); return nil }}, nil
	} else if !errors.Is(err, admin.ErrNoServer) {
		return nil, err
	}
	if err := cfg.hasDatabase(); err != nil {
		return nil, err
	}
	// Addresses are of no use here: nothing that an operation makes has one.
	h, err := Open(ctx, cfg.asFound(), "http://localhost")
	if err != nil {
		return nil, err
	}
	// As a server does: policies are judged by what is known of key models.
	if err := h.Metadata.Load(ctx); err != nil {
		cfg.Log.Warn("the stored metadata is not used", "cause", err)
	}
	return &Administrator{Doer: h.administration(), actor: admin.Actor(os.Geteuid()), offline: true, close: h.Close}, nil
}

// remote is the administration for holders of a token, over the network.
func (h *House) remote(s *admin.Service) http.Handler {
	return s.Remote(func(ctx context.Context, jwt string) (admin.Grant, error) {
		c, err := h.Tokens.VerifyAdministration(ctx, jwt)
		if e := idp.AsError(err); err != nil && (e.Kind == idp.Unproven || e.Kind == idp.Expired) {
			return admin.Grant{}, idp.Unprovenf(e.Reason, "administration token: %w", err).
				Say("The token is over, or is none of this server's. Get a new one with: signet admin token")
		}
		if err != nil {
			return admin.Grant{}, fmt.Errorf("administration token: %w", err)
		}
		if len(c.Roles) != 1 {
			return admin.Grant{}, idp.Unprovenf("token_roles", "%d roles", len(c.Roles))
		}
		return admin.Grant{Tenant: c.Tenant, Role: c.Roles[0], Actor: c.Subject}, nil
	})
}

// asFound makes a command accept a demo's database: looking after a demo is
// no harm.
func (c Config) asFound() Config {
	c.anyMark = true
	return c
}

// Do does one operation.
func (a *Administrator) Do(ctx context.Context, op string, params any, progress func(done int)) (json.RawMessage, error) {
	if a.offline && op == "token" {
		// A token names the issuer, which only a server's configuration knows.
		return nil, errors.New("a token is for the API of a running server, and none runs on this data folder: start signet serve first")
	}
	if a.offline && op == "metadata.refresh" {
		// Where to fetch from is the server's configuration.
		return nil, errors.New("metadata is fetched by a running server, and none runs on this data folder: start signet serve first, or load a file")
	}
	if a.offline && (op == "key.beginProvision" || op == "key.finishProvision") {
		// A passkey belongs to the address of a page, which only a server's
		// configuration knows.
		return nil, errors.New("a passkey is made for the address of a running server, and none runs on this data folder: start signet serve first")
	}
	if a.offline && op == "cert-authority.refresh" {
		// Which hosts may be called, and how large a list may be, is the
		// server's configuration.
		return nil, errors.New("revocation lists are fetched by a running server, and none runs on this data folder: start signet serve first")
	}
	if a.offline && op == "phone.test" {
		// What messages are sent with is the server's configuration.
		return nil, errors.New("messages are sent by a running server, and none runs on this data folder: start signet serve first")
	}
	text, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	return a.Doer.Do(ctx, a.actor, op, text, progress)
}

// Close gives the folder back.
func (a *Administrator) Close() error { return a.close() }

// administration is the door behind admin.sock.
func (h *House) administration() *admin.Service {
	return admin.New(admin.Config{
		DB: h.DB, Directory: h.Directory, Clients: h.Clients, Policies: h.Policies, Audit: h.Audit, Keys: h.Keys,
		Metadata: h.Metadata, IssuePass: h.issuePass, PreparePass: h.PassKeys, MintToken: h.mintToken, RevokeUser: h.SignOut,
		RevokeGrant: h.Tokens.RevokeGrant,
		SavePolicy: func(ctx context.Context, t idp.TenantID, old, next policy.Policy, e audit.Event) (policy.Policy, error) {
			return h.Corridor.SavePolicy(ctx, t, old, next, "", e)
		},
		Preview: h.Corridor.Preview,
		CheckPolicy: func(ctx context.Context, t idp.TenantID, old, next policy.Policy) error {
			return h.Corridor.CheckSave(ctx, t, old, next, "")
		},
		Provision: h.Corridor, Origin: h.base,
		Hygiene: h.Hygiene, Devices: h.Devices, Macs: h.Macs, OnDevice: h.onDevice, Authorities: h.Trust, EndAuthority: h.endAuthority, ExplainCertificate: h.Certificates.Explain,
		Phones: h.Phones, RemoveMethod: func(ctx context.Context, t idp.TenantID, u idp.UserID, m idp.MethodID, id idp.CredentialID, actor string) error {
			return h.Corridor.RemoveFor(ctx, t, u, m, id, actor, signin.Peer{})
		},
		MacProfile: func(ctx context.Context, t idp.TenantID, ask admin.MacProfileAsk) ([]byte, error) {
			return h.MacProfile(ctx, t, psso.ProfileAsk(ask))
		},
		KEK: h.kek,
		Now: h.cfg.Now,
	})
}

// onDevice is what stands on a device, and goes or rests with it.
func (h *House) onDevice(ctx context.Context, t idp.TenantID, d idp.DeviceID) (admin.Standing, error) {
	keys, err := h.machineKeys().OnDevice(ctx, t, d)
	if err != nil {
		return admin.Standing{}, err
	}
	tokens, err := h.PRTs.OfDevice(ctx, t, d)
	if err != nil {
		return admin.Standing{}, err
	}
	only, err := h.Corridor.Stranded(ctx, t, keys)
	return admin.Standing{Keys: count(keys, policy.Hello), MacKeys: count(keys, policy.Platform), Tokens: len(tokens), Only: only}, err
}

func (h *House) issuePass(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, ask admin.PassOptions) (admin.Pass, error) {
	code, c, err := h.passOf(ctx, tx, t, u, accesspass.Options{Lifetime: ask.Lifetime, Length: ask.Length}, ask.Once)
	if err != nil {
		return admin.Pass{}, err
	}
	return admin.Pass{ID: c.ID, Code: code, Expires: c.Expires, Once: c.Mode == idp.ModeAccessPassOnce}, nil
}

// pass issues an access pass for the administration API.
func (h *House) pass(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, lifetime time.Duration, once *bool) (string, method.Credential, error) {
	return h.passOf(ctx, tx, t, u, accesspass.Options{Lifetime: lifetime}, once)
}

func (h *House) passOf(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, o accesspass.Options, once *bool) (string, method.Credential, error) {
	if once != nil {
		p, err := h.Policies.Get(ctx, t)
		if err != nil {
			return "", method.Credential{}, err
		}
		if p.AccessPass.Once && !*once {
			return "", method.Credential{}, idp.Deniedf("pass_once", "the tenant's passes are good once").
				Say("Passes are good for one use here. To allow others: signet admin policy set accessPass.once false")
		}
		o.Once = *once
	}
	// The one before goes, with what it opened (security.md POL04).
	if err := h.withdrawPass(ctx, tx, t, u); err != nil {
		return "", method.Credential{}, err
	}
	return h.Passes.Issue(ctx, tx, t, u, o)
}

func (h *House) mintToken(ctx context.Context, g admin.TokenGrant) (string, error) {
	token, _, err := h.Tokens.Administration(ctx, g.Tenant, g.Actor, []string{g.Role}, g.Expires.Sub(h.cfg.Now()))
	return token, err
}

// Backup writes an encrypted backup to w. It only reads, as of one moment, and
// so needs no lock: a server may run, and goes on meanwhile.
func Backup(ctx context.Context, cfg Config, w io.Writer, keys backup.Keys, version string) (n backup.Count, err error) {
	cfg = cfg.quiet()
	if err := cfg.hasDatabase(); err != nil {
		return n, err
	}
	db, err := sqldb.Open(ctx, sqldb.Config{Path: filepath.Join(cfg.Data, databaseFile), URL: cfg.Database, Log: cfg.Log})
	if err != nil {
		return n, err
	}
	defer db.Close()
	if f, err := look(ctx, db); err != nil {
		return n, err
	} else if !f.used {
		return n, errors.New("this database is empty: there is nothing to back up")
	}
	return dump(ctx, db, w, keys, backup.Header{Version: version, Created: cfg.Now().UTC().Truncate(time.Second)})
}
