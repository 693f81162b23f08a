package phone_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// asked is a phone that sees a request, and the page that made it.
type asked struct {
	*phonetest.Phone
	q     phonewire.Request
	shown phone.Shown
	c     method.Challenge
}

func (w *house) asked(t testing.TB) asked {
	t.Helper()
	a := asked{Phone: w.enrol(t, w.Ada)}
	a.shown, a.c = w.ask(t, w.Ada)
	a.q = waiting(t, a.Phone)
	return a
}

// TestSec_PHN03_ApprovalIsOneWhole changes one thing of an approval that is
// accepted without the change (the first row). What is refused leaves the
// request as it was, and the truth is still taken afterwards.
func TestSec_PHN03_ApprovalIsOneWhole(t *testing.T) {
	const unproven, refused = "phone_unproven", "answer_unproven"
	flip := func(b []byte) []byte { b[0] ^= 1; return b }
	for _, c := range []struct {
		name string
		lie  func(t *testing.T, w *house, a *asked)
		want string
		code int
		gone bool // the truth is not taken any more
	}{
		{name: "the truth"},
		{name: "swapped transaction: another request in the challenge", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApproval = func(s *phonewire.Approval) { flip(s.Request) }
		}},
		{name: "swapped transaction: signed for the request before", want: refused, code: 401, lie: func(t *testing.T, w *house, a *asked) {
			old, err := a.Approval(a.q, a.shown.Number)
			if err != nil {
				t.Fatal(err)
			}
			number := a.shown.Number
			a.shown, a.c = w.ask(t, w.Ada)
			a.q = waiting(t, a.Phone)
			a.OnApprove = func(in *phonewire.Approve) { *in = old; in.Number = number }
		}},
		{name: "another nonce", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApproval = func(s *phonewire.Approval) { flip(s.Nonce) }
		}},
		{name: "swapped number: another sent than signed", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApproval = func(s *phonewire.Approval) { s.Number = other(s.Number) }
		}},
		{name: "swapped context: an application that was not shown", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApproval = func(s *phonewire.Approval) { s.Context = strings.Replace(s.Context, "Payroll", "Wiki", 1) }
		}},
		{name: "swapped context: the same spelt otherwise", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApproval = func(s *phonewire.Approval) { s.Context += " " }
		}},
		{name: "another tenant", want: refused, code: 401, lie: func(_ *testing.T, w *house, a *asked) {
			a.OnApproval = func(s *phonewire.Approval) { s.Tenant = string(w.Other.ID) }
		}},
		{name: "another person", want: refused, code: 401, lie: func(_ *testing.T, w *house, a *asked) {
			a.OnApproval = func(s *phonewire.Approval) { s.User = string(w.Bob.ID) }
		}},
		{name: "another phone", want: refused, code: 401, lie: func(t *testing.T, w *house, a *asked) {
			second := w.enrol(t, w.Ada)
			a.OnApproval = func(s *phonewire.Approval) { s.Phone = second.ID }
		}},
		{name: "cloned key without passkey: no assertion", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApprove = func(in *phonewire.Approve) { in.Assertion = json.RawMessage(`{}`) }
		}},
		{name: "cloned key without passkey: a passkey of its own", want: refused, code: 401, lie: func(t *testing.T, w *house, a *asked) {
			thief := passkeytest.New(a.Auth.RPID, a.Auth.Origin)
			if _, err := thief.Create(a.Account.Options); err != nil {
				t.Fatal(err)
			}
			mine := a.Passkey
			thief.Choose = func(held []passkeytest.Held) string { return held[0].ID }
			thief.Payload = func(p map[string]any) { p["id"], p["rawId"] = mine, mine }
			a.Auth = thief
		}},
		{name: "cloned key, another passkey of the same person", want: refused, code: 401, lie: func(t *testing.T, w *house, a *asked) {
			second := w.enrol(t, w.Ada)
			second.Auth.Choose = func([]passkeytest.Held) string { return second.Passkey }
			a.Auth = second.Auth
		}},
		{name: "cloned key, the passkey of another person", want: refused, code: 401, lie: func(t *testing.T, w *house, a *asked) {
			bobs := w.enrol(t, w.Bob)
			bobs.Auth.Choose = func([]passkeytest.Held) string { return bobs.Passkey }
			a.Auth = bobs.Auth
		}},
		{name: "passkey without key: the answer signed by another", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.SignBy = func(m []byte) string { return phonetest.Sign(phonetest.NewKey(), m) }
		}},
		{name: "passkey without key: all signed by another", want: unproven, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.Key = phonetest.NewKey()
		}},
		{name: "passkey without key: unsigned", want: unproven, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnRequest = func(r *http.Request) { r.Header.Del("Authorization") }
		}},
		{name: "the signature of another answer", want: refused, code: 401, lie: func(t *testing.T, _ *house, a *asked) {
			old, err := a.Approval(a.q, a.shown.Number)
			if err != nil {
				t.Fatal(err)
			}
			a.OnApprove = func(in *phonewire.Approve) { in.Signature = old.Signature }
		}},
		{name: "the assertion of another answer", want: refused, code: 401, lie: func(t *testing.T, _ *house, a *asked) {
			old, err := a.Approval(a.q, other(a.shown.Number))
			if err != nil {
				t.Fatal(err)
			}
			a.OnApprove = func(in *phonewire.Approve) { in.Assertion = old.Assertion }
		}},
		{name: "the user not verified", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) { a.Auth.Flags &^= passkeytest.FlagUV }},
		{name: "made on another site", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) { a.Auth.Origin = "https://signet.example" }},
		{name: "a registration's type", want: refused, code: 401, lie: func(_ *testing.T, _ *house, a *asked) {
			a.Auth.ClientData = func(m map[string]any) { m["type"] = "webauthn.create" }
		}},
		{name: "a number of three digits", want: "request_malformed", code: 400, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApprove = func(in *phonewire.Approve) { in.Number = "0" + in.Number }
		}},
		{name: "no number", want: "request_malformed", code: 400, lie: func(_ *testing.T, _ *house, a *asked) {
			a.OnApprove = func(in *phonewire.Approve) { in.Number = "" }
		}},
		{name: "other user's phone", want: "request_unknown", code: 404, lie: func(t *testing.T, w *house, a *asked) { a.Phone = w.enrol(t, w.Bob) }, gone: true},
		{name: "other tenant's phone", want: "request_unknown", code: 404, lie: func(t *testing.T, w *house, a *asked) { a.Phone = w.enrol(t, w.Eve) }, gone: true},
		{name: "a request that nobody made", want: "request_unknown", code: 404, lie: func(_ *testing.T, _ *house, a *asked) { a.q.ID = "AAAAAAAAAAAAAAAAAAAAAA" }, gone: true},
		{name: "removed phone", want: unproven, code: 401, gone: true, lie: func(t *testing.T, w *house, a *asked) {
			w.enrol(t, w.Ada) // so that the request goes on
			if err := w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, w.Ada.ID, phone.ID, idp.CredentialID(a.ID), "cli:test", w.peer); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "removed passkey", want: refused, code: 401, gone: true, lie: func(t *testing.T, w *house, a *asked) { w.removePasskey(t, w.Ada, a.Passkey) }},
		{name: "late", want: "request_over", code: 410, gone: true, lie: func(_ *testing.T, w *house, _ *asked) { w.Advance(120 * time.Second) }},
		{name: "denied before", want: "request_over", code: 410, gone: true, lie: func(t *testing.T, _ *house, a *asked) {
			if _, err := a.Deny(a.q.ID, false); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, w *house) {
				a := w.asked(t)
				mine := a.Key
				if c.lie != nil {
					c.lie(t, w, &a)
				}
				got, err := a.Approve(a.q, a.shown.Number)
				if c.want == "" {
					if err != nil || got != phonewire.Approved {
						t.Fatalf("%q, %v", got, err)
					}
				} else {
					wantWord(t, "approve", err, c.code, c.want)
				}
				if c.want != "" {
					if _, err := w.redeem(t, w.Ada, a.c); err == nil {
						t.Fatal("the browser was let in")
					}
				}
				if c.want == "" || c.gone {
					return
				}
				a.OnApproval, a.OnApprove, a.SignBy, a.OnRequest, a.Key = nil, nil, nil, nil, mine
				a.Auth.Flags, a.Auth.Origin, a.Auth.ClientData = passkeytest.FlagUP|passkeytest.FlagUV, base, nil
				if a.Auth.Choose == nil {
					if got, err := a.Approve(a.q, a.shown.Number); err != nil || got != phonewire.Approved {
						t.Errorf("the truth afterwards: %q, %v", got, err)
					}
				}
			})
		})
	}
}

