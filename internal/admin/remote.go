package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// RemotePath is where a running server does operations for holders of a token.
const RemotePath = "/admin/do"

// Grant is what a bearer token lets its holder do: operations in one tenant,
// as far as a role reaches.
type Grant struct {
	Tenant idp.TenantID
	Role   string // Reader, directory.Helpdesk or directory.Administrator
	Actor  string // "cli:<os user>", for the record
}

// remote says what a token may do, and the least role. What is not listed is
// for who sits at the machine: it reaches beyond a tenant, reads files of the
// server, makes further tokens, or needs keys that are plugged in there.
var remote = map[string]string{
	"tenant.show": Reader, "user.list": Reader, "user.show": Reader, "user.consents": Reader, "group.list": Reader, "group.members": Reader,
	"app.list": Reader, "app.show": Reader, "metadata.status": Reader, "metadata.search": Reader, "signing-key.list": Reader,
	"policy.show": Reader, "policy.export": Reader, "policy.plan": Reader, "audit.list": Reader,
	"key.list": Reader, "key.export": Reader, "key.removed": Reader, "device.list": Reader, "device.show": Reader,
	"phone.list": Reader, "phone.show": Reader, "cert-authority.list": Reader, "cert-authority.show": Reader,
	"certificate.explain": Reader, "mac.profile": Reader, "mac.list": Reader, "mac.token.list": Reader,

	"phone.test": directory.Helpdesk, "phone.remove": directory.Helpdesk, "phone.unblock": directory.Helpdesk,
	"tap.issue": directory.Helpdesk, "session.revokeUser": directory.Helpdesk, "user.revokeConsent": directory.Helpdesk,

	"user.create": directory.Administrator, "user.update": directory.Administrator, "user.disable": directory.Administrator,
	"user.enable": directory.Administrator, "user.setRole": directory.Administrator, "user.delete": directory.Administrator,
	"user.import": directory.Administrator, "group.create": directory.Administrator, "group.delete": directory.Administrator,
	"group.addMember": directory.Administrator, "group.removeMember": directory.Administrator,
	"app.create": directory.Administrator, "app.update": directory.Administrator, "app.enable": directory.Administrator,
	"app.disable": directory.Administrator, "app.delete": directory.Administrator, "app.addSecret": directory.Administrator,
	"app.dropSecret": directory.Administrator, "signing-key.rotate": directory.Administrator,
	"policy.set": directory.Administrator, "policy.apply": directory.Administrator,
	"key.beginProvision": directory.Administrator, "key.finishProvision": directory.Administrator,
	"key.clean": directory.Administrator, "key.restore": directory.Administrator,
	"device.disable": directory.Administrator, "device.enable": directory.Administrator, "device.rename": directory.Administrator,
	"device.remove":   directory.Administrator,
	"mac.token.issue": directory.Administrator, "mac.token.revoke": directory.Administrator,
	"cert-authority.add": directory.Administrator, "cert-authority.update": directory.Administrator, "cert-authority.disable": directory.Administrator,
	"cert-authority.enable": directory.Administrator, "cert-authority.remove": directory.Administrator, "cert-authority.restore": directory.Administrator,
	"cert-authority.refresh": directory.Administrator, "cert-authority.endSessions": directory.Administrator,
}

// ranks orders the roles of tokens.
var ranks = []string{Reader, directory.Helpdesk, directory.Administrator}

// may refuses an operation that the grant does not reach.
func (g Grant) may(op string) error {
	least, ok := remote[op]
	if !ok {
		return idp.Deniedf("not_remote", "operation %q by token", audit.Clean(op, 64)).
			Say("This can be done on the server's own machine only.")
	}
	if slices.Index(ranks, g.Role) < slices.Index(ranks, least) {
		return idp.Deniedf("role_missing", "operation %s by %s", op, g.Role).
			Say("This needs a token with the role " + least + ", and yours has " + g.Role + ".")
	}
	return nil
}

// guard keeps the help desk away from people with a role, whom it could step
// into (security.md ADM04). It asks in the transaction of the deed: somebody
// may be given a role at this moment.
func (c *call) guard(ctx context.Context, tx *sqldb.Tx, u idp.User) error {
	if c.grant == nil || c.grant.Role != directory.Helpdesk {
		return nil
	}
	role, err := c.Directory.RoleIn(ctx, tx, u.Tenant, u.ID)
	if err != nil {
		return err
	}
	if role != "" {
		return idp.Deniedf("target_is_administrator", "%s has a role", u.ID).Say("This person has a role; only an administrator may do this.")
	}
	return nil
}

// remoteWithin is how long one operation over the network may take.
const remoteWithin = 10 * time.Minute

// Remote serves the operations to holders of a token; verify says what one is
// good for, and is idp.Unproven for one that is not.
func (s *Service) Remote(verify func(ctx context.Context, token string) (Grant, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &lines{w: w, remote: r}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			out.fail(http.StatusUnauthorized, idp.Unprovenf("token_missing", "no bearer token").Say("A token is needed. Get one with: signet admin token"))
			return
		}
		g, err := verify(r.Context(), token)
		if err != nil && !errors.Is(err, idp.Unproven) {
			out.fail(web.Status(idp.AsError(err).Kind), err) // a trouble of ours says nothing of the token
			return
		}
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			out.fail(http.StatusUnauthorized, err)
			return
		}
		// An import of many people takes longer than a page. A context alone
		// ends no read of a body that never comes.
		late := http.NewResponseController(w)
		late.SetReadDeadline(time.Time{})
		late.SetWriteDeadline(time.Time{})
		ctx, cancel := context.WithTimeout(r.Context(), s.remoteWithin)
		defer cancel()
		over := context.AfterFunc(ctx, func() {
			late.SetReadDeadline(time.Unix(1, 0))
			late.SetWriteDeadline(time.Unix(1, 0))
		})
		defer over()
		out.known = true
		s.serve(out, r.WithContext(ctx), caller{actor: g.Actor, grant: &g})
	})
}
