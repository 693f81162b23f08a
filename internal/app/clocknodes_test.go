package app_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// pair is two servers of one database behind one address, each with a clock
// that the test sets. A static program takes no preloaded library that would
// lie to it about the time, and no namespace of Linux shifts the wall's clock:
// so the servers run in this process, whole, and differ in the Now of their
// configuration, which is all that they know of the time of day.
type pair struct {
	*site
	to  atomic.Int64    // which one gets the next request; both in turn when negative
	off [2]atomic.Int64 // nanoseconds that each one's clock is ahead
	n   atomic.Int64
}

func (p *pair) clock(n int) func() time.Time {
	return func() time.Time { return time.Now().Add(time.Duration(p.off[n].Load())) }
}

func (p *pair) set(n int, ahead time.Duration) { p.off[n].Store(int64(ahead)) }

// newPair starts both on PostgreSQL, or one on SQLite, which has one server.
func newPair(t *testing.T, database string) *pair {
	p := &pair{}
	var nodes [2]*url.URL
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		n := p.to.Load()
		if n < 0 {
			n = p.n.Add(1) % 2
		}
		r.SetURL(nodes[n])
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(front.Close)
	configure := func(n int) func(*app.Config) {
		return func(c *app.Config) {
			c.Database, c.Now = database, p.clock(n)
			c.BaseURL = strings.Replace(front.URL, "127.0.0.1", "localhost", 1)
		}
	}
	p.site = newSite(t, configure(0))
	nodes[0] = must(url.Parse("http://" + p.Addr().String()))
	nodes[1] = nodes[0]
	if database == "" {
		return p
	}
	cfg := app.Default()
	cfg.Demo, cfg.Data, cfg.Listen, cfg.Drain = true, filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", 0
	cfg.KEKFile = filepath.Join(p.data, "kek")
	configure(1)(&cfg)
	second, err := app.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.resume(t, second))
	nodes[1] = must(url.Parse("http://" + second.Addr().String()))
	return p
}

// code gets an authorization code, and says how it is redeemed.
func (p *pair) code(b *browser) (code string, redeem func() error) {
	b.t.Helper()
	config := &oauth2.Config{
		ClientID: p.made.ClientID, ClientSecret: p.made.Secret, RedirectURL: p.made.AppURL + "/callback", Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{
			AuthURL:   p.BaseURL() + "/" + p.made.TenantID + "/oauth2/v2.0/authorize",
			TokenURL:  p.BaseURL() + "/" + p.made.TenantID + "/oauth2/v2.0/token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
	verifier := oauth2.GenerateVerifier()
	came := b.get(config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)))
	for _, address := range b.last {
		if c := must(url.Parse(address)).Query().Get("code"); c != "" {
			code = c
		}
	}
	if code == "" {
		b.t.Fatalf("no code: came to %s\n%s", came.url, came.text)
	}
	return code, func() error {
		_, err := config.Exchange(b.context(), code, oauth2.VerifierOption(verifier))
		return err
	}
}

// answer makes the answer of a passkey to a sign-in page, to be sent at will.
func (b *browser) answer(p page) func() page {
	b.t.Helper()
	var ceremony begun
	b.call(p, p.beginPath(b.t), map[string]string{"handle": p.handle(b.t), "method": "passkey", "username": ""}, &ceremony)
	payload, err := b.key.Get(ceremony.Show)
	if err != nil {
		b.t.Fatal(err)
	}
	return func() page {
		return b.post(p, p.answerPath(b.t), url.Values{
			"handle": {p.handle(b.t)}, "method": {"passkey"}, "ceremony": {ceremony.Ceremony}, "payload": {string(payload)},
		})
	}
}

func in(p page) bool { return strings.Contains(p.text, `data-action="logout"`) }

// TestSec_REL07_NodesSecondsApart: a person whose every request goes to the
// other one of two servers, with clocks five seconds apart, notices nothing.
func TestSec_REL07_NodesSecondsApart(t *testing.T) {
	database := sqldbtest.NewPostgres(t)
	if database == "" {
		return
	}
	p := newPair(t, database)
	p.set(1, 5*time.Second)
	p.to.Store(-1)
	for n, who := range p.made.Users[:3] {
		b := newBrowser(t, p.BaseURL())
		if at := b.firstDay(p.site, who); !in(at) {
			t.Fatalf("person %d came to %d %s", n, at.status, at.url)
		}
		if _, redeem := p.code(b); redeem() != nil {
			t.Errorf("person %d: the code is not taken", n)
		}
	}
}