// TestSec_PHN03_WrongNumber: one try, whatever was signed with it.
func TestSec_PHN03_WrongNumber(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		a := w.asked(t)
		if got, err := a.Approve(a.q, other(a.shown.Number)); err != nil || got != phonewire.WrongNumber {
			t.Fatalf("%q, %v", got, err)
		}
		_, err := a.Approve(a.q, a.shown.Number)
		wantWord(t, "the right number after a wrong one", err, 410, "request_over")
		if _, err := w.redeem(t, w.Ada, a.c); reasonOf(err) != "phone_wrong_number" {
			t.Errorf("browser: %v", err)
		}
	})
}

// TestSec_PHN07_Replays: what a phone has sent once does nothing again.
func TestSec_PHN07_Replays(t *testing.T) {
	t.Run("the body of an approval", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			a := w.asked(t)
			in, err := a.Approval(a.q, a.shown.Number)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Send(a.q.ID, in); err != nil {
				t.Fatal(err)
			}
			_, err = a.Send(a.q.ID, in)
			wantWord(t, "again", err, 410, "request_over")
			if _, err := w.redeem(t, w.Ada, a.c); err != nil {
				t.Fatal(err)
			}
			if _, err := w.redeem(t, w.Ada, a.c); reasonOf(err) != "phone_spent" {
				t.Errorf("the browser again: %v", err)
			}
			_, err = a.Send(a.q.ID, in)
			wantWord(t, "after it was used", err, 410, "request_over")
		})
	})
	t.Run("a whole signed message", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			p := w.enrol(t, w.Ada)
			var seen *http.Request
			p.OnRequest = func(r *http.Request) { seen = r }
			name := "Old name"
			if _, err := p.Change(phonewire.Change{Name: &name}); err != nil {
				t.Fatal(err)
			}
			header := seen.Header.Clone()
			p.OnRequest = nil
			name2 := "New name"
			if _, err := p.Change(phonewire.Change{Name: &name2}); err != nil {
				t.Fatal(err)
			}
			p.OnRequest = func(r *http.Request) { r.Header = header }
			_, err := p.Change(phonewire.Change{Name: &name})
			wantWord(t, "again", err, 401, "request_replayed")
			p.OnRequest = nil
			if self, err := p.Self(); err != nil || self.Name != name2 {
				t.Errorf("name %q, %v", self.Name, err)
			}
		})
	})
	t.Run("many at once", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			p := w.enrol(t, w.Ada)
			body := []byte(`{"name":"Once"}`)
			token, err := p.Token("PUT", base+"/phone/v1/self", body)
			if err != nil {
				t.Fatal(err)
			}
			p.OnRequest = func(r *http.Request) { r.Header.Set("Authorization", "Phone "+token) }
			one(t, race(func(int) error { return p.Call("PUT", "/self", body, false, nil) }), "request_replayed")
		})
	})
	t.Run("two phones approve one request", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			phones := []*phonetest.Phone{w.enrol(t, w.Ada), w.enrol(t, w.Ada)}
			shown, c := w.ask(t, w.Ada)
			q := waiting(t, phones[0])
			one(t, race(func(n int) error {
				_, err := phones[n%2].Approve(q, shown.Number)
				if phonetest.Word(err) == "too_many" {
					return &phonetest.Refusal{Status: 410, Fault: phonewire.Fault{Error: "request_over"}}
				}
				return err
			}), "request_over")
			if _, err := w.redeem(t, w.Ada, c); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestSec_PHN03_SignedRequests changes one thing of a signed request.
func TestSec_PHN03_SignedRequests(t *testing.T) {
	const unproven = "phone_unproven"
	claims := func(lie func(*phonewire.Claims)) func(*testing.T, *house, *phonetest.Phone) {
		return func(_ *testing.T, _ *house, p *phonetest.Phone) { p.OnClaims = lie }
	}
	header := func(lie func(map[string]any)) func(*testing.T, *house, *phonetest.Phone) {
		return func(_ *testing.T, _ *house, p *phonetest.Phone) { p.OnToken = lie }
	}
	request := func(lie func(*http.Request)) func(*testing.T, *house, *phonetest.Phone) {
		return func(_ *testing.T, _ *house, p *phonetest.Phone) { p.OnRequest = lie }
	}
	bend := func(r *http.Request, with func(parts []string)) {
		parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Phone "), ".")
		with(parts)
		r.Header.Set("Authorization", "Phone "+strings.Join(parts, "."))
	}
	for _, c := range []struct {
		name string
		lie  func(t *testing.T, w *house, p *phonetest.Phone)
		want string
		code int
	}{
		{name: "the truth"},
		{name: "the truth, a minute late", lie: claims(func(c *phonewire.Claims) { c.Issued -= 60 })},
		{name: "the truth, a minute early", lie: claims(func(c *phonewire.Claims) { c.Issued += 60 })},
		{name: "61 seconds late", want: "clock_off", code: 401, lie: claims(func(c *phonewire.Claims) { c.Issued -= 61 })},
		{name: "61 seconds early", want: "clock_off", code: 401, lie: claims(func(c *phonewire.Claims) { c.Issued += 61 })},
		{name: "no time", want: "clock_off", code: 401, lie: claims(func(c *phonewire.Claims) { c.Issued = 0 })},
		{name: "a time that is none", want: "clock_off", code: 401, lie: claims(func(c *phonewire.Claims) { c.Issued = -1 << 62 })},
		{name: "another method", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.Method = "GET" })},
		{name: "another address", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.URL = base + "/phone/v1/self/test" })},
		{name: "another host", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.URL = "https://evil.example/phone/v1/self" })},
		{name: "an address with its query", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.URL += "?x=1" })},
		{name: "another tenant", want: unproven, code: 401, lie: func(_ *testing.T, w *house, p *phonetest.Phone) {
			p.OnClaims = func(c *phonewire.Claims) { c.Tenant = string(w.Other.ID) }
		}},
		{name: "no tenant", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.Tenant = "" })},
		{name: "another body", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.Body = strings.Repeat("A", 43) })},
		{name: "no word of the body", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.Body = "" })},
		{name: "no id", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.ID = "" })},
		{name: "a short id", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.ID = "123456789012345" })},
		{name: "a long id", want: unproven, code: 401, lie: claims(func(c *phonewire.Claims) { c.ID = strings.Repeat("1", 65) })},
		{name: "another phone", want: unproven, code: 401, lie: func(t *testing.T, w *house, p *phonetest.Phone) {
			id := w.enrol(t, w.Ada).ID
			p.OnToken = func(h map[string]any) { h["kid"] = id }
		}},
		{name: "a phone that nobody has", want: unproven, code: 401, lie: header(func(h map[string]any) { h["kid"] = "00000000-0000-4000-8000-000000000000" })},
		{name: "another key", want: unproven, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) { p.Key = phonetest.NewKey() }},
		{name: "another type", want: unproven, code: 401, lie: header(func(h map[string]any) { h["typ"] = "JWT" })},
		{name: "no type", want: unproven, code: 401, lie: header(func(h map[string]any) { delete(h, "typ") })},
		{name: "no algorithm", want: unproven, code: 401, lie: header(func(h map[string]any) { h["alg"] = "none" })},
		{name: "another algorithm", want: unproven, code: 401, lie: header(func(h map[string]any) { h["alg"] = "HS256" })},
		{name: "a key in the header", want: unproven, code: 401, lie: header(func(h map[string]any) { h["jwk"] = map[string]any{"kty": "EC"} })},
		{name: "a critical extension", want: unproven, code: 401, lie: header(func(h map[string]any) { h["crit"] = []string{"b64"} })},
		{name: "no header", want: unproven, code: 401, lie: request(func(r *http.Request) { r.Header.Del("Authorization") })},
		{name: "two headers", want: unproven, code: 401, lie: request(func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) })},
		{name: "another scheme", want: unproven, code: 401, lie: request(func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "Phone", "Bearer", 1))
		})},
		{name: "a cookie in its place", want: unproven, code: 401, lie: request(func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "signet", Value: strings.TrimPrefix(r.Header.Get("Authorization"), "Phone ")})
			r.Header.Del("Authorization")
		})},
		{name: "another signature", want: unproven, code: 401, lie: request(func(r *http.Request) {
			bend(r, func(p []string) { p[2] = strings.Repeat("A", 86) })
		})},
		{name: "no signature", want: unproven, code: 401, lie: request(func(r *http.Request) { bend(r, func(p []string) { p[2] = "" }) })},
		{name: "claims twice", want: unproven, code: 401, lie: request(func(r *http.Request) {
			bend(r, func(p []string) {
				raw, _ := base64.RawURLEncoding.DecodeString(p[1])
				p[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), "{", `{"tid":"x",`, 1)))
			})
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := onSQLite(t)
			p := w.enrol(t, w.Ada)
			if c.lie != nil {
				c.lie(t, w, p)
			}
			name := "Renamed"
			_, err := p.Change(phonewire.Change{Name: &name})
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantWord(t, "change", err, c.code, c.want)
			var r *phonetest.Refusal
			if errors.As(err, &r) {
				date, derr := http.ParseTime(r.Header.Get("Date"))
				if derr != nil || !date.Equal(w.Now().Truncate(time.Second)) {
					t.Errorf("Date %q, %v", r.Header.Get("Date"), derr)
				}
			}
			list, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				if c.Name == name {
					t.Error("it was renamed all the same")
				}
			}
		})
	}
}

