package phone_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

func jwkOf(t testing.TB, curve elliptic.Curve, private bool) json.RawMessage {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	half := len(raw) / 2
	out := fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q`, curve.Params().Name, b64(raw[1:1+half]), b64(raw[1+half:]))
	if private {
		d, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf(`,"d":%q`, b64(d))
	}
	return json.RawMessage(out + "}")
}

// TestSec_PHN08_FinishIsOneWhole changes one thing of an answer that is
// accepted without the change (the first rows).
func TestSec_PHN08_FinishIsOneWhole(t *testing.T) {
	const refused, unknown, malformed = "answer_unproven", "code_unknown", "request_malformed"
	for _, c := range []struct {
		name  string
		typed bool
		lie   func(t *testing.T, w *house, p *phonetest.Phone)
		late  func(t *testing.T, w *house, p *phonetest.Phone, b begun) // after opening
		want  string
		code  int
	}{
		{name: "the truth"},
		{name: "the truth, typed", typed: true},
		{name: "signed for another code", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnEnrol = func(e *phonetest.Enrolling) { e.Code = strings.Repeat("A", 22) }
		}},
		{name: "signed for the code in its other form", want: refused, code: 401, late: func(_ *testing.T, _ *house, p *phonetest.Phone, b begun) {
			p.OnEnrol = func(e *phonetest.Enrolling) { e.Code = strings.ReplaceAll(b.Typed, "-", "") }
		}},
		{name: "signed over another challenge", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnEnrol = func(e *phonetest.Enrolling) { e.Challenge[0] ^= 1 }
		}},
		{name: "signed for another key", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnEnrol = func(e *phonetest.Enrolling) { e.Thumbprint[0] ^= 1 }
		}},
		{name: "signed for another passkey", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnEnrol = func(e *phonetest.Enrolling) { e.Passkey[0] ^= 1 }
		}},
		{name: "signed by another key", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.SignBy = func(m []byte) string { return phonetest.Sign(phonetest.NewKey(), m) }
		}},
		{name: "the key exchanged", want: refused, code: 401, lie: func(t *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Key = jwkOf(t, elliptic.P256(), false) }
		}},
		{name: "no signature", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Signature = "" }
		}},
		{name: "a signature of zeros", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Signature = strings.Repeat("A", 86) }
		}},
		{name: "the passkey made for the challenge of another code", want: refused, code: 401, late: func(t *testing.T, w *house, p *phonetest.Phone, _ begun) {
			q := w.device()
			if err := q.Open(w.begin(t, w.Session(t, w.Ada)).Link); err != nil {
				t.Fatal(err)
			}
			p.Account = q.Account
		}},
		{name: "the passkey made for a challenge that was replaced", want: refused, code: 401, late: func(t *testing.T, w *house, p *phonetest.Phone, b begun) {
			if err := w.device().Open(b.Link); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "the passkey of another site", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.Auth.Origin = "https://id.nordhafen.example.evil.example"
		}},
		{name: "the passkey without its user", want: refused, code: 401, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.Auth.Flags &^= passkeytest.FlagUV
		}},
		{name: "the passkey of somebody else", want: refused, code: 401, late: func(t *testing.T, w *house, p *phonetest.Phone, _ begun) {
			bobs := w.enrol(t, w.Bob)
			p.Auth.Create(p.Account.Options) // a challenge of Ada's, answered by a key of Bob's
			p.Auth = bobs.Auth
			p.Account.Reuse = reuse(t, p.Account.Options, bobs.Passkey)
			p.Account.Options = nil
		}},
		{name: "no passkey", want: malformed, code: 400, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Passkey = nil }
		}},
		{name: "two passkeys", want: malformed, code: 400, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Reuse = f.Passkey }
		}},
		{name: "a key of another curve", want: malformed, code: 400, lie: func(t *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Key = jwkOf(t, elliptic.P384(), false) }
		}},
		{name: "a private key", want: malformed, code: 400, lie: func(t *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Key = jwkOf(t, elliptic.P256(), true) }
		}},
		{name: "a point off the curve", want: malformed, code: 400, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) {
				f.Key = json.RawMessage(`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 42) + `E","y":"` + strings.Repeat("A", 42) + `E"}`)
			}
		}},
		{name: "no key", want: malformed, code: 400, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.OnFinish = func(f *phonewire.Finish) { f.Key = nil }
		}},
		{name: "messages to this server itself", want: malformed, code: 400, lie: func(_ *testing.T, _ *house, p *phonetest.Phone) {
			p.Push = &phonewire.Push{Kind: "webpush", Endpoint: "https://127.0.0.1/"}
		}},
		{name: "not opened", want: unknown, code: 404, late: func(t *testing.T, w *house, _ *phonetest.Phone, b begun) {
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, `update phone_enrolment set keep = $2 where tenant_id = $1`, w.Tenant.ID, []byte{})
				return err
			})
		}},
		{name: "opened too long ago", want: unknown, code: 404, late: func(_ *testing.T, w *house, _ *phonetest.Phone, _ begun) { w.Advance(5 * minute) }},
		{name: "the code is over", want: unknown, code: 404, late: func(t *testing.T, w *house, p *phonetest.Phone, b begun) {
			w.Advance(9*minute + minute/2)
			if err := p.Open(b.Link); err != nil {
				t.Fatal(err)
			}
			w.Advance(minute / 2)
		}},
		{name: "the person is switched off", want: unknown, code: 404, late: func(t *testing.T, w *house, _ *phonetest.Phone, _ begun) { w.Enable(t, w.Ada, false) }},
		{name: "the person has begun anew", want: unknown, code: 404, late: func(t *testing.T, w *house, _ *phonetest.Phone, b begun) { w.begin(t, b.session) }},
		{name: "withdrawn", want: unknown, code: 404, late: func(t *testing.T, w *house, _ *phonetest.Phone, b begun) {
			if err := w.phones.WithdrawEnrolment(t.Context(), w.Tenant.ID, w.Ada.ID, b.Enrolment); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a passkey of a model that is not proven", want: "phone_refused", code: 403, lie: func(t *testing.T, w *house, _ *phonetest.Phone) {
			w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Attestation = policy.AttestationRequired })
		}},
		{name: "a passkey where nobody adds one to themselves", want: "phone_refused", code: 403, lie: func(t *testing.T, w *house, _ *phonetest.Phone) {
			w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.SelfService = false })
		}},
		{name: "the truth, where passkeys are not for pages", late: func(t *testing.T, w *house, _ *phonetest.Phone, _ begun) {
			w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
				p.Passkey.Attestation = policy.AttestationRequired
				p.Switch(policy.Passkey, false)
			})
		}},
		{name: "a synced passkey where none is wanted", want: "phone_refused", code: 403, lie: func(t *testing.T, w *house, p *phonetest.Phone) {
			w.phoneRules(t, func(r *policy.PhoneRules) { r.Synced = policy.SyncedDeny })
			p.Auth.Flags |= passkeytest.FlagBE
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, w *house) {
				p := w.device()
				if c.lie != nil {
					c.lie(t, w, p)
				}
				b := w.begin(t, w.Session(t, w.Ada))
				code := b.Link
				if c.typed {
					code = strings.ToLower(b.Typed)
				}
				if err := p.Open(code); err != nil {
					t.Fatal(err)
				}
				if c.late != nil {
					c.late(t, w, p, b)
				}
				_, err := p.Finish(code)
				if c.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					if _, err := w.confirm(t, b); err != nil {
						t.Errorf("confirm: %v", err)
					}
					return
				}
				wantWord(t, "finish", err, c.code, c.want)
				var n int
				if err := w.DB.QueryRow(t.Context(), `select count(*) from phone where tenant_id = $1 and user_id = $2`, w.Tenant.ID, w.Ada.ID).Scan(&n); err != nil || n != 0 {
					t.Errorf("%d phones of Ada, %v", n, err)
				}
				if c.want == refused && c.name != "the passkey made for a challenge that was replaced" {
					// What did not prove itself has used the challenge up (NON06).
					p.OnEnrol, p.OnFinish, p.SignBy = nil, nil, nil
					_, err := p.Finish(code)
					wantWord(t, "the truth, after a lie", err, 404, unknown)
				}
				if c.want == refused {
					q := w.device()
					if _, err := q.Enrol(code); err != nil {
						t.Errorf("opened again: %v", err)
					}
				}
			})
		})
	}
}

