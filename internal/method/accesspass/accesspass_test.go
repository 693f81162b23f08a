package accesspass_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// desk is a house with the room, and a person at the sign-in page.
type desk struct {
	*signintest.House
	m    *accesspass.Method
	peer signin.Peer
}

func newDesk(t testing.TB, db *sqldb.DB) *desk {
	d := &desk{}
	d.House = signintest.New(t, db, func(h *signintest.House) []method.Method {
		d.m = newRoom(h)
		return []method.Method{d.m}
	})
	d.peer = d.Peer("browser")
	return d
}

func each(t *testing.T, fn func(t *testing.T, d *desk)) {
	sqldbtest.Each(t, signintest.Sources(sources...), func(t *testing.T, db *sqldb.DB) { fn(t, newDesk(t, db)) })
}

func (d *desk) try(t testing.TB, name, code string) (signin.Step, error) {
	f := d.Flow(t, signin.Flow{}, d.peer)
	b := d.Begin(t, f, accesspass.ID, name)
	return d.Corridor.Answer(t.Context(), f, accesspass.ID, b.Ceremony, payload(name, code), nil, d.peer)
}

func (d *desk) wantIn(t testing.TB, what, name, code string) signin.Step {
	t.Helper()
	step, err := d.try(t, name, code)
	if err != nil || step.Kind != signin.Register {
		t.Errorf("%s: step %q, %v, want register", what, step.Kind, err)
	}
	return step
}

func (d *desk) wantOut(t testing.TB, what, name, code, reason string) {
	t.Helper()
	step, err := d.try(t, name, code)
	e := idp.AsError(err)
	if !errors.Is(err, idp.Unproven) || e.Reason != reason {
		t.Errorf("%s: step %q, %v, want unproven %s", what, step.Kind, err, reason)
		return
	}
	if e.Code != 130005 || !strings.HasPrefix(e.Public, "This pass does not work.") {
		t.Errorf("%s: code %d, %q: every refusal must look alike", what, e.Code, e.Public)
	}
}

func TestCodeShape(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		seen := map[string]bool{}
		for range 50 {
			code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
			plain := strings.ReplaceAll(code, "-", "")
			if len(code) != 14 || len(plain) != 12 || strings.Trim(plain, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" || seen[code] {
				t.Errorf("code %q: want 12 new characters of the alphabet in groups", code)
			}
			seen[code] = true
		}
	})
}

func TestSpellings(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		for what, spell := range map[string]func(string) string{
			"as given":     func(s string) string { return s },
			"lower case":   strings.ToLower,
			"no groups":    func(s string) string { return strings.ReplaceAll(s, "-", "") },
			"spaces":       func(s string) string { return " " + strings.ReplaceAll(s, "-", " ") + " " },
			"look-alikes":  func(s string) string { return strings.NewReplacer("0", "o", "1", "l").Replace(s) },
			"long dashes":  func(s string) string { return strings.ReplaceAll(s, "-", "–") },
			"name in caps": func(s string) string { return s },
		} {
			code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
			name := d.Ada.Name
			if what == "name in caps" {
				name = strings.ToUpper(name)
			}
			d.wantIn(t, what, name, spell(code))
		}
	})
}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		other, _ := issue(t, d.House, d.m, d.Bob, accesspass.Options{})
		d.wantOut(t, "unknown name", "nobody@nordhafen.example", code, "pass_unknown")
		d.wantOut(t, "no name", "", code, "pass_unknown")
		d.wantOut(t, "no name at all", strings.Repeat("x", 3000), code, "pass_unknown")
		d.wantOut(t, "another's pass", d.Ada.Name, other, "pass_other")
		d.wantOut(t, "wrong start", d.Ada.Name, "0000"+code[4:], "pass_other")
		d.wantOut(t, "wrong end", d.Ada.Name, wrongEnd(code), "pass_wrong")
		d.wantOut(t, "too short", d.Ada.Name, code[:7], "pass_malformed")
		d.wantOut(t, "not of the alphabet", d.Ada.Name, "????????????", "pass_malformed")
		d.wantOut(t, "empty", d.Ada.Name, "", "pass_malformed")
		d.wantIn(t, "right", d.Ada.Name, code)
		d.wantOut(t, "used", d.Ada.Name, code, "pass_used")
		issue(t, d.House, d.m, d.Bob, accesspass.Options{})
		d.wantOut(t, "replaced by a newer one", d.Bob.Name, other, "pass_other")
	})
}