// TestSec_T56_NothingTwice: with clocks six minutes apart, and with one that
// jumps forward and back, nothing is taken twice: no answer, no code, no pass.
// A new sign-in works on either server, or is refused as one that is over.
func TestSec_T56_NothingTwice(t *testing.T) {
	sqldbtestBoth(t, func(t *testing.T, database string) {
		p := newPair(t, database)
		bela := p.made.Users[1]
		b := newBrowser(t, p.BaseURL())
		if at := b.firstDay(p.site, bela); !in(at) {
			t.Fatalf("came to %s", at.url)
		}
		b.get(p.made.AppURL + "/logout")
		answer := b.answer(b.get(p.made.AppURL + "/login"))
		if at := answer(); !in(at) {
			t.Fatalf("came to %d %s", at.status, at.url)
		}
		_, redeem := p.code(b)
		if err := redeem(); err != nil {
			t.Fatal(err)
		}
		// The code goes last: to show it twice ends what it led to.
		for _, step := range []struct {
			name string
			at   int64 // the server
			off  time.Duration
		}{
			{"as it is", 0, 0}, {"the other, ahead", 1, 6 * time.Minute}, {"it jumps back", 1, -6 * time.Minute},
			{"the first, back", 0, -6 * time.Minute}, {"forward by years", 0, 5 * 365 * 24 * time.Hour}, {"and back", 0, 0},
			{"back by ten minutes", 0, -10 * time.Minute}, {"and forward", 0, time.Second},
		} {
			p.to.Store(step.at)
			p.set(int(step.at), step.off)
			if at := answer(); in(at) {
				t.Errorf("%s: the same answer is taken again", step.name)
			}
			again := newBrowser(t, p.BaseURL())
			if at := again.usePass(again.get(p.BaseURL()+"/account"), bela.UserName, bela.AccessPass); at.status == http.StatusOK && !strings.Contains(at.text, "This pass does not work") {
				t.Errorf("%s: the spent pass led to %d %s", step.name, at.status, at.url)
			}
			again.key = b.key
			if at := again.usePasskey(again.get(p.made.AppURL + "/login")); !in(at) && at.status < 400 {
				t.Errorf("%s: a new sign-in came to %d %s", step.name, at.status, at.url)
			}
			if err := redeem(); err == nil {
				t.Errorf("%s: the same code is taken again", step.name)
			}
		}
	})
}

// TestSec_T56_BetweenTwoClocks: what a server that is six minutes ahead began
// is not finished by one that is right, nor the other way round, and whoever
// comes so is sent to begin again.
func TestSec_T56_BetweenTwoClocks(t *testing.T) {
	database := sqldbtest.NewPostgres(t)
	if database == "" {
		return
	}
	p := newPair(t, database)
	b := newBrowser(t, p.BaseURL())
	if at := b.firstDay(p.site, p.made.Users[1]); !in(at) {
		t.Fatalf("came to %s", at.url)
	}
	for name, began := range map[string]int64{"begun ahead": 1, "begun behind": 0} {
		other := newBrowser(t, p.BaseURL())
		other.key = b.key
		p.set(1, 6*time.Minute)
		p.to.Store(began)
		answer := other.answer(other.get(p.made.AppURL + "/login"))
		p.to.Store(1 - began)
		if at := answer(); in(at) || at.status >= 500 {
			t.Errorf("%s: came to %d %s", name, at.status, at.url)
		}
		p.to.Store(began)
		if at := other.usePasskey(other.get(p.made.AppURL + "/login")); !in(at) && began == 0 {
			t.Errorf("%s: begun again and came to %d %s", name, at.status, at.url)
		}
	}
	if !strings.Contains(p.log.String(), "which this server's clock has not reached") {
		t.Error("the log does not say why")
	}
}

// TestSec_REL07_TheJumpIsRecorded: a server whose clock jumps says so in its
// log, its metrics and the record of each organisation, and goes on.
func TestSec_REL07_TheJumpIsRecorded(t *testing.T) {
	sqldbtestBoth(t, func(t *testing.T, database string) {
		var ahead atomic.Int64
		s := newSite(t, func(c *app.Config) {
			c.Database = database
			c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		})
		ahead.Store(int64(11 * time.Minute))
		tenant := idp.TenantID(s.made.TenantID)
		until := time.Now().Add(time.Minute)
		for {
			events, err := s.Audit.List(t.Context(), s.DB, tenant, audit.Filter{Category: audit.System, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			if len(events) > 0 {
				if e := events[0]; e.Activity != "clock.jump" || e.Reason != "clock_jumped" || e.Detail["seconds"] != "659" && e.Detail["seconds"] != "660" {
					t.Errorf("recorded %+v", e)
				}
				break
			}
			if time.Now().After(until) {
				t.Fatal("no record of the jump")
			}
			time.Sleep(50 * time.Millisecond)
		}
		if !strings.Contains(s.log.String(), `"level":"ERROR","msg":"this server's clock jumped`) {
			t.Error("the log does not tell of the jump")
		}
		b := newBrowser(t, s.BaseURL())
		if page := b.get(s.BaseURL() + "/metrics"); !strings.Contains(page.text, `signet_clock_jumps_total{direction="forward",size="large"} 1`) {
			t.Error("the metrics do not count the jump")
		}
		if at := b.firstDay(s, s.made.Users[1]); !in(at) {
			t.Errorf("afterwards somebody came to %s", at.url)
		}
	})
}

func sqldbtestBoth(t *testing.T, fn func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, "") })
	t.Run("postgres", func(t *testing.T) {
		if database := sqldbtest.NewPostgres(t); database != "" {
			fn(t, database)
		}
	})
}