// reuse makes of creation options those of an assertion by one passkey.
func reuse(t testing.TB, options json.RawMessage, id string) json.RawMessage {
	t.Helper()
	var o struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		t.Fatal(err)
	}
	return json.RawMessage(fmt.Sprintf(`{"publicKey":{"challenge":%q,"rpId":"id.nordhafen.example","allowCredentials":[{"type":"public-key","id":%q}]}}`, o.PublicKey.Challenge, id))
}

// TestSec_PHN08_OneAnswerForCodes: wrong, used and late codes look the same, and
// a source has few guesses.
func TestSec_PHN08_OneAnswerForCodes(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		used, late := w.begin(t, w.Session(t, w.Ada)), w.begin(t, w.Session(t, w.Bob))
		if _, err := w.device().Enrol(used.Typed); err != nil {
			t.Fatal(err)
		}
		w.Advance(10 * minute)
		var first []byte
		for _, code := range []string{
			used.Link, used.Typed, late.Link, late.Typed, "ABCD-EFGH", "AAAAAAAAAAAAAAAAAAAAAA", "", "ABCDEFG", "ABCDEFGHJ", strings.Repeat("A", 3000),
		} {
			err := w.device().Open(code)
			wantWord(t, fmt.Sprintf("code %.30q", code), err, 404, "code_unknown")
			var r *phonetest.Refusal
			if !errors.As(err, &r) {
				continue
			}
			r.Trace = ""
			raw, _ := json.Marshal(r.Fault)
			if first == nil {
				first = raw
			}
			if !bytes.Equal(first, raw) {
				t.Errorf("code %.30q is answered %s, others %s", code, raw, first)
			}
		}
		good := w.begin(t, w.Session(t, w.Ada))
		for range 23 { // after seven
			wantWord(t, "guess", w.device().Open("ABCD-EFGH"), 404, "code_unknown")
		}
		err := w.device().Open(good.Typed)
		wantWord(t, "one guess too many", err, 429, "too_many")
		if err := w.device().Open(good.Link); err != nil {
			t.Errorf("a link, which nobody guesses: %v", err)
		}
		var r *phonetest.Refusal
		if errors.As(err, &r) && r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		other := w.device()
		other.Address = "198.51.100.77"
		if err := other.Open(good.Typed); err != nil {
			t.Errorf("another source: %v", err)
		}
		// Within a network of 64 bits all addresses are one source.
		for n := range 30 {
			p := w.device()
			p.Address = fmt.Sprintf("[2001:db8::%x]", n)
			wantWord(t, "guess", p.Open("ABCD-EFGH"), 404, "code_unknown")
		}
		p := w.device()
		p.Address = "[2001:db8::ffff]"
		wantWord(t, "one more of a network", p.Open("ABCD-EFGH"), 429, "too_many")
	})
}

