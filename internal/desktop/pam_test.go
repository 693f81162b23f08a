package desktop_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/desktop"
	"github.com/signetid/signet/internal/idp"
)

// unlocker stands in for an agent that answers as it is told.
type unlocker struct {
	online, offline error
	calls           []string
}

func (u *unlocker) SignIn(_ context.Context, user, pin string) (agent.PRTResult, error) {
	u.calls = append(u.calls, "online "+user+" "+pin)
	return agent.PRTResult{}, u.online
}

func (u *unlocker) Unlock(_ context.Context, user, pin string) (agent.UnlockResult, error) {
	u.calls = append(u.calls, "offline "+user+" "+pin)
	return agent.UnlockResult{}, u.offline
}

func TestAdmit(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	away := idp.Unavailablef("server_unreachable", "no route")
	reason := func(r string) error { return idp.Deniedf(r, "as told") }
	seat := desktop.Door{Account: "ada", Kind: "auth", Service: "login"}
	with := func(change func(*desktop.Door)) desktop.Door {
		d := seat
		change(&d)
		return d
	}
	for _, c := range []struct {
		name      string
		door      desktop.Door
		u         unlocker
		distant   bool
		code      int
		offline   bool
		untouched bool // the PIN was not tried
	}{
		{name: "online", door: seat},
		{name: "sudo says this machine's name", door: with(func(d *desktop.Door) { d.Service, d.Remote = "sudo", host })},
		{name: "wrong PIN", door: seat, u: unlocker{online: reason("pin_wrong")}, code: desktop.ExitPIN},
		{name: "locked", door: seat, u: unlocker{online: reason("pin_locked")}, code: desktop.ExitLocked},
		{name: "device disabled", door: seat, u: unlocker{online: reason("device_authentication_failed")}, code: desktop.ExitRefused},
		{name: "not joined", door: seat, u: unlocker{online: reason("not_joined")}, code: desktop.ExitNoKey},
		{name: "no server", door: seat, u: unlocker{online: away}, offline: true},
		{name: "no server, wrong PIN", door: seat, u: unlocker{online: away, offline: reason("pin_wrong")}, code: desktop.ExitPIN, offline: true},
		{name: "no server for too long", door: seat, u: unlocker{online: away, offline: reason("offline_over")}, code: desktop.ExitOffline, offline: true},
		{name: "no server, and refused before", door: seat, u: unlocker{online: away, offline: reason("offline_refused")}, code: desktop.ExitOffline, offline: true},
		{name: "over ssh", door: with(func(d *desktop.Door) { d.Service, d.Remote = "sshd", "192.0.2.7" }), code: desktop.ExitDistant, untouched: true},
		{name: "over ssh from here", door: with(func(d *desktop.Door) { d.Service, d.Remote = "sshd", "127.0.0.1" }), code: desktop.ExitDistant, untouched: true},
		{name: "from another machine", door: with(func(d *desktop.Door) { d.Remote = "192.0.2.7" }), code: desktop.ExitDistant, untouched: true},
		{name: "by a service that nobody knows", door: with(func(d *desktop.Door) { d.Service = "wiki" }), code: desktop.ExitDistant, untouched: true},
		{name: "by no service", door: with(func(d *desktop.Door) { d.Service = "" }), code: desktop.ExitDistant, untouched: true},
		{name: "cockpit, which says nothing of where", door: with(func(d *desktop.Door) { d.Service = "cockpit" }), code: desktop.ExitDistant, untouched: true},
		{name: "mail, which says nothing of where", door: with(func(d *desktop.Door) { d.Service = "dovecot" }), code: desktop.ExitDistant, untouched: true},
		{name: "a seat that was added", door: with(func(d *desktop.Door) { d.Service = "kiosk" })},
		{name: "a seat that was added, from elsewhere", door: with(func(d *desktop.Door) { d.Service, d.Remote = "kiosk", "192.0.2.7" }), code: desktop.ExitDistant, untouched: true},
		{name: "over ssh, and allowed", door: with(func(d *desktop.Door) { d.Service, d.Remote = "sshd", "192.0.2.7" }), distant: true},
		{name: "root", door: with(func(d *desktop.Door) { d.Account = "root" }), code: desktop.ExitUnmapped, untouched: true},
		{name: "uid 0 by another name", door: with(func(d *desktop.Door) { d.Account = "toor" }), code: desktop.ExitUnmapped, untouched: true},
		{name: "nobody's account", door: with(func(d *desktop.Door) { d.Account = "bela" }), code: desktop.ExitUnmapped, untouched: true},
		{name: "another kind of line", door: with(func(d *desktop.Door) { d.Kind = "account" }), code: desktop.ExitUsage, untouched: true},
	} {
		g := desktop.Gate{Device: &c.u, Accounts: accounts(t, "ada ada@corp.example\nroot root@corp.example\ntoor root@corp.example\n"), Distant: c.distant, Seats: []string{"kiosk"}}
		offline, code, err := g.Admit(t.Context(), c.door, "424289")
		if code != c.code || offline != c.offline || (err == nil) != (code == 0) {
			t.Errorf("%s: code %d, offline %t, %v", c.name, code, offline, err)
		}
		if c.untouched != (len(c.u.calls) == 0) {
			t.Errorf("%s: asked %q", c.name, c.u.calls)
		}
		for _, call := range c.u.calls {
			if !strings.HasSuffix(call, " ada@corp.example 424289") {
				t.Errorf("%s: asked %q", c.name, call)
			}
		}
	}
}

