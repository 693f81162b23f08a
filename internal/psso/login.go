package psso

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// token answers POST {t}/psso/token: nonces, for Macs that were told of no other
// address for them, logins and refreshes (§5).
func (s *Server) token(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(w, r)
	if err != nil {
		return err
	}
	if form.Get(pssowire.FieldGrant) == pssowire.GrantNonce {
		return s.challenge(w, r, form)
	}
	return s.message(w, r, pathToken, form)
}

// key answers POST {t}/psso/key: key requests and key exchanges (§8.2, §8.3).
func (s *Server) key(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(w, r)
	if err != nil {
		return err
	}
	return s.message(w, r, pathKey, form)
}

// message answers what a Mac has signed.
func (s *Server) message(w http.ResponseWriter, r *http.Request, path string, form url.Values) error {
	var out reply
	err := s.within(r, func() error {
		x, err := s.receive(r, path, form)
		if err == nil {
			err = s.accept(r.Context(), &x)
		}
		if err == nil {
			out, err = x.kind.answer(s, r.Context(), x)
		}
		return err
	})
	if err != nil {
		return err
	}
	return out.write(w)
}

// login signs a person in: by the assertion that their key in the Secure Enclave,
// or their smart card, has made for this very message (§6.3; §6.4, 10 to 14).
func (s *Server) login(ctx context.Context, x exchange) (reply, error) {
	room, err := x.inner()
	if err != nil {
		return reply{}, s.refuse(ctx, x, err)
	}
	said := assertion.Expected{
		RequestNonce: x.RequestNonce, Audiences: []string{s.address(x.tenant.ID, pathAudience)},
		Name: x.Subject, Nonce: x.Nonce, Scope: x.Scope,
	}
	var made, done prt.Issued
	_, _, err = s.cfg.Corridor.Once(ctx, signin.OnceRequest{
		Tenant: x.tenant.ID, Method: room, Nonce: said.Keep(), Nonces: []nonce.Sealed{x.nonce}, Payload: []byte(x.Assertion),
		Device: x.device.ID, Client: x.client.ID, Peer: x.peer,
		Ready: func(ctx context.Context, p idp.Proof) (err error) {
			made, err = s.cfg.PRTs.Prepare(ctx, prt.PRT{
				Tenant: x.tenant.ID, User: p.User, Device: x.device.ID, Protocol: prt.Mac, Proofs: []idp.Proof{p}, Direct: true,
				Agent: x.peer.Agent, IP: x.peer.IP,
			})
			return err
		},
		Record: func(e *audit.Event) { e.Session = done.PRT.ID },
		// A Mac goes before what hangs on it when it is removed, too.
		First: func(ctx context.Context, tx *sqldb.Tx) error { return s.stays(ctx, tx, x) },
		Settle: func(ctx context.Context, tx *sqldb.Tx, _ idp.Proof) (err error) {
			// A rotation that was under way ends with a login under the new keys
			// (§10).
			if err := s.cfg.Macs.Settle(ctx, tx, x.mac, x.signer, x.reply); err != nil {
				return err
			}
			done, err = s.cfg.PRTs.Login(ctx, tx, made) // of what is prepared, if it runs twice, too
			return err
		},
	})
	if err != nil {
		return reply{}, unproven(err)
	}
	s.seen(ctx, x)
	return s.signedIn(ctx, x, done.PRT, done.Value)
}

// inner says which room judges the assertion in a login: the one of smart cards
// when it brings certificates, else that of keys. A login names its person twice,
// as one (10).
func (x exchange) inner() (idp.MethodID, error) {
	switch {
	case x.Subject == "" || x.Username != x.Subject:
		return "", malformed("subject_differs", "sub of %d characters, username of %d", len(x.Subject), len(x.Username))
	case x.Assertion == "":
		return "", malformed("assertion_missing", "no assertion inside")
	case len(x.Groups()) > maxGroups:
		return "", malformed("too_many_groups", "%d groups", len(x.Groups()))
	}
	form, err := assertion.OfMac([]byte(x.Assertion))
	switch {
	case err != nil && err.Reason == "password_refused":
		return "", unsupported(err.Reason, "Passwords are not taken here. Sign in with a key or a smart card.", "%w", err)
	case err != nil:
		return "", credential(idp.Unproven, codeHello, err.Reason, "%w", err)
	case form == assertion.MacCard:
		return policy.Certificate, nil
	}
	return policy.Platform, nil
}

// personal are the numbers of refusals that are about the person, though
// something was proven: switched off, or their key's Mac is.
var personal = []int{policy.CodeUserDisabled, policy.CodeNobody, codeKeyOff, codeKeyGone}

// unproven makes of what room and corridor say of a person's proof the one
// answer that there is for all of it (§7.6). A policy that refuses a good proof
// is another thing, unless it is one of those that also listed: asking the person
// once more would not help.
func unproven(err error, also ...int) error {
	var f *Fault
	if errors.As(err, &f) || ours(err) {
		return err
	}
	e := idp.AsError(err)
	switch e.Kind {
	case idp.Limited:
		return err
	case idp.Expired:
		if told(err).Sub == subNonce {
			return err
		}
	case idp.Denied:
		if !slices.Contains(personal, e.Code) && !slices.Contains(also, e.Code) {
			return err
		}
	}
	return credential(e.Kind, e.Code, e.Reason, "%w", err)
}

// stays makes sure that the key which signed is the Mac's still and the Mac may
// be used, which both stay so until the commit: what this node remembers may be
// as old as a notice on its way.
func (s *Server) stays(ctx context.Context, tx *sqldb.Tx, x exchange) error {
	var err error
	if mac.Waits(x.signer, x.reply) { // Settle changes what is read here
		err = s.cfg.Macs.Hold(ctx, tx, x.tenant.ID, x.device.ID)
	}
	on := false
	if err == nil {
		on, err = s.cfg.Devices.On(ctx, tx, x.tenant.ID, x.device.ID)
	}
	if err == nil && on {
		err = s.cfg.Macs.Confirm(ctx, tx, x.mac, x.signer)
	}
	switch {
	case errors.Is(err, idp.NotFound):
		return deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	case err != nil:
		return err
	case !on:
		return deviceFault(idp.Denied, codeDeviceOff, "device_disabled", sayDisabled, "device %s", x.device.ID)
	}
	return nil
}

// seen notes that the Mac was used. A store that cannot be written to must not
// keep people out.
func (s *Server) seen(ctx context.Context, x exchange) {
	_ = s.cfg.Devices.Seen(ctx, x.device) // the time is for people to look at
}
