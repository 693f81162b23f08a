package web_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/web"
)

type shouted string

func (s *shouted) UnmarshalText(text []byte) error {
	*s = shouted(strings.ToUpper(string(text)))
	return nil
}

// posted has every kind of field that is read plainly, and some that are not.
type posted struct {
	Text     string  `json:"text"`
	Named    kind    `json:"named,omitempty"`
	Pointer  *string `json:"pointer"`
	Yes      bool    `json:"yes"`
	Response *posted `json:"response"`
	Inner    struct {
		A string `json:"a"`
	} `json:"inner"`
	Outputs map[string]json.RawMessage `json:"outputs"`
	Bare    string
	Hidden  string  `json:"-"`
	Number  int     `json:"number"`
	Shout   shouted `json:"shout"`
	Raw     json.RawMessage
	At      time.Time `json:"at"`
	List    []string  `json:"list"`
	Kinds   []kind    `json:"kinds"`
	Shouts  []shouted `json:"shouts"`
	Numbers []int     `json:"numbers"`
	private string
}

type kind string

var plainTexts = []string{
	`{}`, ` { } `, `{"text":"a"}`, "{ \"text\" :\t\"a\" ,\r\n\"yes\" : true }", `{"named":"n","pointer":"p","yes":false,"Bare":"b"}`,
	`{"response":{"text":"a","inner":{"a":"b"},"response":{}},"outputs":{}}`, `{"other":"x","text":"a","more":""}`, `{"text":""}`, `{"list":["a"],"kinds":[ "b" , "c" ]}`, "{\"text\":\"\x7f\"}",
}

var otherTexts = []string{
	``, `null`, `[]`, `"a"`, `{`, `}`, `{"text"}`, `{"text":}`, `{"text":"a"`, `{"text":"a"}}`, `{"text":"a"},`, `{"text":"a",}`, `{,}`, `{"text":"a""yes":true}`, `{"text" "a"}`,
	`{"text":"a\\n"}`, `{"t\\u0065xt":"a"}`, "{\"text\":\"\x01\"}", "{\"text\":\"\xff\"}", `{"text":"ä"}`, `{"text":1}`, `{"text":null}`, `{"text":true}`, `{"yes":"true"}`, `{"yes":truex}`,
	`{"TEXT":"a"}`, `{"Text":"a","text":"b"}`, `{"text":"a","text":"b"}`, `{"x":"a","x":"b"}`, `{"x":1}`, `{"x":{}}`, `{"-":"a"}`, `{"Hidden":"a"}`, `{"private":"a"}`,
	`{"response":null}`, `{"response":{"text":"a","text":"b"}}`, `{"response":"a"}`, `{"inner":{"A":"b"}}`, `{"inner":{"a":"b"},"inner":{}}`,
	`{"outputs":{"a":1}}`, `{"outputs":{ }}`, `{"outputs":null}`, `{"number":1}`, `{"shout":"a"}`, `{"Raw":"a"}`, `{"at":"2026-03-05T09:14:00Z"}`, `{"at":"x"}`, `{"list":[]}`, `{"list":["a",]}`, `{"list":["a"}`, `{"list":["a" "b"]}`, `{"list":[null]}`, `{"list":["a\\n"]}`, `{"list":null}`, `{"list":"a"}`, `{"shouts":["a"]}`, `{"numbers":[1]}`, `{"list":["a"],"number":1}`,
	`{"list":["a","b"],"list":["c"]}`,
	strings.Repeat(`{"response":`, 32) + `{}` + strings.Repeat(`}`, 32),
}

// TestPlainly: what is read plainly is read as Strict has always read it, and
// what sign-ins send is.
func TestPlainly(t *testing.T) {
	for _, text := range plainTexts {
		if !sameReading(t, []byte(text)) {
			t.Errorf("%s is not read plainly", text)
		}
	}
	for _, text := range otherTexts {
		switch read := sameReading(t, []byte(text)); {
		case !read:
		case text == `{"-":"a"}` || text == `{"Hidden":"a"}` || text == `{"private":"a"}`: // names of no field
		default:
			t.Errorf("%s is read plainly", text)
		}
	}
	var many []string
	for n := range 20 {
		many = append(many, fmt.Sprintf(`"x%d":""`, n))
	}
	sameReading(t, []byte("{"+strings.Join(many, ",")+"}"))
	deep := strings.Repeat(`{"response":`, 31) + `{}` + strings.Repeat(`}`, 31)
	if !sameReading(t, []byte(deep)) {
		t.Error("32 objects in one another are not read plainly")
	}
}

func TestPlainlyIntoWhatIsNot(t *testing.T) {
	var text string
	var shout shouted
	var anything any
	var embeds struct{ posted }
	var quoted struct {
		N string `json:"n,string"`
	}
	var at time.Time
	for raw, v := range map[string]any{`"a"`: &text, `"b"`: &shout, `{"a":"b"}`: &anything, `{"text":"a"}`: &embeds, `{"n":"\"a\""}`: &quoted, `{}`: &at, `{"x":"y"}`: nil, `{"z":""}`: posted{private: "x"}, `{"y":""}`: (*posted)(nil)} {
		if web.Plainly([]byte(raw), v) {
			t.Errorf("%s is read plainly into a %T", raw, v)
		}
	}
}

func FuzzPlainly(f *testing.F) {
	for _, texts := range [][]string{plainTexts, otherTexts} {
		for _, text := range texts {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) { sameReading(t, raw) })
}

// sameReading reads raw in both ways, and says whether it was read plainly.
func sameReading(t *testing.T, raw []byte) bool {
	t.Helper()
	var fast, slow, both posted
	plainly, err := web.Plainly(raw, &fast), web.Slowly(raw, &slow)
	if plainly && err != nil {
		t.Errorf("%.200q: read plainly, but %v", raw, err)
	}
	if plainly && !reflect.DeepEqual(fast, slow) {
		t.Errorf("%.200q: read plainly as %+v, else as %+v", raw, fast, slow)
	}
	// What the first way has filled in must not show after the second.
	if strict := web.Strict(raw, &both); (strict == nil) != (err == nil) || err == nil && !reflect.DeepEqual(both, slow) {
		t.Errorf("%.200q: Strict reads %+v, %v; want %+v, %v", raw, both, strict, slow, err)
	}
	var pointed *posted
	if strict := web.Strict(raw, &pointed); (strict == nil) != (err == nil) || err == nil && pointed != nil && !reflect.DeepEqual(*pointed, slow) {
		t.Errorf("%.200q: by a pointer Strict reads %+v, %v; want %+v, %v", raw, pointed, strict, slow, err)
	}
	return plainly
}
