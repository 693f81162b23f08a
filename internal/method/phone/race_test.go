package phone

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// racers is how many do something at once.
const racers = 16

// race runs do in all racers at once and returns their errors.
func race(do func(n int) error) []error {
	var wg sync.WaitGroup
	errs := make([]error, racers)
	start := make(chan struct{})
	for n := range racers {
		wg.Go(func() {
			<-start
			errs[n] = do(n)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// won counts those who had no error; the others must have been told this.
func won(t *testing.T, errs []error, losers string) (n int) {
	t.Helper()
	for _, err := range errs {
		switch reason(err) {
		case "":
			n++
		case losers:
		default:
			t.Errorf("a loser was told %v, want %s", err, losers)
		}
	}
	return n
}

// TestSec_T12_RaceTwoPhones: of a person's phones that approve at once, on two
// nodes, one wins, and the others are told that it is over.
func TestSec_T12_RaceTwoPhones(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		nodes := []*Room{w.room, w.node(t, w.House)}
		phones := make([]phoneRow, racers)
		for n := range phones {
			phones[n] = w.enrol(t, w.Ada)
		}
		q := w.ask(t, w.Ada.Name, from("desk"))
		errs := race(func(n int) error {
			a := w.answer(phones[n], q.Request)
			a.number = q.Number
			_, err := nodes[n%2].approve(t.Context(), a)
			return err
		})
		if n := won(t, errs, "request_over"); n != 1 {
			t.Errorf("%d phones approved, want 1", n)
		}
		proof, err := w.redeem(t, q)
		if err != nil {
			t.Fatal(err)
		}
		for n, err := range errs {
			if (err == nil) != (phones[n].id == proof.Credential) {
				t.Errorf("phone %d was told %v, and the proof is of %s", n, err, proof.Credential)
			}
		}
	})
}

// TestSec_PHN02_RaceNumbers: of all numbers typed at once one is looked at.
func TestSec_PHN02_RaceNumbers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 5 {
			u := w.person()
			p := w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			var mu sync.Mutex
			ended := map[state]int{}
			errs := race(func(n int) error {
				typed := q.Number
				if n%2 == 0 {
					typed = other(q.Number)
				}
				to, err := w.approve(t, p, q.Request, typed)
				if err == nil {
					mu.Lock()
					ended[to]++
					mu.Unlock()
				}
				return err
			})
			if n := won(t, errs, "request_over"); n != 1 || ended[w.state(t, q)] != 1 {
				t.Errorf("%d were looked at: %v, and the request is %s", n, ended, w.state(t, q))
			}
		}
	})
}

// TestRaceApproveDeny: what is approved is not denied, and the other way round.
func TestRaceApproveDeny(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 5 {
			u := w.person()
			yes, no := w.enrol(t, u), w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			errs := race(func(n int) (err error) {
				switch n % 3 {
				case 0:
					_, err = w.approve(t, yes, q.Request, q.Number)
				case 1:
					_, err = w.deny(t, no, q.Request, false)
				default:
					err = w.DB.Write(t.Context(), w.room.Withdraw(q.at(w.Now())))
					if err == nil {
						err = requestOver(request{id: q.Request})
					}
				}
				return err
			})
			n := won(t, errs, "request_over")
			got := w.state(t, q)
			if want := 1; got == cancelled && n != 0 || got != cancelled && n != want {
				t.Errorf("%d answers, and the request is %s", n, got)
			}
			_, err := w.redeem(t, q)
			if (err == nil) != (got == approved) {
				t.Errorf("a request that is %s: %v", got, err)
			}
		}
	})
}

// TestRaceReport: a report and an approval of one request cannot both be.
func TestRaceReport(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 5 {
			u := w.person()
			yes, no := w.enrol(t, u), w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			errs := race(func(n int) (err error) {
				if n%2 == 0 {
					_, err = w.approve(t, yes, q.Request, q.Number)
				} else {
					_, err = w.deny(t, no, q.Request, true)
				}
				return err
			})
			if n := won(t, errs, "request_over"); n != 1 {
				t.Errorf("%d answers, want 1: %v", n, errs)
			}
			blocks, err := w.room.Blocks(t.Context(), u.Tenant, u.ID)
			if err != nil || (len(blocks) > 0) != (w.state(t, q) == reported) {
				t.Errorf("request is %s, blocks %+v, %v", w.state(t, q), blocks, err)
			}
		}
	})
}

