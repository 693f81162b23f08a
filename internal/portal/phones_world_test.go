package portal

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	notify "github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// post stands for package push: it keeps what is sent.
type post struct {
	sent   []notify.Message
	to     []notify.Target
	result notify.Outcome
}

func (p *post) Queue(_ context.Context, tx *sqldb.Tx, _ notify.Ref, to notify.Target, m notify.Message) error {
	tx.OnCommit(func() { p.to, p.sent = append(p.to, to), append(p.sent, m) })
	return nil
}

func (p *post) Send(_ context.Context, to notify.Target, m notify.Message) notify.Result {
	p.to, p.sent = append(p.to, to), append(p.sent, m)
	return notify.Result{Outcome: p.result}
}
func (p *post) Check(notify.Target) error                 { return nil }
func (p *post) PublicKey(context.Context) (string, error) { return "key", nil }
func (p *post) Kinds() []string                           { return []string{notify.WebPush} }

// openPhones is the phone room, which asks the passkey room about WebAuthn.
func (w *world) openPhones() method.Method {
	key := func(purpose string) func(context.Context, idp.TenantID) (*secret.Key, error) {
		return func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return w.ring.Sealing(ctx, t, purpose) }
	}
	var err error
	w.post.result = notify.Delivered
	w.approvers, err = phone.New(phone.Config{
		DB: w.db, Now: w.clock, Bus: bus.New(w.db, nil), BaseURL: origin,
		Rules: func(ctx context.Context, t idp.TenantID) (policy.PhoneRules, error) {
			p, err := w.rules.Get(ctx, t)
			return p.Phone, err
		},
		For: func(ctx context.Context, u idp.User) (policy.PhoneFor, error) {
			p, who, err := w.rules.For(ctx, u.Tenant, u)
			return p.PhoneFor(who), err
		},
		May: func(ctx context.Context, u idp.User) (policy.Refusal, error) {
			p, who, err := w.rules.For(ctx, u.Tenant, u)
			return p.Judge(who, policy.Use, policy.Phone, nil).Refusal, err
		},
		Accepts: func(ctx context.Context, u idp.User, f idp.Facts) (policy.Refusal, error) {
			p, who, err := w.rules.For(ctx, u.Tenant, u)
			return p.Judge(who, policy.Add, policy.Passkey, &f).Refusal, err
		},
		Fold:   directory.Fold,
		Tenant: func(ctx context.Context, t idp.TenantID) (idp.Tenant, error) { return w.dir.Tenant(ctx, t) },
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return w.dir.User(ctx, w.db, t, id)
		},
		UserByName: func(ctx context.Context, t idp.TenantID, name string) (idp.User, error) {
			return w.dir.UserByName(ctx, w.db, t, name)
		},
		Seal: key("phone.push"), Decoy: key("phone.decoy"),
		Code: func(ctx context.Context) (*secret.Key, error) {
			return w.ring.Sealing(ctx, nonce.CommonScope, "phone.code")
		},
		Passkeys: w.keys, Push: &w.post, Place: func(string) phone.Where { return phone.Where{Kind: "unknown"} },
		Remove: func(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
			return w.portal.cfg.Corridor.RemoveFor(ctx, t, u, phone.ID, id, string(u), signin.Peer{})
		},
		Audit: w.audit.Write,
	})
	w.must(err)
	return w.approvers
}

// phonePages are the room's funcs in the portal's words, as app gives them.
func (w *world) phonePages() *Phones {
	return &Phones{
		Enrolment: func(ctx context.Context, t idp.TenantID, u idp.UserID, id string) (PhoneEnrolment, error) {
			e, err := w.approvers.Enrolment(ctx, t, u, id)
			if err == nil && e.State != phone.EnrolmentOpen && e.State != phone.EnrolmentAnswered {
				err = idp.NotFoundf("enrolment_over", "enrolment %s is %s", id, e.State)
			}
			return PhoneEnrolment{Answered: e.State == phone.EnrolmentAnswered, Words: e.Words, Name: e.Phone, Platform: e.System, Expires: e.Expires}, err
		},
		Enrolled: w.approvers.Enrolled, Withdraw: w.approvers.WithdrawEnrolment,
		List: func(ctx context.Context, t idp.TenantID, u idp.UserID) (out []Phone, err error) {
			all, err := w.approvers.Phones(ctx, t, u)
			for _, p := range all {
				out = append(out, Phone{ID: p.ID, Passkey: p.Passkey, PasskeyGone: p.Gone, Platform: p.Platform, Push: p.Push})
			}
			return out, err
		},
		Holding: func(ctx context.Context, t idp.TenantID, u idp.UserID) (Holding, error) {
			all, err := w.approvers.Phones(ctx, t, u)
			if err != nil {
				return Holding{}, err
			}
			p, err := w.rules.Get(ctx, t)
			return Holding{Held: len(all), Limit: p.Phone.Limit, WarnAt: p.Phone.WarnAt}, err
		},
		Blocks: func(ctx context.Context, t idp.TenantID, u idp.UserID) (out []PhoneBlock, err error) {
			all, err := w.approvers.Blocks(ctx, t, u)
			for _, b := range all {
				out = append(out, PhoneBlock{Address: b.Address, Since: b.Since, Expires: b.Until})
			}
			return out, err
		},
		Test: func(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) (string, error) {
			r, err := w.approvers.Test(ctx, t, u, id)
			return r.Result, err
		},
	}
}

