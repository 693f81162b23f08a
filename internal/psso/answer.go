package psso

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/token"
)

// backdate is how much earlier than now an answer says at least that it was made:
// the clock of a Mac that starts may be behind, and macOS refuses an ID token from
// the future (§7.5). How far behind it is, its message tells; more than farthest
// is no clock, but a message that took its time.
const (
	backdate = 5 * time.Second
	farthest = 2 * time.Minute
)

// backdated is how much earlier than now the answer to this message says that it
// was made.
func (x exchange) backdated(now time.Time) time.Duration {
	return min(max(now.Sub(time.Unix(int64(*x.Issued), 0)), backdate), farthest)
}

// reply is a finished answer: a JWE and its media type.
type reply struct{ media, body string }

func (a reply) write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", a.media)
	io.WriteString(w, a.body) // a peer that has gone away is nobody's error
	return nil
}

// sealed encrypts an answer to the key that the message named, and to nobody
// else: there is no answer in plain (§7; security.md PSO03). Its typ is the old
// one exactly when the message's was (§7.1).
func (x exchange) sealed(typ, media string, v any) (reply, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return reply{}, err
	}
	if x.message.Type == old {
		typ = pssowire.TypeOld
	}
	body, err := jose.SealAgreed(jose.Agreement{
		Recipient: x.reply.Public, Type: typ, KeyID: x.reply.ID.String(),
		APU: pssowire.PartyU, APV: x.party, Echo: true,
	}, raw)
	return reply{media, body}, err
}

// signedIn is the answer to a login and to a refresh (§7.4): the ID token that
// macOS verifies, and the refresh token, which is a PRT and the whole sign-in.
func (s *Server) signedIn(ctx context.Context, x exchange, p prt.PRT, value string) (reply, error) {
	user, err := s.cfg.Directory.User(ctx, s.cfg.DB, p.Tenant, p.User)
	if err != nil {
		return reply{}, err
	}
	sub := token.Subject{
		Tenant: p.Tenant, User: user, Session: p.ID, PRT: p.ID, Device: p.Device, Client: x.client,
		Scopes: []string{"openid", "profile"}, AuthTime: p.ProofTime, AMR: amrOf(p.Proofs),
		Nonce: x.Nonce, Backdate: x.backdated(s.cfg.Now()),
	}
	if asked := x.Groups(); asked != nil {
		in, err := s.cfg.Directory.InGroups(ctx, p.Tenant, p.User, asked)
		if err != nil {
			return reply{}, err
		}
		sub.Groups = append([]string{}, in...) // those that macOS asked for and does not hear of it takes away
	}
	id, err := s.cfg.Tokens.ID(ctx, sub, "")
	if err != nil {
		return reply{}, err
	}
	rests := max(int64(p.Expires.Sub(s.cfg.Now())/time.Second), 0)
	return x.sealed(pssowire.TypeLoginReply, pssowire.MediaLogin, pssowire.LoginReply{
		IDToken: id, RefreshToken: value, RefreshExpires: rests, Expires: rests, TokenType: "Bearer",
	})
}

func amrOf(proofs []idp.Proof) (out []string) {
	seen := map[string]bool{}
	for _, p := range proofs {
		for _, word := range p.AMR {
			if !seen[word] {
				seen[word], out = true, append(out, word)
			}
		}
	}
	return out
}
