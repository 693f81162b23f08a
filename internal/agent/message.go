package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/secret"
)

// What every message says of its dialect (device-protocol.md §7): protocol 3.0,
// key derivation version 2.
const (
	protocol   = "3.0"
	kdfVersion = 2
	grantJWT   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	prtScope   = "openid aza"
)

// nonce asks for a server challenge (§4).
func (r *remote) nonce(ctx context.Context, e endpoints) (string, error) {
	var got struct {
		Nonce string `json:"Nonce"`
	}
	err := retried(ctx, func() error {
		return r.form(ctx, e.Token, url.Values{"grant_type": {"srv_challenge"}}, &got)
	})
	if err == nil && got.Nonce == "" {
		err = errors.New("the server gave no nonce")
	}
	return got.Nonce, err
}

// deviceMessage signs a payload with the device key (§7.1).
func deviceMessage(v vault, d *joined, payload any) (string, error) {
	text, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	s, err := newSigner(v, d.Device, nil)
	if err != nil {
		return "", err
	}
	return jose.SignRS256(s, map[string]any{
		"x5c": []string{base64.StdEncoding.EncodeToString(d.Certificate)}, "kdf_ver": kdfVersion,
	}, text)
}

// credential says, signed by the device key, that a request to the authorization
// endpoint comes of this device (§9.3).
func (w *work) credential(ctx context.Context) (string, error) {
	nonce, err := w.remote.nonce(ctx, w.st.Endpoints)
	if err != nil {
		return "", err
	}
	signed, err := deviceMessage(w.vault, w.st.Device, struct {
		Nonce string `json:"request_nonce"`
	}{nonce})
	return signed, foreign(err)
}

// contextSize is that of the contexts that we derive keys with.
const contextSize = 24

// sessionMessage authenticates a payload with a key that the TPM derives of
// the session key, for this payload alone (§8.2, version 2).
func sessionMessage(v vault, session key, payload any) (string, error) {
	text, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	context := secret.Bytes(contextSize)
	derived, err := v.MAC(session, jose.KDFInput(kdfVersion, context, text))
	if err != nil {
		return "", err
	}
	return jose.SignHS256(derived, map[string]any{
		"ctx": base64.StdEncoding.EncodeToString(context), "kdf_ver": kdfVersion,
	}, text)
}

// openAnswer opens what the server sealed for a session key (§8.5). Answers are
// derived for their context alone.
func openAnswer(v vault, session key, sealed []byte, into any) error {
	plain, err := jose.OpenDirect(string(sealed), func(context []byte) ([]byte, error) {
		return v.MAC(session, jose.KDFInput(1, context, nil))
	})
	if err != nil {
		return fmt.Errorf("open the server's answer: %w", err)
	}
	if err := json.Unmarshal(plain, into); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// number is one that servers write as a number or as a string (§3.1).
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	var v json.Number
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	i, err := v.Int64()
	*n = number(i)
	return err
}

