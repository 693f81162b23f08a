package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/test/person"
)

// rounds is how often the server is killed.
const rounds = 30

// told is what the server acknowledged to one person before it died.
type told struct {
	p       *person.Person
	keys    []string // credential ids that the account page listed
	refresh string   // the newest refresh token that was handed out
	ended   []string // refresh tokens whose revocation was acknowledged
}

// TestKilled kills the server at random moments under load: what it has
// acknowledged is there afterwards (registrations, sessions, rotations), what
// it revoked stays revoked, and it starts again by itself each time.
func TestKilled(t *testing.T) {
	s := newSite(t, 1, "")
	ctx := context.Background()
	var people []*told
	for n := range 6 {
		p := s.somebody(0)
		tokens := s.firstDay(p, fmt.Sprint("person", n))
		people = append(people, &told{p: p, refresh: tokens.Refresh})
	}
	acknowledged := 0
	for round := range rounds {
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for _, who := range people {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						who.live(ctx, s)
					}
				}
			})
		}
		time.Sleep(time.Duration(50+rand.IntN(400)) * time.Millisecond) // a random moment is what is tested
		s.kill(0)
		close(stop)
		wg.Wait()
		s.start(0)
		for n, who := range people {
			who.p.Forget()
			if err := who.check(ctx, s); err != nil {
				t.Fatalf("round %d, person %d: %v", round, n, err)
			}
			acknowledged += len(who.keys) + len(who.ended)
			who.keys, who.ended = nil, nil
		}
	}
	if acknowledged < rounds {
		t.Errorf("only %d acknowledged changes in %d rounds: the load did nothing", acknowledged, rounds)
	}
	t.Logf("%d kills, %d acknowledged registrations and revocations, all there", rounds, acknowledged)
}

// live does one thing after another until the server is gone; what is not
// acknowledged is not remembered.
func (w *told) live(ctx context.Context, s *site) {
	page, verifier, err := w.p.SignIn(ctx, s.app)
	if err != nil {
		return
	}
	code, err := page.Code()
	if err != nil {
		return
	}
	tokens, err := s.app.Redeem(ctx, w.p.HTTP, code, verifier)
	if err != nil || tokens.Refresh == "" {
		return
	}
	old := w.refresh
	w.refresh = tokens.Refresh
	if old == "" {
		// Nothing was left to revoke.
	} else if r, err := s.app.Ask(ctx, w.p.HTTP, "revoke", url.Values{"token": {old}}); err == nil && r.Status == 200 {
		w.ended = append(w.ended, old)
	}
	for range 3 {
		next, err := s.app.RefreshWith(ctx, w.p.HTTP, w.refresh)
		if err != nil || next.Refresh == "" {
			return
		}
		w.refresh = next.Refresh
	}
	w.register(ctx, s)
}

// register adds a second passkey and removes the one before it, so that the
// limit is never reached.
func (w *told) register(ctx context.Context, s *site) {
	account, err := w.p.Get(ctx, s.base+"/account")
	if err != nil {
		return
	}
	session, err := account.Session()
	if err != nil {
		return
	}
	before := account.Credentials()
	form, err := w.p.Get(ctx, s.base+"/account/register?session="+session)
	if err != nil {
		return
	}
	held := w.p.Key
	w.p.NewKey()
	_, err = w.p.AddPasskey(ctx, form)
	if len(w.p.Key.Held()) == 0 || err != nil {
		// Perhaps there, perhaps not: the old key is the one to rely on.
		w.p.Key = held
		return
	}
	fresh := w.p.Key
	account, err = w.p.Get(ctx, s.base+"/account")
	if err != nil {
		w.p.Key = fresh
		w.keys = append(w.keys, "the new one")
		return
	}
	for _, id := range account.Credentials() {
		if !slices.Contains(before, id) {
			w.keys = append(w.keys, id)
		}
	}
	for _, id := range before {
		left, err := w.p.Post(ctx, "/account/remove", url.Values{"session": {session}, "method": {"passkey"}, "credential": {id}})
		w.keys = slices.DeleteFunc(w.keys, func(k string) bool { return k == id })
		// The tokens stand on the key that signed in, one of these: with it
		// they go. What was not acknowledged may or may not have happened.
		if listed := left.Credentials(); err == nil && len(listed) > 0 && !slices.Contains(listed, id) && w.refresh != "" {
			w.ended = append(w.ended, w.refresh)
		}
		w.refresh = ""
	}
}

// check holds the server against what it said before it died.
func (w *told) check(ctx context.Context, s *site) error {
	for _, token := range w.ended {
		if r, err := s.app.RefreshWith(ctx, w.p.HTTP, token); err != nil || r.Error != "invalid_grant" {
			return fmt.Errorf("a revoked refresh token came back to life: %+v, %v", r, err)
		}
	}
	// The key that was acknowledged signs in.
	page, verifier, err := w.p.SignIn(ctx, s.app)
	if err != nil {
		return fmt.Errorf("sign in after the restart: %w", err)
	}
	code, err := page.Code()
	if err != nil {
		return fmt.Errorf("sign in after the restart: %w", err)
	}
	account, err := w.p.Get(ctx, s.base+"/account")
	if err != nil {
		return err
	}
	listed := account.Credentials()
	for _, id := range w.keys {
		if !strings.HasPrefix(id, "the ") && !slices.Contains(listed, id) {
			return fmt.Errorf("passkey %s was acknowledged and is gone; there are %v", id, listed)
		}
	}
	tokens, err := s.app.Redeem(ctx, w.p.HTTP, code, verifier)
	if err != nil || tokens.Refresh == "" {
		return fmt.Errorf("redeem after the restart: %+v, %w", tokens, err)
	}
	// The newest token that was handed out before works, or its grant stands
	// at the step after it, whose answer was lost on the way.
	if w.refresh == "" {
		w.refresh = tokens.Refresh
		return nil
	}
	if r, err := s.app.RefreshWith(ctx, w.p.HTTP, w.refresh); err != nil || (r.Refresh == "" && r.Error != "invalid_grant") {
		return fmt.Errorf("the last refresh token: %+v, %w", r, err)
	} else if r.Refresh == "" {
		return fmt.Errorf("the last refresh token that was acknowledged is refused: %+v", r)
	}
	w.refresh = tokens.Refresh
	return nil
}
