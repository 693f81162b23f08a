package signintest

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// Fuzz feeds answers to a room through the corridor, on SQLite: nothing
// panics, and nobody is let in who does not answer what was asked. The room's
// own right answer, to an earlier ceremony, is among the seeds.
func Fuzz(f *testing.F, sources []fs.FS, mk func(t testing.TB, h *House) Room) {
	b := newBench(f, sqldbtest.Open(f, Sources(sources...)), mk)
	held := b.Enrol(f, b.Ada)
	for _, payload := range nasty() {
		if len(payload) < 4096 {
			f.Add(payload)
		}
	}
	if held.Wrong != nil {
		f.Add(held.Wrong(f, b.begin(f).Show))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c := b.begin(t)
		step, err := b.answer(t, c, payload)
		b.wantRefused(t, fmt.Sprintf("%q", payload), step, err)
	})
}
