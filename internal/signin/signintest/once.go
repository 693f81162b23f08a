package signintest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// Nonce is one that the server gave out, as on the wire and opened.
func (h *House) Nonce(t testing.TB, scope idp.TenantID) (string, nonce.Sealed) {
	t.Helper()
	value, err := h.Box.Seal(t.Context(), scope, "nonce", 5*time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := h.Box.Open(t.Context(), scope, "nonce", value)
	if err != nil {
		t.Fatal(err)
	}
	return value, sealed
}

// message is one for Once of what somebody holds, by a nonce of the scope.
func (b *bench) message(t testing.TB, scope idp.TenantID, held Held) signin.OnceRequest {
	t.Helper()
	value, sealed := b.Nonce(t, scope)
	r := signin.OnceRequest{
		Tenant: b.Tenant.ID, Method: b.Method.ID(), Nonce: []byte(value), Nonces: []nonce.Sealed{sealed},
		Payload: held.Once(t, []byte(value)), Device: held.Device, Peer: b.peer,
	}
	if held.Door != nil {
		r.Nonce = held.Door(r.Nonce)
	}
	return r
}

func (b *bench) once(t testing.TB, r signin.OnceRequest) error {
	_, _, err := b.Corridor.Once(t.Context(), r)
	return err
}

func once(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if held.Once == nil {
		t.Log("this method has no one-message side")
		return
	}
	r := b.message(t, b.Tenant.ID, held)
	_, second := b.Nonce(t, "common")
	r.Nonces = append(r.Nonces, second)
	settled := 0
	r.Settle = func(_ context.Context, _ *sqldb.Tx, p idp.Proof) error {
		settled++
		if p.User != b.Ada.ID {
			t.Errorf("settled for %s, want %s", p.User, b.Ada.ID)
		}
		return nil
	}
	p, d, err := b.Corridor.Once(t.Context(), r)
	if err != nil || p.User != b.Ada.ID || p.Credential != held.ID || settled != 1 {
		t.Fatalf("one message: %+v, %s, %v, settled %d times", p, d.Reason, err, settled)
	}
	wantKind(t, "second use", b.once(t, r), idp.Expired)
	// Each nonce of the set is burnt, not only the one that was signed.
	again := b.message(t, b.Tenant.ID, held)
	again.Nonces = append(again.Nonces, second)
	wantKind(t, "one of the set in another message", b.once(t, again), idp.Expired)
	if settled != 1 {
		t.Errorf("settled %d times, want once", settled)
	}
	if n := b.Count(t, "spent", b.Tenant.ID) + b.Count(t, "spent", "common"); n != 2 {
		t.Errorf("%d nonces burnt, want 2", n)
	}
	// A nonce that is good in any tenant is good here.
	if err := b.once(t, b.message(t, "common", held)); err != nil {
		t.Errorf("common nonce: %v", err)
	}
	wantKind(t, "nonce of another tenant", b.once(t, b.message(t, b.Other.ID, held)), idp.Expired)
	r = b.message(t, b.Tenant.ID, held)
	b.Advance(5 * time.Minute)
	wantKind(t, "late", b.once(t, r), idp.Expired)
	r = b.message(t, b.Tenant.ID, held)
	r.Nonces = nil
	wantKind(t, "without a nonce", b.once(t, r), idp.Expired)
}

func onceWrong(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if held.Once == nil || held.OnceWrong == nil {
		return
	}
	// Nobody proven: nothing is written, or strangers could fill the store.
	r := b.message(t, b.Tenant.ID, held)
	bad := r
	bad.Payload, bad.Device = held.OnceWrong(t, r.Nonce), ""
	wantKind(t, "wrong key", b.once(t, bad), idp.Unproven)
	if n := b.Count(t, "spent", b.Tenant.ID); n != 0 {
		t.Errorf("%d nonces burnt by nobody, want none", n)
	}
	// A device that the door has verified: the failure burns.
	if bad.Device = held.Device; bad.Device == "" {
		bad.Device = "30000000-0000-4000-8000-000000000001"
	}
	wantKind(t, "wrong key from a device", b.once(t, bad), idp.Unproven)
	wantKind(t, "right key afterwards", b.once(t, r), idp.Expired)
	// The door verified Bob; the proof is Ada's.
	r = b.message(t, b.Tenant.ID, held)
	r.User = b.Bob
	if err := b.once(t, r); !errors.Is(err, idp.Denied) && !errors.Is(err, idp.Unproven) {
		t.Errorf("proof of somebody else: %v, want denied or unproven", err)
	}
	// Policy asks for more than there is.
	r = b.message(t, b.Tenant.ID, held)
	r.ACR = []string{"no-such-strength"}
	wantDenied := b.once(t, r)
	if !errors.Is(wantDenied, idp.Denied) {
		t.Errorf("unknown strength: %v, want denied", wantDenied)
	}
	r.ACR = nil
	wantKind(t, "after a refusal by policy", b.once(t, r), idp.Expired)
	// What settles in the place of a session refuses: nothing stays but the burn.
	r = b.message(t, b.Tenant.ID, held)
	r.Settle = func(ctx context.Context, tx *sqldb.Tx, _ idp.Proof) error {
		if err := b.Directory.SetEnabled(ctx, tx, b.Tenant.ID, b.Bob.ID, false); err != nil {
			return err
		}
		return idp.Deniedf("no_room", "refused")
	}
	if err := b.once(t, r); !errors.Is(err, idp.Denied) {
		t.Errorf("refused by settle: %v, want denied", err)
	}
	if u, err := b.Directory.User(t.Context(), b.DB, b.Tenant.ID, b.Bob.ID); err != nil || !u.Enabled {
		t.Errorf("what settle did has stayed: %+v, %v", u, err)
	}
	r.Settle = nil
	wantKind(t, "after a refusal by settle", b.once(t, r), idp.Expired)
	if slices.Contains(b.House.Events(t, b.Tenant.ID), "signin.done success strength_met") {
		t.Error("a success is on record")
	}
	b.Enable(t, b.Ada, false)
	if err := b.once(t, b.message(t, b.Tenant.ID, held)); !errors.Is(err, idp.Denied) {
		t.Errorf("disabled user: %v, want denied", err)
	}
}

func onceParallel(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if held.Once == nil {
		return
	}
	r := b.message(t, b.Tenant.ID, held)
	var done atomic.Int64
	if err := oneAnswered(t, race(func(int) error {
		err := b.once(t, r)
		if err == nil {
			done.Add(1)
		}
		return err
	})); err != nil || done.Load() != 1 {
		t.Errorf("%d succeeded (%v), want 1", done.Load(), err)
	}
}