// TestSec_TOK08_PayloadHasOneReading: a right code in a payload that could be
// read in another way, too.
func TestSec_TOK08_PayloadHasOneReading(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		name := d.Ada.Name
		for what, payload := range map[string]string{
			"code twice":         `{"username":"` + name + `","access_pass":"0000","access_pass":"` + code + `"}`,
			"name twice":         `{"username":"bob@nordhafen.example","username":"` + name + `","access_pass":"` + code + `"}`,
			"name by an escape":  `{"username":"bob@nordhafen.example","us\u0065rname":"` + name + `","access_pass":"` + code + `"}`,
			"another case":       `{"UserName":"` + name + `","access_pass":"` + code + `"}`,
			"both cases":         `{"username":"` + name + `","access_pass":"0000","Access_Pass":"` + code + `"}`,
			"something twice":    `{"username":"` + name + `","access_pass":"` + code + `","x":1,"x":2}`,
			"something behind":   `{"username":"` + name + `","access_pass":"` + code + `"}{}`,
			"not closed":         `{"username":"` + name + `","access_pass":"` + code + `"`,
			"a list around":      `[{"username":"` + name + `","access_pass":"` + code + `"}]`,
			"a comma at its end": `{"username":"` + name + `","access_pass":"` + code + `",}`,
		} {
			f := d.Flow(t, signin.Flow{}, d.peer)
			b := d.Begin(t, f, accesspass.ID, name)
			_, err := d.Corridor.Answer(t.Context(), f, accesspass.ID, b.Ceremony, []byte(payload), nil, d.peer)
			if e := idp.AsError(err); !errors.Is(err, idp.Unproven) || e.Reason != "payload_malformed" || !strings.HasPrefix(e.Public, "This pass does not work.") {
				t.Errorf("%s: %v", what, err)
			}
		}
		d.wantIn(t, "in one reading", name, code)
	})
}

func TestTimes(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{Starts: d.Now().Add(time.Hour), Lifetime: 30 * time.Minute})
		d.wantOut(t, "before it starts", d.Ada.Name, code, "pass_early")
		d.Advance(90*time.Minute - time.Millisecond)
		step := d.wantIn(t, "just before its end", d.Ada.Name, code)
		if !step.Session.Expires.Equal(d.Now().Add(time.Millisecond)) {
			t.Errorf("session until %s, want the end of the pass", step.Session.Expires)
		}
		code, _ = issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		d.Advance(time.Hour)
		d.wantOut(t, "over", d.Ada.Name, code, "pass_over")
	})
}

func TestSessionOfPass(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, id := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		step := d.wantIn(t, "right", d.Ada.Name, code)
		s := step.Session
		if !s.Restricted || !s.Expires.Equal(d.Now().Add(10*time.Minute)) {
			t.Errorf("restricted %v until %s, want 10 minutes for a one-time pass", s.Restricted, s.Expires)
		}
		p := s.Proofs[0]
		if p.Mode != idp.ModeAccessPassOnce || p.Credential != id || len(p.AMR) != 0 ||
			len(p.Properties) != 1 || p.Properties[0] != idp.Possession {
			t.Errorf("proof %+v claims more than possession", p)
		}
		// Taking the pass back ends what stands on it.
		if err := d.Corridor.RemoveFor(t.Context(), d.Tenant.ID, d.Ada.ID, accesspass.ID, id, "cli:test", d.peer); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Sessions.Find(t.Context(), d.Tenant.ID, step.Bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("session after its pass was taken back: %v, want not found", err)
		}
	})
}

func TestFiveTries(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		for range 20 { // somebody who does not even know the beginning
			d.wantOut(t, "wrong start", d.Ada.Name, "0000-0000-0000", "pass_other")
		}
		for range 4 {
			d.wantOut(t, "wrong end", d.Ada.Name, wrongEnd(code), "pass_wrong")
		}
		d.wantIn(t, "after four wrong tries", d.Ada.Name, code)

		code, _ = issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		for range 5 {
			d.wantOut(t, "wrong end", d.Ada.Name, wrongEnd(code), "pass_wrong")
		}
		d.wantOut(t, "right, after five wrong tries", d.Ada.Name, code, "pass_dead")
	})
}

// T16: of 1000 parallel guesses at most five count for anything, and the pass
// is dead afterwards.
func TestParallelGuesses(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, id := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		var wg sync.WaitGroup
		limit := make(chan struct{}, 100)
		for n := range 1000 {
			guess := code[:5] + fmt.Sprintf("%04d-%04d", n, n)
			if guess == code {
				continue
			}
			wg.Go(func() {
				limit <- struct{}{}
				defer func() { <-limit }()
				if step, err := d.try(t, d.Ada.Name, guess); !errors.Is(err, idp.Unproven) {
					t.Errorf("guess %s: step %q, %v", guess, step.Kind, err)
				}
			})
		}
		wg.Wait()
		var tries int
		if err := d.DB.QueryRow(t.Context(), `select tries from access_pass where tenant_id = $1 and id = $2`, d.Tenant.ID, id).Scan(&tries); err != nil || tries != 5 {
			t.Errorf("%d tries counted, %v, want 5", tries, err)
		}
		d.wantOut(t, "right afterwards", d.Ada.Name, code, "pass_dead")
	})
}

