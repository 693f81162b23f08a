package phone

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

func (w *world) remove(t testing.TB, p phoneRow) error {
	t.Helper()
	return w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return w.room.Remove(ctx, tx, p.tenant, p.user, p.id)
	})
}

func (w *world) counted(t testing.TB, u idp.User) (n int) {
	t.Helper()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		n, err = w.room.Count(ctx, tx, u.Tenant, u.ID)
		return err
	})
	return n
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.keys.fact = idp.Facts{Synced: true, AAGUID: "x", Attested: true}
		first := w.enrol(t, w.Ada)
		w.Advance(minute)
		second := w.enrol(t, w.Ada)
		w.enrol(t, w.Bob)
		w.keys.gone[second.passkey] = true
		list, err := w.room.List(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(list) != 2 || list[0].ID != first.id || list[1].ID != second.id {
			t.Fatalf("list %+v, %v", list, err)
		}
		if c := list[0]; !c.Usable() || c.Name != "Phone" || c.Model != "Signet 1.0" || c.Mode != idp.ModePhone || c.Needs != first.passkey ||
			c.Facts != (idp.Facts{Synced: true, Name: "Phone"}) || !c.Created.Equal(first.created) || !c.LastUsed.IsZero() {
			t.Errorf("phone %+v", c)
		}
		if list[1].Usable() || w.counted(t, w.Ada) != 1 {
			t.Error("a phone without its passkey is a way in")
		}
		phones, err := w.room.Phones(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(phones) != 2 || phones[0].Gone || !phones[1].Gone || phones[0].Platform != "Android" || phones[0].Push != "webpush" {
			t.Errorf("phones %+v, %v", phones, err)
		}
	})
}

func TestRename(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		rename := func(u idp.User, name string) error {
			return w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return w.room.Rename(ctx, tx, u.Tenant, u.ID, p.id, name)
			})
		}
		if err := rename(w.Ada, "  Ada's\u202e phone\n"); err != nil {
			t.Fatal(err)
		}
		if list, _ := w.room.List(t.Context(), w.Tenant.ID, w.Ada.ID); list[0].Name != "Ada's phone" {
			t.Errorf("named %q", list[0].Name)
		}
		wantReason(t, "empty", rename(w.Ada, " \n"), idp.Invalid, "name_empty")
		wantReason(t, "Bob's", rename(w.Bob, "x"), idp.NotFound, "phone_missing")
		wantReason(t, "Eve's", rename(w.Eve, "x"), idp.NotFound, "phone_missing")
	})
}

func TestRemove(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first, second := w.enrol(t, w.Ada), w.enrol(t, w.Ada)
		q := w.ask(t, w.Ada.Name, from("desk"))
		foreign := first
		foreign.user = w.Bob.ID
		wantReason(t, "Bob's", w.remove(t, foreign), idp.NotFound, "phone_missing")
		if err := w.remove(t, first); err != nil {
			t.Fatal(err)
		}
		wantState(t, "another phone is left", w.state(t, q), pending)
		wantReason(t, "again", w.remove(t, first), idp.NotFound, "phone_missing")
		if err := w.remove(t, second); err != nil {
			t.Fatal(err)
		}
		wantState(t, "the last phone went", w.state(t, q), cancelled)
		if w.counted(t, w.Ada) != 0 {
			t.Error("removed phones are ways in")
		}
		// Bob's request is none of that.
		w.enrol(t, w.Bob)
		b := w.ask(t, w.Bob.Name, from("desk"))
		third := w.enrol(t, w.Ada)
		if err := w.remove(t, third); err != nil {
			t.Fatal(err)
		}
		wantState(t, "Bob's", w.state(t, b), pending)
	})
}

func TestWalk(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var want []idp.CredentialID
		for range 3 {
			want = append(want, w.enrol(t, w.Ada).id, w.enrol(t, w.Bob).id)
		}
		w.enrol(t, w.Eve)
		var got []idp.CredentialID
		var owners []idp.UserID
		err := w.room.Walk(t.Context(), w.Tenant.ID, func(c method.Credential) error {
			got = append(got, c.ID)
			if len(owners) == 0 || owners[len(owners)-1] != c.User {
				owners = append(owners, c.User)
			}
			return nil
		})
		slices.Sort(want)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) || len(owners) != 2 {
			t.Errorf("walked %v, want %v; owners %v; %v", got, want, owners, err)
		}
	})
}

func TestRemoveUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		q := w.ask(t, w.Ada.Name, from("desk"))
		w.deny(t, p, q.Request, true)
		w.enrol(t, w.Bob)
		w.ask(t, w.Bob.Name, from("desk"))
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.RemoveUser(ctx, tx, w.Tenant.ID, w.Ada.ID)
		})
		for table, left := range map[string]int{"phone": 1, "phone_holder": 1, "phone_request": 1, "phone_asked": 1, "phone_block": 0, "phone_enrolment": 0} {
			if n := w.Count(t, table, w.Tenant.ID); n != left {
				t.Errorf("%s: %d rows, want %d", table, n, left)
			}
		}
	})
}

