package graph

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

const maxBody = 1 << 20 // a policy with long lists of models is the largest

// body reads the JSON of a request into v. Unknown properties are an error
// that names them: what is not understood must not seem done.
func (c *call) body(v any) error {
	raw, err := c.sent()
	if err != nil {
		return err
	}
	return strict(raw, v)
}

// sent is the JSON of a request as it came.
func (c *call) sent() ([]byte, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, badProperty("", "Write requests must have the Content-Type application/json.")
	}
	raw, err := c.unpack()
	if err != nil {
		return nil, badProperty("", "The body is too large or did not arrive whole.")
	}
	var h head
	if json.Unmarshal(raw, &h) == nil && h.ETag != nil {
		c.read = *h.ETag
	}
	return raw, nil
}

// ifMatch is the entity tag that a change is meant for: of the header, or of
// an object that is sent back as it was read. Graph's own clients send such
// an object with all that their library has no name for, however old that is.
func (c *call) ifMatch() string { return cmp.Or(c.r.Header.Get("If-Match"), c.read) }

// strict reads raw, one JSON object, into v.
func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var kindErr *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kindErr):
		at := written(kindErr.Field)
		return badProperty(at, "The property '"+clip(at)+"' cannot be a "+kindErr.Value+".")
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

// written is the path of a property as it stands in the body: the decoder
// names the structs between that embed one another, too.
func written(field string) string {
	parts := slices.DeleteFunc(strings.Split(field, "."), func(part string) bool { return slices.Contains(embedded, part) })
	return strings.Join(parts, "/")
}

var embedded = []string{"head", "methodBody", "targetBody", "includeBody", "mappingBody"}

// readShape is strict, and refuses null: clients mean different things by it,
// and a list that is emptied is sent empty.
func readShape(raw []byte, v any) error {
	if err := strict(raw, v); err != nil {
		return err
	}
	var all any
	if err := json.Unmarshal(raw, &all); err != nil {
		return badProperty("", "The body is no JSON object.")
	}
	if at := null(all, ""); at != "" {
		return badProperty(at, "The property '"+clip(at)+"' cannot be null.")
	}
	return nil
}

// mayBeNull are properties that are null where they are shown.
var mayBeNull = []string{"lastModifiedDateTime", "createdDateTime", "modifiedDateTime"}

// null finds a null, and names its place.
func null(v any, at string) string {
	switch v := v.(type) {
	case nil:
		return cmp.Or(at, "body")
	case []any:
		for i, item := range v {
			if found := null(item, index(at, i)); found != "" {
				return found
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if v[name] == nil && slices.Contains(mayBeNull, name) {
				continue
			}
			if found := null(v[name], strings.TrimPrefix(at+"/"+name, "/")); found != "" {
				return found
			}
		}
	}
	return ""
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
