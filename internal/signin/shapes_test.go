package signin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var (
	_ method.Registrar = pageStub{}
	_ method.Manager   = pageStub{}
	_ method.OneShot   = messageStub{}
	_ method.Waiter    = waitStub{}

	_ method.Withdrawer = waitStub{}
	_ method.Away       = handoverStub{}
)

// The four shapes of a method run the battery (decisions 2.1).

func page(t testing.TB, h *signintest.House) signintest.Room {
	return pageStub{newStub(h, "stubPage")}.room(t)
}

func message(t testing.TB, h *signintest.House) signintest.Room {
	return messageStub{newStub(h, "stubMessage")}.room(t)
}

func wait(t testing.TB, h *signintest.House) signintest.Room {
	return newWait(h, "stubWait").room(t)
}

func handover(t testing.TB, h *signintest.House) signintest.Room {
	return handoverStub{newStub(h, "stubHandover")}.room(t)
}

func TestPageBattery(t *testing.T)     { signintest.Run(t, stubs, page) }
func TestMessageBattery(t *testing.T)  { signintest.Run(t, stubs, message) }
func TestWaitBattery(t *testing.T)     { signintest.Run(t, stubs, wait) }
func TestHandoverBattery(t *testing.T) { signintest.Run(t, stubs, handover) }

func FuzzPageAnswer(f *testing.F) { signintest.Fuzz(f, stubs, page) }

// each runs fn in a house with the four rooms.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	sqldbtest.Each(t, signintest.Sources(stubs...), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

// world is a house with a room of each shape, and a pass.
type world struct {
	*signintest.House
	page     pageStub
	second   pageStub // another page method, weaker
	message  messageStub
	wait     waitStub
	handover handoverStub
	pass     pageStub
	peer     signin.Peer
}

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{}
	w.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		w.page = pageStub{newStub(h, "passkey")}
		w.page.mode = idp.ModeFIDO2
		w.second = pageStub{newStub(h, "second")}
		w.second.properties = []idp.Property{idp.Possession, idp.MultiFactor}
		w.message = messageStub{newStub(h, "message")}
		w.wait = newWait(h, "wait")
		w.handover = handoverStub{newStub(h, "handover")}
		w.pass = pageStub{newStub(h, "accessPass")}
		w.pass.mode, w.pass.properties, w.pass.bootstrap = idp.ModeAccessPassOnce, []idp.Property{idp.Possession}, true
		return []method.Method{w.page, w.second, w.message, w.wait, w.handover, w.pass}
	})
	w.peer = w.Peer("browser")
	return w
}

// A whole sign-in, from the door to the session, in each shape.
func TestWholeSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, r := range []signintest.Room{w.page.room(t), w.wait.room(t), w.handover.room(t)} {
			m := r.Method.ID()
			held := r.Enrol(t, w.Ada)
			first, err := w.Corridor.Next(t.Context(), signin.Flow{Tenant: w.Tenant.ID, Door: "portal", Ask: []byte(`{"to":"account"}`)}, nil, w.peer)
			if err != nil || first.Kind != signin.StepUp || first.Handle == "" {
				t.Fatalf("%s: first step %q, %v, want step-up and a handle", m, first.Kind, err)
			}
			f := w.Resume(t, w.Tenant.ID, first.Handle, w.peer)
			var b signin.Begun
			switch m {
			default:
				b = w.Begin(t, f, m, "ada@nordhafen.example")
			case "handover":
				f = w.Ask(t, f, m, "ada@nordhafen.example", w.peer)
				b = signin.Begun{Ceremony: f.Waiting.Ceremony, Show: f.Waiting.Show}
			case "wait":
				f = w.Ask(t, f, m, "ada@nordhafen.example", w.peer)
				b = signin.Begun{Ceremony: f.Waiting.Ceremony, Show: f.Waiting.Show}
				spent := w.Count(t, "spent", w.Tenant.ID)
				for range 3 { // a page that polls
					step, err := w.Corridor.Answer(t.Context(), f, m, b.Ceremony, nil, nil, w.peer)
					if err != nil || step.Kind != signin.Wait || step.Handle != f.Handle() {
						t.Fatalf("polling: step %q, %v, want wait", step.Kind, err)
					}
				}
				if n := w.Count(t, "spent", w.Tenant.ID); n != spent {
					t.Errorf("polling burnt %d ceremonies", n-spent)
				}
			}
			step, err := w.Corridor.Answer(t.Context(), f, m, b.Ceremony, held.Answer(t, b.Show), nil, w.peer)
			if err != nil || step.Kind != signin.Done || string(step.Flow.Ask) != `{"to":"account"}` {
				t.Fatalf("%s: step %q, %v", m, step.Kind, err)
			}
			s := w.Found(t, w.Tenant.ID, step.Bearer)
			next, err := w.Corridor.Next(t.Context(), f, &s, w.peer)
			if err != nil || next.Kind != signin.Done || next.Session.ID != step.Session.ID || next.Decision.AMR[0] != string(m) {
				t.Errorf("%s: next step %q (%v), %v, want done", m, next.Kind, next.Decision.AMR, err)
			}
		}
		if n := w.Count(t, "flow", w.Tenant.ID); n != 0 {
			t.Errorf("%d flows stored, want none", n)
		}
	})
}

// The same in one message: something of the door's settles in the place of a
// session.
func TestWholeMessage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.message.room(t).Enrol(t, w.Ada)
		value, sealed := w.Nonce(t, w.Tenant.ID)
		var settled idp.Proof
		p, d, err := w.Corridor.Once(t.Context(), signin.OnceRequest{
			Tenant: w.Tenant.ID, Method: "message", Nonce: []byte(value), Nonces: []nonce.Sealed{sealed},
			Payload: held.Once(t, []byte(value)), User: w.Ada, Peer: w.peer,
			Settle: func(_ context.Context, _ *sqldb.Tx, p idp.Proof) error { settled = p; return nil },
		})
		if err != nil || p.User != w.Ada.ID || settled.Credential != held.ID || d.ProofTime != w.Now() {
			t.Errorf("proof %+v, settled %+v, %v", p, settled, err)
		}
		if _, err := w.Corridor.Begin(t.Context(), w.Flow(t, signin.Flow{}, w.peer), "message", ""); !errors.Is(err, idp.Invalid) {
			t.Errorf("on a page: %v, want invalid", err)
		}
	})
}

func TestWaitWrongBurns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.wait.enrol(t, w.Ada)
		f := w.Flow(t, signin.Flow{}, w.peer)
		f = w.Ask(t, f, "wait", "", w.peer)
		b := f.Waiting
		c := challengeIn(b.Show)
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, []byte("another number"))))
		if _, err := w.Corridor.Answer(t.Context(), f, "wait", b.Ceremony, nil, nil, w.peer); !errors.Is(err, idp.Unproven) {
			t.Errorf("wrong by the other road: %v, want unproven", err)
		}
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
		if _, err := w.Corridor.Answer(t.Context(), f, "wait", b.Ceremony, nil, nil, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("right afterwards: %v, want expired", err)
		}
	})
}