// TestSec_PHN03_UnknownCostsTheSame: an unknown phone is answered like a wrong
// signature, after the same work.
func TestSec_PHN03_UnknownCostsTheSame(t *testing.T) {
	w := onSQLite(t)
	p := w.enrol(t, w.Ada)
	work := func(lie func()) (string, string) {
		lie()
		var m sqldb.Meter
		do := p.Do
		defer func() { p.Do = do }()
		p.Do = func(r *http.Request) (*http.Response, error) {
			return do(r.WithContext(sqldb.WithMeter(r.Context(), &m)))
		}
		_, err := p.Self()
		var r *phonetest.Refusal
		if !errors.As(err, &r) {
			t.Fatalf("%v", err)
		}
		r.Trace = ""
		return fmt.Sprintf("%d reads, %d writes", m.Reads.Load(), m.Writes.Load()), fmt.Sprintf("%d %+v %v", r.Status, r.Fault, r.Header)
	}
	wrong, said := work(func() { p.Key = phonetest.NewKey() })
	unknown, saidToo := work(func() { p.OnToken = func(h map[string]any) { h["kid"] = "00000000-0000-4000-8000-000000000000" } })
	if said != saidToo {
		t.Errorf("a wrong signature is answered %s, an unknown phone %s", said, saidToo)
	}
	if wrong != unknown || wrong != "1 reads, 0 writes" {
		t.Errorf("a wrong signature costs %s, an unknown phone %s", wrong, unknown)
	}
}

