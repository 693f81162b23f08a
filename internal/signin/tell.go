package signin

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
)

// Names in the Detail of a record of a sign-in that did not finish: what was
// asked, proven and missing, so that the console can tell the story later. A
// sign-in that succeeds has none of it, but for the flow when it took more than
// one step.
const (
	DetailFlow     = "flow"     // the same in all records of one journey
	DetailStarted  = "started"  // when it began; RFC 3339 with milliseconds
	DetailRequired = "required" // the strength that the app demands
	DetailACR      = "acr"      // what the request asks, blanks between
	DetailMaxAge   = "maxAge"   // in seconds
	DetailPrompt   = "prompt"   // "login", when a new proof was asked for
	DetailFor      = "for"      // "devices", when it led to registering one
	DetailPolicy   = "policy"   // version of the policy that decided
	DetailMode     = "mode"     // of the proof
	DetailClaims   = "claims"   // properties of the proof, blanks between
	DetailKey      = "key"      // idp.Facts of the credential, as JSON
	DetailMissing  = "missing"  // combinations of modes: "a+b c"
)

// tell adds to the record of a try that did not finish what it was about. Of
// somebody unproven it says only what the request asked.
func tell(e *audit.Event, t try) {
	d := maps.Clone(e.Detail)
	if d == nil {
		d = make(map[string]string)
	}
	put := func(key, value string) {
		if value != "" {
			d[key] = value
		}
	}
	f := t.flow
	put(DetailFlow, string(f.ID))
	if !f.Started.IsZero() {
		put(DetailStarted, f.Started.UTC().Format(startedLayout))
	}
	put(DetailRequired, f.Required)
	put(DetailACR, strings.Join(f.ACR, " "))
	if f.MaxAge != nil {
		put(DetailMaxAge, strconv.FormatInt(*f.MaxAge, 10))
	}
	for _, p := range f.Prompt {
		if p == "login" {
			put(DetailPrompt, p)
		}
	}
	if f.Enlists {
		put(DetailFor, "devices")
	}
	if p := t.verdict.Proof; t.proved && t.user.Known() {
		put(DetailPolicy, strconv.FormatInt(t.decision.Version, 10))
		put(DetailMode, string(p.Mode))
		put(DetailClaims, words(p.Properties, " "))
		put(DetailKey, facts(p.Facts))
		var missing []string
		for _, combination := range t.decision.Missing {
			missing = append(missing, words(combination, "+"))
		}
		put(DetailMissing, strings.Join(missing, " "))
	}
	e.Detail = d
}

// What a room may add to a record: names and bytes. The audit bounds the length
// of each text and cleans it (security.md LOG02).
const (
	maxDetails = 16
	maxDetail  = 1 << 10
)

// bounded is what a record takes of what a room says of an answer. It comes from
// what somebody sent, so it is bounded here, too, whatever the room thinks, and
// a name that does not begin with the room's own could be one of ours.
func bounded(m idp.MethodID, d map[string]string) map[string]string {
	if len(d) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(d), maxDetails))
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if d[name] == "" || !strings.HasPrefix(name, string(m)) {
			continue
		}
		if out[name] = audit.Clean(d[name], maxDetail); len(out) == maxDetails {
			break
		}
	}
	return out
}

const startedLayout = "2006-01-02T15:04:05.000Z07:00"

func words[T ~string](list []T, between string) string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return strings.Join(out, between)
}

// facts writes what a policy could judge a credential by. Its name is its
// owner's own text, and may change: it is looked up when it is shown.
func facts(f idp.Facts) string {
	f.Name = ""
	raw, err := json.Marshal(f)
	if err != nil || string(raw) == "{}" {
		return ""
	}
	return string(raw)
}

// Told is what a record says of the sign-in it is about; the zero value of a
// field: nothing.
type Told struct {
	Flow       string
	Started    time.Time
	Required   string
	ACR        []string
	MaxAge     time.Duration // below zero: not asked
	Login      bool          // a new proof was asked for
	Enlists    bool          // it led to registering a device
	Policy     int64         // version; 0: not told, or never saved
	Judged     bool          // policy was asked about a proof
	Mode       idp.Mode
	Properties []idp.Property
	Facts      idp.Facts
	Missing    [][]idp.Mode
}

// Tell reads back what tell wrote. What is not readable is as if it was not
// there: old records have none of it.
func Tell(e audit.Event) Told {
	d := e.Detail
	out := Told{
		Flow: d[DetailFlow], Required: d[DetailRequired], ACR: strings.Fields(d[DetailACR]), MaxAge: -1,
		Login: d[DetailPrompt] == "login", Enlists: d[DetailFor] == "devices", Mode: idp.Mode(d[DetailMode]), Judged: d[DetailMode] != "",
	}
	if at, err := time.Parse(startedLayout, d[DetailStarted]); err == nil {
		out.Started = at
	}
	if n, err := strconv.ParseInt(d[DetailMaxAge], 10, 64); err == nil {
		out.MaxAge = maxAge(&n)
	}
	out.Policy, _ = strconv.ParseInt(d[DetailPolicy], 10, 64)
	for _, p := range strings.Fields(d[DetailClaims]) {
		out.Properties = append(out.Properties, idp.Property(p))
	}
	if text := d[DetailKey]; text != "" {
		if json.Unmarshal([]byte(text), &out.Facts) != nil {
			out.Facts = idp.Facts{}
		}
	}
	for _, c := range strings.Fields(d[DetailMissing]) {
		var modes []idp.Mode
		for _, m := range strings.Split(c, "+") {
			modes = append(modes, idp.Mode(m))
		}
		out.Missing = append(out.Missing, modes)
	}
	return out
}
