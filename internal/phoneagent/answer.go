package phoneagent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
)

// Request is a sign-in that waits for this phone.
type Request struct {
	ID      string            `json:"id"`
	User    string            `json:"userPrincipalName"`
	Context phonewire.Context `json:"context"`
	Created time.Time         `json:"created"`
	Expires time.Time         `json:"expires"`
	PIN     bool              `json:"pin"` // approving takes one

	asked   phonewire.Request // as it came: what is signed
	account account
}

// readContext reads what a person is shown.
func readContext(text string) (c phonewire.Context, err error) {
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("read what the server says of a sign-in: %w", err)
	}
	return c, nil
}

// Requests gives what waits: for the account of somebody, or for all accounts.
// What a server cannot be asked does not hide what others say, but is an error
// beside it.
func (p *Phone) Requests(ctx context.Context, user string) ([]Request, error) {
	st, err := p.store.load()
	if err != nil {
		return nil, err
	}
	all, err := st.find(user)
	if err != nil {
		return nil, err
	}
	out := []Request{}
	var errs []error
	for _, a := range all {
		got, err := p.waiting(ctx, a)
		out = append(out, got...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

func (p *Phone) waiting(ctx context.Context, a *account) ([]Request, error) {
	r, err := p.remote(a.Server, a.CA)
	if err != nil {
		return nil, err
	}
	var got phonewire.Requests
	if err := r.signed(ctx, a, http.MethodGet, "/requests", nil, &got); err != nil {
		return nil, err
	}
	out := make([]Request, len(got.Requests))
	for i, q := range got.Requests {
		shown, err := readContext(q.Context)
		if err != nil {
			return nil, err
		}
		out[i] = Request{q.ID, a.User.Name, shown, q.Created, q.Expires, len(a.Passkey.Salt) > 0, q, *a}
	}
	return out, nil
}

// Find gives the request with an id, or the only one that waits.
func (p *Phone) Find(ctx context.Context, user, id string) (Request, error) {
	all, err := p.Requests(ctx, user)
	for _, q := range all {
		if id == q.ID {
			return q, nil
		}
	}
	switch {
	case err != nil:
		return Request{}, err
	case id != "":
		return Request{}, idp.NotFoundf("request_unknown", "request %q", id).Say("no such request waits: signet phone requests shows what does")
	case len(all) == 0:
		return Request{}, idp.NotFoundf("no_request", "none waits").Say("nothing waits for this phone: sign in somewhere first")
	case len(all) > 1:
		return Request{}, idp.Invalidf("which_request", "%d wait", len(all)).Say("several sign-ins wait: say which with --request; signet phone requests shows them")
	}
	return all[0], nil
}

// CheckNumber says whether a number is one: Invalid "number" if not.
func CheckNumber(number string) error {
	if len(number) != 2 || number[0] < '0' || number[0] > '9' || number[1] < '0' || number[1] > '9' {
		return idp.Invalidf("number", "%q", number).Say("the number has two digits: type what the other screen shows")
	}
	return nil
}

// Approve says yes to a request, with the number that its person read on the
// other screen. It gives phonewire.Approved or phonewire.WrongNumber: there is
// one try. Unproven "pin_wrong" leaves the request as it was.
func (p *Phone) Approve(ctx context.Context, q Request, number, pin string) (string, error) {
	if err := CheckNumber(number); err != nil {
		return "", err
	}
	a := &q.account
	in, err := a.approval(q.asked, number, pin)
	if err != nil {
		return "", err
	}
	return p.answer(ctx, a, q.ID, "approve", in)
}

// approval makes both signatures over what this phone has shown.
func (a *account) approval(q phonewire.Request, number, pin string) (phonewire.Approve, error) {
	in := phonewire.Approve{Number: number}
	about := phonewire.Approval{Tenant: a.Tenant.ID, User: a.User.ID, Number: number, Context: q.Context, Phone: a.Phone}
	var err1, err2 error
	about.Request, err1 = base64.RawURLEncoding.DecodeString(q.ID)
	about.Nonce, err2 = base64.RawURLEncoding.DecodeString(q.Nonce)
	if err := errors.Join(err1, err2); err != nil {
		return in, fmt.Errorf("read a request: %w", err)
	}
	private, err := a.Passkey.open(pin)
	if err != nil {
		return in, err
	}
	challenge := about.Challenge()
	said, err := a.Passkey.sign(private, challenge, a.Server)
	if err != nil {
		return in, err
	}
	key, err := ecKey(a.Key)
	if err != nil {
		return in, err
	}
	in.Assertion = said.credential
	in.Signature, err = signature(key, phonewire.AnswerMessage(challenge, said.data, said.signature))
	return in, err
}

// Deny says that it was not its person, and with report that somebody else
// tries to be them. What was denied or came too late may still be reported, by
// its id.
func (p *Phone) Deny(ctx context.Context, q Request, report bool) (string, error) {
	return p.answer(ctx, &q.account, q.ID, "deny", phonewire.Deny{Report: report})
}

// Report reports a request that is over.
func (p *Phone) Report(ctx context.Context, user, id string) (string, error) {
	st, err := p.store.load()
	if err != nil {
		return "", err
	}
	a, err := st.one(user)
	if err != nil {
		return "", err
	}
	return p.answer(ctx, a, id, "deny", phonewire.Deny{Report: true})
}

func (p *Phone) answer(ctx context.Context, a *account, id, verb string, in any) (string, error) {
	if _, err := base64.RawURLEncoding.DecodeString(id); err != nil || id == "" {
		return "", idp.Invalidf("request_unknown", "request %q", id).Say("that is no id of a request: signet phone requests and signet phone history show them")
	}
	r, err := p.remote(a.Server, a.CA)
	if err != nil {
		return "", err
	}
	var out phonewire.Result
	err = r.signed(ctx, a, http.MethodPost, "/requests/"+id+"/"+verb, in, &out)
	return out.Result, err
}

// Watch asks every few seconds what waits, and hands each request to f once,
// until f fails or ctx ends. A server that is away for a moment, and a request
// that was over before its answer came, end nothing: trouble is told, and it
// goes on.
func (p *Phone) Watch(ctx context.Context, user string, every time.Duration, f func(Request) error, trouble func(error)) error {
	seen := map[string]bool{}
	for {
		all, err := p.Requests(ctx, user)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, idp.Unavailable) && !errors.Is(err, idp.Limited) {
			return err
		}
		if err != nil {
			trouble(err)
		}
		for _, q := range all {
			if seen[q.ID] {
				continue
			}
			seen[q.ID] = true
			switch err := f(q); {
			case over(err):
				trouble(err)
			case err != nil:
				return err
			}
		}
		if err := pause(ctx, every); err != nil {
			return err
		}
	}
}
