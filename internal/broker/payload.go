package broker

import (
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// payload is what a signed message says (device-protocol.md §7.1, §9.1).
// Members that are not read here (win_ver, group_sids, iss, aud, …) are the
// client's affair: what they could say is known from the signature.
type payload struct {
	ClientID   jose.Text    `json:"client_id"`
	Nonce      string       `json:"request_nonce"`
	Scope      string       `json:"scope"`
	Resource   string       `json:"resource"`
	Redirect   string       `json:"redirect_uri"`
	GrantType  string       `json:"grant_type"`
	Token      string       `json:"refresh_token"`
	Assertion  assertion    `json:"assertion"`
	Expires    *jose.Number `json:"exp"`
	NotBefore  *jose.Number `json:"nbf"`
	Purpose    string       `json:"purpose"`
	CertUse    string       `json:"cert_token_use"`
	Encryption encryption   `json:"jwe_crypto"`
}

// encryption is how a device without a session key wants its answer
// (device-protocol.md §7.3).
type encryption struct {
	APV string `json:"apv"`
	Alg string `json:"alg"`
	Enc string `json:"enc"`
}

// assertion is a text, or the JSON object that the text would be.
type assertion []byte

// UnmarshalJSON reads either.
func (a *assertion) UnmarshalJSON(raw []byte) error {
	if raw[0] != '"' {
		*a = slices.Clone(raw)
		return nil
	}
	var text jose.Text
	err := text.UnmarshalJSON(raw)
	*a = assertion(text)
	return err
}

// credential is an assertion that is JSON, given as such or in base64.
func (a assertion) credential() []byte {
	if len(a) > 0 && a[0] != '{' {
		if raw, err := jose.Unbase64(string(a)); err == nil {
			return raw
		}
	}
	return a
}

func (p payload) asks(word string) bool { return slices.Contains(strings.Fields(p.Scope), word) }

// leeway is what the clocks of devices may differ by (security.md TOK05).
const leeway = time.Minute

// inTime checks the times that are given. Freshness comes from the nonce, so
// none has to be (decisions 4.1).
func (p payload) inTime(now time.Time) error {
	if p.Expires != nil && !now.Before(time.Unix(int64(*p.Expires), 0).Add(leeway)) {
		return grantFault(idp.Expired, codeToken, "request_late", "The signed request is over.", "exp %d", *p.Expires)
	}
	if p.NotBefore != nil && now.Add(leeway).Before(time.Unix(int64(*p.NotBefore), 0)) {
		return grantFault(idp.Unproven, codeToken, "request_early", "The signed request is not good yet.", "nbf %d", *p.NotBefore)
	}
	return nil
}

// claimsAsk is the claims parameter as far as it means something here: what
// the client understands, and the oldest proof that its resource accepts
// (device-protocol.md §11; decisions 3.4).
type claimsAsk struct {
	raw          string
	Capabilities []string
	NotBefore    time.Time
}

const maxClaims, maxCapabilities = 4096, 8

func readClaims(text string) (claimsAsk, error) {
	out := claimsAsk{raw: text}
	if text == "" {
		return out, nil
	}
	var in struct {
		Access struct {
			CC struct {
				Values []string `json:"values"`
			} `json:"xms_cc"`
			From struct {
				Value *jose.Number `json:"value"`
			} `json:"nbf"`
		} `json:"access_token"`
	}
	bad := malformed("bad_claims", "claims of %d bytes", len(text))
	if len(text) > maxClaims || jose.Loosely([]byte(text), &in) != nil || len(in.Access.CC.Values) > maxCapabilities {
		return out, bad
	}
	for _, v := range in.Access.CC.Values {
		if len(v) > 32 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return out, bad
		}
	}
	out.Capabilities = in.Access.CC.Values
	if v := in.Access.From.Value; v != nil && *v > 0 {
		out.NotBefore = time.Unix(int64(*v), 0)
	}
	return out, nil
}
