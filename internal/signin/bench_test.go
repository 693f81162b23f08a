package signin_test

import (
	"testing"

	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// BenchmarkSignIn is the corridor's share of a sign-in on SQLite, from Next to
// the session: all but the method's own cryptography. Nothing caches policy
// and people here, as app does.
func BenchmarkSignIn(b *testing.B) {
	w := newWorld(b, sqldbtest.Open(b, signintest.Sources(stubs...)))
	held := w.page.room(b).Enrol(b, w.Ada)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			step, err := w.Corridor.Next(b.Context(), signin.Flow{Tenant: w.Tenant.ID}, nil, w.peer)
			if err != nil {
				b.Fatal(err)
			}
			f := w.Resume(b, w.Tenant.ID, step.Handle, w.peer)
			c := w.Begin(b, f, "passkey", "")
			if step, err = w.Corridor.Answer(b.Context(), f, "passkey", c.Ceremony, held.Answer(b, c.Show), nil, w.peer); err != nil || step.Kind != signin.Done {
				b.Fatal(step.Kind, err)
			}
		}
	})
}
