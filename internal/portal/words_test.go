package portal

import (
	"testing"

	"github.com/signetid/signet/internal/page/pagetest"
)

func TestCatalogue(t *testing.T) {
	var used []string
	for _, o := range offers { // the keys that method rooms name in their View
		used = append(used, o.View.Label, o.View.Note)
	}
	used = append(used, "method.phone", "method.phone.note", "wait.problem.denied", "wait.problem.reported", "wait.problem.wrong_number")
	used = append(used, "method.certificate", "method.certificate.note", "badge.fact.")
	used = append(used, "activity.device.", "machine.disable.", "machine.remove.", "machine.sign-out.", "machine.effect.", "machine.mac.effect.", "devices.mackey.", "devices.hello.", "machine.mac.")
	pagetest.Catalogue(t, files, used...)
}

// TestSayings: every key in the tables of errors exists.
func TestSayings(t *testing.T) {
	w := bare(t).pages.Languages()[0]
	check := func(where string, s saying) {
		for _, key := range []string{s.title, s.text, s.what} {
			if string(w.T(key)) == key {
				t.Errorf("%s: no text %q", where, key)
			}
		}
		if s.code == 0 || len(s.do) == 0 || len(s.do) > 3 {
			t.Errorf("%s: code %d, %d things to do", where, s.code, len(s.do))
		}
	}
	for k, s := range kinds {
		check(string(k), s)
	}
	for r, s := range reasons {
		check(r, s)
	}
}
