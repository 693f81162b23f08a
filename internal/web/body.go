package web

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"net/url"

	"github.com/signetid/signet/internal/idp"
)

// BodyLimit is what a request body may hold unless a protocol needs more
// (decisions 3.7).
const BodyLimit = 64 << 10

// Form reads an application/x-www-form-urlencoded body of at most BodyLimit
// bytes. Query parameters are not mixed in. A parameter given twice is
// Invalid, naming it (RFC 6749, Section 3.2).
func Form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	v, err := Lists(w, r)
	if err != nil {
		return nil, err
	}
	return v, Single(v)
}

// BareForm is Form for an address where a body may come without a content
// type; typed says whether it had one (device-protocol.md §0 fact 3). Any other
// type than that of a form is refused.
func BareForm(w http.ResponseWriter, r *http.Request) (v url.Values, typed bool, err error) {
	if r.Header.Get("Content-Type") != "" {
		v, err = Form(w, r)
		return v, true, err
	}
	body, err := read(w, r)
	if err != nil {
		return nil, false, err
	}
	if v, err = url.ParseQuery(string(body)); err != nil {
		return nil, false, idp.Invalidf("malformed_form", "%w", err).Say("The form could not be read.")
	}
	return v, false, Single(v)
}

// Lists is Form for forms in which a name may have several values, such as
// boxes that are ticked.
func Lists(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	return listsWithin(w, r, BodyLimit)
}

func listsWithin(w http.ResponseWriter, r *http.Request, limit int64) (url.Values, error) {
	if err := wantType(r, "application/x-www-form-urlencoded"); err != nil {
		return nil, err
	}
	body, err := readWithin(w, r, limit)
	if err != nil {
		return nil, err
	}
	v, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, idp.Invalidf("malformed_form", "%w", err).Say("The form could not be read.")
	}
	return v, nil
}

// Single refuses parameters that are given more than once.
func Single(v url.Values) error {
	for name, values := range v {
		if len(values) > 1 {
			return idp.Invalidf("duplicate_parameter", "%.100q given %d times", name, len(values)).
				On(cut(name, 100)).Say("A parameter was sent more than once.")
		}
	}
	return nil
}

// ReadJSON decodes an application/json body of at most BodyLimit bytes into
// v, by Strict: what has more than one reading is Invalid.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if err := wantType(r, "application/json"); err != nil {
		return err
	}
	body, err := read(w, r)
	if err != nil {
		return err
	}
	if err := Strict(body, v); err != nil {
		return idp.Invalidf("malformed_json", "%w", err).Say("The body is not the JSON expected here.")
	}
	return nil
}

func wantType(r *http.Request, want string) error {
	if r.Header.Get("Content-Type") == want {
		return nil // as nearly everybody writes it
	}
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || got != want {
		return idp.Invalidf("wrong_content_type", "content type %.100q, want %s", r.Header.Get("Content-Type"), want).
			On("Content-Type").Say("The body must be sent as " + want + ".")
	}
	return nil
}

func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return readWithin(w, r, BodyLimit)
}

func readWithin(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	// The length is nearly always told: one buffer of that size, no growing.
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), limit)) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig {
		return nil, tooLarge(limit)
	}
	if err != nil {
		return nil, idp.Invalidf("unreadable_body", "%w", err).Say("The body did not arrive whole.")
	}
	return body.Bytes(), nil
}