// answer is what the token endpoint gives for a PRT, and for the use of one.
type answer struct {
	TokenType    string `json:"token_type"`
	AccessToken  string `json:"access_token"`
	Scope        string `json:"scope"`
	Resource     string `json:"resource"`
	ExpiresIn    number `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	RefreshIn    number `json:"refresh_token_expires_in"`
	OfflineDays  number `json:"offline_unlock_days"` // an extension of ours: policy devices.offlineDays
	SessionKey   string `json:"session_key_jwe"`
	IDToken      string `json:"id_token"`
}

// prtRequest is the payload of a request for a PRT (§7.1, 7.2).
type prtRequest struct {
	ClientID     string `json:"client_id"`
	Nonce        string `json:"request_nonce"`
	Scope        string `json:"scope"`
	GrantType    string `json:"grant_type"`
	RefreshToken string `json:"refresh_token,omitempty"`
	UserName     string `json:"username,omitempty"`
	Assertion    string `json:"assertion,omitempty"`
}

// assertion is the payload that a user key signs (§7.2).
type assertion struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	Scope    string `json:"scope"`
	Nonce    string `json:"request_nonce"`
}

// assertionLife is how far a user key's message reaches; the nonce decides.
const assertionLife = 5 * time.Minute

// signAssertion has the person's key sign for a nonce.
func signAssertion(v vault, p *person, pin string, tenant, nonce string, now time.Time) (string, error) {
	text, err := json.Marshal(assertion{p.UPN, tenant, now.Add(-time.Minute).Unix(), now.Add(assertionLife).Unix(), prtScope, nonce})
	if err != nil {
		return "", err
	}
	s, err := newSigner(v, p.Hello.Key, pinAuth(p.Hello.Key.Salt, pin))
	if err != nil {
		return "", err
	}
	signed, err := jose.SignRS256(s, map[string]any{"kid": p.Hello.ID, "use": "ngc"}, text)
	if err != nil {
		return "", pinError(v, err)
	}
	return signed, nil
}

// requestPRT sends a request for a PRT. Its nonce is new, and so may be the
// whole: a PRT that got lost on its way does no harm.
func (r *remote) requestPRT(ctx context.Context, v vault, e endpoints, d *joined, ask func(nonce string) (prtRequest, error)) (answer, error) {
	var got answer
	err := renonced(func() error {
		nonce, err := r.nonce(ctx, e)
		if err != nil {
			return err
		}
		payload, err := ask(nonce)
		if err != nil {
			return err
		}
		request, err := deviceMessage(v, d, payload)
		if err != nil {
			return err
		}
		return r.form(ctx, e.Token, url.Values{
			"prt_protocol_version": {protocol}, "grant_type": {grantJWT}, "request": {request}, "client_info": {"1"},
		}, &got)
	})
	if err == nil && (got.RefreshToken == "" || got.SessionKey == "") {
		err = errors.New("the server's answer has no primary refresh token")
	}
	return got, err
}

// prtUse is the payload of a request with a PRT (§9.1).
type prtUse struct {
	RefreshToken string `json:"refresh_token"`
	Nonce        string `json:"request_nonce"`
	ClientID     string `json:"client_id"`
	Scope        string `json:"scope"`
	Resource     string `json:"resource,omitempty"`
	GrantType    string `json:"grant_type"`
	Issuer       string `json:"iss"`
	Audience     string `json:"aud"`
	IssuedAt     int64  `json:"iat"`
	Expires      int64  `json:"exp"`
}

// usePRT asks for tokens, or a renewal, and opens the sealed answer.
func (r *remote) usePRT(ctx context.Context, v vault, e endpoints, p *prt, client, scope string, now time.Time) (answer, error) {
	var got answer
	err := renonced(func() error {
		nonce, err := r.nonce(ctx, e)
		if err != nil {
			return err
		}
		request, err := sessionMessage(v, p.Session, prtUse{
			RefreshToken: p.Value, Nonce: nonce, ClientID: client, Scope: scope, GrantType: "refresh_token",
			Issuer: clientID, Audience: e.Token, IssuedAt: now.Unix(), Expires: now.Add(assertionLife).Unix(),
		})
		if err != nil {
			return err
		}
		sealed, err := r.sealed(ctx, e.Token, url.Values{
			"prt_protocol_version": {protocol}, "grant_type": {grantJWT}, "request": {request}, "client_info": {"1"},
		})
		if err != nil {
			return err
		}
		return openAnswer(v, p.Session, sealed, &got)
	})
	return got, err
}

// sealed posts a form whose good answer is a bare JWE.
func (r *remote) sealed(ctx context.Context, address string, form url.Values) ([]byte, error) {
	got, err := r.call(ctx, r.http, "POST", address, formHeader(), []byte(form.Encode()))
	if err != nil {
		return nil, err
	}
	if err := got.decode(nil); err != nil {
		return nil, err
	}
	return got.body, nil
}

// renonced tries once more when the server did not take the nonce, or no answer
// came: what is sent with a new nonce is a new request.
func renonced(try func() error) error {
	err := try()
	var said *Refusal
	if errors.Is(err, idp.Unavailable) || errors.As(err, &said) && said.Code == codeNonce {
		return try()
	}
	return err
}
