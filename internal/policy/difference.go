package policy

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/signetid/signet/internal/audit"
)

// Difference is one place in which two policies differ. Values are JSON;
// empty: not there.
type Difference struct{ At, Old, New string }

// Differences lists where next differs from old, in the places that Complaints
// and rules name too: for audit records and for people who compare.
func Differences(old, next Policy) ([]Difference, error) {
	a, err := tree(old)
	if err != nil {
		return nil, err
	}
	b, err := tree(next)
	if err != nil {
		return nil, err
	}
	return differ(nil, "", a, b), nil
}

// Record notes in an audit record what a change of policy changed, as much of
// it as a record holds.
func Record(e *audit.Event, old, next Policy) error {
	all, err := Differences(old, next)
	if err != nil {
		return err
	}
	e.Detail = maps.Clone(e.Detail)
	if e.Detail == nil {
		e.Detail = make(map[string]string)
	}
	e.Detail["changes"] = strconv.Itoa(len(all))
	for _, d := range all[:min(len(all), mostRecorded)] {
		e.Detail[d.At] = cmp.Or(d.Old, "nothing") + " → " + cmp.Or(d.New, "nothing")
	}
	return nil
}

// mostRecorded is how many places a record names: it has room for few more.
const mostRecorded = 24

func differ(out []Difference, at string, a, b any) []Difference {
	if reflect.DeepEqual(a, b) {
		return out
	}
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if aok && bok {
		both := maps.Clone(am)
		maps.Copy(both, bm)
		for _, name := range slices.Sorted(maps.Keys(both)) {
			out = differ(out, under(at, name), am[name], bm[name])
		}
		return out
	}
	al, aok := a.([]any)
	bl, bok := b.([]any)
	if aok && bok && len(al) == len(bl) {
		for i := range al {
			out = differ(out, at+"["+strconv.Itoa(i)+"]", al[i], bl[i])
		}
		return out
	}
	return append(out, Difference{At: at, Old: text(a), New: text(b)})
}

func text(v any) string {
	if v == nil {
		return ""
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return "?" // what came from JSON marshals
	}
	return string(doc)
}
