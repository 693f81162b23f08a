package app_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// pocket is a phone that somebody has added in a house that runs.
func (s *site) pocket(t *testing.T, u idp.User, push *phonewire.Push) *phonetest.Phone {
	t.Helper()
	var bearer string
	err := s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		_, bearer, err = s.Sessions.Open(ctx, tx, session.Session{Tenant: u.Tenant, User: u.ID, Proofs: []idp.Proof{{
			Tenant: u.Tenant, User: u.ID, Method: policy.Passkey, Mode: idp.ModeFIDO2, Credential: "elsewhere", Time: time.Now(),
			Properties: []idp.Property{idp.PhishingResistant, idp.MultiFactor, idp.UserVerified, idp.Possession},
		}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	open := must(s.Sessions.Find(t.Context(), u.Tenant, bearer))
	b := must(s.Corridor.BeginRegister(t.Context(), open, phone.ID, signin.Peer{}))
	var show phone.Show
	if err := json.Unmarshal(b.Show, &show); err != nil {
		t.Fatal(err)
	}
	p := phonetest.Over(s.BaseURL(), nil, time.Now)
	p.Push = push
	if _, err := p.Enrol(show.Link); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Corridor.FinishRegister(t.Context(), open, b.Ceremony, []byte(`{"confirm":true}`), signin.Peer{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPhone: in a house that runs somebody asks, the push service carries that,
// the phone approves over the wire, and the one who waits is woken and let in.
// Then the subscription is gone, and the open app finds the request by itself.
func TestPhone(t *testing.T) {
	service := pushtest.New(t)
	s := newSite(t, func(c *app.Config) {
		ca := c.Data + ".pem"
		if err := os.WriteFile(ca, service.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Push = app.Push{Subject: "mailto:help@signet.example.com", Hosts: []string{service.Host()}, CA: ca}
	})
	u := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), s.made.Users[1].UserName))
	sub := service.Subscribe(must(s.Push.PublicKey(t.Context())))
	p := s.pocket(t, u, &phonewire.Push{Kind: "webpush", Endpoint: sub.Endpoint, P256DH: sub.P256DH, Auth: sub.Auth})
	peer := signin.Peer{IP: "127.0.0.1", Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", Browser: "desk"}
	approve := func() {
		t.Helper()
		handle := must(s.Corridor.Start(t.Context(), signin.Flow{Tenant: u.Tenant, Door: "portal", ClientName: "Payroll", Browser: signin.BrowserDigest(peer.Browser)}))
		f := must(s.Corridor.Resume(t.Context(), u.Tenant, handle, peer))
		f = must(s.Corridor.Ask(t.Context(), f, phone.ID, u.Name, method.Scene{}, peer)).Flow
		var shown phone.Shown
		if err := json.Unmarshal(f.Waiting.Show, &shown); err != nil {
			t.Fatal(err)
		}
		ready, changed, stop, err := s.Corridor.Watch(t.Context(), f)
		if err != nil || ready {
			t.Fatalf("ready %t, %v", ready, err)
		}
		defer stop()
		if sub != nil {
			if m := sub.Arrived(t); !strings.Contains(string(m.Plain), shown.Request) || strings.Contains(string(m.Plain), u.Name) {
				t.Errorf("message %s", m.Plain)
			}
		}
		waits := must(p.Requests())
		if len(waits) != 1 || waits[0].ID != shown.Request || !strings.Contains(waits[0].Context, `"Payroll"`) || !strings.Contains(waits[0].Context, "Firefox on Linux") ||
			!strings.Contains(waits[0].Context, `"this"`) {
			t.Fatalf("requests %+v", waits)
		}
		if got, err := p.Approve(waits[0], shown.Number); err != nil || got != phonewire.Approved {
			t.Fatalf("approve: %s, %v", got, err)
		}
		<-changed
		step, err := s.Corridor.Answer(t.Context(), f, phone.ID, f.Waiting.Ceremony, nil, nil, peer)
		if err != nil || step.Kind != signin.Done || step.Session.User != u.ID || step.Session.Proofs[0].Mode != idp.ModePhone {
			t.Errorf("step %s, %v", step.Kind, err)
		}
	}
	approve()
	service.Unsubscribe(sub)
	sub = nil
	approve()
	for deadline := time.Now().Add(time.Minute); must(p.Self()).Push != ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a subscription that is gone is kept")
		}
	}
}
