package psso_test

import (
	"slices"
	"testing"
)

// What a Mac tries that is switched off, or that nobody knows, is on record
// (apple-platform-sso.md §18.7).
func TestRefusedMacsAreOnRecord(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	token := w.signIn(m, w.ada, k)
	w.switchOn(m, false)
	stranger := *m
	stranger.signing = ecKey()
	for reason, all := range map[string][]*message{
		"device_disabled": {w.login(m, w.ada, k), w.refresh(m, token), w.keyRequest(m, w.ada, token)},
		"device_unknown":  {w.login(&stranger, w.ada, k)},
	} {
		for n, q := range all {
			w.send(q)
			got := slices.DeleteFunc(w.events("prt.issue"), func(s string) bool { return s != "prt.issue failure "+reason })
			if len(got) != n+1 {
				t.Errorf("after message %d of %s: %q", n, reason, w.events(""))
			}
		}
	}
}
