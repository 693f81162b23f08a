package phone

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/sqldb"
)

// TestAsk: who is asked, and who only sees a page that waits.
func TestAsk(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name string
			user func() idp.User
			make func(u idp.User)
			want state
		}{
			{"a phone", w.person, func(u idp.User) { w.enrol(t, u) }, pending},
			{"no phone", w.person, func(idp.User) {}, silent},
			{"a phone that was never compared", w.person, func(u idp.User) {
				p := w.enrol(t, u)
				w.exec(t, `update phone set state = 'waiting' where tenant_id = $1 and id = $2`, p.tenant, p.id)
			}, silent},
			{"disabled", w.person, func(u idp.User) { w.enrol(t, u); w.Enable(t, u, false) }, silent},
			{"nobody", func() idp.User { return idp.User{Tenant: w.Tenant.ID, Name: "nobody@nordhafen.example"} }, func(idp.User) {}, silent},
			{"of another tenant", func() idp.User { return w.Eve }, func(u idp.User) { w.enrol(t, u) }, silent},
		} {
			u := c.user()
			c.make(u)
			wantState(t, c.name, w.state(t, w.ask(t, u.Name, from("desk"))), c.want)
		}
		// A method that the organisation lets others use only.
		u := w.person()
		w.enrol(t, u)
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			rule := p.Methods[policy.Phone]
			rule.Include = []policy.Include{{Target: policy.Target{User: w.Bob.ID}}}
			p.Methods[policy.Phone] = rule
		})
		wantState(t, "refused by policy", w.state(t, w.ask(t, u.Name, from("desk"))), silent)
	})
}

func TestAskNobody(t *testing.T) {
	w := sqliteWorld(t)
	for _, name := range []string{"", "  "} {
		_, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, UserName: name, Now: w.Now()})
		wantReason(t, "no name", err, idp.Invalid, "user_name_missing")
	}
	// Whoever is proven is not looked up by name.
	w.enrol(t, w.Ada)
	c, err := w.room.Challenge(t.Context(), method.Request{Tenant: w.Tenant.ID, User: w.Ada, UserName: "nobody@nordhafen.example", Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, c.Settle)
	wantState(t, "proven", w.state(t, w.shown(t, c)), pending)
}

// TestDisplace is decisions 5.3: which of two requests stands.
func TestDisplace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name          string
			first, second func(idp.User) method.Scene
			wait          time.Duration
			was, is       state
		}{
			{"unknown, unknown", one("a"), one("b"), 0, pending, silent},
			{"unknown, known", one("a"), known("b"), 0, cancelled, pending},
			{"known, unknown", known("a"), one("b"), 0, pending, silent},
			{"known, known", known("a"), known("b"), 0, pending, silent},
			{"the same browser", one("a"), one("a"), 0, cancelled, pending},
			{"the same known browser", known("a"), known("a"), 0, cancelled, pending},
			{"late", one("a"), one("b"), lives, expired, pending},
			{"not quite late", one("a"), one("b"), lives - time.Millisecond, pending, silent},
		} {
			u := w.person()
			w.enrol(t, u)
			first := w.ask(t, u.Name, c.first(u))
			w.Advance(c.wait)
			second := w.ask(t, u.Name, c.second(u))
			wantState(t, c.name+": the first", w.state(t, first), c.was)
			wantState(t, c.name+": the second", w.state(t, second), c.is)
		}
	})
}

func one(browser string) func(idp.User) method.Scene {
	return func(idp.User) method.Scene { return from(browser) }
}

func known(browser string) func(idp.User) method.Scene {
	return func(u idp.User) method.Scene { return from(browser, u) }
}