// racers is how many do the same at once.
const racers = 12

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

func one(t *testing.T, errs []error, word string) {
	t.Helper()
	good := 0
	for _, err := range errs {
		switch phonetest.Word(err) {
		case "":
			good++
		case word:
		default:
			t.Errorf("a loser is told %v, want %s", err, word)
		}
	}
	if good != 1 {
		t.Errorf("%d of %d, want 1: %v", good, len(errs), errs)
	}
}

// TestSec_PHN08_OneCodeOnePhone: of many phones with one code, one gets it.
func TestSec_PHN08_OneCodeOnePhone(t *testing.T) {
	t.Run("phones that answer what was asked last", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			b := w.begin(t, w.Session(t, w.Ada))
			phones := make([]*phonetest.Phone, racers)
			first := w.device()
			if err := first.Open(b.Link); err != nil {
				t.Fatal(err)
			}
			for n := range phones {
				phones[n] = w.device()
				phones[n].Account = first.Account
			}
			one(t, race(func(n int) error {
				_, err := phones[n].Finish(b.Link)
				return err
			}), "code_unknown")
			if n := w.Count(t, "phone", w.Tenant.ID); n != 1 {
				t.Errorf("%d phones", n)
			}
		})
	})
	t.Run("the same answer many times", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			b := w.begin(t, w.Session(t, w.Ada))
			p := w.device()
			if err := p.Open(b.Link); err != nil {
				t.Fatal(err)
			}
			in, err := p.Answer(b.Link)
			if err != nil {
				t.Fatal(err)
			}
			body, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			one(t, race(func(int) error { return p.Call("POST", "/enrolments/finish", body, false, nil) }), "code_unknown")
		})
	})
	t.Run("phones that open and answer", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			b := w.begin(t, w.Session(t, w.Ada))
			good := 0
			for _, err := range race(func(int) error {
				_, err := w.device().Enrol(b.Typed)
				return err
			}) {
				if err == nil {
					good++
				}
			}
			// Each that opens ends what the others were asked: there may be none.
			if n := w.Count(t, "phone", w.Tenant.ID); good > 1 || n != good {
				t.Errorf("%d enrolled, %d phones", good, n)
			}
		})
	})
	t.Run("confirmed many times", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			b := w.begin(t, w.Session(t, w.Ada))
			if _, err := w.device().Enrol(b.Link); err != nil {
				t.Fatal(err)
			}
			good := 0
			for _, err := range race(func(int) error {
				_, err := w.confirm(t, b)
				return err
			}) {
				switch {
				case err == nil:
					good++
				case !errors.Is(err, idp.Expired) && !errors.Is(err, idp.Unproven):
					t.Errorf("a loser is told %v", err)
				}
			}
			if good != 1 || w.held(t, w.Ada) != 1 {
				t.Errorf("confirmed %d times, %d places", good, w.held(t, w.Ada))
			}
		})
	})
}

