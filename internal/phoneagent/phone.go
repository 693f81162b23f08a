package phoneagent

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
)

// app is how this phone names itself.
const app = "signet-phone"

// Config says where a phone keeps what it is.
type Config struct {
	Folder string // made with mode 0700 when there is none
	Now    func() time.Time
}

// Phone is all accounts of one folder.
type Phone struct {
	cfg   Config
	store store
}

// New opens a phone. Denied "state_open" when others may look into the folder.
func New(cfg Config) (*Phone, error) {
	s, err := openStore(cfg.Folder)
	if err != nil {
		return nil, err
	}
	return &Phone{cfg, s}, nil
}

// Account is an enrolment as it is kept here.
type Account struct {
	Server       string    `json:"server"`
	Organisation string    `json:"organisation"`
	User         string    `json:"userPrincipalName"`
	Phone        string    `json:"id"`
	Name         string    `json:"name"`
	PIN          bool      `json:"pin"` // approving takes one
	Enrolled     time.Time `json:"enrolled"`
	// State is what the server says: "active", "waiting" for the comparison of
	// words, "unusable" when what it approves does not count at present, "gone",
	// or "unknown" when the server could not be asked.
	State string `json:"state,omitempty"`
}

func (a *account) shown() Account {
	return Account{
		Server: a.Server, Organisation: a.Tenant.Name, User: a.User.Name, Phone: a.Phone, Name: a.Name,
		PIN: len(a.Passkey.Salt) > 0, Enrolled: a.At,
	}
}

// List gives the accounts, each with what its server says of it.
func (p *Phone) List(ctx context.Context) ([]Account, error) {
	st, err := p.store.load()
	if err != nil {
		return nil, err
	}
	out := []Account{}
	for i := range st.Accounts {
		a := &st.Accounts[i]
		shown := a.shown()
		switch self, err := p.self(ctx, a); {
		case refusal(err).Word == "phone_unproven":
			shown.State = "gone"
		case err != nil:
			shown.State = "unknown"
		default:
			shown.Name, shown.State = self.Name, stateOf(self)
		}
		out = append(out, shown)
	}
	return out, ctx.Err()
}

func stateOf(s phonewire.Self) string {
	if s.State == phonewire.Active && !s.Usable {
		return "unusable"
	}
	return s.State
}

func (p *Phone) self(ctx context.Context, a *account) (out phonewire.Self, err error) {
	r, err := p.remote(a.Server, a.CA)
	if err == nil {
		err = r.signed(ctx, a, http.MethodGet, "/self", nil, &out)
	}
	return out, err
}

// call sends one signed request of somebody's only account.
func (p *Phone) call(ctx context.Context, user, method, path string, in, out any) (*account, error) {
	st, err := p.store.load()
	if err != nil {
		return nil, err
	}
	a, err := st.one(user)
	if err != nil {
		return nil, err
	}
	r, err := p.remote(a.Server, a.CA)
	if err != nil {
		return nil, err
	}
	return a, r.signed(ctx, a, method, path, in, out)
}

// Rename gives the phone another name.
func (p *Phone) Rename(ctx context.Context, user, name string) (Account, error) {
	var self phonewire.Self
	a, err := p.call(ctx, user, http.MethodPut, "/self", phonewire.Change{Name: &name}, &self)
	if err != nil {
		return Account{}, err
	}
	shown := a.shown()
	shown.Name, shown.State = self.Name, stateOf(self)
	return shown, p.change(a.Phone, func(a *account) { a.Name = self.Name })
}

// Test has the server send a message, and says what became of it.
func (p *Phone) Test(ctx context.Context, user string) (out phonewire.Tested, err error) {
	_, err = p.call(ctx, user, http.MethodPost, "/self/test", nil, &out)
	return out, err
}

// Entry is a request that is over.
type Entry struct {
	ID      string            `json:"id"`
	Result  string            `json:"result"`
	Time    time.Time         `json:"time"`
	Here    bool              `json:"here"` // answered on this phone
	Phone   string            `json:"phone,omitempty"`
	Context phonewire.Context `json:"context"`
}

// History gives what became of the last requests, newest first.
func (p *Phone) History(ctx context.Context, user string) ([]Entry, error) {
	var got phonewire.History
	if _, err := p.call(ctx, user, http.MethodGet, "/history", nil, &got); err != nil {
		return nil, err
	}
	out := make([]Entry, len(got.Entries))
	for i, e := range got.Entries {
		shown, err := readContext(e.Context)
		if err != nil {
			return nil, err
		}
		out[i] = Entry{e.ID, e.Result, e.Time, e.Here, e.Phone, shown}
	}
	return out, nil
}

// Remove takes the phone out of the account, and forgets it here. With force it
// is forgotten whatever the server says.
func (p *Phone) Remove(ctx context.Context, user string, force bool) (Account, error) {
	a, err := p.call(ctx, user, http.MethodDelete, "/self", nil, nil)
	if a == nil || err != nil && !force {
		return Account{}, err
	}
	return a.shown(), p.forget(a.Phone)
}

// change rewrites one account of the state as it is now.
func (p *Phone) change(phone string, f func(*account)) error {
	st, err := p.store.load()
	if err != nil {
		return err
	}
	for i := range st.Accounts {
		if st.Accounts[i].Phone == phone {
			f(&st.Accounts[i])
		}
	}
	return p.store.save(st)
}

func (p *Phone) forget(phone string) error {
	st, err := p.store.load()
	if err != nil {
		return err
	}
	st.Accounts = slices.DeleteFunc(st.Accounts, func(a account) bool { return a.Phone == phone })
	return p.store.save(st)
}

// over says that what the phone was asked is over, for whoever asks again later.
func over(err error) bool { return errors.Is(err, idp.Expired) || errors.Is(err, idp.NotFound) }
