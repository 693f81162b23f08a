package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/securitykey"
)

// grantWebAuthn says that a message has the assertion of a passkey: an
// extension of ours (device-protocol.md §7.2).
const grantWebAuthn = "urn:ietf:params:oauth:grant-type:webauthn"

// PasskeyOptions say which security key signs somebody in.
type PasskeyOptions struct {
	User     string // user principal name; empty: whoever the key says
	Key      securitykey.Device
	Terminal securitykey.Terminal // where the key's PIN is asked for
	// Choose picks one of several passkeys on the key, by its place; nil: that
	// is an error.
	Choose func([]securitykey.Passkey) (int, error)
}

// SignInByPasskey has a passkey on a security key sign the server's nonce, and
// gets a PRT for it. The person needs no key on this device; the server wants
// them verified by the security key, with its PIN or a finger.
//
// The state is not locked while the person is asked. Whose passkey it is only
// the server knows; when it is not that of User, nothing is kept.
func (a *Agent) SignInByPasskey(ctx context.Context, o PasskeyOptions) (PRTResult, error) {
	asked, aerr := a.askPasskey(ctx, o)
	if ctx.Err() != nil {
		return PRTResult{}, errors.Join(aerr, ctx.Err())
	}
	var result PRTResult
	err := a.during(ctx, "sign-in", func(w *work) error {
		if aerr != nil {
			return aerr
		}
		if err := w.ready(); err != nil {
			return err
		}
		got, err := w.remote.sendPRT(ctx, w.vault, w.st.Endpoints, w.st.Device, prtRequest{
			ClientID: clientID, Nonce: asked.nonce, Scope: prtScope, GrantType: grantWebAuthn, Assertion: asked.assertion,
		})
		if err != nil {
			return foreign(w.passkeyRefused(err))
		}
		p, err := w.ofPasskey(got, o.User)
		if err != nil {
			return err
		}
		p.Passkey = &passkey{asked.passkey.ID, asked.passkey.User}
		if err := w.keep(ctx, p, byPasskey, got); err != nil {
			return err
		}
		result = p.result()
		return nil
	})
	return result, err
}

// signedNonce is a nonce of the server, signed by a passkey.
type signedNonce struct {
	nonce, assertion string
	passkey          securitykey.Passkey
}

// askPasskey gets a nonce and has the security key sign it.
func (a *Agent) askPasskey(ctx context.Context, o PasskeyOptions) (signedNonce, error) {
	st, err := a.store.load()
	if err != nil {
		return signedNonce{}, err
	}
	w := &work{Agent: a, st: st, now: a.cfg.Now()}
	if st.Device == nil {
		return signedNonce{}, errNotJoined()
	}
	if err := w.server(); err != nil {
		return signedNonce{}, err
	}
	if err := w.reachable(ctx); err != nil {
		return signedNonce{}, err
	}
	site, err := st.Endpoints.site()
	if err != nil {
		return signedNonce{}, err
	}
	// The one of last time is tried without asking the key what it has, which
	// would take its PIN a second time.
	if p, err := st.person(o.User); err == nil && p.Passkey != nil {
		got, err := w.signNonce(ctx, o, site, securitykey.Passkey{ID: p.Passkey.ID, User: p.Passkey.User})
		if !errors.Is(err, securitykey.ErrNoPasskey) {
			return got, keyError(err)
		}
	}
	all, err := securitykey.List(ctx, o.Terminal, o.Key, site.RPID)
	if err != nil {
		return signedNonce{}, keyError(err)
	}
	chosen, err := o.choose(all)
	if err != nil {
		return signedNonce{}, err
	}
	got, err := w.signNonce(ctx, o, site, chosen)
	return got, keyError(err)
}

func (o PasskeyOptions) choose(all []securitykey.Passkey) (securitykey.Passkey, error) {
	if len(all) == 1 {
		return all[0], nil
	}
	if o.Choose == nil {
		return securitykey.Passkey{}, idp.Invalidf("which_passkey", "%d passkeys", len(all)).
			Say(fmt.Sprintf("this security key has %d passkeys for this server: run this at a terminal, and say which", len(all)))
	}
	n, err := o.Choose(slices.Clone(all))
	if err != nil {
		return securitykey.Passkey{}, err
	}
	if n < 0 || n >= len(all) {
		return securitykey.Passkey{}, idp.Invalidf("which_passkey", "%d of %d", n, len(all)).Say("there is no such passkey in the list")
	}
	return all[n], nil
}

// signNonce asks for a nonce at the last moment, and has the key sign it: a
// nonce is good for five minutes, and people look for their keys.
func (w *work) signNonce(ctx context.Context, o PasskeyOptions, site securitykey.Question, p securitykey.Passkey) (signedNonce, error) {
	nonce, err := w.remote.nonce(ctx, w.st.Endpoints)
	if err != nil {
		return signedNonce{}, err
	}
	site.Challenge = []byte(nonce) // its text, not what it encodes
	made, err := securitykey.Get(ctx, o.Terminal, o.Key, site, p)
	if err != nil {
		return signedNonce{}, err
	}
	text, err := json.Marshal(made)
	return signedNonce{nonce, string(text), p}, err
}

// site is what the server's passkeys are made for: the host that its pages are
// on (WebAuthn Level 3, §5.1.2).
func (e endpoints) site() (securitykey.Question, error) {
	u, err := url.Parse(e.Authorize)
	if err != nil || u.Hostname() == "" {
		return securitykey.Question{}, fmt.Errorf("the server's sign-in page %q is no address", e.Authorize)
	}
	return securitykey.Question{RPID: u.Hostname(), Origin: u.Scheme + "://" + u.Host}, nil
}

// keyError is what a security key refused, in its words: they are for the person.
func keyError(err error) error {
	if err == nil || errors.As(err, new(*idp.Error)) || errors.Is(err, context.Canceled) {
		return err
	}
	return idp.Deniedf("security_key", "%w", err).Say(err.Error())
}

// passkeyRefused puts what the server says of Hello keys into words that fit
// a passkey, and remembers when the whole device was turned away.
func (w *work) passkeyRefused(err error) error {
	r := refusal(err)
	if r == nil {
		return err
	}
	switch {
	case r.Code == codeNonce:
		return idp.Expiredf("passkey_late", "%w", err).Say("the security key was asked for too long: run this again")
	case r.Code == codeKeyUnknown, r.Code == codeKeyWrong, r.Code == codeKeyDisabled, r.Code == codeKeyHomeless:
		return idp.Unprovenf("passkey_refused", "%w", err).Coded(r.Code).
			Say("the server does not accept this passkey: it may have been removed, or the key did not verify you. Sign in another way, and look at your sign-in methods")
	}
	return w.turnedAway(nil, err)
}

// ofPasskey finds or adds the person whom the server let in, and refuses one
// who is not the one that was meant.
func (w *work) ofPasskey(got answer, user string) (*person, error) {
	i, err := who(got.IDToken)
	if err != nil {
		return nil, fmt.Errorf("read who signed in: %w", err)
	}
	if i.ObjectID == "" {
		return nil, errors.New("the server does not say who signed in")
	}
	if user != "" && !strings.EqualFold(user, i.name()) {
		return nil, idp.Deniedf("another_person", "%s", i.ObjectID).Say("that security key is " + i.name() + "'s, and not " + user + "'s: nobody was signed in")
	}
	return w.st.known(i), nil
}
