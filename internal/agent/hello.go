package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/secret"
)

// EnrolOptions say whose key to make.
type EnrolOptions struct {
	User string // user principal name; empty: whoever is alone here, or signs in
	PIN  string
	// SignIn is used when what is at hand was proven too long ago; nil: that
	// is an error.
	SignIn SignIn
}

// EnrolResult is a registered user key.
type EnrolResult struct {
	User  string `json:"userPrincipalName"`
	KeyID string `json:"kid"`
	Place Place  `json:"keys"`
}

// Enrol makes a user key under a PIN and registers it. Conflict: there is one.
func (a *Agent) Enrol(ctx context.Context, o EnrolOptions) (EnrolResult, error) {
	return a.enrol(ctx, "hello enrol", o, false)
}

// Reset makes a new user key in the place of the old one: the PIN is
// forgotten, or the server does not take the key any more.
func (a *Agent) Reset(ctx context.Context, o EnrolOptions) (EnrolResult, error) {
	return a.enrol(ctx, "hello reset", o, true)
}

func (a *Agent) enrol(ctx context.Context, doing string, o EnrolOptions, anew bool) (EnrolResult, error) {
	var result EnrolResult
	err := a.during(ctx, doing, func(w *work) error {
		if err := w.ready(); err != nil {
			return err
		}
		if err := CheckPIN(o.PIN); err != nil {
			return err
		}
		p, err := w.st.person(o.User)
		if err != nil && (o.SignIn == nil || errors.Is(err, idp.Invalid)) {
			return err
		}
		if p != nil && p.Hello != nil && !anew {
			return idp.Conflictf("enrolled", "%s", p.Hello.ID).
				Say(p.UPN + " has a key on this device already: signet device hello change-pin, or hello reset when the PIN is forgotten")
		}
		if err := w.reachable(ctx); err != nil {
			return err
		}
		token, p, err := w.freshToken(ctx, p, o)
		if err != nil {
			return err
		}
		if err := w.enrol(ctx, p, token, o.PIN); err != nil {
			return err
		}
		result = EnrolResult{p.UPN, p.Hello.ID, w.st.Place}
		return nil
	})
	return result, err
}

// freshToken gives a registration token that shows a gesture of minutes ago:
// by the PRT at hand, by what a join by access pass has left, or by a new sign-in
// and, unless that is by a pass, a new PRT.
func (w *work) freshToken(ctx context.Context, p *person, o EnrolOptions) (string, *person, error) {
	if p != nil && p.PRT != nil {
		got, err := w.use(ctx, p, clientID, registrationResource+"/.default")
		if err == nil && fresh(got.AccessToken) {
			return got.AccessToken, p, nil
		}
		if err != nil && refusal(err) == nil {
			return "", nil, err
		}
	}
	if p != nil && p.Registration != nil && w.now.Before(p.Registration.Until) {
		return p.Registration.Token, p, nil
	}
	if o.SignIn == nil {
		return "", nil, idp.Deniedf("not_fresh", "no interactive sign-in").Say("a key needs a sign-in of at most 10 minutes ago: run this at a terminal")
	}
	login := o.User
	if p != nil {
		login = p.UPN
	}
	g, err := o.SignIn.obtain(ctx, w.remote, w.st.Endpoints, occasion{login: login, credential: w.credential})
	if err != nil {
		return "", nil, err
	}
	i, err := who(g.IDToken)
	if err != nil {
		return "", nil, err
	}
	if p != nil && p.ID != i.ObjectID {
		return "", nil, idp.Deniedf("another_person", "%s", i.ObjectID).Say(i.name() + " signed in, but the key is for " + p.UPN + ": run this again as that person, or say --user")
	}
	p = w.st.known(i)
	if g.byPass() {
		if !ofDevice(g.AccessToken) {
			return "", nil, idp.Deniedf("pass_elsewhere", "token of no device").
				Say("a pass that is used in a browser makes no key on this device: run this with --access-pass-file and another pass, or sign in with a passkey")
		}
		return g.AccessToken, p, nil
	}
	if err := w.bySignIn(ctx, p, g); err != nil {
		return "", nil, err
	}
	got, err := w.use(ctx, p, clientID, registrationResource+"/.default")
	if err != nil {
		return "", nil, err
	}
	return got.AccessToken, p, nil
}

// enrol makes the key and tells the server. The server keeps one key for a
// person on a device, so that one whose answer was lost is simply replaced.
func (w *work) enrol(ctx context.Context, p *person, token, pin string) error {
	salt := secret.Bytes(32)
	made, err := w.vault.Make(forUser, pinAuth(salt, pin))
	if err != nil {
		return err
	}
	made.Salt = salt
	pub, err := w.vault.PublicKey(made)
	if err != nil {
		return err
	}
	p.Enrolling = &hello{Key: made, ID: helloKeyID(pub), At: w.now}
	if err := w.save("user key made"); err != nil {
		return err
	}
	err = w.remote.post(ctx, withVersion(w.st.Endpoints.Key, "1.0"), token, map[string]string{"kngc": base64.StdEncoding.EncodeToString(jose.RSA1(pub))}, nil)
	if err != nil {
		if r := refusal(err); r != nil && r.Status < 500 {
			p.Enrolling = nil
			if r.Status == http.StatusUnauthorized {
				p.Registration = nil
			}
			return errors.Join(err, w.save("user key refused"))
		}
		return err
	}
	w.store.step("user key answered")
	p.Hello, p.Enrolling, p.Registration = p.Enrolling, nil, nil
	return w.save("enrolled")
}

// ChangePIN puts the same key under another PIN. The server does not take part.
func (a *Agent) ChangePIN(ctx context.Context, user, old, next string) error {
	return a.during(ctx, "hello change-pin", func(w *work) error {
		if w.st.Device == nil {
			return errNotJoined()
		}
		p, err := w.st.person(user)
		if err != nil {
			return err
		}
		if p.Hello == nil {
			return errNoHello(p)
		}
		if err := CheckPIN(next); err != nil {
			return err
		}
		if err := w.keys(); err != nil {
			return err
		}
		salt := secret.Bytes(32)
		changed, err := w.vault.ChangeAuth(p.Hello.Key, pinAuth(p.Hello.Key.Salt, old), pinAuth(salt, next))
		if err != nil {
			return foreign(pinError(w.vault, err))
		}
		changed.Salt = salt
		p.Hello.Key = changed
		return w.save("PIN changed")
	})
}

func errNoHello(p *person) error {
	return idp.NotFoundf("no_hello", "%s", p.UPN).Say(p.UPN + " has no key on this device: signet device hello enrol")
}
