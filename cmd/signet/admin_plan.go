package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// policyPlan is what policy.plan answers.
type policyPlan struct {
	Version int64 `json:"version"`
	Changes []struct {
		At  string          `json:"at"`
		Old json.RawMessage `json:"old"`
		New json.RawMessage `json:"new"`
	} `json:"changes"`
	Names    map[string]string `json:"names"`
	Warnings []string          `json:"warnings"`
	Preview  *policyImpact     `json:"preview"`
	Refusal  *struct {
		Sentence string `json:"sentence"`
	} `json:"refusal"`
}

type policyImpact struct {
	People   int           `json:"people"`
	Keys     int           `json:"keys"`
	Stops    int           `json:"keysThatStop"`
	Starts   int           `json:"keysThatStart"`
	Affected int           `json:"peopleWhoLoseKeys"`
	NoWayIn  int           `json:"peopleWithNoWayIn"`
	Reasons  []lossReason  `json:"reasons"`
	Lost     []policyLoser `json:"lose"`
	Regain   []policyLoser `json:"regain"`

	Narrowed  int           `json:"peopleWithFewerBrowsers"`
	OnlyPhone int           `json:"peopleWithOnlyAPhone"`
	Narrow    []policyLoser `json:"fewerBrowsers"`
}

type lossReason struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	Keys   int    `json:"keys"`
}

type policyLoser struct {
	Name        string `json:"userPrincipalName"`
	DisplayName string `json:"displayName"`
	NoWayIn     bool   `json:"noWayIn"`
	Keys        []struct {
		Method string `json:"method"`
		AAGUID string `json:"aaguid"`
		Model  string `json:"model"`
	} `json:"keys"`
}

