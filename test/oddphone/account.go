package oddphone

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Opened is what a code leads to.
type Opened struct {
	Tenant  struct{ ID, Name, Domain string }
	User    struct{ ID, Name, DisplayName string }
	Options json.RawMessage
	Reuse   json.RawMessage
	Push    struct {
		Kinds []string
		Key   string
	}
	Expires time.Time
}

// Finished is a phone that waits for the comparison of its words.
type Finished struct {
	Phone string
	Words []string
	Until time.Time
}

// canonical is a code as the signature has it: that of a link as it is, eight
// characters in upper case without hyphen and with 0 and 1 put right.
func canonical(code string) string {
	if len(code) == 22 {
		return code
	}
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	return strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(code)
}

// Open asks whose account a code is for.
func (p *Phone) Open(ctx context.Context, code string) (out Opened, err error) {
	a, err := p.tell(ctx, "/enrolments/open", map[string]any{"code": code, "member": "that nobody knows"})
	if err != nil {
		return out, err
	}
	return out, a.into(&out)
}

// application is the body of /enrolments/finish, open to be spoilt.
type application map[string]any

// Apply makes everything that /enrolments/finish wants: the passkey anew, or
// held when it is one of this person's.
func (p *Phone) Apply(o Opened, code string, held *Passkey) (application, error) {
	p.Tenant, p.User = o.Tenant.ID, o.User.ID
	var key any
	if err := json.Unmarshal([]byte(p.jwk()), &key); err != nil {
		return nil, err
	}
	body := application{"code": code, "name": "The odd phone", "platform": "other", "app": "odd/1", "key": key, "unknown": []int{1}}
	var challenge string
	if held != nil {
		var r request
		if err := publicKey(o.Reuse, &r); err != nil {
			return nil, err
		}
		raw, err := b64.DecodeString(r.Challenge)
		if err != nil {
			return nil, err
		}
		a, err := held.Get(raw, flagPresent|flagVerified)
		if err != nil {
			return nil, err
		}
		p.Passkey, challenge, body["reuse"] = held, r.Challenge, a.Credential
	} else {
		passkey, credential, err := NewPasskey(o.Options, p.Server)
		if err != nil {
			return nil, err
		}
		var c creation
		if err := publicKey(o.Options, &c); err != nil {
			return nil, err
		}
		p.Passkey, challenge, body["passkey"] = passkey, c.Challenge, credential
	}
	raw, err := b64.DecodeString(challenge)
	if err != nil {
		return nil, err
	}
	body["signature"] = b64.EncodeToString(sign(p.Key, message("signet-phone-enrol/1", []byte(canonical(code)), raw, p.thumbprint(), p.Passkey.ID)))
	return body, nil
}

// Finish sends an application.
func (p *Phone) Finish(ctx context.Context, body application) (out Finished, a Answer, err error) {
	if a, err = p.tell(ctx, "/enrolments/finish", body); err != nil {
		return out, a, err
	}
	if err = a.into(&out); err == nil {
		p.ID = out.Phone
	}
	return out, a, err
}

// Self is what the server knows of the phone.
type Self struct {
	State   string
	Phone   struct{ ID, Name string }
	Tenant  struct{ ID, Name, Domain string }
	User    struct{ ID, Name, DisplayName string }
	RPID    string `json:"rpId"`
	Passkey string
}

// Self asks for it.
func (p *Phone) Self(ctx context.Context) (out Self, err error) {
	a, err := p.Do(ctx, http.MethodGet, "/self", nil)
	if err != nil {
		return out, err
	}
	return out, a.into(&out)
}

// Waiting is a sign-in that asks.
type Waiting struct {
	ID, Nonce, Context string
	Created, Expires   time.Time
}

// Requests asks for those that wait.
func (p *Phone) Requests(ctx context.Context) ([]Waiting, error) {
	a, err := p.Do(ctx, http.MethodGet, "/requests", nil)
	if err != nil {
		return nil, err
	}
	var out struct {
		Requests []Waiting
		Now      time.Time
	}
	if err := a.into(&out); err != nil {
		return nil, err
	}
	if off := out.Now.Sub(p.Now()).Abs(); off > 30*time.Second {
		return nil, fmt.Errorf("now is %v, %v off", out.Now, off)
	}
	return out.Requests, nil
}

// challenge is what both keys sign; each part is open to be swapped.
type challenge struct {
	Tenant, User        string
	Request, Nonce      []byte
	Number, Context, ID string
}

func (c challenge) sum() []byte {
	context := sha256.Sum256([]byte(c.Context))
	out := sha256.Sum256(message("signet-phone-approve/1", []byte(c.Tenant), []byte(c.User), c.Request, c.Nonce, []byte(c.Number), context[:], []byte(c.ID)))
	return out[:]
}

// approval is an answer open to be spoilt before it is signed and sent.
type approval struct {
	challenge
	sent    string // the number in the body
	flags   byte
	passkey *Passkey
	body    func(map[string]any)
}

// Approve signs a request with a number.
func (p *Phone) Approve(ctx context.Context, w Waiting, number string, spoil ...func(*approval)) (Answer, error) {
	id, err := b64.DecodeString(w.ID)
	if err != nil {
		return Answer{}, err
	}
	nonce, err := b64.DecodeString(w.Nonce)
	if err != nil {
		return Answer{}, err
	}
	a := &approval{challenge{p.Tenant, p.User, id, nonce, number, w.Context, p.ID}, number, flagPresent | flagVerified, p.Passkey, nil}
	for _, s := range spoil {
		s(a)
	}
	sum := a.sum()
	assertion, err := a.passkey.Get(sum, a.flags)
	if err != nil {
		return Answer{}, err
	}
	body := map[string]any{"number": a.sent, "assertion": assertion.Credential,
		"signature": b64.EncodeToString(sign(p.Key, message("signet-phone-answer/1", sum, assertion.Data, assertion.Signature)))}
	if a.body != nil {
		a.body(body)
	}
	return p.Do(ctx, http.MethodPost, "/requests/"+w.ID+"/approve", body)
}

// Deny says that it was not its person.
func (p *Phone) Deny(ctx context.Context, w Waiting, report bool) (Answer, error) {
	return p.Do(ctx, http.MethodPost, "/requests/"+w.ID+"/deny", map[string]any{"report": report})
}
