package jose_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// looseShape has a field of each kind.
type looseShape struct {
	Name   string          `json:"Name"`
	Number jose.Number     `json:"number"`
	Truth  jose.Bool       `json:"truth"`
	Word   jose.Text       `json:"word"`
	List   jose.Strings    `json:"list"`
	Later  *jose.Number    `json:"later"`
	Deep   json.RawMessage `json:"deep"`
}

func TestLooselyTakesWhatClientsWrite(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"as it should be", `{"Name":"a","number":7,"truth":true,"word":"w","list":["x","y"]}`, "a 7 true w [x y]"},
		{"other letter case", `{"nAME":"a","NUMBER":7,"Truth":true,"WORD":"w","List":["x"]}`, "a 7 true w [x]"},
		{"strings for values", `{"number":"-7","truth":"True","list":"x"}`, " -7 true  [x]"},
		{"values for strings", `{"word":2.0}`, " 0 false 2.0 []"},
		{"truth for a string", `{"word":true,"truth":"false"}`, " 0 false true []"},
		{"nothing", `{"Name":null,"number":null,"truth":null,"word":null,"list":null}`, " 0 false  []"},
		{"one name in two objects", `{"deep":{"a":1,"b":{"a":1}},"Name":"a"}`, "a 0 false  []"},
		{"a name as a value", `{"Name":"number","number":1,"list":["Name","name"]}`, "number 1 false  [Name name]"},
		{"strings with signs", `{"Name":"{\"a\":[,:\\","word":"\\\\"}`, `{"a":[,:\ 0 false \\ []`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v looseShape
			if err := jose.Loosely([]byte(c.in), &v); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%s %d %t %s %s", v.Name, v.Number, v.Truth, v.Word, []string(v.List)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSec_TOK08_LooselyRefuses(t *testing.T) {
	many := strings.Builder{}
	for n := range 129 {
		fmt.Fprintf(&many, `"a%d":1,`, n)
	}
	for _, c := range []struct{ name, in string }{
		{"name twice", `{"Name":"a","Name":"b"}`},
		{"name twice, other case", `{"Name":"a","NAME":"b"}`},
		{"name twice by an escape", `{"Name":"a","nam\u0065":"b"}`},
		{"name twice by a letter that folds", `{"K":"a","` + "\u212a" + `":"b"}`}, // the sign of the kelvin
		{"name twice, deep and unknown", `{"x":[{"y":{"z":1,"Z":2}}]}`},
		{"name twice behind an object", `{"x":{"Name":1},"y":[{}],"X":2}`},
		{"too many names", `{` + strings.TrimSuffix(many.String(), ",") + `}`},
		{"no UTF-8", "{\"a\xff\":1}"},
		{"something behind", `{} {}`},
		{"a comment", `{} // x`},
		{"nothing at all", ``},
		{"cut short", `{"Name":"a"`},
		{"too deep", `{"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`},
		{"too long", `{"Name":"` + strings.Repeat("x", jose.MaxLoose) + `"}`},
		{"number with letters", `{"number":"7x"}`},
		{"number in hex", `{"number":"0x7"}`},
		{"number with a fraction", `{"number":7.5}`},
		{"number that is too large", `{"number":"9223372036854775808"}`},
		{"number that is an object", `{"number":{}}`},
		{"number that is empty", `{"number":""}`},
		{"truth that is a word", `{"truth":"yes"}`},
		{"text that is a list", `{"word":["a"]}`},
		{"text that is an object", `{"word":{}}`},
		{"list that is an object", `{"list":{}}`},
		{"list of numbers", `{"list":[1]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v looseShape
			if err := jose.Loosely([]byte(c.in), &v); !errors.Is(err, idp.Invalid) {
				t.Errorf("got %+v, %v", v, err)
			}
		})
	}
	var v looseShape
	if err := jose.Loosely([]byte(`{"x":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)+`}`), &v); err != nil {
		t.Errorf("32 deep: %v", err)
	}
}

func TestUnbase64(t *testing.T) {
	for _, good := range []string{"-_8", "-_8=", "+/8", "+/8=", "-/8", "+_8="} {
		if raw, err := jose.Unbase64(good); err != nil || string(raw) != "\xfb\xff" {
			t.Errorf("%q: %x, %v", good, raw, err)
		}
	}
	for _, bad := range []string{"-_9", "-_8\n", "\r-_8", "-_8===", "=", "a", "-_ 8", "-_8=a", "a.b", "ä"} {
		raw, err := jose.Unbase64(bad)
		if bad == "=" { // padding of nothing is nothing
			if err != nil || len(raw) != 0 {
				t.Errorf("%q: %x, %v", bad, raw, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%q: %x", bad, raw)
		}
	}
}

// FuzzLoosely: what Loosely takes, encoding/json takes too, reads alike, and no
// object of it has two names that fold to one.
func FuzzLoosely(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"A":2}`, `{"a":{"b":1,"B":1}}`, `[[[[]]]]`, `"\"{"`, `{"a":"\\"}`, `1 2`, ``, `{"\u0061":1,"a":2}`, `[{"a":[1,{"b":"c"}],"d":","}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got, want any
		if err := jose.Loosely(raw, &got); err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if err := json.Unmarshal(raw, &want); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: read as %v; encoding/json says %v, %v", raw, got, want, err)
		}
		if a, b := members(got), strings.Count(colons(raw), ":"); a != b {
			t.Errorf("%q: %d members are left of %d", raw, a, b)
		}
		folded(t, got)
	})
}

// colons is raw without its strings.
func colons(raw []byte) string {
	var out []byte
	quoted := false
	for n := 0; n < len(raw); n++ {
		switch {
		case quoted && raw[n] == '\\':
			n++
		case raw[n] == '"':
			quoted = !quoted
		case !quoted:
			out = append(out, raw[n])
		}
	}
	return string(out)
}

// members counts the members of all objects in v.
func members(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, e := range v {
			n += members(e)
		}
	case []any:
		for _, e := range v {
			n += members(e)
		}
	}
	return n
}

func folded(t *testing.T, v any) {
	switch v := v.(type) {
	case map[string]any:
		for a, e := range v {
			folded(t, e)
			for b := range v {
				if a != b && strings.EqualFold(a, b) {
					t.Errorf("%q beside %q", a, b)
				}
			}
		}
	case []any:
		for _, e := range v {
			folded(t, e)
		}
	}
}