// phonesOn switches the method on.
func (w *world) phonesOn() {
	w.t.Helper()
	_, err := w.ring.Sealing(w.t.Context(), w.tenant.ID, "phone.push")
	w.must(err)
	w.policy(func(p *policy.Policy) { p.Methods[policy.Phone] = policy.Everybody() })
}

// phoneHouse is a world with the real phone room, and phones on.
func phoneHouse(t *testing.T) *world {
	t.Helper()
	return phoneHouseOn(t, sqldbtest.Open(t, sources))
}

func phoneHouseOn(t *testing.T, db *sqldb.DB) *world {
	t.Helper()
	w := worldOn(t, db, (*world).openPhones)
	w.phonesOn()
	return w
}

// phoneWorld is one in which phones are on, with Ada at her account page.
func phoneWorld(t *testing.T) (*world, *browser, idp.User) {
	t.Helper()
	w := phoneHouse(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key")
	return w, b, ada
}

// appPhone is a phone that takes messages and has no account yet.
func (w *world) appPhone(name string) *phonetest.Phone {
	p := phonetest.New(origin, w.server.Config.Handler, w.clock)
	p.Name, p.Platform, p.App = name, "Android 16", "Signet 1.0"
	p.Push = &phonewire.Push{Kind: notify.WebPush, Endpoint: "https://push.example/" + url.PathEscape(name), P256DH: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", Auth: "BTBZMqHH6r4Tts7J_aSIgg"}
	return p
}

// code is the page with the code of a new enrolment, and the link in its
// cookie, which the QR code is drawn from.
func (b *browser) code() (reply, string) {
	b.w.t.Helper()
	return b.codeOf(b.get("/account/phone/add").want(b.w.t, 200, "Add a phone", "Have your phone at hand"))
}

func (b *browser) codeOf(begin reply) (reply, string) {
	b.w.t.Helper()
	v := url.Values{"session": {begin.field("session")}, "flow": {begin.field("flow")}, "must": {begin.field("must")}}
	page := b.follow(b.post("/account/phone/add", v)).want(b.w.t, 200, "Scan this with your phone")
	return page, b.kept().Link
}

// says is the answer to the words on a page.
func (b *browser) says(page reply, decision string) reply {
	b.w.t.Helper()
	v := url.Values{"decision": {decision}}
	for _, name := range []string{"session", "flow", "must"} {
		v.Set(name, page.field(name))
	}
	v.Set("enrolment", page.Request.URL.Query().Get("enrolment"))
	return b.post("/account/phone/answer", v)
}

// comes has a phone open the code of a page, and gives the page as it is then.
func (b *browser) comes(p *phonetest.Phone, page reply, code string) reply {
	b.w.t.Helper()
	_, err := p.Enrol(code)
	b.w.must(err)
	return b.get(page.Request.URL.RequestURI()).want(b.w.t, 200, "Do both screens say "+strings.Join(p.Words(code), " ")+"?", p.Name)
}

// addPhone adds one, to the page that says so.
func (b *browser) addPhone(name string) (*phonetest.Phone, reply) {
	b.w.t.Helper()
	p := b.w.appPhone(name)
	page, link := b.code()
	return p, b.follow(b.says(b.comes(p, page, link), "confirm")).want(b.w.t, 200, name+" can approve sign-ins now")
}

// phonesOf are somebody's, as the room knows them.
func (w *world) phonesOf(u idp.User) []method.Credential {
	w.t.Helper()
	all, err := w.approvers.List(w.t.Context(), u.Tenant, u.ID)
	w.must(err)
	return all
}

// linkOf is where the link with an action leads.
func (r reply) linkOf(action string) (at string) {
	walk(r.doc, func(n *html.Node) {
		if a, _ := attr(n, "data-action"); a == action && n.Data == "a" {
			at, _ = attr(n, "href")
		}
	})
	return at
}

// drawing is which modules a path of horizontal runs fills.
func drawing(t *testing.T, path string) map[[2]int]bool {
	t.Helper()
	out := map[[2]int]bool{}
	for _, run := range strings.Split(strings.TrimPrefix(path, "M"), "M") {
		var x, y, n, back int
		if _, err := fmt.Sscanf(run, "%d %dh%dv1h-%dz", &x, &y, &n, &back); err != nil || n != back || n < 1 {
			t.Fatalf("a run %q of the path: %v", run, err)
		}
		for i := range n {
			out[[2]int{x + i, y}] = true
		}
	}
	return out
}
