package graph

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

const maxBody = 1 << 20 // a policy with long lists of models is the largest

// body reads the JSON of a request into v. Unknown properties are an error
// that names them: what is not understood must not seem done.
func (c *call) body(v any) error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return badProperty("", "Write requests must have the Content-Type application/json.")
	}
	raw, err := c.unpack()
	if err != nil {
		return badProperty("", "The body is too large or did not arrive whole.")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err = d.Decode(v)
	var kindErr *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kindErr):
		return badProperty(kindErr.Field, "The property '"+clip(kindErr.Field)+"' cannot be a "+kindErr.Value+".")
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		return badProperty(name, "The property '"+clip(name)+"' does not exist or cannot be written.")
	case err != nil:
		return badProperty("", "The body is no JSON object.")
	}
	if _, err := d.Token(); err != io.EOF {
		return badProperty("", "There is something behind the body's object.")
	}
	if err := web.OneReading(raw, v); err != nil {
		return badProperty("", "The body can be read in two ways: "+clip(err.Error())+".")
	}
	return nil
}

// unpack reads the body, which Graph's own clients send compressed. The limit is
// for what comes out: a few bytes may claim to be gigabytes.
func (c *call) unpack() ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(c.w, c.r.Body, maxBody)
	switch c.r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	default:
		return nil, errors.New("content encoding")
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err == nil && len(raw) > maxBody {
		err = errors.New("too large")
	}
	return raw, err
}

func badProperty(name, says string) error {
	return idp.Invalidf("bad_property", "%s", says).On(name).Say(says)
}

func required(name string) error {
	return badProperty(name, "A value is required for property '"+name+"'.")
}