// A server that swallows everything keeps nobody waiting for long, and what a
// refusal takes is not mistaken for its absence.
func TestAdmitWaitsForTheServer(t *testing.T) {
	for _, c := range []struct {
		name    string
		says    error
		offline bool
		code    int
	}{
		{"no answer", idp.Unavailablef("server_unreachable", "no route"), true, 0},
		{"cut off", errors.New("signal: killed"), true, 0},
		{"a refusal at the last moment", idp.Deniedf("device_authentication_failed", "as told"), false, desktop.ExitRefused},
		{"a wrong PIN at the last moment", idp.Unprovenf("pin_wrong", "as told"), false, desktop.ExitPIN},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := &slow{says: c.says}
			g := desktop.Gate{Device: u, Accounts: accounts(t, "ada ada@corp.example\n")}
			began := time.Now()
			offline, code, err := g.Admit(t.Context(), desktop.Door{Account: "ada", Kind: "auth", Service: "login"}, "424289")
			if took := time.Since(began); (err == nil) != (c.code == 0) || code != c.code || offline != c.offline || took > 15*time.Second {
				t.Errorf("%s: code %d, offline %t, %v after %s", c.name, code, offline, err, took)
			}
			if u.lives != c.offline {
				t.Errorf("%s: unlocked with a context that lives: %t", c.name, u.lives)
			}
		})
	}
}

// slow stands in for an agent whose server does not answer in time.
type slow struct {
	says  error
	lives bool
}

func (s *slow) SignIn(ctx context.Context, _, _ string) (agent.PRTResult, error) {
	<-ctx.Done()
	return agent.PRTResult{}, s.says
}

func (s *slow) Unlock(ctx context.Context, _, _ string) (agent.UnlockResult, error) {
	s.lives = ctx.Err() == nil
	return agent.UnlockResult{}, nil
}

func TestReadPIN(t *testing.T) {
	for in, want := range map[string]string{"424289\x00": "424289", "424289\n": "424289", "blue horse": "blue horse", "a\x00b": "a"} {
		if got, err := desktop.ReadPIN(strings.NewReader(in)); got != want || err != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "\x00", "\n"} {
		if _, err := desktop.ReadPIN(strings.NewReader(in)); !errors.Is(err, idp.Invalid) {
			t.Errorf("%q: %v", in, err)
		}
	}
}