// TestSec_PHN04_LimitsOfTheDoor: a source that proves nothing, and a phone that
// asks too often, are told to wait.
func TestSec_PHN04_LimitsOfTheDoor(t *testing.T) {
	w := onSQLite(t)
	p := w.enrol(t, w.Ada)
	bad := w.device()
	bad.Account, bad.ID = p.Account, p.ID
	for n := range 600 {
		if _, err := bad.Self(); phonetest.Word(err) != "phone_unproven" {
			t.Fatalf("unproven request %d: %v", n, err)
		}
	}
	_, err := bad.Self()
	wantWord(t, "one too many", err, 429, "too_many")
	p.Address = "198.51.100.50"
	for n := range 120 {
		if _, err := p.Requests(); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
	_, err = p.Requests()
	wantWord(t, "one too many", err, 429, "too_many")
	w.Advance(minute)
	if _, err := p.Requests(); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestSec_PHN03_WaitingPhones are good for nothing but to ask how they stand.
func TestSec_PHN03_WaitingPhones(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		w.enrol(t, w.Ada)
		p := w.device()
		b := w.begin(t, w.Session(t, w.Ada))
		if _, err := p.Enrol(b.Link); err != nil {
			t.Fatal(err)
		}
		shown, c := w.ask(t, w.Ada)
		name := "x"
		q := phonewire.Request{ID: shown.Request}
		for what, do := range map[string]func() error{
			"requests": func() error { _, err := p.Requests(); return err },
			"history":  func() error { _, err := p.History(); return err },
			"change":   func() error { _, err := p.Change(phonewire.Change{Name: &name}); return err },
			"test":     func() error { _, err := p.Test(); return err },
			"approve":  func() error { _, err := p.Approve(q, shown.Number); return err },
			"deny":     func() error { _, err := p.Deny(shown.Request, false); return err },
		} {
			wantWord(t, what, do(), 403, "phone_waiting")
		}
		if _, err := w.redeem(t, w.Ada, c); reasonOf(err) != "phone_waiting" {
			t.Errorf("browser: %v", err)
		}
		w.Advance(10 * minute)
		_, err := p.Self()
		wantWord(t, "after ten minutes", err, 401, "phone_unproven")
	})
}

