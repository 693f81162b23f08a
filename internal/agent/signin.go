package agent

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// RenewAfter is the age at which a PRT is due for renewal (product.md §6).
const RenewAfter = 4 * time.Hour

// How a PRT came about.
const (
	byHello   = "hello"
	byPasskey = "passkey"
	bySignIn  = "sign-in"
)

// PRTResult is a primary refresh token, without its secrets.
type PRTResult struct {
	User    string    `json:"userPrincipalName"`
	Method  string    `json:"method"`
	Issued  time.Time `json:"issued"`
	Renewed time.Time `json:"updated"`
	Expires time.Time `json:"expires"`
}

func (p *person) result() PRTResult {
	return PRTResult{p.UPN, p.PRT.Method, p.PRT.Issued, p.PRT.Renewed, p.PRT.Expires}
}

// SignIn opens the user key with the PIN and gets a PRT for it.
func (a *Agent) SignIn(ctx context.Context, user, pin string) (PRTResult, error) {
	var result PRTResult
	err := a.during(ctx, "sign-in", func(w *work) error {
		if err := w.ready(); err != nil {
			return err
		}
		p, err := w.st.person(user)
		if err != nil {
			return err
		}
		if p.Hello == nil && p.Enrolling == nil {
			return errNoHello(p)
		}
		if err := w.reachable(ctx); err != nil {
			return err
		}
		if err := w.byKey(ctx, p, pin); err != nil {
			return err
		}
		result = p.result()
		return nil
	})
	return result, err
}

// byKey signs in with the person's key. After an enrolment that was cut off it
// is the new key that the server knows, or still the old one: the new one is
// tried first.
func (w *work) byKey(ctx context.Context, p *person, pin string) error {
	if p.Enrolling != nil {
		with := *p
		with.Hello = p.Enrolling
		got, err := w.askByKey(ctx, &with, pin)
		if err == nil {
			p.Hello, p.Enrolling = p.Enrolling, nil
			return w.keep(ctx, p, byHello, got)
		}
		if r := refusal(err); r == nil || (r.Code != codeKeyUnknown && r.Code != codeKeyWrong) {
			return err
		}
		p.Enrolling = nil
		if p.Hello == nil {
			return errors.Join(errNoHello(p), w.save("user key unknown"))
		}
	}
	got, err := w.askByKey(ctx, p, pin)
	if err != nil {
		return w.turnedAway(p, err)
	}
	return w.keep(ctx, p, byHello, got)
}

func (w *work) askByKey(ctx context.Context, p *person, pin string) (answer, error) {
	got, err := w.remote.requestPRT(ctx, w.vault, w.st.Endpoints, w.st.Device, func(nonce string) (prtRequest, error) {
		signed, err := signAssertion(w.vault, p, pin, w.st.Endpoints.Tenant, nonce, w.now)
		return prtRequest{
			ClientID: clientID, Nonce: nonce, Scope: prtScope, GrantType: grantJWT, UserName: p.UPN, Assertion: signed,
		}, foreign(err)
	})
	return got, foreign(err)
}

// bySignIn turns the refresh token of an interactive sign-in into a PRT.
func (w *work) bySignIn(ctx context.Context, p *person, g grant) error {
	got, err := w.remote.requestPRT(ctx, w.vault, w.st.Endpoints, w.st.Device, func(nonce string) (prtRequest, error) {
		return prtRequest{ClientID: clientID, Nonce: nonce, Scope: prtScope, GrantType: "refresh_token", RefreshToken: g.RefreshToken}, nil
	})
	if err != nil {
		return foreign(err)
	}
	return w.keep(ctx, p, bySignIn, got)
}

// keep hands the session key to the TPM and writes the PRT down.
func (w *work) keep(ctx context.Context, p *person, method string, got answer) error {
	session, err := w.vault.Unwrap(ctx, w.st.Device.Transport, got.SessionKey)
	if err != nil {
		return err
	}
	w.store.step("session key held")
	p.PRT = &prt{
		Value: got.RefreshToken, Session: session, Method: method,
		Issued: w.now, Renewed: w.now, Expires: w.now.Add(time.Duration(got.RefreshIn) * time.Second),
	}
	p.seen(w.now, got)
	if i, err := who(got.IDToken); err == nil && i.ObjectID == p.ID && i.name() != "" {
		p.UPN, p.Name = i.name(), i.Name
	}
	return w.save("signed in")
}

// seen notes that the server let somebody in. What an unlock noted of the
// clock ends with that: it may have been wrong, and was set since.
func (p *person) seen(now time.Time, got answer) {
	p.Online, p.OfflineDays, p.Unlocked = now, int(got.OfflineDays), time.Time{}
}

// Renew moves the PRT on. The server takes the one before for ten minutes
// more, so that a renewal that was cut off can be repeated.
func (a *Agent) Renew(ctx context.Context, user string) (PRTResult, error) {
	var result PRTResult
	err := a.during(ctx, "renew", func(w *work) error {
		p, err := w.signedIn(user)
		if err != nil {
			return err
		}
		got, err := w.use(ctx, p, clientID, prtScope)
		if err != nil {
			return err
		}
		if got.RefreshToken == "" {
			return errors.New("the server's answer has no primary refresh token")
		}
		w.store.step("renewal answered")
		p.PRT.Value, p.PRT.Renewed = got.RefreshToken, w.now
		p.PRT.Expires = w.now.Add(time.Duration(got.RefreshIn) * time.Second)
		p.seen(w.now, got)
		result = p.result()
		return w.save("renewed")
	})
	return result, err
}

// signedIn finds somebody with a PRT, and opens keys and server.
func (w *work) signedIn(user string) (*person, error) {
	if err := w.ready(); err != nil {
		return nil, err
	}
	p, err := w.st.person(user)
	if err != nil {
		return nil, err
	}
	switch {
	case p.PRT == nil:
		return nil, idp.NotFoundf("no_prt", "%s", p.UPN).Say(p.UPN + " is not signed in on this device: signet device sign-in")
	case !w.now.Before(p.PRT.Expires):
		return nil, idp.Expiredf("prt_over", "%s", p.UPN).Say("the sign-in of " + p.UPN + " on this device is over. " + signInAgain)
	}
	return p, nil
}

// use asks for something with the PRT. One that the server says is over is
// forgotten.
func (w *work) use(ctx context.Context, p *person, client, scope string) (answer, error) {
	got, err := w.remote.usePRT(ctx, w.vault, w.st.Endpoints, p.PRT, client, scope, w.now)
	if r := refusal(err); r != nil && r.overForPRT() {
		p.PRT = nil
		return got, errors.Join(w.turnedAway(p, err), w.save("PRT over"))
	}
	return got, foreign(w.turnedAway(p, err))
}

// turnedAway remembers that the server refused somebody, so that they do not
// come in without it either: a device that was disabled, an account that ended.
// A server that is away, or wants more for one app, has said no such thing. A
// device that is refused is so for everybody on it; p may be nil then.
func (w *work) turnedAway(p *person, err error) error {
	r := refusal(err)
	if r == nil || r.Status >= 500 || r.Status == http.StatusTooManyRequests {
		return err
	}
	switch r.Code {
	case codeDeviceDisabled, codeDeviceUnknown:
		for i := range w.st.People {
			w.st.People[i].Online = time.Time{}
		}
	case codeUserDisabled, codeUserUnknown, codeRevoked, codeKeyUnknown, codeKeyWrong, codeKeyDisabled, codeKeyHomeless:
		if p == nil {
			return err
		}
		p.Online = time.Time{}
	default:
		return err
	}
	return errors.Join(err, w.save("turned away"))
}
