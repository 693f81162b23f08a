package signintest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// Room is a method under test and how to use it.
type Room struct {
	Method method.Method
	// Enrol gives a person a new credential that works.
	Enrol func(t testing.TB, u idp.User) Held
	// Flip spoils a good answer, in a place that n chooses. Nil: one bit of
	// one byte; set it when not every byte of an answer matters.
	Flip func(answer []byte, n int) []byte
	// Unknown makes a well-formed answer for somebody who does not exist.
	// Nil: the comparison of the work for known and unknown is left out.
	Unknown func(t testing.TB, show json.RawMessage) []byte
	// NewDevice makes what a person registers on a page, for rooms that are
	// Registrars. Nil: registration is left out.
	NewDevice func(t testing.TB) Device
}

// Held is a credential in the hands of its owner.
type Held struct {
	ID idp.CredentialID
	// Answer answers what the page was shown, and does what the other road
	// needs, where there is one.
	Answer func(t testing.TB, show json.RawMessage) []byte
	// Wrong is a well-formed answer that does not prove: a wrong signature.
	Wrong func(t testing.TB, show json.RawMessage) []byte
	// Spoil answers with something spoilt, in a place that n chooses, for
	// rooms whose answer goes by another road. Nil: Answer, spoilt by
	// Room.Flip.
	Spoil func(t testing.TB, show json.RawMessage, n int) []byte
	// Once makes the one message that holds everything, for rooms with that
	// side. Nil: the battery for pages is run.
	Once func(t testing.TB, nonce []byte) []byte
	// Device is what the door says has sent that message, for rooms whose keys
	// belong to one; empty: the message comes without a device.
	Device idp.DeviceID
	// Door makes of a nonce what the door hands over as that of the message. Nil:
	// the nonce as it is.
	Door func(nonce []byte) []byte
	// OnceWrong is the same as Once by a wrong key, and gets what Door made.
	OnceWrong func(t testing.TB, nonce []byte) []byte
}

// Device can be registered.
type Device struct {
	Register func(t testing.TB, show json.RawMessage) []byte
	Answer   func(t testing.TB, show json.RawMessage) []byte
}

// Run runs the battery on both databases. sources are the room's migrations;
// mk makes the room in a new house and is called many times.
func Run(t *testing.T, sources []fs.FS, mk func(t testing.TB, h *House) Room) {
	t.Helper()
	cases := []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"works once", worksOnce},
		{"late", late},
		{"wrong answer burns", wrongBurns},
		{"other flow", otherFlow},
		{"other user", otherUser},
		{"other tenant", otherTenant},
		{"flipped byte", flipped},
		{"garbage", garbage},
		{"ceremony garbage", ceremonyGarbage},
		{"removed credential", removed},
		{"disabled user", disabled},
		{"method off", methodOff},
		{"parallel answers", parallel},
		{"parallel wrong and right", parallelMixed},
		{"once", once},
		{"once: wrong", onceWrong},
		{"once: parallel", onceParallel},
		{"register", register},
		{"register: parallel", registerParallel},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sqldbtest.Each(t, Sources(sources...), func(t *testing.T, db *sqldb.DB) { c.run(t, newBench(t, db, mk)) })
		})
	}
	t.Run("equal work", func(t *testing.T) { equalWork(t, sources, mk) })
}

// bench is one house with the room in it.
type bench struct {
	*House
	Room
	peer signin.Peer
}

func newBench(t testing.TB, db *sqldb.DB, mk func(testing.TB, *House) Room) *bench {
	t.Helper()
	b := &bench{}
	b.House = New(t, db, func(h *House) []method.Method {
		b.Room = mk(t, h)
		return []method.Method{b.Room.Method}
	})
	b.peer = b.Peer("browser")
	return b
}

// begun is a ceremony under way.
type begun struct {
	signin.Begun
	flow signin.Flow
}

func (b *bench) begin(t testing.TB) begun {
	t.Helper()
	return b.beginIn(t, b.Flow(t, signin.Flow{}, b.peer), "")
}

// beginIn begins in this flow, and asks where the answer comes by another road:
// for userName, or for Ada. Nobody else is named: who answers says who it is.
func (b *bench) beginIn(t testing.TB, f signin.Flow, userName string) begun {
	t.Helper()
	if !b.asked() {
		return begun{b.Begin(t, f, b.Method.ID(), ""), f}
	}
	if userName == "" {
		userName = b.Ada.Name
	}
	f = b.Ask(t, f, b.Method.ID(), userName, b.peer)
	w := f.Waiting
	return begun{signin.Begun{Ceremony: w.Ceremony, Show: w.Show, Expires: w.Expires}, f}
}

func (b *bench) waits() bool {
	_, ok := b.Method.(method.Waiter)
	return ok
}

// asked says that the room is begun by Ask: it waits, or its answer is fetched
// elsewhere.
func (b *bench) asked() bool {
	_, away := b.Method.(method.Away)
	return away || b.waits()
}

