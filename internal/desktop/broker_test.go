package desktop_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/desktop"
	"github.com/signetid/signet/internal/idp"
)

// device stands in for an agent: what is tested here is who may ask it for
// whom, and when it is asked. test/browser has the real one.
type device struct {
	mu      sync.Mutex
	people  []agent.PersonStatus
	renewed []time.Time
	renew   error
	asked   []string
}

func (d *device) Status(context.Context) (agent.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return agent.Status{Server: "https://id.corp.example", People: d.people}, nil
}

func (d *device) Renew(_ context.Context, user string) (agent.PRTResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renewed = append(d.renewed, time.Now())
	return agent.PRTResult{User: user}, d.renew
}

func (d *device) Token(_ context.Context, o agent.TokenOptions) (agent.TokenResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, o.User+" "+o.Resource)
	if o.Resource == "urn:refused" {
		return agent.TokenResult{}, idp.Deniedf("blocked", "rule 7 of the house").Coded(53003).Say("A rule refuses this.")
	}
	if o.Resource == "urn:broken" {
		return agent.TokenResult{}, errors.New("secret detail")
	}
	return agent.TokenResult{User: o.User, AccessToken: "token"}, nil
}

func (d *device) BrowserHeader(_ context.Context, user, address string) (agent.HeaderResult, error) {
	return agent.HeaderResult{User: user, Name: "x-ms-RefreshTokenCredential", Value: "signed " + address}, nil
}

// serving runs a broker on a socket of its own.
func serving(t *testing.T, d desktop.Device, who func(uint32) (string, error)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "broker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	b := &desktop.Broker{Device: d, Who: who, Log: slog.New(slog.DiscardHandler), Jitter: func() time.Duration { return 0 }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("broker: %v", err)
		}
	})
	return socket
}

func me(uid uint32) (string, error) {
	if int(uid) != os.Geteuid() {
		return "", idp.Deniedf("other_account", "uid %d", uid)
	}
	return "ada@corp.example", nil
}

func TestBroker(t *testing.T) {
	d := &device{people: []agent.PersonStatus{{User: "Ada@corp.example", PRT: true}, {User: "bela@corp.example"}}}
	socket := serving(t, d, me)
	got, err := desktop.Ask(t.Context(), socket, desktop.Request{Do: "token", Resource: "urn:api"})
	if err != nil || got.Token == nil || got.Token.AccessToken != "token" || d.asked[0] != "ada@corp.example urn:api" {
		t.Errorf("token: %+v, %v, asked %q", got, err, d.asked)
	}
	got, err = desktop.Ask(t.Context(), socket, desktop.Request{Do: "header", URL: "https://id.corp.example/x"})
	if err != nil || got.Header == nil || got.Header.Value != "signed https://id.corp.example/x" {
		t.Errorf("header: %+v, %v", got, err)
	}
	got, err = desktop.Ask(t.Context(), socket, desktop.Request{Do: "status"})
	if err != nil || got.Status == nil || !got.Status.SignedIn || got.Status.User != "Ada@corp.example" {
		t.Errorf("status: %+v, %v", got.Status, err)
	}
}

func TestBrokerRefuses(t *testing.T) {
	d := &device{}
	socket := serving(t, d, me)
	for _, c := range []struct {
		ask          desktop.Request
		reason, text string
		code         int
	}{
		{desktop.Request{Do: "token", Resource: "urn:refused"}, "blocked", "A rule refuses this.", 53003},
		{desktop.Request{Do: "token", Resource: "urn:broken"}, "internal", "fault of its own", 0},
		{desktop.Request{Do: "keys"}, "unknown_request", "token, header and status", 0},
	} {
		_, err := desktop.Ask(t.Context(), socket, c.ask)
		var f *desktop.Failure
		if !errors.As(err, &f) || f.Reason != c.reason || f.Code != c.code || !strings.Contains(f.Text, c.text) || strings.Contains(f.Text, "secret detail") {
			t.Errorf("%+v: %+v", c.ask, err)
		}
	}
	if _, err := desktop.Ask(t.Context(), socket+"-none", desktop.Request{Do: "status"}); !errors.Is(err, idp.Unavailable) {
		t.Errorf("no broker: %v", err)
	}
}

// The kernel says who asks; what the request says of itself counts for
// nothing, and somebody else's account gets nothing.
func TestSec_DEV_BrokerServesTheAccountThatAsks(t *testing.T) {
	d := &device{}
	var seen uint32
	socket := serving(t, d, func(uid uint32) (string, error) {
		seen = uid
		return "", idp.Deniedf("other_account", "uid %d", uid).Say("not yours")
	})
	_, err := desktop.Ask(t.Context(), socket, desktop.Request{Do: "token", Resource: "urn:api"})
	var f *desktop.Failure
	if !errors.As(err, &f) || f.Reason != "other_account" || int(seen) != os.Geteuid() || len(d.asked) != 0 {
		t.Errorf("%v, uid %d, asked %q", err, seen, d.asked)
	}
}

