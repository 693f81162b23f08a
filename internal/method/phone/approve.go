package phone

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// maxRequestID is longer than any id of a request.
const maxRequestID = 64

// getRequests tells what waits for this phone's person: one read by an index,
// since open apps ask every few seconds.
func (m *Room) getRequests(w http.ResponseWriter, r *http.Request, s signed) error {
	all, err := m.waitingFor(r.Context(), s.phone, s.now)
	if err != nil {
		return fmt.Errorf("requests of phone %s: %w", s.phone.id, err)
	}
	out := phonewire.Requests{Requests: make([]phonewire.Request, len(all)), Now: s.now.UTC()}
	for n, q := range all {
		out.Requests[n] = phonewire.Request{
			ID: q.id, Nonce: base64.RawURLEncoding.EncodeToString(q.nonce), Context: q.context,
			Created: q.created.UTC(), Expires: q.expires.UTC(),
		}
	}
	return web.JSON(w, http.StatusOK, out)
}

// postApprove takes an approval: what the phone says it has shown is made anew
// from what is stored and the number that it sent, and both keys must have
// signed that. Whether the number is right is judged after them.
func (m *Room) postApprove(w http.ResponseWriter, r *http.Request, s signed) error {
	a, err := m.answerOf(r, s)
	if err != nil {
		return err
	}
	var in phonewire.Approve
	if err := web.Strict(s.body, &in); err != nil {
		return malformed("", "%w", err)
	}
	if !twoDigits(in.Number) {
		return malformed("number", "number of %d characters", len(in.Number))
	}
	q, err := m.asking(r.Context(), s.phone, a.request, s.now)
	if err != nil {
		return err
	}
	a.number = in.Number
	if a.assert, err = m.judgeApproval(r.Context(), s, q, in); err != nil {
		return err
	}
	to, err := m.approve(r.Context(), a)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, phonewire.Result{Result: string(to)})
}

// judgeApproval verifies that the passkey of this phone, with its user
// verified, and the phone's own key have signed this request, with this number
// and this context (security.md PHN03).
func (m *Room) judgeApproval(ctx context.Context, s signed, q request, in phonewire.Approve) (func(context.Context, *sqldb.Tx) error, error) {
	id, err := base64.RawURLEncoding.DecodeString(q.id)
	if err != nil {
		return nil, fmt.Errorf("id of request %s: %w", q.id, err)
	}
	challenge := phonewire.Approval{
		Tenant: string(q.tenant), User: string(q.subject), Request: id, Nonce: q.nonce,
		Number: in.Number, Context: q.context, Phone: string(s.phone.id),
	}.Challenge()
	said, err := m.cfg.Passkeys.VerifyAssertion(ctx, s.phone.tenant, s.phone.user, s.phone.passkey, challenge, in.Assertion, s.now)
	if err != nil {
		if said.Settle != nil { // a counter that went back is remembered
			err = errors.Join(err, m.cfg.DB.Write(ctx, said.Settle))
		}
		return nil, unprovenBy(err)
	}
	k, err := storedKey(s.phone.spki)
	if err != nil {
		return nil, err
	}
	if !k.verify(phonewire.AnswerMessage(challenge, said.AuthenticatorData, said.Signature), in.Signature) {
		return nil, answerUnproven("signature of phone %s on an approval", s.phone.id)
	}
	return said.Settle, nil
}

func twoDigits(s string) bool {
	return len(s) == 2 && s[0] >= '0' && s[0] <= '9' && s[1] >= '0' && s[1] <= '9'
}

// postDeny ends a request without opening anything.
func (m *Room) postDeny(w http.ResponseWriter, r *http.Request, s signed) error {
	a, err := m.answerOf(r, s)
	if err != nil {
		return err
	}
	var in phonewire.Deny
	if err := web.Strict(s.body, &in); err != nil {
		return malformed("", "%w", err)
	}
	to, err := m.deny(r.Context(), a, in.Report)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, phonewire.Result{Result: string(to)})
}

// answerOf begins the answer of a phone to the request in the address.
func (m *Room) answerOf(r *http.Request, s signed) (answer, error) {
	if ok, wait := m.door.answers.Allow(string(s.phone.id)); !ok {
		return answer{}, tooMany(wait, "answers of phone %s", s.phone.id)
	}
	id := r.PathValue("id")
	if len(id) > maxRequestID {
		return answer{}, unknown(id)
	}
	return answer{
		phone: s.phone, request: id, address: s.ip, agent: r.UserAgent(), trace: web.Trace(r.Context()), now: s.now, burn: s.burn,
	}, nil
}