// now is the flow as it is by now: a refused answer ends what one waits for.
func (b *bench) now(t testing.TB, f signin.Flow) signin.Flow {
	t.Helper()
	return b.Resume(t, f.Tenant, f.Handle(), b.peer)
}

func (b *bench) answer(t testing.TB, c begun, payload []byte) (signin.Step, error) {
	return b.Corridor.Answer(t.Context(), c.flow, b.Method.ID(), c.Ceremony, payload, nil, b.peer)
}

// pages says whether the room is used on pages; rooms that only do one message
// are not.
func (b *bench) pages(t *testing.T, h Held) bool {
	t.Helper()
	if h.Answer == nil {
		t.Log("this method is not used on pages")
	}
	return h.Answer != nil
}

// wantRefused checks that an answer was not good. A room that waits for
// another road does not read what the page sends: it goes on waiting.
func (b *bench) wantRefused(t testing.TB, what string, step signin.Step, err error) {
	t.Helper()
	if b.waits() && err == nil && step.Kind == signin.Wait {
		return
	}
	if !errors.Is(err, idp.Unproven) {
		t.Errorf("%s: step %q, %v, want unproven", what, step.Kind, err)
	}
}

func wantKind(t testing.TB, what string, err error, kind idp.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want %s", what, err, kind)
		return
	}
	if kind == idp.Internal {
		return
	}
	if e := idp.AsError(err); e.Public == "" || e.Reason == "" {
		t.Errorf("%s: %v has no sentence or reason to show", what, err)
	}
}

func (b *bench) wantNobody(t testing.TB) {
	t.Helper()
	for _, tenant := range []idp.TenantID{b.Tenant.ID, b.Other.ID} {
		if n := b.Count(t, "session", tenant); n != 0 {
			t.Errorf("%d sessions, want none", n)
		}
	}
}

func worksOnce(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	want := 0
	if b.asked() {
		want = 1 // the flow that waits (ADR 0022)
	}
	if n := b.Count(t, "flow", b.Tenant.ID) + b.Count(t, "spent", b.Tenant.ID); n != want {
		t.Errorf("%d rows before anything was proven, want %d", n, want)
	}
	payload := held.Answer(t, c.Show)
	spent := b.Count(t, "spent", b.Tenant.ID) // by the other road
	step, err := b.answer(t, c, payload)
	if err != nil {
		t.Fatalf("right answer: %v", err)
	}
	if step.Kind != signin.Done && step.Kind != signin.Register {
		t.Fatalf("step %s (%s), want done or, for a pass, register", step.Kind, step.Decision.Reason)
	}
	s := b.Found(t, b.Tenant.ID, step.Bearer)
	if s.User != b.Ada.ID || len(s.Proofs) != 1 || s.Proofs[0].Credential != held.ID || !s.ProofTime.Equal(b.Now()) {
		t.Errorf("session of %s on %+v, want one of %s on %s", s.User, s.Proofs, b.Ada.ID, held.ID)
	}
	if n := b.Count(t, "spent", b.Tenant.ID) - spent; n != 1 {
		t.Errorf("%d ceremonies burnt, want 1", n)
	}
	before := len(b.House.Events(t, b.Tenant.ID))
	_, err = b.answer(t, c, payload)
	wantKind(t, "second use", err, idp.Expired)
	if n := b.Count(t, "session", b.Tenant.ID); n != 1 {
		t.Errorf("%d sessions after a second use, want 1", n)
	}
	if after := len(b.House.Events(t, b.Tenant.ID)); after != before+1 {
		t.Errorf("%d events of the second use, want 1", after-before)
	}
}

func late(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	b.Advance(c.Expires.Sub(b.Now()))
	_, err := b.answer(t, c, payload)
	wantKind(t, "late", err, idp.Expired)
	if c.Expires.Sub(c.flow.Started) > 5*time.Minute {
		t.Errorf("a challenge lives %s, at most 5 minutes are allowed (NON01)", c.Expires.Sub(c.flow.Started))
	}
	b.wantNobody(t)
}

func wrongBurns(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) || held.Wrong == nil {
		return
	}
	c := b.begin(t)
	right, wrong := held.Answer(t, c.Show), held.Wrong(t, c.Show)
	_, err := b.answer(t, c, wrong)
	wantKind(t, "wrong answer", err, idp.Unproven)
	_, err = b.answer(t, c, right)
	wantKind(t, "right answer after a wrong one", err, idp.Expired)
	b.wantNobody(t)
}

func otherFlow(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	mallory := b.Peer("mallory")
	other := b.Flow(t, signin.Flow{}, mallory)
	_, err := b.Corridor.Answer(t.Context(), other, b.Method.ID(), c.Ceremony, payload, nil, mallory)
	wantKind(t, "in another flow", err, idp.Unproven)
	_, err = b.Corridor.Resume(t.Context(), b.Tenant.ID, c.flow.Handle(), mallory)
	wantKind(t, "flow in another browser", err, idp.Unproven)
	// The payload of one ceremony in another of the same flow.
	c2 := b.beginIn(t, c.flow, "")
	if string(c2.Show) != string(c.Show) { // a pass is typed, whatever is shown
		step, err := b.answer(t, c2, payload)
		b.wantRefused(t, "in another ceremony", step, err)
	}
	b.wantNobody(t)
}