// A right guess that was read before the fifth wrong one was counted, and
// settles after it, comes too late: what counts is the order of the commits.
func TestRightGuessBehindFive(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		v, err := d.m.Verify(t.Context(), method.Answer{Tenant: d.Tenant.ID, Payload: payload(d.Ada.Name, code), Now: d.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			d.wantOut(t, "wrong end", d.Ada.Name, wrongEnd(code), "pass_wrong")
		}
		if err := d.DB.Write(t.Context(), v.Settle); !errors.Is(err, idp.Unproven) {
			t.Errorf("settled as the sixth try: %v, want unproven", err)
		}
	})
}

// One pass in many flows at once: one session.
func TestOneTime(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		var wg sync.WaitGroup
		won := make(chan struct{}, 100)
		for range 100 {
			wg.Go(func() {
				step, err := d.try(t, d.Ada.Name, code)
				switch {
				case err == nil && step.Kind == signin.Register:
					won <- struct{}{}
				case !errors.Is(err, idp.Unproven):
					t.Errorf("step %q, %v, want unproven", step.Kind, err)
				}
			})
		}
		wg.Wait()
		if n := d.Count(t, "session", d.Tenant.ID); len(won) != 1 || n != 1 {
			t.Errorf("%d winners and %d sessions, want one of each", len(won), n)
		}
	})
}

func TestManyTimes(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		d.wantIn(t, "first", d.Ada.Name, code)
		d.wantOut(t, "the tenant's policy makes it one-time", d.Ada.Name, code, "pass_used")
		d.Policy(t, d.Tenant.ID, func(p *policy.Policy) { p.AccessPass.Once = false })
		code, _ = issue(t, d.House, d.m, d.Ada, accesspass.Options{Lifetime: 24 * time.Hour})
		for range 2 {
			step := d.wantIn(t, "of many uses", d.Ada.Name, code)
			if p := step.Session.Proofs[0]; p.Mode != idp.ModeAccessPassMany || !step.Session.Expires.Equal(d.Now().Add(24*time.Hour)) {
				t.Errorf("mode %s until %s", p.Mode, step.Session.Expires)
			}
		}
		d.Policy(t, d.Tenant.ID, func(p *policy.Policy) { p.AccessPass.Once = true })
		d.wantOut(t, "policy now demands one-time passes", d.Ada.Name, code, "pass_not_once")
	})
}

func TestIssueLimits(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.Policy(t, d.Tenant.ID, func(p *policy.Policy) {
			p.AccessPass.Min, p.AccessPass.Max, p.AccessPass.Default = 20*time.Minute, 8*time.Hour, time.Hour
		})
		for what, c := range map[string]struct {
			o     accesspass.Options
			field string
		}{
			"the tenant's default":   {accesspass.Options{}, ""},
			"shortest":               {accesspass.Options{Lifetime: 20 * time.Minute}, ""},
			"too short":              {accesspass.Options{Lifetime: 20*time.Minute - 1}, "lifetimeInMinutes"},
			"longest":                {accesspass.Options{Lifetime: 8 * time.Hour}, ""},
			"too long":               {accesspass.Options{Lifetime: 8*time.Hour + 1}, "lifetimeInMinutes"},
			"negative":               {accesspass.Options{Lifetime: -time.Hour}, "lifetimeInMinutes"},
			"8 characters":           {accesspass.Options{Length: 8}, ""},
			"7 characters":           {accesspass.Options{Length: 7}, "length"},
			"48 characters":          {accesspass.Options{Length: 48}, ""},
			"49 characters":          {accesspass.Options{Length: 49}, "length"},
			"less than no character": {accesspass.Options{Length: -1}, "length"},
		} {
			err := d.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, _, err := d.m.Issue(ctx, tx, d.Tenant.ID, d.Ada.ID, c.o)
				return err
			})
			if c.field == "" && err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if c.field != "" && (!errors.Is(err, idp.Invalid) || idp.AsError(err).Field != c.field) {
				t.Errorf("%s: %v, want invalid %s", what, err, c.field)
			}
		}
	})
}

