package phone

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

const (
	linkBytes = 16 // of a link's code (passkeys-and-phone.md §6.2)
	typedLen  = 8  // characters of a code that is typed
	codeLives = 10 * time.Minute
)

// codes are the two forms of one: for a link and to type.
type codes struct{ link, typed string }

func newCodes() codes {
	return codes{link: base64.RawURLEncoding.EncodeToString(secret.Bytes(linkBytes)), typed: secret.Typed(typedLen)}
}

// readCode reads a code as it came: that of a link as it is, a typed one in
// either case, in groups, with letters for the digits that they look like. text
// is what phones sign; ok is false for what no code can be.
func readCode(s string) (text string, link, ok bool) {
	if len(s) == base64.RawURLEncoding.EncodedLen(linkBytes) {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
		return s, true, err == nil && len(raw) == linkBytes
	}
	text, ok = secret.ReadTyped(s, typedLen)
	return text, false, ok && len(text) == typedLen
}

// typedMAC is what the table keeps of a typed code (decisions 1.5): its key is
// one for all tenants, because a code is found before its tenant is known.
func typedMAC(key *secret.Key, typed string) []byte {
	return key.MAC([]byte("phone enrolment"), []byte(typed))
}

// sayCode is the one sentence for all that can be wrong with a code.
const sayCode = "This code does not work. It may be mistyped, used or too old. Get a new one on the page that showed it."

func codeUnknown(format string, args ...any) error {
	return idp.NotFoundf("code_unknown", format, args...).Say(sayCode)
}

// byCode finds the enrolment that a code is for, while it waits for a phone.
// Wrong, used and late codes get one answer.
func (m *Room) byCode(ctx context.Context, code string, now time.Time) (e enrolment, text string, err error) {
	text, link, ok := readCode(code)
	if !ok {
		return e, "", codeUnknown("%d characters are no code", len(code))
	}
	var t idp.TenantID
	var id string
	if link {
		t, id, err = locateLink(ctx, m.db, secret.Digest(text))
	} else {
		key, kerr := m.cfg.Code(ctx)
		if kerr != nil {
			return e, "", fmt.Errorf("key of typed codes: %w", kerr)
		}
		t, id, err = locateTyped(ctx, m.db, typedMAC(key, text))
	}
	if err == nil {
		e, err = findEnrolment(ctx, m.db, t, id)
	}
	switch {
	case errors.Is(err, idp.NotFound):
		return e, "", codeUnknown("no enrolment with that code")
	case err != nil:
		return e, "", fmt.Errorf("find enrolment: %w", err)
	case e.state != enrolOpen:
		return e, "", codeUnknown("enrolment %s is %s", e.id, e.state)
	case !now.Before(e.expires):
		return e, "", codeUnknown("enrolment %s ended %s", e.id, e.expires)
	}
	return e, text, nil
}
