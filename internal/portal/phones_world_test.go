package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// phoneRoom stands in for the phone room where a test is about pages alone, and
// about what a real one says in an hour only, or never: everything is in memory.
type phoneRoom struct {
	mu     sync.Mutex
	now    func() time.Time
	held   []method.Credential
	phones []Phone
	blocks []PhoneBlock
	known  []KnownBrowser
	open   map[string]*openEnrolment
	tests  []string // ids that a message was sent to
	result string   // of the next test
	limit  int
}

type openEnrolment struct {
	PhoneEnrolment
	user    idp.UserID
	changed chan struct{}
}

func (f *phoneRoom) ID() idp.MethodID { return policy.Phone }
func (f *phoneRoom) View() method.View {
	return method.View{Action: "signin-phone", Icon: "phone", Label: "phones.add", Note: "phones.push"}
}
func (f *phoneRoom) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Unprovenf("never", "no sign-in here")
}
func (f *phoneRoom) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, idp.Unprovenf("never", "no sign-in here")
}

func (f *phoneRoom) BeginRegister(_ context.Context, r method.Request) (method.Challenge, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := fmt.Sprintf("enrolment-%d", len(f.open)+1)
	e := &openEnrolment{user: r.User.ID, changed: make(chan struct{})}
	e.Expires = r.Now.Add(10 * time.Minute)
	f.open[id] = e
	show, err := json.Marshal(shownEnrolment{ID: id, Link: origin + "/phone/add#" + fmt.Sprintf("%022d", len(f.open)), Typed: "K7QF2M9X", Expires: e.Expires})
	return method.Challenge{Show: show, Keep: []byte(id), Lives: 10 * time.Minute}, err
}

func (f *phoneRoom) FinishRegister(_ context.Context, a method.Answer) (method.Registration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := string(a.Keep)
	e := f.open[id]
	if e == nil || !e.Answered || string(a.Payload) != `{"confirm":true}` {
		delete(f.open, id)
		return method.Registration{}, idp.Unprovenf("words_differ", "enrolment %s", id)
	}
	c := method.Credential{
		ID: idp.CredentialID("phone-of-" + id), Tenant: a.Tenant, User: a.User.ID, Method: policy.Phone, Name: e.Name, Model: "Signet 1.0", Created: a.Now,
		Mode: idp.ModePhone, Properties: []idp.Property{idp.UserVerified, idp.Possession, idp.MultiFactor},
	}
	return method.Registration{Credential: c, Settle: func(context.Context, *sqldb.Tx) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.open, id)
		f.held = append(f.held, c)
		f.phones = append(f.phones, Phone{ID: c.ID, Platform: e.Platform, Push: "webpush"})
		return nil
	}}, nil
}

// comes is a phone that opens the newest code.
func (f *phoneRoom) comes(name string, words ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.open[fmt.Sprintf("enrolment-%d", len(f.open))]
	e.Answered, e.Words, e.Name, e.Platform = true, words, name, "Android 16"
	close(e.changed)
}

func (f *phoneRoom) of(u idp.UserID) (out []method.Credential) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.held {
		if c.User == u {
			out = append(out, c)
		}
	}
	return out
}

func (f *phoneRoom) at(u idp.UserID, id idp.CredentialID) (int, error) {
	n := slices.IndexFunc(f.held, func(c method.Credential) bool { return c.User == u && c.ID == id })
	if n < 0 {
		return n, idp.NotFoundf("credential_unknown", "phone %s of %s", id, u)
	}
	return n, nil
}

func (f *phoneRoom) List(_ context.Context, _ idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	return f.of(u), nil
}
func (f *phoneRoom) Rename(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID, id idp.CredentialID, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.at(u, id)
	if err == nil {
		f.held[n].Name = name
	}
	return err
}
func (f *phoneRoom) Remove(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.at(u, id)
	if err == nil {
		f.held = slices.Delete(f.held, n, n+1)
	}
	return err
}
func (f *phoneRoom) Count(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID) (int, error) {
	return len(f.of(u)), nil
}
func (f *phoneRoom) Walk(context.Context, idp.TenantID, func(method.Credential) error) error {
	return nil
}

// forPages is what the portal is given of it.
func (f *phoneRoom) forPages() *Phones {
	find := func(u idp.UserID, id string) (*openEnrolment, error) {
		if e := f.open[id]; e != nil && e.user == u {
			return e, nil
		}
		return nil, idp.NotFoundf("enrolment_unknown", "enrolment %.40q of %s", id, u)
	}
	return &Phones{
		Enrolment: func(_ context.Context, _ idp.TenantID, u idp.UserID, id string) (PhoneEnrolment, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			e, err := find(u, id)
			if err != nil {
				return PhoneEnrolment{}, err
			}
			return e.PhoneEnrolment, nil
		},
		Enrolled: func(_ context.Context, _ idp.TenantID, u idp.UserID, id string) (<-chan struct{}, func()) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if e, err := find(u, id); err == nil {
				return e.changed, func() {}
			}
			return nil, func() {}
		},
		Withdraw: func(_ context.Context, _ idp.TenantID, u idp.UserID, id string) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if _, err := find(u, id); err == nil {
				delete(f.open, id)
			}
			return nil
		},
		List: func(context.Context, idp.TenantID, idp.UserID) ([]Phone, error) { return f.phones, nil },
		Holding: func(_ context.Context, _ idp.TenantID, u idp.UserID) (Holding, error) {
			return Holding{Held: len(f.of(u)), Limit: f.limit, WarnAt: f.limit * 3 / 4}, nil
		},
		Blocks: func(context.Context, idp.TenantID, idp.UserID) ([]PhoneBlock, error) { return f.blocks, nil },
		Test: func(_ context.Context, _ idp.TenantID, _ idp.UserID, id idp.CredentialID) (string, error) {
			f.tests = append(f.tests, string(id))
			return f.result, nil
		},
		Browsers: func(context.Context, idp.TenantID, idp.UserID, []byte) ([]KnownBrowser, error) { return f.known, nil },
		Forget: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, _ idp.UserID, id string) error {
			n := slices.IndexFunc(f.known, func(b KnownBrowser) bool { return b.ID == id })
			if n < 0 {
				return idp.NotFoundf("browser_gone", "browser %.40q", id)
			}
			f.known = slices.Delete(f.known, n, n+1)
			return nil
		},
	}
}

// phonesOn switches the method on.
func (w *world) phonesOn() {
	w.t.Helper()
	w.policy(func(p *policy.Policy) { p.Methods[policy.Phone] = policy.Everybody() })
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