// held is how many places a person has taken.
func (w *house) held(t testing.TB, u idp.User) (n int) {
	t.Helper()
	if err := w.DB.QueryRow(t.Context(), `select held from phone_holder where tenant_id = $1 and user_id = $2`, u.Tenant, u.ID).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSec_PHN08_Confirm: nothing but the word of the page that began makes a
// phone active, and it counts once.
func TestSec_PHN08_Confirm(t *testing.T) {
	for _, c := range []struct {
		name    string
		do      func(t *testing.T, w *house, b begun, p *phonetest.Phone)
		payload string
		reason  string
		silent  bool // no phone has answered
	}{
		{name: "no phone has answered", silent: true, reason: "enrolment_over"},
		{name: "the words differ", payload: `{"confirm":false}`, reason: "words_not_confirmed"},
		{name: "nothing is said", payload: `{}`, reason: "words_not_confirmed"},
		{name: "no JSON", payload: `confirm`, reason: "words_not_confirmed"},
		{name: "withdrawn", reason: "enrolment_over", do: func(t *testing.T, w *house, b begun, _ *phonetest.Phone) {
			if err := w.phones.WithdrawEnrolment(t.Context(), w.Tenant.ID, w.Ada.ID, b.Enrolment); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "taken back on the phone", reason: "enrolment_over", do: func(t *testing.T, _ *house, _ begun, p *phonetest.Phone) {
			if err := p.Leave(); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "begun anew", reason: "enrolment_over", do: func(t *testing.T, w *house, b begun, _ *phonetest.Phone) { w.begin(t, b.session) }},
		{name: "late", reason: "late", do: func(_ *testing.T, w *house, _ begun, _ *phonetest.Phone) { w.Advance(10 * minute) }},
		{name: "at the limit meanwhile", reason: "phone_limit", do: func(t *testing.T, w *house, _ begun, _ *phonetest.Phone) {
			w.enrol(t, w.Ada)
			w.phoneRules(t, func(r *policy.PhoneRules) { r.Limit, r.WarnAt = 1, 1 })
		}},
		{name: "the model must be proven meanwhile", reason: "attestation_none", do: func(t *testing.T, w *house, _ begun, _ *phonetest.Phone) {
			w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Attestation = policy.AttestationRequired })
		}},
		{name: "synced keys refused meanwhile", reason: "synced_not_allowed", do: func(t *testing.T, w *house, _ begun, _ *phonetest.Phone) {
			w.phoneRules(t, func(r *policy.PhoneRules) { r.Synced = policy.SyncedDeny })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, w *house) {
				b, p := w.begin(t, w.Session(t, w.Ada)), w.device()
				p.Auth.Flags |= passkeytest.FlagBE
				if !c.silent {
					if _, err := p.Enrol(b.Link); err != nil {
						t.Fatal(err)
					}
				}
				if c.do != nil {
					c.do(t, w, b, p)
				}
				payload := c.payload
				if payload == "" {
					payload = `{"confirm":true}`
				}
				_, err := w.Corridor.FinishRegister(t.Context(), b.session, b.Ceremony, []byte(payload), w.peer)
				if reasonOf(err) != c.reason {
					t.Errorf("%v, want %s", err, c.reason)
				}
				if !c.silent {
					if self, err := p.Self(); err == nil && self.State == phonewire.Active {
						t.Error("the phone is active")
					}
				}
			})
		})
	}
	t.Run("by somebody else", func(t *testing.T) {
		each(t, func(t *testing.T, w *house) {
			b := w.begin(t, w.Session(t, w.Ada))
			if _, err := w.device().Enrol(b.Link); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Corridor.FinishRegister(t.Context(), w.Session(t, w.Bob), b.Ceremony, []byte(`{"confirm":true}`), w.peer); reasonOf(err) != "other_session" {
				t.Errorf("Bob confirms what Ada began: %v", err)
			}
			if e, err := w.phones.Enrolment(t.Context(), w.Tenant.ID, w.Bob.ID, b.Enrolment); err != nil || e.State != phone.EnrolmentOver || e.Words != nil {
				t.Errorf("Bob sees %+v, %v", e, err)
			}
			if err := w.phones.WithdrawEnrolment(t.Context(), w.Tenant.ID, w.Bob.ID, b.Enrolment); err != nil {
				t.Fatal(err)
			}
			if e := w.state(t, w.Ada, b); e.State != phone.EnrolmentAnswered {
				t.Errorf("Bob withdrew what Ada began: %+v", e)
			}
		})
	})
}

