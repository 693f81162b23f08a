package app

import (
	"context"
	"slices"
	"strconv"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/sqldb"
)

// endBatch is how many people's sign-ins are ended in one transaction.
const endBatch = 100

// endAuthority ends the sessions and tokens of everybody in the tenant who came
// by a certificate over whose path an authority stands, by its key identifier
// (security.md CBA13). e is what the record of each person begins with. What was
// ended stays so when it is cut short.
func (h *House) endAuthority(ctx context.Context, t idp.TenantID, key string, e audit.Event, progress func(int)) (admin.Ended, error) {
	var all []method.Credential
	err := h.Certificates.Walk(ctx, t, func(c method.Credential) error {
		if f := c.Facts.Certificate; f != nil && slices.Contains(f.Issuers, key) {
			all = append(all, method.Credential{ID: c.ID, User: c.User})
		}
		return nil
	})
	out := admin.Ended{}
	for err == nil && len(all) > 0 {
		some := all[:min(endBatch, len(all))]
		all = all[len(some):]
		var n admin.Ended
		err = h.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			n = admin.Ended{}
			for _, c := range some {
				sessions, err := h.Sessions.EndStanding(ctx, tx, t, c.User, certificate.ID, c.ID, "")
				if err != nil {
					return err
				}
				if err := h.revokeStanding(ctx, tx, t, c.User, certificate.ID, c.ID); err != nil {
					return err
				}
				one := e
				one.User, one.Method, one.Credential = c.User, certificate.ID, c.ID
				one.Detail = map[string]string{"subjectKeyIdentifier": key, "sessions": strconv.Itoa(int(sessions))}
				if err := h.Audit.Write(ctx, tx, one); err != nil {
					return err
				}
				n.Certificates, n.Sessions = n.Certificates+1, n.Sessions+int(sessions)
			}
			return nil
		})
		if err == nil {
			out.Certificates, out.Sessions = out.Certificates+n.Certificates, out.Sessions+n.Sessions
			progress(out.Certificates)
		}
	}
	return out, err
}
