package passkey

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// site is who we are to a browser. It is configuration, never read from a
// request (WAN11).
type site struct {
	rpID    string
	idHash  [32]byte
	origins []string // exact, own and related ones
}

// clientData is what the browser says it did (WebAuthn Level 3, §5.8.1).
type clientData struct {
	Type        string  `json:"type"`
	Challenge   string  `json:"challenge"`
	Origin      string  `json:"origin"`
	CrossOrigin bool    `json:"crossOrigin"`
	TopOrigin   *string `json:"topOrigin"`
}

// The two ceremonies, as client data names them.
const (
	typeCreate = "webauthn.create"
	typeGet    = "webauthn.get"
)

// parseClientData decodes client data strictly: names match by case and appear
// once. Unknown members are allowed, browsers add some.
func parseClientData(raw []byte) (clientData, *idp.Error) {
	// §7.1 step 5, §7.2 step 8: UTF-8 decode drops a byte order mark. We
	// refuse what it would replace by U+FFFD: no browser writes that.
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(raw) {
		return clientData{}, idp.Unprovenf("client_data_not_utf8", "client data is not UTF-8")
	}
	// §7.1 step 6, §7.2 step 9.
	var c *clientData
	if err := web.Strict(raw, &c); err != nil {
		return clientData{}, idp.Unprovenf("client_data_malformed", "client data: %w", err)
	}
	if c == nil {
		return clientData{}, idp.Unprovenf("client_data_malformed", "client data: null")
	}
	return *c, nil
}

// judge follows §7.1 steps 7 to 11 and §7.2 steps 10 to 14, which are alike.
func (c clientData) judge(s site, ceremony string, challenge []byte) *idp.Error {
	// Step 7 / 10: an answer of the other ceremony is worth nothing here.
	if c.Type != ceremony {
		return idp.Unprovenf("wrong_type", "client data type %q", c.Type)
	}
	// Step 8 / 11: our challenge and nobody else's. An empty one is never ours.
	want := base64.RawURLEncoding.EncodeToString(challenge)
	if len(challenge) < 16 || subtle.ConstantTimeCompare([]byte(want), []byte(c.Challenge)) != 1 {
		return idp.Unprovenf("wrong_challenge", "challenge differs")
	}
	// Step 9 / 12: exact text. A browser writes an origin in one way only, so
	// leniency would help nobody but a forger.
	if !slices.Contains(s.origins, c.Origin) {
		return idp.Unprovenf("wrong_origin", "origin %.200q", c.Origin)
	}
	// Step 10 / 13: nobody may frame our pages, so nothing cross-origin is expected.
	if c.CrossOrigin {
		return idp.Unprovenf("cross_origin", "made in a frame of another origin")
	}
	// Step 11 / 14: likewise.
	if c.TopOrigin != nil {
		return idp.Unprovenf("top_origin", "made under the top origin %.200q", *c.TopOrigin)
	}
	return nil
}
