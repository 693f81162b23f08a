package oidc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
)

// request is what an authorization request asks, once its client and redirect
// URI are proven. It is pure data: nothing in it refers to the HTTP request.
type request struct {
	State        string
	Nonce        string
	Mode         responseMode
	Challenge    string
	Scopes       []string
	Resource     string // the audience that access tokens of this grant have
	Prompt       []string
	MaxAge       *int64 // seconds
	LoginHint    string
	IDTokenHint  string
	ACR          []string // asked for by acr_values or claims, any one of them
	Demanded     []string // what will do, with the application's own floor; any one of them
	EssentialACR bool     // claims says that nothing less will do
	Claims       claimsRequest
	Subject      string // the sub that claims or a hint names; only this person will do
	FreshMFA     bool   // amr_values=ngcmfa
}

func (q request) prompts(word string) bool { return slices.Contains(q.Prompt, word) }

// parseRequest checks everything but client_id and redirect_uri, which come
// first and whose faults never reach the application. Every error it returns
// may be sent to the redirect URI; on error the request still says how.
// duplicates are the names of parameters given more than once.
func parseRequest(p params, duplicates []string, c client.Client, issuer string) (request, error) {
	asked := p.get("response_mode")
	if slices.Contains(duplicates, "response_mode") {
		asked = ""
	}
	mode, badMode := parseMode(asked, c, p.get("redirect_uri"))
	q := request{Mode: mode}
	if s := p.get("state"); plain(s, maxState) && !slices.Contains(duplicates, "state") {
		q.State = s
	} else {
		return q, badRequest("state", "state must be short text, given once.", "state of %d bytes", len(s))
	}
	if len(duplicates) > 0 {
		return q, repeated(duplicates)
	}
	if badMode != nil {
		return q, badMode
	}
	for _, check := range []func(params, client.Client, string) error{
		q.refuseForeign, q.parseResponseType, q.parseChallenge, q.parseScope, q.parsePrompt, q.parseHints, q.parseClaims,
	} {
		if err := check(p, c, issuer); err != nil {
			return q, err
		}
	}
	return q, nil
}

// refuseForeign refuses what would move the request elsewhere: request objects
// (RFC 9101) and self-issued registration have error codes of their own
// (OpenID Connect Core 1.0, Section 3.1.2.6). No address is ever fetched.
func (q *request) refuseForeign(p params, _ client.Client, _ string) error {
	for _, name := range []string{"request", "request_uri", "registration"} {
		if p.has(name) {
			return fault(idp.Invalid, name+"_not_supported", codeUnsupportedRequest, name+"_not_supported",
				"The parameter '"+name+"' is not supported. Send plain parameters.", "%s sent", name)
		}
	}
	return nil
}

func (q *request) parseResponseType(p params, c client.Client, _ string) error {
	switch kind := p.get("response_type"); {
	case kind == "":
		return missing("response_type")
	case kind != "code":
		return fault(idp.Invalid, "unsupported_response_type", codeBadResponseType, "unsupported_response_type",
			"Only response_type=code is supported.", "response type %q", kind)
	case !slices.Contains(c.Grants, "authorization_code"):
		return fault(idp.Denied, "unauthorized_client", codeGrantNotAllowed, "grant_not_allowed",
			"This application is not registered for the authorization code grant.", "client %s", c.ID)
	}
	return nil
}

func (q *request) parseChallenge(p params, c client.Client, _ string) error {
	q.Challenge = p.get("code_challenge")
	if q.Challenge == "" && !p.has("code_challenge_method") && c.BuiltIn {
		return nil // good only as needsChallenge says (decisions 4.1, OAU02)
	}
	return checkChallenge(q.Challenge, p.get("code_challenge_method"))
}

func (q *request) parseScope(p params, c client.Client, issuer string) error {
	judge := askScopes
	if c.BuiltIn {
		judge = askBuiltIn
	}
	granted, err := judge(p.get("scope"), p.get("resource"), c, issuer)
	q.Scopes, q.Resource = granted.Scopes, granted.Audience
	return err
}

// parsePrompt follows OpenID Connect Core 1.0, Section 3.1.2.1: none stands
// alone, and words we cannot obey are refused rather than overlooked.
func (q *request) parsePrompt(p params, _ client.Client, _ string) error {
	q.Prompt = words(p.get("prompt"))
	for _, w := range q.Prompt {
		if !slices.Contains(promptWords, w) {
			return badRequest("prompt", "prompt has a value that is not supported.", "prompt %q", w)
		}
	}
	if q.prompts("none") && len(q.Prompt) > 1 {
		return badRequest("prompt", "prompt=none cannot be combined with other values.", "prompt %q", q.Prompt)
	}
	if s := p.get("max_age"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return badRequest("max_age", "max_age must be a number of seconds.", "max_age %q", clip(s))
		}
		age := int64(n)
		q.MaxAge = &age
	}
	return nil
}

var promptWords = []string{"none", "login", "consent", "select_account"}

func (q *request) parseHints(p params, _ client.Client, _ string) error {
	q.Nonce, q.LoginHint, q.IDTokenHint = p.get("nonce"), p.get("login_hint"), p.get("id_token_hint")
	if !plain(q.Nonce, maxNonce) {
		return badRequest("nonce", "nonce must be text of at most 1024 bytes.", "nonce of %d bytes", len(q.Nonce))
	}
	if !plain(q.LoginHint, maxHint) {
		return badRequest("login_hint", "login_hint must be text of at most 512 bytes.", "login_hint of %d bytes", len(q.LoginHint))
	}
	if len(q.IDTokenHint) > maxToken {
		return badRequest("id_token_hint", "id_token_hint is too long.", "id_token_hint of %d bytes", len(q.IDTokenHint))
	}
	return nil
}

// parseClaims reads claims and acr_values. A claims request for acr is about
// the same thing as acr_values and more exact, so it wins (OpenID Connect Core
// 1.0, Section 5.5.1.1).
func (q *request) parseClaims(p params, _ client.Client, _ string) error {
	q.ACR = words(p.get("acr_values"))
	if len(q.ACR) > 10 || !plain(p.get("acr_values"), maxHint) {
		return badRequest("acr_values", "acr_values is too long.", "%d acr values", len(q.ACR))
	}
	if s := p.get("claims"); s != "" {
		asked, err := parseClaimsParameter(s)
		if err != nil {
			return err
		}
		q.Claims = asked
	}
	q.FreshMFA = slices.Contains(words(p.get("amr_values")), freshMFA)
	if acr, ok := q.Claims.IDToken["acr"]; ok && len(acr.Values) > 0 {
		q.ACR, q.EssentialACR = acr.Values, acr.Essential
	}
	if sub, ok := q.Claims.IDToken["sub"]; ok && len(sub.Values) > 0 {
		q.Subject = sub.Values[0]
	}
	return nil
}

// clip shortens foreign text for the log.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(s, "?")
}