// TestSec_PHN08_OlderPhonesAreTold of a new one.
func TestSec_PHN08_OlderPhonesAreTold(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		first := w.enrol(t, w.Ada)
		w.enrol(t, w.Bob)
		b := w.begin(t, w.Session(t, w.Ada))
		if _, err := w.device().Enrol(b.Link); err != nil {
			t.Fatal(err)
		}
		if n := len(w.post.told()); n != 0 {
			t.Errorf("%d messages before the phone was compared", n)
		}
		if _, err := w.confirm(t, b); err != nil {
			t.Fatal(err)
		}
		told := w.post.told()
		if len(told) != 1 || string(told[0].Phone) != first.ID || told[0].Tenant != w.Tenant.ID {
			t.Errorf("told %+v, want %s", told, first.ID)
		}
	})
}

// TestSec_DEV12_PlacesForPhones: of many who come for the last place, one gets it.
func TestSec_DEV12_PlacesForPhones(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		w.phoneRules(t, func(r *policy.PhoneRules) { r.Limit, r.WarnAt = 2, 2 })
		w.enrol(t, w.Ada)
		var all []begun
		for range 3 {
			b := w.begin(t, w.Session(t, w.Ada))
			if !b.Warn || b.Held != 1 || b.Limit != 2 {
				t.Errorf("shown %+v", b.Show)
			}
			if _, err := w.device().Enrol(b.Link); err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		if _, err := w.tryBegin(t, w.Session(t, w.Ada)); reasonOf(err) != "enrolments_open" {
			t.Errorf("a fourth window: %v", err)
		}
		var wg sync.WaitGroup
		errs := make([]error, len(all))
		for n, b := range all {
			wg.Go(func() { _, errs[n] = w.confirm(t, b) })
		}
		wg.Wait()
		good := 0
		for _, err := range errs {
			switch reasonOf(err) {
			case "":
				good++
			case "phone_limit":
			default:
				t.Errorf("%v", err)
			}
		}
		if good != 1 || w.held(t, w.Ada) != 2 {
			t.Errorf("%d got the last place, %d are taken", good, w.held(t, w.Ada))
		}
		if _, err := w.tryBegin(t, w.Session(t, w.Ada)); reasonOf(err) != "phone_limit" {
			t.Errorf("begin at the limit: %v", err)
		}
	})
}