// TestSweep: what is over goes, when it is, and nothing else.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		w.ask(t, w.Ada.Name, from("desk"))
		w.ask(t, "nobody@nordhafen.example", from("desk"))
		w.block(t, w.Ada, "192.0.2.1")
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return insertBlock(ctx, tx, request{tenant: w.Tenant.ID, subject: w.Bob.ID}, everywhere, w.Now(), time.Time{})
		})
		half := p
		half.id, half.state, half.spki, half.created = "waiting", stateWaiting, []byte("other"), w.Now()
		w.store(t, half)
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return insertEnrolment(ctx, tx, enrolment{
				tenant: w.Tenant.ID, id: "e", user: w.Ada.ID, link: []byte("l"), typed: []byte("t"), created: w.Now(), expires: w.Now().Add(10 * minute),
			})
		})
		rows := func(at time.Duration, want map[string]int) {
			t.Helper()
			if err := w.room.Sweep(t.Context(), w.Now()); err != nil {
				t.Fatal(err)
			}
			for table, n := range want {
				if got := w.Count(t, table, w.Tenant.ID); got != n {
					t.Errorf("after %s, %s: %d rows, want %d", at, table, got, n)
				}
			}
		}
		rows(0, map[string]int{"phone_request": 2, "phone_asked": 2, "phone_block": 2, "phone": 2, "phone_enrolment": 1})
		w.Advance(waitingKept)
		rows(waitingKept, map[string]int{"phone_request": 2, "phone_asked": 0, "phone_block": 2, "phone": 1})
		w.Advance(lives)
		rows(waitingKept+lives, map[string]int{"phone_request": 1})
		w.Advance(blockLives)
		rows(blockLives, map[string]int{"phone_request": 1, "phone_block": 1, "phone": 1, "phone_enrolment": 0})
		w.Advance(historyKept)
		rows(historyKept, map[string]int{"phone_request": 0, "phone_block": 1, "phone": 1})
	})
}

func TestShape(t *testing.T) {
	w := sqliteWorld(t)
	s := w.room.Shape()
	if s.Collection != "microsoftAuthenticatorMethods" || s.Type != "microsoftAuthenticatorAuthenticationMethod" {
		t.Errorf("shape %+v", s)
	}
	w.enrol(t, w.Ada)
	list, err := w.room.List(t.Context(), w.Tenant.ID, w.Ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	list[0].LastUsed = time.Date(2026, 3, 5, 9, 14, 0, 0, time.UTC)
	got := s.Fields(list[0])
	if got["displayName"] != "Phone" || got["deviceTag"] != deviceTag || got["phoneAppVersion"] != "Signet 1.0" || got["device"] != nil ||
		got["isUsable"] != true || got["lastUsedDateTime"] != "2026-03-05T09:14:00Z" {
		t.Errorf("fields %v", got)
	}
	if v := w.room.View(); v.Action != "signin-phone" || v.Icon != "phone" || !v.Primary {
		t.Errorf("view %+v", v)
	}
}

// TestRun: what is asked is told at once, here, and in a while by another node.
func TestRun(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, j := range w.room.Jobs() {
			if err := j.Run(t.Context(), w.Now()); err != nil {
				t.Errorf("%s: %v", j.Name, err)
			}
		}
		p := w.enrol(t, w.Ada)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.room.Run(ctx) }()
		told := func(n int) {
			t.Helper()
			for w.post.count() < n {
				select {
				case <-w.post.more:
				case <-time.After(time.Minute):
					t.Fatalf("told %d times, want %d", w.post.count(), n)
				}
			}
		}
		c := w.challenge(t, w.Ada.Name, from("desk"))
		w.Write(t, c.Settle)
		told(1)
		w.again(t, w.shown(t, c))
		told(2)
		// Asked where nothing runs.
		w.deny(t, p, w.shown(t, c).Request, false)
		c, err := w.node(t, w.House).Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, UserName: w.Ada.Name, Scene: from("b"), Now: w.Now()})
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, c.Settle)
		told(3)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestRunFailed: trouble is told once, and not for each look.
func TestRunFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, heard := 0, 0
		ctx, stop := context.WithCancel(t.Context())
		m := &Room{asks: make(chan struct{}, 1), cfg: Config{
			Now:    func() time.Time { looks++; return time.Now() },
			Failed: func(error) { heard++ },
		}, db: broken{}}
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(5*tellEvery + time.Millisecond)
		stop()
		if err := <-done; err != nil || looks != 6 || heard != 1 {
			t.Errorf("%d looks, heard %d times, %v", looks, heard, err)
		}
	})
}

// broken is a database that is down.
type broken struct{ sqldb.Querier }

func (broken) Query(context.Context, string, ...any) (*sqldb.Rows, error) {
	return nil, idp.Unavailablef("database", "down")
}

// TestHub: whoever waits is woken once, and forgotten.
func TestHub(t *testing.T) {
	h := newHub()
	a, stopA := h.wait("x")
	b, stopB := h.wait("x")
	c, stopC := h.wait("y")
	stopB()
	h.wake("x")
	<-a
	select {
	case <-b:
		t.Error("woken after it was given back")
	case <-c:
		t.Error("woken for another")
	default:
	}
	stopA()
	stopA()
	if h.waiting() != 1 {
		t.Errorf("%d wait, want 1", h.waiting())
	}
	stopC()
	if h.wake("y"); h.waiting() != 0 || len(h.waits) != 0 {
		t.Errorf("%d wait", h.waiting())
	}
}
