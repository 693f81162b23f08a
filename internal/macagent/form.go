package macagent

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Form is which of the forms a message has that Macs have been seen to send
// (apple-platform-sso.md §1, §6, §15). The empty one is that of macOS 14 and
// later.
type Form struct {
	Old      bool          // typ JWT, as of an extension that was built for macOS 13
	Field    string        // "assertion" or "request"; empty: as Old says
	TextTime bool          // iat and exp as digits in a string
	X5C      string        // "none", "string" or "array": a certificate in the header; empty: none, but a card's as an array
	KeyID    string        // "padded", "bare" (no padding) or "url" (base64url); empty: padded
	Version  string        // platform_sso_version of logins; empty: 1.0
	Audience bool          // key requests have an aud, as Apple's table and no Mac has it
	Skew     time.Duration // how much this Mac's clock is ahead
}

// What the fields of a Form may be.
var (
	Fields   = []string{"assertion", "request"}
	X5CForms = []string{"none", "string", "array"}
	KidForms = []string{"padded", "bare", "url"}
	Versions = []string{"1.0", "1", "2.0"}
)

// complete fills in what is left out.
func (f Form) complete() (Form, error) {
	if f.Field == "" {
		f.Field = "assertion"
		if f.Old {
			f.Field = "request"
		}
	}
	if f.KeyID == "" {
		f.KeyID = "padded"
	}
	if f.Version == "" {
		f.Version = "1.0"
	}
	for value, known := range map[string][]string{f.Field: Fields, f.KeyID: KidForms, f.Version: Versions} {
		if !slices.Contains(known, value) {
			return f, idp.Invalidf("form", "%q", value).Say(strconv.Quote(value) + " is none of " + quoted(known))
		}
	}
	if f.X5C != "" && !slices.Contains(X5CForms, f.X5C) {
		return f, idp.Invalidf("form", "%q", f.X5C).Say(strconv.Quote(f.X5C) + " is none of " + quoted(X5CForms))
	}
	return f, nil
}

func quoted(words []string) string { return strings.Join(words, ", ") }

// typ is a media type, or the old one for all.
func (f Form) typ(name string) string {
	if f.Old {
		return "JWT"
	}
	return name
}

// messageLife is exp - iat of everything that macOS sends (apple-platform-sso.md
// §6.2).
const messageLife = 5 * time.Minute