// TestReuse: a phone that holds a passkey of the person uses it.
func TestReuse(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p := w.enrol(t, w.Ada)
		if err := p.Leave(); err != nil {
			t.Fatal(err)
		}
		p.Key = phonetest.NewKey()
		before := w.Count(t, "passkey", w.Tenant.ID)
		w.enrolWith(t, w.Ada, p)
		if n := w.Count(t, "passkey", w.Tenant.ID); n != before || p.Account.Reuse == nil {
			t.Errorf("%d passkeys, had %d", n, before)
		}
		w.signsIn(t, w.Ada, p)
	})
}

// TestFullOfPasskeys: somebody who may have no more of them can only use one.
func TestFullOfPasskeys(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p := w.enrol(t, w.Ada)
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Limit, p.Passkey.WarnAt = 1, 1 })
		q := w.device()
		b := w.begin(t, w.Session(t, w.Ada))
		if err := q.Open(b.Link); err != nil || q.Account.Options != nil || q.Account.Reuse == nil {
			t.Fatalf("opened %s, %s, %v", q.Account.Options, q.Account.Reuse, err)
		}
		// It was synced to the other phone.
		q.Auth = p.Auth
		if _, err := q.Finish(b.Link); err != nil {
			t.Fatal(err)
		}
		// The passkey goes before the words are compared.
		w.removePasskey(t, w.Ada, p.Passkey)
		if _, err := w.confirm(t, b); reasonOf(err) != "passkey_gone" {
			t.Errorf("confirm without the passkey: %v", err)
		}
	})
}

func (w *house) removePasskey(t testing.TB, u idp.User, id string) {
	t.Helper()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.keys.Remove(ctx, tx, u.Tenant, u.ID, idp.CredentialID(id))
	})
}

// TestKeyTwice: a key belongs to one phone.
func TestKeyTwice(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p, q := w.enrol(t, w.Ada), w.device()
		q.Key = p.Key
		b := w.begin(t, w.Session(t, w.Bob))
		_, err := q.Enrol(b.Link)
		wantWord(t, "a key that is known", err, http.StatusConflict, "phone_exists")
		if e := w.state(t, w.Bob, b); e.State != phone.EnrolmentOpen {
			t.Errorf("enrolment %+v", e)
		}
	})
}
