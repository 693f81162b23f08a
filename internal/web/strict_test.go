package web_test

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/web"
)

type embedded struct {
	Tenant string `json:"tenant"`
}

// sent is a type with every kind of field that is decoded into.
type sent struct {
	embedded
	Handle  string            `json:"handle"`
	Plain   string            // no tag: the name is the field's
	Left    string            `json:"-"`
	Inner   *sent             `json:"inner"`
	List    []sent            `json:"list"`
	Named   map[string]sent   `json:"named"`
	Texts   map[string]string `json:"texts"`
	Any     any               `json:"any"`
	Raw     json.RawMessage   `json:"raw"`
	At      time.Time         `json:"at"`
	Pointer *string           `json:"pointer"`
	Signal  int               `json:"ſignal"`
}

// TestSec_TOK08_StrictJSON: what has more than one reading is refused, at any
// depth, whether or not there is a field for it.
func TestSec_TOK08_StrictJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"x":[`, n/2) + strings.Repeat(`]}`, n/2) }
	for name, text := range map[string]string{
		"nothing in it": `{}`, "white space": " { \"handle\" :\t\"a\" ,\r\n\"any\" : [ 1 , 2 ] } ",
		"every kind":            `{"tenant":"t","handle":"a","Plain":"p","inner":{"handle":"b"},"list":[{"handle":"c"},{}],"named":{"handle":{"handle":"d"}},"texts":{"Handle":"x","handle":"y"},"any":{"HANDLE":1,"handle":2},"raw":{"RAW":[true,null,-1.5e3]},"at":"2026-03-05T09:14:00Z","pointer":null}`,
		"names nobody knows":    `{"other":{"handle":1,"HANDLE":2},"more":[[],[{}]]}`,
		"one name in two":       `{"handle":"a","inner":{"handle":"a"}}`,
		"a name by an escape":   `{"h\u0061ndle":"a"}`,
		"a quote in a string":   `{"handle":"\"handle\":1,\"handle\":2","any":"}{\\"}`,
		"a field that is apart": `{"-":"1","Left":"2"}`,
		"nested as deep as can": `{"any":` + deep(30) + `}`,
		"null":                  `null`,
	} {
		var v sent
		if err := web.Strict([]byte(text), &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"twice":                         `{"handle":"a","handle":"b"}`,
		"twice and equal":               `{"handle":"a","handle":"a"}`,
		"twice by an escape":            `{"handle":"a","h\u0061ndle":"b"}`,
		"twice, not known":              `{"x":1,"x":2}`,
		"twice, both cut short":         `{"\ud800":1,"\ud801":2}`,
		"twice, both no UTF-8":          "{\"\xff\":1,\"\xfe\":2}",
		"twice in a known one":          `{"inner":{"handle":"a","handle":"b"}}`,
		"twice in a list":               `{"list":[{},{"handle":"a","handle":"b"}]}`,
		"twice in a map":                `{"texts":{"a":"1","a":"2"}}`,
		"twice in what is kept raw":     `{"raw":{"a":1,"b":{"c":1,"c":2}}}`,
		"twice in what nobody knows":    `{"x":[{"y":{"z":1,"z":2}}]}`,
		"upper case":                    `{"HANDLE":"a"}`,
		"both cases":                    `{"handle":"a","Handle":"b"}`,
		"upper case by an escape":       `{"\u0048andle":"a"}`,
		"upper case, embedded":          `{"Tenant":"a"}`,
		"upper case, inside":            `{"inner":{"Handle":"a"}}`,
		"upper case, in a list":         `{"list":[{"Handle":"a"}]}`,
		"upper case, in a map":          `{"named":{"x":{"Handle":"a"}}}`,
		"lower case, where upper is it": `{"plain":"a"}`,
		"a letter that folds":           `{"\u017fignal":1,"signal":2}`, // the long s
		"too deep":                      `{"any":` + deep(32) + `}`,
		"behind it":                     `{"handle":"a"}{}`,
		"a comma behind it":             `{"handle":"a"},`,
		"not closed":                    `{"handle":"a"`,
		"another type":                  `{"handle":1}`,
		"a list":                        `[]`,
		"nothing":                       ``,
	} {
		var v sent
		if err := web.Strict([]byte(text), &v); err == nil {
			t.Errorf("%s: %s is read as %+v", name, text, v)
		}
	}
}

// TestSec_TOK08_BodyIsStrict is the same at the reader of request bodies.
func TestSec_TOK08_BodyIsStrict(t *testing.T) {
	for _, body := range []string{`{"handle":"a","handle":"b"}`, `{"HANDLE":"a"}`, `{"x":{"y":1,"y":2}}`} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		var in sent
		if err := web.ReadJSON(httptest.NewRecorder(), r, &in); err == nil {
			t.Errorf("%s is read as %q", body, in.Handle)
		}
	}
}

// FuzzStrict: Strict takes what the reader of tokens takes, and reads it alike,
// and its own walk ends whatever comes.
func FuzzStrict(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, `[[[[]]]]`, `"\"{"`, `{"a":"\\"}`, `1 2`, ``, "{\"\xff\":1}",
		`{"handle":"a","HANDLE":1}`, `{"list":[{"inner":null}]} `, `{"named":{"a":{"tenant":""}},"texts":{"A":"","a":""}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > jose.MaxToken {
			return
		}
		var got, want any
		ours, tokens := web.Strict(raw, &got), jose.Strict(raw, &want)
		if (ours == nil) != (tokens == nil) || ours == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: read as %v, %v; by the reader of tokens as %v, %v", raw, got, ours, want, tokens)
		}
		var one, other sent
		if err := web.Strict(raw, &one); err == nil {
			if err := jose.Strict(raw, &other); err != nil || !reflect.DeepEqual(one, other) {
				t.Errorf("%q: read as %+v; by the reader of tokens as %+v, %v", raw, one, other, err)
			}
		}
		_ = web.OneReading(raw, &one) // of what is no JSON it says anything, and ends
	})
}