// Several requests may go over one connection; what is no request, or too
// long, ends nothing but itself.
func TestBrokerLines(t *testing.T) {
	socket := serving(t, &device{}, me)
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dec := json.NewDecoder(c)
	for _, line := range []string{`{"do":"token","resource":"urn:api","new":1}`, `no json`, `{"do":"token","resource":"urn:api"}`} {
		if _, err := c.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		var r desktop.Response
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if (r.Token != nil) != strings.HasPrefix(line, "{") {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if _, err := c.Write(make([]byte, 70<<10)); err != nil {
		t.Fatal(err)
	}
	var r desktop.Response
	if err := dec.Decode(&r); err != nil || r.Error == nil || r.Error.Reason != "too_long" {
		t.Errorf("a long line: %+v, %v", r, err)
	}
	if _, err := desktop.Ask(t.Context(), socket, desktop.Request{Do: "status"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A PRT that is due is renewed once, a server that is away is asked later and
// later, and one that refuses not faster.
func TestBrokerKeepsFresh(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		least time.Duration
		most  int // tries in a day
		few   int
	}{
		{"away", idp.Unavailablef("server_unreachable", "no route"), 0, 40, 24},
		{"refused", idp.Deniedf("revoked", "over"), 5 * time.Minute, 289, 280},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &device{renew: c.err, people: []agent.PersonStatus{{User: "ada", PRT: true, Due: true}, {User: "bela", PRT: true}, {User: "cleo", Due: true}}}
				b := &desktop.Broker{Device: d, Who: me, Log: slog.New(slog.DiscardHandler), Jitter: func() time.Duration { return 0 }}
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				b.KeepFresh(ctx)
				if n := len(d.renewed); n < c.few || n > c.most {
					t.Errorf("%d tries in a day", n)
				}
				for i := 1; i < len(d.renewed); i++ {
					if d.renewed[i].Sub(d.renewed[i-1]) < c.least {
						t.Errorf("try %d came %s after the one before", i, d.renewed[i].Sub(d.renewed[i-1]))
					}
				}
			})
		})
	}
}

// One account that holds connections open keeps itself out, and nobody else:
// here it is the same account, which gets in again once it has let go.
func TestSec_DEV_BrokerPlacesOfOneAccount(t *testing.T) {
	socket := serving(t, &device{}, me)
	var held []net.Conn
	for range 17 {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	answers := func(c net.Conn) bool {
		if _, err := c.Write([]byte(`{"do":"status"}` + "\n")); err != nil {
			return false
		}
		var r desktop.Response
		return json.NewDecoder(c).Decode(&r) == nil
	}
	for i, c := range held {
		if got := answers(c); got != (i < 16) {
			t.Errorf("connection %d is served: %t", i, got)
		}
	}
	for _, c := range held {
		c.Close()
	}
	for try := 0; ; try++ { // the broker hears of it a moment later
		if _, err := desktop.Ask(t.Context(), socket, desktop.Request{Do: "status"}); err == nil {
			break
		} else if try == 200 {
			t.Fatalf("after letting go: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	var g desktop.Guests
	for uid := range uint32(4) {
		for range 16 {
			if !g.Enter(uid) {
				t.Fatal("kept out below the limits")
			}
		}
	}
	if g.Enter(9) {
		t.Error("more are served than there are places")
	}
	g.Leave(0)
	if g.Enter(1) || !g.Enter(9) {
		t.Error("the free place is not for the account that has none")
	}
}

// A socket of another account is not asked: its answers would sign a browser in
// as whom it likes.
func TestSec_DEV_BrokerOfAStranger(t *testing.T) {
	for uid, reason := range map[uint32]string{0: "", uint32(os.Geteuid()): "", 65534: "broker_stranger"} {
		if err := desktop.Trusted(uid); reasonOf(err) != reason {
			t.Errorf("a broker of uid %d: %v", uid, err)
		}
	}
}

// stuck stands in for an agent whose network swallows everything.
type stuck struct {
	device
	took []time.Duration
}

func (s *stuck) wait(ctx context.Context) error {
	began := time.Now()
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, time.Since(began))
	return idp.Unavailablef("server_unreachable", "%w", ctx.Err())
}

func (s *stuck) Renew(ctx context.Context, _ string) (agent.PRTResult, error) {
	return agent.PRTResult{}, s.wait(ctx)
}

// While the device is at work its state is locked, and somebody may be at the
// login: the broker lets go in time.
func TestBrokerLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &stuck{device: device{people: []agent.PersonStatus{{User: "ada", PRT: true, Due: true}}}}
		b := &desktop.Broker{Device: d, Who: me, Log: slog.New(slog.DiscardHandler), Jitter: func() time.Duration { return 0 }}
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Hour)
		defer cancel()
		b.KeepFresh(ctx)
		if len(d.took) < 2 {
			t.Fatalf("%d tries", len(d.took))
		}
		for _, took := range d.took {
			if took > 20*time.Second {
				t.Errorf("the device was held for %s", took)
			}
		}
	})
}
