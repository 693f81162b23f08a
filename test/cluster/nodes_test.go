package cluster

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/test/person"
)

func TestFlowMovesBetweenServers(t *testing.T) {
	onPostgres(t, 2, func(t *testing.T, s *site) {
		ctx := t.Context()
		at := 0
		p, err := person.New(s.base, func() string { return s.nodes[at].addr })
		if err != nil {
			t.Fatal(err)
		}
		move := func() { at = 1 - at; p.Forget() }
		pass := s.join("ada")
		page, verifier, err := p.Authorize(ctx, s.app, nil)
		if err != nil {
			t.Fatal(err)
		}
		move()
		if page, err = p.UsePass(ctx, page, "ada@nordhafen.example", pass); err != nil {
			t.Fatal(err)
		}
		move()
		if page, err = p.AddPasskey(ctx, page); err != nil {
			t.Fatal(err)
		}
		move()
		reply, err := p.Answer(ctx, page)
		if err != nil {
			t.Fatal(err)
		}
		move()
		if page, err = p.Send(ctx, reply); err != nil {
			t.Fatal(err)
		}
		move()
		tokens := s.redeem(p, page, verifier)

		// What one server ends is over on the other.
		account, err := p.Get(ctx, s.base+"/account")
		if err != nil {
			t.Fatal(err)
		}
		id, err := account.Session()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Post(ctx, "/account/sign-out-everywhere", url.Values{"session": {id}}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		move()
		for {
			in, err := s.app.Ask(ctx, p.HTTP, "introspect", url.Values{"token": {tokens.Access}})
			if err != nil {
				t.Fatal(err)
			}
			if !in.Active {
				break
			}
			if time.Since(start) > time.Minute {
				t.Fatal("the token still works on the other server after a minute")
			}
		}
		t.Logf("revocation reached the other server within %v", time.Since(start).Round(time.Millisecond))
		if r, _ := s.app.RefreshWith(ctx, p.HTTP, tokens.Refresh); r.Error != "invalid_grant" {
			t.Errorf("refresh on the other server: %+v", r)
		}
	})
}

const (
	uses    = 10_000
	callers = 50
)

// crowd does the same thing so many times at once, over all servers, and
// counts what came of it.
func crowd(t *testing.T, s *site, n int, do func(c *http.Client) string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	came := map[string]int{}
	var wg sync.WaitGroup
	for range callers {
		c := s.everywhere().HTTP
		wg.Go(func() {
			for range n / callers {
				what := do(c)
				mu.Lock()
				came[what]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return came
}

func TestOneWinner(t *testing.T) {
	onPostgres(t, 2, func(t *testing.T, s *site) {
		ctx := context.Background()
		p := s.everywhere()
		s.firstDay(p, "ada")

		t.Run("code", func(t *testing.T) {
			s.t = t
			page, verifier, err := p.SignIn(ctx, s.app)
			if err != nil {
				t.Fatal(err)
			}
			code, err := page.Code()
			if err != nil {
				t.Fatal(err)
			}
			var winner sync.Map
			came := crowd(t, s, uses, func(c *http.Client) string {
				got, err := s.app.Redeem(ctx, c, code, verifier)
				if err != nil {
					return err.Error()
				}
				if got.Access != "" {
					winner.Store(got.Access, true)
					return "won"
				}
				return got.Error
			})
			if came["won"] != 1 || came["invalid_grant"] != uses-1 {
				t.Fatalf("%d uses came to %v", uses, came)
			}
			winner.Range(func(access, _ any) bool {
				if in, err := s.app.Ask(ctx, p.HTTP, "introspect", url.Values{"token": {access.(string)}}); err != nil || in.Active {
					t.Errorf("the winner's token outlives the second use: %+v, %v", in, err)
				}
				return true
			})
		})

		t.Run("ceremony", func(t *testing.T) {
			s.t = t
			page, _, err := p.Authorize(ctx, s.app, url.Values{"prompt": {"login"}})
			if err != nil {
				t.Fatal(err)
			}
			reply, err := p.Answer(ctx, page)
			if err != nil {
				t.Fatal(err)
			}
			// Browsers with the cookies of the one that asked, before any of
			// them has a session of it.
			var twins []*person.Person
			for range callers {
				twin, err := p.Twin()
				if err != nil {
					t.Fatal(err)
				}
				twins = append(twins, twin)
			}
			var mu sync.Mutex
			won := map[*person.Person]bool{}
			var wg sync.WaitGroup
			for _, twin := range twins {
				wg.Go(func() {
					for range uses / callers {
						page, err := twin.Send(ctx, reply)
						if err != nil {
							t.Error(err)
							return
						}
						if _, err := page.Code(); err == nil {
							mu.Lock()
							won[twin] = true // and whatever it sends from now on
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if len(won) != 1 {
				t.Errorf("%d browsers got into the app by one answer", len(won))
			}
		})

		t.Run("pass", func(t *testing.T) {
			s.t = t
			pass := s.join("bela")
			page, _, err := p.Authorize(ctx, s.app, url.Values{"prompt": {"login"}})
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			won := 0
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range uses / callers {
						got, err := p.UsePass(ctx, page, "bela@nordhafen.example", pass)
						if err != nil {
							t.Error(err)
							return
						}
						if got.URL.Query().Get("flow") != "" {
							mu.Lock()
							won++
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if won != 1 {
				t.Errorf("%d uses of one pass opened a session", won)
			}
		})

		t.Run("refresh token", func(t *testing.T) {
			s.t = t
			q := s.everywhere()
			tokens := s.firstDay(q, "carmen")
			came := crowd(t, s, uses, func(c *http.Client) string {
				got, err := s.app.RefreshWith(ctx, c, tokens.Refresh)
				if err != nil {
					return err.Error()
				}
				if got.Refresh != "" {
					return got.Refresh
				}
				return got.Error
			})
			var successor string
			fresh := 0
			for what, n := range came {
				if len(what) > 40 {
					successor, fresh = what, fresh+1
				} else if what != "invalid_grant" {
					t.Errorf("%d uses came to %q", n, what)
				}
			}
			if fresh != 1 {
				t.Fatalf("%d different successors", fresh)
			}
			time.Sleep(11 * time.Second) // the overlap is part of the behaviour, and real
			if got, _ := s.app.RefreshWith(ctx, q.HTTP, tokens.Refresh); got.Error != "invalid_grant" {
				t.Errorf("reuse after the overlap: %+v", got)
			}
			if got, _ := s.app.RefreshWith(ctx, q.HTTP, successor); got.Error != "invalid_grant" {
				t.Errorf("the family lives on: %+v", got)
			}
		})
	})
}

// TestSec_T48_LastPasskey removes a person's two passkeys from two servers at
// once: one always stays.
func TestSec_T48_LastPasskey(t *testing.T) {
	onPostgres(t, 2, func(t *testing.T, s *site) {
		ctx := context.Background()
		p := s.everywhere()
		s.firstDay(p, "ada")
		for round := range 20 {
			var held []string
			var session string
			for len(held) < 2 {
				account, err := p.Get(ctx, s.base+"/account")
				if err != nil {
					t.Fatal(err)
				}
				if session, err = account.Session(); err != nil {
					t.Fatal(err)
				}
				if held = account.Credentials(); len(held) == 2 {
					break
				}
				p.NewKey()
				page, err := p.Get(ctx, s.base+"/account/register?session="+session)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.AddPasskey(ctx, page); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			var wg sync.WaitGroup
			for _, id := range held {
				wg.Go(func() {
					form := url.Values{"session": {session}, "method": {"passkey"}, "credential": {id}}
					if _, err := p.Post(ctx, "/account/remove", form); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			account, err := p.Get(ctx, s.base+"/account")
			if err != nil {
				t.Fatal(err)
			}
			if left := account.Credentials(); len(left) != 1 {
				t.Fatalf("round %d: %d passkeys left", round, len(left))
			}
		}
	})
}