// print writes a plan for people.
func (p policyPlan) print(w io.Writer) error {
	var b strings.Builder
	if len(p.Changes) == 0 {
		fmt.Fprintf(&b, "Nothing changes: the policies, of version %d, are as the file says.\n", p.Version)
	} else {
		fmt.Fprintf(&b, "The policies, of version %d, would change in %s:\n", p.Version, count(len(p.Changes), "place", "places"))
	}
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "\n  %s\n", printable(c.At))
		p.values(&b, c.Old, c.New)
	}
	for i, w := range p.Warnings {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "Look again: %s\n", printable(w))
	}
	if p.Preview != nil {
		p.Preview.print(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// values writes what goes and what comes. Of two lists, only the items that
// differ.
func (p policyPlan) values(b *strings.Builder, before, after json.RawMessage) {
	gone, come := items(before), items(after)
	if isList(before) && isList(after) {
		gone, come = less(gone, come), less(come, gone)
		if len(gone)+len(come) == 0 { // the same, in another order or number
			gone, come = []string{string(before)}, []string{string(after)}
		}
	}
	for _, v := range gone {
		fmt.Fprintf(b, "    - %s\n", p.value(v))
	}
	for _, v := range come {
		fmt.Fprintf(b, "    + %s\n", p.value(v))
	}
}

// value tells what GUIDs are called.
func (p policyPlan) value(v string) string {
	v = printable(v)
	for _, id := range slices.Sorted(maps.Keys(p.Names)) {
		v = strings.ReplaceAll(v, `"`+id+`"`, `"`+id+`" (`+printable(p.Names[id])+`)`)
	}
	return v
}

func isList(v json.RawMessage) bool {
	return len(v) == 0 || v[0] == '[' || string(v) == "null"
}

// items are those of a list, or the value itself.
func items(v json.RawMessage) []string {
	if len(v) == 0 || string(v) == "null" {
		return nil
	}
	list, err := decode[[]json.RawMessage](v)
	if err != nil {
		return []string{string(v)}
	}
	all := make([]string, len(list))
	for i, item := range list {
		all[i] = string(item)
	}
	return all
}

// less is what a has and b has not.
func less(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func (i *policyImpact) print(b *strings.Builder) {
	fmt.Fprintf(b, "\nJudged: %s with %s.\n", count(i.People, "person", "people"), count(i.Keys, "key", "keys"))
	if i.Stops == 0 {
		b.WriteString("No key that works today would stop working.\n")
	} else {
		fmt.Fprintf(b, "%s of %s would stop working", count(i.Stops, "key", "keys"), count(i.Affected, "person", "people"))
		if i.NoWayIn > 0 {
			fmt.Fprintf(b, ", and %s would have no way in", count(i.NoWayIn, "person", "people"))
		}
		b.WriteString(":\n")
		losers(b, i.Lost, i.Affected)
		b.WriteString("Refused by:\n")
		for _, r := range i.Reasons {
			fmt.Fprintf(b, "  %s: %s, by the rule %s\n", count(r.Keys, "key", "keys"), because(r.Reason), printable(r.Rule))
		}
	}
	if i.Starts > 0 {
		fmt.Fprintf(b, "%s would work again:\n", count(i.Starts, "key", "keys"))
		losers(b, i.Regain, 0)
	}
	i.browsers(b)
}

// browsers tells whose phones fewer browsers could ask.
func (i *policyImpact) browsers(b *strings.Builder) {
	if i.Narrowed == 0 {
		return
	}
	fmt.Fprintf(b, "The phones of %s could be asked from fewer browsers", count(i.Narrowed, "person", "people"))
	if i.OnlyPhone > 0 {
		fmt.Fprintf(b, "; %s of them with nothing but a phone, good in browsers that know them only", count(i.OnlyPhone, "person", "people"))
	}
	b.WriteString(":\n")
	for _, l := range i.Narrow {
		fmt.Fprintf(b, "  %s", printable(l.Name))
		if l.DisplayName != "" {
			fmt.Fprintf(b, " (%s)", printable(l.DisplayName))
		}
		b.WriteString("\n")
	}
	if more := i.Narrowed - len(i.Narrow); more > 0 {
		fmt.Fprintf(b, "  and %d more; --names shows them\n", more)
	}
}

// losers names people; all is how many there are, when that is known.
func losers(b *strings.Builder, people []policyLoser, all int) {
	for _, l := range people {
		fmt.Fprintf(b, "  %s", printable(l.Name))
		if l.DisplayName != "" {
			fmt.Fprintf(b, " (%s)", printable(l.DisplayName))
		}
		var keys []string
		for _, k := range l.Keys {
			name := k.Model
			switch {
			case name != "":
			case strings.Trim(k.AAGUID, "0-") == "":
				name = k.Method
			default:
				name = k.Method + " of the model " + k.AAGUID
			}
			keys = append(keys, printable(name))
		}
		fmt.Fprintf(b, ": %s", strings.Join(keys, ", "))
		if l.NoWayIn {
			b.WriteString(" - no way in")
		}
		b.WriteString("\n")
	}
	if more := all - len(people); more > 0 {
		fmt.Fprintf(b, "  and %d more; --names shows them\n", more)
	}
}

// because says the reasons of policy.Refusal in words; those of attestation
// carry the verdict on the statement.
func because(reason string) string {
	switch reason {
	case "method_off":
		return "the method is off"
	case "excluded":
		return "the person is excluded"
	case "not_included":
		return "the method is not for the person"
	case "synced_not_allowed":
		return "passkeys that can be copied are not allowed"
	case "device_bound_not_allowed":
		return "only passkeys that can be copied are allowed"
	case "model_not_allowed":
		return "the model is not allowed, or not proven"
	case "certificate_not_scoped":
		return "what the certificate's authority issues is for other people"
	case "certificate_affinity_low":
		return "the certificate is only tied to the person by a name"
	case "aaguid_zero":
		return "the key names no model"
	}
	if verdict, ok := strings.CutPrefix(reason, "attestation_"); ok {
		return "the key does not prove its model (" + printable(verdict) + ")"
	}
	return printable(reason)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