// No pass is issued to somebody whom it would not let in.
func TestIssueWhereItWorks(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		issue := func(u idp.User) error {
			return d.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, _, err := d.m.Issue(ctx, tx, u.Tenant, u.ID, accesspass.Options{})
				return err
			})
		}
		d.Policy(t, d.Tenant.ID, func(p *policy.Policy) {
			r := policy.Everybody()
			r.Exclude = []policy.Target{{User: d.Ada.ID}}
			p.Methods[policy.AccessPass] = r
		})
		err := issue(d.Ada)
		if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Reason != "excluded" || e.Code != policy.CodeMethod || e.Public == "" {
			t.Errorf("to somebody excluded: %v, want denied excluded", err)
		}
		d.Enable(t, d.Bob, false) // a pass may wait for somebody to be let in again
		for _, u := range []idp.User{d.Bob, d.Eve} {
			if err := issue(u); err != nil {
				t.Errorf("to %s: %v", u.Name, err)
			}
		}
		d.Switch(t, d.Tenant.ID, policy.AccessPass, false)
		if err := issue(d.Bob); !errors.Is(err, idp.Denied) {
			t.Errorf("where passes are off: %v, want denied", err)
		}
	})
}

func TestManage(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		list := func(u idp.User) []method.Credential {
			t.Helper()
			all, err := d.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		if n := len(list(d.Ada)); n != 0 {
			t.Errorf("%d passes before any was issued", n)
		}
		code, id := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		got := list(d.Ada)
		if len(got) != 1 || got[0].ID != id || !got[0].Bootstrap || got[0].Disabled || !got[0].Expires.Equal(d.Now().Add(time.Hour)) {
			t.Fatalf("list %+v", got)
		}
		d.wantIn(t, "right", d.Ada.Name, code)
		if got = list(d.Ada); !got[0].Disabled || !got[0].LastUsed.Equal(d.Now()) {
			t.Errorf("a used pass is listed as %+v, want disabled", got[0])
		}
		walked := 0
		for _, tenant := range []idp.TenantID{d.Tenant.ID, d.Other.ID} {
			if err := d.m.Walk(t.Context(), tenant, func(method.Credential) error { walked++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if walked != 1 {
			t.Errorf("walked %d passes, want 1", walked)
		}
		for what, gone := range map[string]func(ctx context.Context, tx *sqldb.Tx) error{
			"of another tenant": func(ctx context.Context, tx *sqldb.Tx) error {
				return d.m.Remove(ctx, tx, d.Other.ID, d.Ada.ID, id)
			},
			"of another person": func(ctx context.Context, tx *sqldb.Tx) error {
				return d.m.Remove(ctx, tx, d.Tenant.ID, d.Bob.ID, id)
			},
			"another pass": func(ctx context.Context, tx *sqldb.Tx) error {
				return d.m.Remove(ctx, tx, d.Tenant.ID, d.Ada.ID, "x")
			},
		} {
			if err := d.DB.Write(t.Context(), gone); !errors.Is(err, idp.NotFound) {
				t.Errorf("remove %s: %v, want not found", what, err)
			}
		}
		d.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return d.m.RemoveUser(ctx, tx, d.Tenant.ID, d.Ada.ID) })
		if n := len(list(d.Ada)); n != 0 {
			t.Errorf("%d passes of a deleted person", n)
		}
	})
}

func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		issue(t, d.House, d.m, d.Bob, accesspass.Options{Lifetime: 30 * 24 * time.Hour})
		d.Advance(9 * 24 * time.Hour)
		for _, j := range d.m.Jobs() {
			if err := j.Run(t.Context(), d.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if n := d.Count(t, "access_pass", d.Tenant.ID); n != 1 {
			t.Errorf("%d passes left, want 1", n)
		}
	})
}

// T60: what the table holds is no code, and a row moved to another person or
// tenant opens nothing.
func TestAtRest(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		code, _ := issue(t, d.House, d.m, d.Ada, accesspass.Options{})
		var selector, stored []byte
		if err := d.DB.QueryRow(t.Context(), `select selector, code from access_pass where tenant_id = $1`, d.Tenant.ID).Scan(&selector, &stored); err != nil {
			t.Fatal(err)
		}
		if plain := strings.ReplaceAll(code, "-", ""); strings.Contains(string(selector)+string(stored), plain[:4]) {
			t.Error("a part of the code is stored")
		}
		if _, err := d.DB.Exec(t.Context(), `update access_pass set user_id = $2 where tenant_id = $1`, d.Tenant.ID, d.Bob.ID); err != nil {
			t.Fatal(err)
		}
		d.wantOut(t, "row moved to Bob", d.Bob.Name, code, "pass_other")
	})
}
