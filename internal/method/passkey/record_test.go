package passkey_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// household is a house with the passkey room, and Ada's key.
type household struct {
	*signintest.House
	room *passkey.Room
	key  *passkeytest.Authenticator
	id   idp.CredentialID
}

// inHouse runs fn on both databases.
func inHouse(t *testing.T, fn func(t *testing.T, h household)) {
	sqldbtest.Each(t, signintest.Sources([]fs.FS{passkey.Migrations}...), func(t *testing.T, db *sqldb.DB) {
		var h household
		h.House = signintest.New(t, db, func(in *signintest.House) []method.Method {
			h.room = roomIn(t, in)
			return []method.Method{h.room}
		})
		h.key = passkeytest.New(rpID, origin)
		h.key.Count, h.key.Step = 5, 1
		enrol(t, h.House, h.room, h.Ada, h.key)
		h.id = idp.CredentialID(h.key.Held()[0].ID)
		fn(t, h)
	})
}

// answer signs in with d through the corridor, from flow f.
func (h household) answer(t testing.TB, f signin.Flow, d *passkeytest.Authenticator) error {
	t.Helper()
	begun := h.Begin(t, f, passkey.ID, "")
	payload := getter(d)(t, begun.Show)
	_, err := h.Corridor.Answer(t.Context(), f, passkey.ID, begun.Ceremony, payload, nil, h.Peer("browser"))
	return err
}

// last is the newest record of the tenant.
func (h household) last(t testing.TB) audit.Event {
	t.Helper()
	list, err := h.Audit.List(t.Context(), h.DB, h.Tenant.ID, audit.Filter{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	return list[0]
}

// TestSec_WAN05_RecordNamesTheKey: a counter that went back is a record that
// says whose key may have been copied, and which; the answer proved to be of
// that key, so it is no stranger's failure, which may be counted away.
func TestSec_WAN05_RecordNamesTheKey(t *testing.T) {
	inHouse(t, func(t *testing.T, h household) {
		h.Policy(t, h.Tenant.ID, func(p *policy.Policy) { p.Passkey.Counter = policy.CounterBlock })
		copied := h.key.Clone()
		flow := func() signin.Flow { return h.Flow(t, signin.Flow{}, h.Peer("browser")) }
		if err := h.answer(t, flow(), h.key); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			if err := h.answer(t, flow(), copied.Clone()); !errors.Is(err, idp.Unproven) {
				t.Fatalf("a counter that went back: %v", err)
			}
			e := h.last(t)
			if e.Reason != "counter_rollback" || e.User != h.Ada.ID || e.Actor != string(h.Ada.ID) || e.Credential != h.id || e.Times != 1 {
				t.Fatalf("the record names user %q, actor %q, credential %q: %s, %d times", e.User, e.Actor, e.Credential, e.Reason, e.Times)
			}
		}
	})
}

// TestSec_LOG01_RecordNamesTheTarget: a wrong signature for a key on record is
// a try at its owner's account. It names that person as the target and nobody
// as the one who did it; for an id that nobody has there is nobody to name.
func TestSec_LOG01_RecordNamesTheTarget(t *testing.T) {
	inHouse(t, func(t *testing.T, h household) {
		liar := h.key.Clone()
		liar.Signature = func(sig []byte) []byte { sig[len(sig)-1] ^= 1; return sig }
		peer := h.Peer("browser")
		if err := h.answer(t, h.Flow(t, signin.Flow{}, peer), liar); !errors.Is(err, idp.Unproven) {
			t.Fatal(err)
		}
		if e := h.last(t); e.Reason != "bad_signature" || e.User != h.Ada.ID || e.Actor != "" || e.Credential != h.id {
			t.Errorf("the record names user %q, actor %q, credential %q: %s", e.User, e.Actor, e.Credential, e.Reason)
		}
		liar.Payload = func(p map[string]any) { p["id"], p["rawId"] = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA" }
		if err := h.answer(t, h.Flow(t, signin.Flow{}, peer), liar); !errors.Is(err, idp.Unproven) {
			t.Fatal(err)
		}
		if e := h.last(t); e.Reason != "credential_unknown" || e.User != "" || e.Actor != "" || e.Credential != "" {
			t.Errorf("the record names user %q, actor %q, credential %q: %s", e.User, e.Actor, e.Credential, e.Reason)
		}
		// In a flow that Bob has proven something to, Ada's key is tried as Bob.
		liar.Payload = nil
		liar.Choose = func(held []passkeytest.Held) string { return held[0].ID }
		if err := h.answer(t, h.Stored(t, signin.Flow{}, h.Bob, peer), liar); !errors.Is(err, idp.Unproven) {
			t.Fatal(err)
		}
		if e := h.last(t); e.User != h.Bob.ID || e.Actor != string(h.Bob.ID) || e.Credential != h.id {
			t.Errorf("the record names user %q, actor %q, credential %q: %s", e.User, e.Actor, e.Credential, e.Reason)
		}
	})
}