func otherUser(t *testing.T, b *bench) {
	held, bobs := b.Enrol(t, b.Ada), b.Enrol(t, b.Bob)
	if !b.pages(t, held) {
		return
	}
	f := b.Stored(t, signin.Flow{}, b.Ada, b.peer)
	c := b.beginIn(t, f, "")
	step, err := b.answer(t, c, bobs.Answer(t, c.Show))
	waits := b.waits() && err == nil && step.Kind == signin.Wait // Bob's other road has not heard of it
	if err == nil && !waits {
		t.Fatalf("Bob's answer in Ada's flow: step %s, want it refused", step.Kind)
	}
	if !waits && !errors.Is(err, idp.Denied) && !errors.Is(err, idp.Unproven) {
		t.Errorf("Bob's answer in Ada's flow: %v, want denied or unproven", err)
	}
	if errors.Is(err, idp.Denied) { // proven, by somebody else: the flow is over
		_, err = b.Corridor.Resume(t.Context(), b.Tenant.ID, f.Handle(), b.peer)
		wantKind(t, "flow afterwards", err, idp.Expired)
	}
	b.wantNobody(t)
	// Hinted, not proven: refused, and the right person may still come.
	f = b.Flow(t, signin.Flow{HintUser: b.Ada.ID}, b.peer)
	c = b.beginIn(t, f, b.Bob.Name)
	bobs = b.Enrol(t, b.Bob)
	_, err = b.answer(t, c, bobs.Answer(t, c.Show))
	wantKind(t, "somebody else than hinted", err, idp.Denied)
	b.wantNobody(t)
	c = b.beginIn(t, b.now(t, c.flow), "")
	if _, err = b.answer(t, c, held.Answer(t, c.Show)); err != nil {
		t.Errorf("the hinted person: %v", err)
	}
}

func otherTenant(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	there := b.Flow(t, signin.Flow{Tenant: b.Other.ID}, b.peer)
	_, err := b.answer(t, begun{c.Begun, there}, payload)
	wantKind(t, "ceremony in another tenant", err, idp.Expired)
	_, err = b.Corridor.Resume(t.Context(), b.Other.ID, c.flow.Handle(), b.peer)
	wantKind(t, "flow in another tenant", err, idp.Expired)
	// A credential of one tenant, used in the other's own ceremony.
	c2 := b.beginIn(t, there, "")
	step, err := b.answer(t, c2, held.Answer(t, c2.Show))
	b.wantRefused(t, "credential in another tenant", step, err)
	b.wantNobody(t)
}

func removed(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if _, ok := b.Method.(method.Manager); !ok || !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	if err := b.Corridor.RemoveFor(t.Context(), b.Tenant.ID, b.Ada.ID, b.Method.ID(), held.ID, "cli:test", b.peer); err != nil {
		t.Fatal(err)
	}
	_, err := b.answer(t, c, payload)
	wantKind(t, "removed credential", err, idp.Unproven)
	b.wantNobody(t)
	err = b.Corridor.RemoveFor(t.Context(), b.Tenant.ID, b.Ada.ID, b.Method.ID(), held.ID, "cli:test", b.peer)
	if !errors.Is(err, idp.NotFound) {
		t.Errorf("removed again: %v, want not found", err)
	}
}

func disabled(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	b.Enable(t, b.Ada, false)
	step, err := b.answer(t, c, payload)
	if err != nil || step.Kind != signin.Deny || step.Decision.Reason != "user_disabled" || step.Bearer != "" {
		t.Errorf("disabled user: step %s (%s), %v, want deny", step.Kind, step.Decision.Reason, err)
	}
	b.wantNobody(t)
}

func methodOff(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	b.Switch(t, b.Tenant.ID, b.Method.ID(), false)
	_, err := b.answer(t, c, payload)
	if !errors.Is(err, idp.Denied) {
		t.Errorf("method switched off under way: %v, want denied", err)
	}
	if b.asked() {
		_, err = b.Corridor.Ask(t.Context(), c.flow, b.Method.ID(), b.Ada.Name, method.Scene{}, b.peer)
	} else {
		_, err = b.Corridor.Begin(t.Context(), c.flow, b.Method.ID(), "")
	}
	if !errors.Is(err, idp.Denied) {
		t.Errorf("begin with a method that is off: %v, want denied", err)
	}
	offers, err := b.Corridor.Offers(t.Context(), c.flow)
	if err != nil || len(offers) != 0 {
		t.Errorf("offers %v, %v, want none", offers, err)
	}
	b.wantNobody(t)
}