// TestBackOff: what nobody approves is not asked for ever.
func TestBackOff(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	told := func() bool {
		w.Advance(10 * minute)
		a := w.ask(t, w.Ada.Name, from("desk"))
		return w.state(t, a) == pending
	}
	for n := range backOffAt {
		if !told() {
			t.Fatalf("request %d was not told", n)
		}
	}
	if told() {
		t.Errorf("%d in a day that nobody approved, and one more was told", backOffAt)
	}
	if a := w.ask(t, w.Ada.Name, from("desk", w.Ada)); w.state(t, a) != pending {
		t.Error("a known browser may not ask any more")
	}
	w.Advance(backOffWithin)
	// What is approved is no reason to stop.
	for range backOffAt + 2 {
		w.Advance(10 * minute)
		a := w.ask(t, w.Ada.Name, from("desk"))
		if _, err := w.approve(t, p, a.Request, a.Number); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScene: phones show what the rules let them, and no more.
func TestScene(t *testing.T) {
	w := sqliteWorld(t)
	w.places["203.0.113.7"] = Where{Kind: placeCountry, Country: "NO", Network: "AS64500 Fjordnet", Hosting: true}
	w.places["198.51.100.9"] = Where{Kind: placeCountry, Country: "SE"}
	w.enrol(t, w.Ada)
	shown := func(s method.Scene) phonewire.Context {
		t.Helper()
		a := w.ask(t, w.Ada.Name, s)
		q, err := requestByID(t.Context(), w.DB, w.Tenant.ID, a.Request)
		if err != nil {
			t.Fatal(err)
		}
		var c phonewire.Context
		if err := json.Unmarshal([]byte(q.context), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	got := shown(from("desk"))
	if got.App != "Payroll" || got.Browser != "Firefox on Linux" || got.Known || got.Place == nil || got.Place.Country != "NO" ||
		got.Place.IP != "203.0.113.7" || got.Network != "AS64500 Fjordnet" || !got.Time.Equal(w.Now()) ||
		!slices.Equal(got.Warn, []string{warnHosting, warnCountry}) {
		t.Errorf("shown %+v, place %+v", got, got.Place)
	}
	if got := shown(from("desk", w.Ada)); !got.Known {
		t.Error("a known browser is shown as an unknown one")
	}
	w.rules(t, func(r *policy.PhoneRules) { r.ShowApp.On = false })
	if got := shown(from("desk", w.Ada)); got.App != "" || got.Place == nil {
		t.Errorf("without the app: %+v", got)
	}
	w.rules(t, func(r *policy.PhoneRules) { r.ShowApp.On, r.ShowPlace.On = true, false })
	if got := shown(from("desk", w.Ada)); got.App == "" || got.Place != nil || got.Network != "" || got.Warn != nil {
		t.Errorf("without the place: %+v", got)
	}
}

// TestAbroad: one phone at home is enough.
func TestAbroad(t *testing.T) {
	w := sqliteWorld(t)
	w.places["1"], w.places["2"], w.places["3"] = Where{Kind: placeCountry, Country: "NO"}, Where{Kind: placeCountry, Country: "SE"}, Where{Kind: "private"}
	for _, c := range []struct {
		phones []phoneRow
		want   bool
	}{
		{nil, false},
		{[]phoneRow{{address: "2"}}, true},
		{[]phoneRow{{address: "3"}}, false},
		{[]phoneRow{{address: ""}}, false},
		{[]phoneRow{{address: "2"}, {address: "1"}}, false},
		{[]phoneRow{{address: "3"}, {address: "2"}}, true},
	} {
		if got := w.room.abroad("NO", c.phones); got != c.want {
			t.Errorf("%+v: abroad %t", c.phones, got)
		}
	}
}

func TestSameNetwork(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"203.0.113.7", "203.0.113.7", true},
		{"203.0.113.7", "203.0.113.8", false},
		{"::ffff:203.0.113.7", "203.0.113.7", true},
		{"10.1.2.3", "10.1.2.200", true},
		{"10.1.2.3", "10.1.3.3", false},
		{"10.1.2.3", "203.0.113.7", false},
		{"2001:db8:1:2::1", "2001:db8:1:ffff::9", true},
		{"2001:db8:1:2::1", "2001:db8:2:2::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"2001:db8::1", "203.0.113.7", false},
		{"127.0.0.1", "127.0.0.9", true},
		{"::1", "::1", true},
		{"::1", "127.0.0.1", false},
		{"", "", false}, {"x", "x", false}, {"203.0.113.7", "", false},
	} {
		if got := sameNetwork(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %t", c.a, c.b, got)
		}
		if sameNetwork(c.b, c.a) != c.want {
			t.Errorf("%s and %s differ when turned", c.a, c.b)
		}
	}
}

// TestTell: every phone that has a road is told, once for each time that was
// asked for; two nodes tell once.
func TestTell(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.node(t, w.House)
		w.enrol(t, w.Ada)
		w.enrol(t, w.Ada)
		deaf := w.enrol(t, w.Ada)
		w.exec(t, `update phone set push_kind = '', push = $3 where tenant_id = $1 and id = $2`, deaf.tenant, deaf.id, []byte{})
		c := w.challenge(t, w.Ada.Name, from("desk"))
		w.Write(t, c.Settle)
		for _, room := range []*Room{w.room, other, w.room} {
			if err := room.Tell(t.Context(), w.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if w.post.count() != 2 {
			t.Fatalf("told %d times, want the two phones once", w.post.count())
		}
		a := w.shown(t, c)
		for n := 2; n <= tellMost; n++ {
			w.again(t, a)
			if err := w.room.Tell(t.Context(), w.Now()); err != nil {
				t.Fatal(err)
			}
			if w.post.count() != 2*n {
				t.Errorf("told %d times after asking %d times", w.post.count(), n)
			}
		}
		m := w.post.sent[0]
		if m.msg.ID != a.Request || m.msg.Lives != lives || len(m.msg.Topic) != 32 || m.to.Kind != push.WebPush || m.msg.Topic == w.post.sent[1].msg.Topic {
			t.Errorf("message %+v", m)
		}
		if m.msg.Topic != w.post.sent[2].msg.Topic && m.msg.Topic != w.post.sent[3].msg.Topic {
			t.Error("a newer message does not take the place of the older one")
		}
		settle, err := w.room.Again(t.Context(), a.at(w.Now()))
		if err != nil {
			t.Fatal(err)
		}
		wantReason(t, "a fourth time", w.DB.Write(t.Context(), settle), idp.Limited, "phone_told")
		// What is answered is told to nobody.
		b := w.ask(t, w.Ada.Name, from("desk", w.Ada))
		if _, err := w.deny(t, deaf, b.Request, false); err != nil {
			t.Fatal(err)
		}
		before := w.post.count()
		w.again(t, b)
		if err := w.room.Tell(t.Context(), w.Now()); err != nil || w.post.count() != before {
			t.Errorf("told of a request that is over: %v", err)
		}
	})
}

// TestTellBroken: a phone whose target does not open keeps nobody else waiting.
func TestTellBroken(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	w.enrol(t, w.Bob)
	w.exec(t, `update phone set push = $3 where tenant_id = $1 and id = $2`, p.tenant, p.id, []byte("x"))
	for _, u := range []idp.User{w.Ada, w.Bob} {
		w.Write(t, w.challenge(t, u.Name, from("desk")).Settle)
	}
	if err := w.room.Tell(t.Context(), w.Now()); err == nil {
		t.Error("a broken target is no error")
	}
	if w.post.count() != 1 || w.post.sent[0].ref.Phone == p.id {
		t.Errorf("told %+v, want Bob's phone", w.post.sent)
	}
}

// TestDecoySubject: the spellings of a name are one, in one tenant.
func TestDecoySubject(t *testing.T) {
	w := sqliteWorld(t)
	subject := func(tenant idp.TenantID, name string) idp.UserID {
		t.Helper()
		u, there, err := w.room.asked(t.Context(), method.Request{Tenant: tenant, UserName: name})
		if err != nil || there {
			t.Fatal(there, err)
		}
		return u.ID
	}
	a := subject(w.Tenant.ID, "nobody@nordhafen.example")
	if subject(w.Tenant.ID, "NOBODY@nordhafen.example") != a {
		t.Error("two spellings of a name are two people")
	}
	if subject(w.Tenant.ID, "nobody2@nordhafen.example") == a || subject(w.Other.ID, "nobody@nordhafen.example") == a {
		t.Error("two names are one person")
	}
}

// TestUnsubscribe: a subscription that is gone is asked no more; the phone
// stays what it was.
func TestUnsubscribe(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Unsubscribe(ctx, tx, p.ref()) })
	a := w.ask(t, w.Ada.Name, from("desk"))
	if w.post.count() != 0 {
		t.Errorf("told %+v", w.post.sent)
	}
	if to, err := w.approve(t, p, a.Request, a.Number); err != nil || to != approved {
		t.Errorf("%s, %v", to, err)
	}
}

// TestSec_PHN06_OldSubscription: that an address takes no messages any more
// says nothing of the one that the phone has got since.
func TestSec_PHN06_OldSubscription(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		w.ask(t, w.Ada.Name, from("desk"))
		old := w.post.sent[0].ref
		key, err := w.room.cfg.Seal(t.Context(), p.tenant)
		if err == nil {
			p.push, err = sealTarget(key, p.tenant, p.id, push.Target{Kind: push.WebPush, Endpoint: "https://push.example/renewed"})
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			if ok, err := renamePhone(ctx, tx, p.tenant, p.user, p.id, "Renamed meanwhile"); err != nil || !ok {
				return fmt.Errorf("rename: %t, %w", ok, err)
			}
			if _, err := changePhone(ctx, tx, p, changed{target: true}); err != nil {
				return err
			}
			return w.room.Unsubscribe(ctx, tx, old)
		})
		if now, err := phoneByID(t.Context(), w.DB, p.tenant, p.id); err != nil || now.name != "Renamed meanwhile" || now.app != p.app {
			t.Errorf("a new subscription made it %q, %q, %v", now.name, now.app, err)
		}
		w.Advance(lives)
		w.ask(t, w.Ada.Name, from("desk"))
		if n := w.post.count(); n != 2 {
			t.Fatalf("%d messages, want 2: the renewed subscription is forgotten", n)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Unsubscribe(ctx, tx, w.post.sent[1].ref) })
		w.Advance(lives)
		if w.ask(t, w.Ada.Name, from("desk")); w.post.count() != 2 {
			t.Error("a subscription that is gone is told")
		}
	})
}

