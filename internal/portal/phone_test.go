package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// phoneStub is a room whose answer comes by another road, as the phone's: what
// the pages need of one, without phones. It is off until a test switches it on.
type phoneStub struct {
	w  *world
	mu sync.Mutex
	// asked are the requests, the newest last.
	asked []*phoneAsk
	waits map[string][]chan struct{}
}

type phoneAsk struct {
	id, number string
	request    method.Request
	expires    time.Time
	user       idp.UserID // whose phone said yes
	said       string     // "approved", or a reason
	again      int
	gone       bool // withdrawn
}

const phoneLives = 2 * time.Minute

func newPhone(w *world) *phoneStub { return &phoneStub{w: w, waits: map[string][]chan struct{}{}} }

func (p *phoneStub) ID() idp.MethodID { return policy.Phone }

func (p *phoneStub) View() method.View {
	return method.View{Action: "signin-phone", Icon: "phone", Label: "method.phone", Note: "method.phone.note", Primary: true}
}

func (p *phoneStub) Challenge(_ context.Context, r method.Request) (method.Challenge, error) {
	a := &phoneAsk{id: secret.NewUUID4(), request: r, expires: r.Now.Add(phoneLives)}
	a.number = fmt.Sprintf("%02d", int(secret.Bytes(1)[0])%100)
	show, err := json.Marshal(map[string]any{"number": a.number, "expires": a.expires, "request": a.id})
	return method.Challenge{Show: show, Keep: []byte(a.id), Lives: phoneLives + 10*time.Second, Settle: func(context.Context, *sqldb.Tx) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, a)
		return nil
	}}, err
}

func (p *phoneStub) find(a method.Answer) *phoneAsk {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := slices.IndexFunc(p.asked, func(o *phoneAsk) bool { return o.id == string(a.Keep) })
	return p.asked[n]
}

// last is the newest request.
func (p *phoneStub) last() *phoneAsk {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[len(p.asked)-1]
}

// say is a phone's answer to the newest request.
func (p *phoneStub) say(user idp.UserID, word string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer(p.asked[len(p.asked)-1], user, word)
}

// answer is a phone's; the lock is held.
func (p *phoneStub) answer(a *phoneAsk, user idp.UserID, word string) {
	a.user, a.said = user, word
	for _, c := range p.waits[a.id] {
		close(c)
	}
	delete(p.waits, a.id)
}

// wake closes all channels, whether or not there is news.
func (p *phoneStub) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range maps.Values(p.waits) {
		for _, one := range c {
			close(one)
		}
	}
	p.waits = map[string][]chan struct{}{}
}

func (p *phoneStub) waiting() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.waits {
		n += len(c)
	}
	return n
}

func (p *phoneStub) Ready(_ context.Context, a method.Answer) (bool, error) {
	q := p.find(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	return q.said != "" || !a.Now.Before(q.expires), nil
}

func (p *phoneStub) Changed(a method.Answer) (<-chan struct{}, func()) {
	c, key := make(chan struct{}), string(a.Keep)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits[key] = append(p.waits[key], c)
	return c, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waits[key] = slices.DeleteFunc(p.waits[key], func(o chan struct{}) bool { return o == c }); len(p.waits[key]) == 0 {
			delete(p.waits, key)
		}
	}
}

func (p *phoneStub) Again(_ context.Context, a method.Answer) (method.Settle, error) {
	q := p.find(a)
	return func(context.Context, *sqldb.Tx) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if q.again == 2 {
			return idp.Limitedf("phone_told", "told twice")
		}
		q.again++
		return nil
	}, nil
}

func (p *phoneStub) Withdraw(a method.Answer) method.Settle {
	q := p.find(a)
	return func(context.Context, *sqldb.Tx) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		q.gone = q.said == ""
		return nil
	}
}

func (p *phoneStub) Verify(_ context.Context, a method.Answer) (method.Verdict, error) {
	q := p.find(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch q.said {
	case "approved":
		return method.Verdict{Proof: idp.Proof{
			Tenant: a.Tenant, User: q.user, Method: policy.Phone, Mode: idp.ModePhone, Credential: "phone",
			Properties: []idp.Property{idp.UserVerified, idp.Possession, idp.MultiFactor}, AMR: []string{"swk", "user", "mfa"}, Time: a.Now,
		}}, nil
	case "":
		return method.Verdict{}, idp.Unprovenf("phone_late", "nobody answered")
	}
	return method.Verdict{}, idp.Unprovenf(q.said, "not approved")
}

// phones switches the room on.
func (w *world) phones() {
	w.t.Helper()
	p, err := w.rules.Get(w.t.Context(), w.tenant.ID)
	w.must(err)
	p = p.Clone()
	p.Switch(policy.Phone, true)
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.rules.Put(ctx, tx, w.tenant.ID, p) })
}

var _ method.Waiter = (*phoneStub)(nil)
var _ method.Withdrawer = (*phoneStub)(nil)
