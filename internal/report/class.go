package report

import (
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// Class is how strong the strongest way in of a person is.
type Class string

// The classes. They are words of the table report_day.
const (
	Hardware     Class = "hardware"     // phishing-resistant, and proven to be held by hardware
	Bound        Class = "bound"        // phishing-resistant, on one device by its own word
	Synced       Class = "synced"       // phishing-resistant, may exist on several devices
	Passwordless Class = "passwordless" // not phishing-resistant: a phone approval
	Pass         Class = "pass"         // nothing but what an administrator handed out
	Nothing      Class = "nothing"
)

// Classes are all classes, the strongest first. This order is the ranking.
var Classes = []Class{Hardware, Bound, Synced, Passwordless, Pass, Nothing}

// ClassOf ranks one credential, by what its proofs claim and not by the name
// of its method.
func ClassOf(c method.Credential) Class {
	has := func(p idp.Property) bool { return slices.Contains(c.Properties, p) }
	switch {
	case c.Bootstrap:
		return Pass
	case has(idp.PhishingResistant) && has(idp.HardwareBound):
		return Hardware
	case has(idp.PhishingResistant) && c.Facts.Synced:
		return Synced
	case has(idp.PhishingResistant):
		return Bound
	}
	return Passwordless
}

// Stronger says whether a comes before b in the ranking.
func Stronger(a, b Class) bool { return slices.Index(Classes, a) < slices.Index(Classes, b) }

// Strongest picks the strongest of what somebody holds; the first of equals.
// ok is false when they hold nothing.
func Strongest(held []method.Credential) (best method.Credential, ok bool) {
	for _, c := range held {
		if !ok || Stronger(ClassOf(c), ClassOf(best)) {
			best, ok = c, true
		}
	}
	return best, ok
}