// TestSec_PHN03_Policy: what the rules do not let a phone approve they do not
// let it approve by the wire.
func TestSec_PHN03_Policy(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		a := w.asked(t)
		w.phoneRules(t, func(r *policy.PhoneRules) { r.From = policy.FromKnown })
		_, err := a.Approve(a.q, a.shown.Number)
		wantWord(t, "an unknown browser", err, 403, "phone_refused")
		w.phoneRules(t, func(r *policy.PhoneRules) { r.From = policy.FromAnywhere })
		w.Enable(t, w.Ada, false)
		_, err = a.Approve(a.q, a.shown.Number)
		wantWord(t, "somebody who is switched off", err, 403, "phone_refused")
		if self, err := a.Self(); err != nil || self.Usable {
			t.Errorf("self %+v, %v", self, err)
		}
		w.Enable(t, w.Ada, true)
		if got, err := a.Approve(a.q, a.shown.Number); err != nil || got != phonewire.Approved {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestSec_PHN03_ClonedPasskey: a passkey whose counter goes back is a copy, and is remembered.
func TestSec_PHN03_ClonedPasskey(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Counter = policy.CounterBlock })
		p := w.device()
		p.Auth.Count, p.Auth.Step = 5, 1
		w.enrolWith(t, w.Ada, p)
		copied := p.Auth.Clone()
		w.signsIn(t, w.Ada, p)
		shown, _ := w.ask(t, w.Ada)
		p.Auth = copied
		_, err := p.Approve(waiting(t, p), shown.Number)
		wantWord(t, "a copy of the passkey", err, 401, "answer_unproven")
		var seen int64
		if err := w.DB.QueryRow(context.Background(), `select clone_seen from passkey where tenant_id = $1 and id = $2`, w.Tenant.ID, p.Passkey).Scan(&seen); err != nil || seen == 0 {
			t.Errorf("clone seen %d, %v", seen, err)
		}
	})
}