// TestSec_PHN04_StrangersAsking: whoever only knows a name uses up what unknown
// browsers may ask, and nothing of the browser that the person signs in with.
func TestSec_PHN04_StrangersAsking(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		signIn := func() asked {
			t.Helper()
			w.Advance(time.Second)
			a := w.ask(t, w.Ada.Name, from("desk"))
			wantState(t, "asked by Ada", w.state(t, a), pending)
			if _, err := w.approve(t, p, a.Request, a.Number); err != nil {
				t.Fatal(err)
			}
			return a
		}
		stranger := func() state {
			w.Advance(20 * minute)
			return w.state(t, w.ask(t, w.Ada.Name, from("stranger")))
		}
		if _, err := w.redeem(t, signIn()); err != nil {
			t.Fatal(err)
		}
		for range backOffAt {
			wantState(t, "stranger", stranger(), pending)
			signIn() // in spite of what waits
		}
		wantState(t, "stranger, too often", stranger(), silent)
		wantState(t, "another browser", w.state(t, w.ask(t, w.Ada.Name, from("new"))), silent)
		signIn()
		// An approval that nobody used makes no browser hers, and hers is not Bob's.
		w.enrol(t, w.Bob)
		w.Advance(lives)
		w.ask(t, w.Bob.Name, from("stranger"))
		wantState(t, "Bob, in her browser", w.state(t, w.ask(t, w.Bob.Name, from("desk"))), silent)
	})
}
