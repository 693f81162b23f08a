package oidc

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/jose"
)

// claimsRequest is the claims parameter (OpenID Connect Core 1.0, Section
// 5.5), as far as we understand its members; others are ignored, as that
// section asks.
type claimsRequest struct {
	UserInfo map[string]claimAsk `json:"userinfo,omitempty"`
	IDToken  map[string]claimAsk `json:"id_token,omitempty"`
	Access   accessAsk           `json:"access_token,omitzero"`
}

// accessAsk is what clients of Entra ask of an access token
// (device-protocol.md §11, CAE).
type accessAsk struct {
	Capabilities []string `json:"cc,omitempty"`  // xms_cc
	NotBefore    int64    `json:"nbf,omitempty"` // Unix seconds: the oldest proof that will do
}

// claimAsk is one requested claim. Values has value and values alike, those
// that are strings.
type claimAsk struct {
	Essential bool     `json:"essential,omitempty"`
	Values    []string `json:"values,omitempty"`
}

// askableClaims are the claims that the claims parameter can ask for; others
// are dropped when it is parsed.
var askableClaims = map[string]bool{
	"sub": true, "acr": true, "amr": true, "auth_time": true,
	"name": true, "preferred_username": true, "email": true,
}

// parseClaimsParameter parses the claims parameter strictly: one JSON object,
// no member twice, no claim asked for in another shape than null or an object.
func parseClaimsParameter(s string) (claimsRequest, error) {
	var out claimsRequest
	if len(s) > maxClaims {
		return out, badRequest("claims", "claims is too long.", "claims of %d bytes", len(s))
	}
	var raw struct {
		UserInfo map[string]json.RawMessage `json:"userinfo"`
		IDToken  map[string]json.RawMessage `json:"id_token"`
		Access   map[string]json.RawMessage `json:"access_token"`
	}
	if err := jose.Strict([]byte(s), &raw); err != nil {
		return out, badRequest("claims", "claims must be a JSON object without repeated members.", "%w", err)
	}
	var err error
	if out.UserInfo, err = parseAsks(raw.UserInfo); err != nil {
		return out, err
	}
	if out.IDToken, err = parseAsks(raw.IDToken); err != nil {
		return out, err
	}
	out.Access, err = parseAccessAsk(raw.Access)
	return out, err
}

// maxCapabilities bounds what a token echoes.
const maxCapabilities = 8

func parseAccessAsk(raw map[string]json.RawMessage) (out accessAsk, err error) {
	wrong := func(name string) error {
		return badRequest("claims", "A member of claims is not as it should be.", "claim %s of access_token", name)
	}
	if body, ok := raw["xms_cc"]; ok {
		ask, err := parseAsk(body)
		if err != nil || len(ask.Values) > maxCapabilities {
			return out, wrong("xms_cc")
		}
		for _, v := range ask.Values {
			if !plain(v, 32) {
				return out, wrong("xms_cc")
			}
		}
		out.Capabilities = ask.Values
	}
	if body, ok := raw["nbf"]; ok {
		var ask struct {
			Value json.RawMessage `json:"value"`
		}
		if err := jose.Strict(body, &ask); err != nil {
			return out, wrong("nbf")
		}
		// Resource servers write it as text, some as a number.
		if out.NotBefore, err = strconv.ParseInt(strings.Trim(string(ask.Value), `"`), 10, 64); err != nil || out.NotBefore < 0 {
			return out, wrong("nbf")
		}
	}
	return out, nil
}

func parseAsks(raw map[string]json.RawMessage) (map[string]claimAsk, error) {
	var out map[string]claimAsk
	for name, body := range raw {
		if !askableClaims[name] {
			continue
		}
		ask, err := parseAsk(body)
		if err != nil {
			return nil, badRequest("claims", "A member of claims is not null or an object as the specification has it.", "claim %s: %w", name, err)
		}
		if out == nil {
			out = map[string]claimAsk{}
		}
		out[name] = ask
	}
	return out, nil
}

func parseAsk(body json.RawMessage) (claimAsk, error) {
	var in struct {
		Essential bool  `json:"essential"`
		Value     any   `json:"value"`
		Values    []any `json:"values"`
	}
	if err := jose.Strict(body, &in); err != nil {
		return claimAsk{}, err
	}
	ask := claimAsk{Essential: in.Essential}
	for _, v := range append([]any{in.Value}, in.Values...) {
		if s, ok := v.(string); ok {
			ask.Values = append(ask.Values, s)
		}
	}
	return ask, nil
}

// scopeOf is the scope that would give a claim. A claim that is asked for one
// by one needs the same consent as its scope.
var scopeOf = map[string]string{
	"name": "profile", "preferred_username": "profile", "email": "email",
}

// agree is what the person has to agree to: the scopes, and those behind the
// claims.
func (c claimsRequest) agree(scopes []string) []string {
	out := slices.Clone(scopes)
	for _, name := range slices.Concat(names(c.IDToken), names(c.UserInfo)) {
		if s := scopeOf[name]; s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// info lists the claims to be told beyond the scopes, as a family keeps them:
// those of userinfo by name, those of ID tokens with a mark before it.
func (c claimsRequest) info() []string {
	var out []string
	for _, name := range names(c.UserInfo) {
		if scopeOf[name] != "" {
			out = append(out, name)
		}
	}
	for _, name := range names(c.IDToken) {
		if scopeOf[name] != "" {
			out = append(out, inIDToken+name)
		}
	}
	return out
}

const inIDToken = "id_token:"

// idScopes are the scopes whose claims an ID token shows.
func idScopes(scopes, info []string) []string {
	out := slices.Clone(scopes)
	for _, i := range info {
		if name, ok := strings.CutPrefix(i, inIDToken); ok {
			out = append(out, scopeOf[name])
		}
	}
	return out
}

// asked says whether the map asks for the claim.
func asked(m map[string]claimAsk, name string) bool {
	_, ok := m[name]
	return ok
}

// names lists what a map asks for, in order.
func names(m map[string]claimAsk) []string { return slices.Sorted(maps.Keys(m)) }
