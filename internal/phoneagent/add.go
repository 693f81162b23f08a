package phoneagent

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
)

// AddOptions say which account is added.
type AddOptions struct {
	Link   string // as the QR code has it; or
	Server string // with
	Code   string // eight characters
	CA     []byte // PEM of authorities to trust for the server beside the system's
	Name   string // of the phone
	PIN    string // that opens the passkey; empty: it lies open in its file
}

// Added is a phone that waits for its person to compare the words.
type Added struct {
	Account
	Words []string  `json:"words"`
	Until time.Time `json:"until"`
}

// readLink takes the server and the code out of a link.
func (o *AddOptions) readLink() error {
	if o.Link == "" {
		return nil
	}
	server, code, ok := strings.Cut(o.Link, "/phone/add#")
	if !ok || code == "" {
		return idp.Invalidf("link", "%q", o.Link).Say("the link must look like https://id.example.com/phone/add#CODE: copy all of it, in quotes")
	}
	o.Server, o.Code = server, code
	return nil
}

// Add opens a code, makes both keys and sends them. The phone is good for
// nothing until Await says so.
func (p *Phone) Add(ctx context.Context, o AddOptions) (Added, error) {
	if err := o.readLink(); err != nil {
		return Added{}, err
	}
	o.Server = strings.TrimSuffix(o.Server, "/")
	r, err := p.remote(o.Server, o.CA)
	if err != nil {
		return Added{}, err
	}
	st, err := p.store.load()
	if err != nil {
		return Added{}, err
	}
	var opened phonewire.Opened
	if err := r.plain(ctx, "/enrolments/open", phonewire.Open{Code: o.Code}, &opened); err != nil {
		return Added{}, err
	}
	for _, a := range st.Accounts {
		if a.Server == o.Server && a.User.ID == opened.User.ID {
			return Added{}, idp.Conflictf("account_here", "%s", a.Phone).
				Say(a.User.Name + " has an account on this phone: signet phone remove takes it out; another phone needs a folder of its own, with --state")
		}
	}
	if opened.Options == nil {
		return Added{}, idp.Deniedf("no_passkey", "no options").Say("your organisation lets you have no more passkeys, and this phone needs one of its own: remove one on your account page")
	}
	a := account{Server: o.Server, CA: o.CA, Tenant: opened.Tenant, User: opened.User, Name: o.Name, At: p.cfg.Now().UTC()}
	in, err := a.answer(opened, o)
	if err != nil {
		return Added{}, err
	}
	var done phonewire.Finished
	if err := r.plain(ctx, "/enrolments/finish", in, &done); err != nil {
		return Added{}, err
	}
	a.Phone = done.Phone
	// Another command may have written meanwhile.
	if st, err = p.store.load(); err != nil {
		return Added{}, err
	}
	st.Accounts = append(st.Accounts, a)
	return Added{a.shown(), done.Words, done.Until}, p.store.save(st)
}

// answer makes both keys, and what is sent of them.
func (a *account) answer(opened phonewire.Opened, o AddOptions) (phonewire.Finish, error) {
	in := phonewire.Finish{Code: o.Code, Name: o.Name, Platform: runtime.GOOS, App: app}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return in, fmt.Errorf("make a key: %w", err)
	}
	if a.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return in, fmt.Errorf("write a key: %w", err)
	}
	jwk := gojose.JSONWebKey{Key: key.Public()}
	if in.Key, err = jwk.MarshalJSON(); err != nil {
		return in, fmt.Errorf("write a key: %w", err)
	}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return in, fmt.Errorf("write a key: %w", err)
	}
	var private *ecdsa.PrivateKey
	var challenge []byte
	if a.Passkey, private, in.Passkey, challenge, err = newPasskey(opened.Options, a.Server); err != nil {
		return in, err
	}
	if err := a.Passkey.seal(private, o.PIN); err != nil {
		return in, err
	}
	in.Signature, err = signature(key, phonewire.EnrolMessage(signedCode(o.Code), challenge, thumbprint, a.Passkey.ID))
	return in, err
}

// signedCode is a code as the message has it: that of a link as it is, a typed
// one in its alphabet (Crockford's base 32), without separators.
func signedCode(code string) string {
	if len(code) == 22 { // 16 bytes in base64url
		return code
	}
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	return strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(code)
}

// Await asks every few seconds until the person has compared the words, then
// gives the account. A phone that was not wanted is forgotten: Expired
// "enrolment_over".
func (p *Phone) Await(ctx context.Context, added Added, every time.Duration) (Account, error) {
	st, err := p.store.load()
	if err != nil {
		return Account{}, err
	}
	var a *account
	for i := range st.Accounts {
		if st.Accounts[i].Phone == added.Phone {
			a = &st.Accounts[i]
		}
	}
	if a == nil {
		return Account{}, idp.NotFoundf("no_account", "phone %s", added.Phone).Say("this phone was removed meanwhile")
	}
	for {
		self, err := p.self(ctx, a)
		switch {
		case refusal(err).Word == "phone_unproven":
			over := idp.Expiredf("enrolment_over", "%w", err).
				Say("the words were not confirmed on the page: nothing was added. Run this again with a new link")
			if err := p.forget(a.Phone); err != nil {
				return Account{}, err
			}
			return Account{}, over
		case errors.Is(err, idp.Unavailable) && ctx.Err() == nil && p.cfg.Now().Before(added.Until):
			// A server that is away for a moment has not forgotten us.
		case err != nil:
			return Account{}, err
		case self.State == phonewire.Active:
			shown := a.shown()
			shown.Name, shown.State = self.Name, stateOf(self)
			return shown, nil
		}
		if err := pause(ctx, every); err != nil {
			return Account{}, err
		}
	}
}

// pause waits, unless somebody stops.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