// TestSec_PHN04_RaceAsks: however many browsers ask at once, on two nodes, one
// waits; and no more are told than may be, however often that is tried.
func TestSec_PHN04_RaceAsks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		nodes := []*Room{w.room, w.node(t, w.House)}
		p := w.enrol(t, w.Ada)
		told := 0
		for round := range askMost + 2 {
			for n, err := range race(func(n int) error {
				c, err := nodes[n%2].Challenge(t.Context(), method.Request{
					Tenant: w.Tenant.ID, UserName: w.Ada.Name, Scene: from(fmt.Sprintf("desk %d", n)), Now: w.Now(),
				})
				if err == nil {
					err = w.DB.Write(t.Context(), c.Settle)
				}
				return err
			}) {
				if err != nil {
					t.Errorf("round %d, browser %d: %v", round, n, err)
				}
			}
			some, err := w.room.waitingFor(t.Context(), p, w.Now())
			if err != nil || len(some) > 1 {
				t.Fatalf("round %d: %d wait, %v", round, len(some), err)
			}
			for _, q := range some {
				told++
				if _, err := w.deny(t, p, q.id, false); err != nil {
					t.Error(err)
				}
			}
		}
		if told != askMost {
			t.Errorf("%d requests were told, want %d", told, askMost)
		}
	})
}

// TestSec_PHN04_RaceSameBrowser: one browser asks many times at once, each time
// displacing its own: no more count than may.
func TestSec_PHN04_RaceSameBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.enrol(t, w.Ada)
		for _, err := range race(func(int) error {
			c, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, UserName: w.Ada.Name, Scene: from("desk"), Now: w.Now()})
			if err == nil {
				err = w.DB.Write(t.Context(), c.Settle)
			}
			return err
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		var told int
		if err := w.DB.QueryRow(t.Context(), `select count(*) from phone_request where tenant_id = $1 and state <> 'silent'`, w.Tenant.ID).Scan(&told); err != nil {
			t.Fatal(err)
		}
		if told != askMost {
			t.Errorf("%d requests were told, want %d", told, askMost)
		}
	})
}

// TestRaceRedeem: an approval opens one session, however often its page asks.
func TestRaceRedeem(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		q := w.ask(t, w.Ada.Name, from("desk"))
		if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
			t.Fatal(err)
		}
		// Without the corridor, whose burn decides before: the room's own.
		errs := race(func(int) error { _, err := w.redeem(t, q); return err })
		if n := won(t, errs, "phone_spent"); n != 1 {
			t.Errorf("used %d times, want once", n)
		}
		// And with it.
		peer := w.Peer("desk")
		f := w.Ask(t, w.Flow(t, signin.Flow{}, peer), ID, w.Ada.Name, peer)
		q = w.shown(t, method.Challenge{Show: f.Waiting.Show})
		if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
			t.Fatal(err)
		}
		before := w.Count(t, "session", w.Tenant.ID)
		race(func(int) error {
			_, err := w.Corridor.Answer(t.Context(), f, ID, f.Waiting.Ceremony, nil, nil, peer)
			return err
		})
		if n := w.Count(t, "session", w.Tenant.ID) - before; n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

// TestRaceRemove: a phone that approves while it is taken away opens nothing
// afterwards.
func TestRaceRemove(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 5 {
			u := w.person()
			p := w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			race(func(n int) error {
				if n%2 == 0 {
					return w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
						return w.room.Remove(ctx, tx, u.Tenant, u.ID, p.id)
					})
				}
				_, err := w.approve(t, p, q.Request, q.Number)
				return err
			})
			if got, err := w.redeem(t, q); err == nil {
				t.Errorf("a removed phone proved %+v", got)
			} else if kind := idp.AsError(err).Kind; kind != idp.Unproven {
				t.Errorf("a removed phone: %v", err)
			}
			var held int
			if err := w.DB.QueryRow(t.Context(), `select held from phone_holder where tenant_id = $1 and user_id = $2`, u.Tenant, u.ID).Scan(&held); err != nil || held != 0 {
				t.Errorf("holds %d places, %v", held, err)
			}
		}
	})
}

// TestRaceTell: nodes that tell at once tell once.
func TestRaceTell(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.enrol(t, w.Ada)
		c := w.challenge(t, w.Ada.Name, from("desk"))
		w.Write(t, c.Settle)
		for _, err := range race(func(int) error { return w.room.Tell(t.Context(), w.Now()) }) {
			if err != nil {
				t.Error(err)
			}
		}
		if w.post.count() != 1 {
			t.Errorf("told %d times, want once", w.post.count())
		}
	})
}
