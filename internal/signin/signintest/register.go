package signintest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

func register(t *testing.T, b *bench) {
	if b.NewDevice == nil {
		t.Log("nobody registers for this method on a page")
		return
	}
	s := b.Session(t, b.Ada)
	m := b.Method.ID()
	begin := func() signin.Begun {
		t.Helper()
		c, err := b.Corridor.BeginRegister(t.Context(), s, m, b.peer)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	held := func() int {
		t.Helper()
		list, err := b.Corridor.Credentials(t.Context(), b.Tenant.ID, b.Ada.ID)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	d := b.NewDevice(t)
	c := begin()
	payload := d.Register(t, c.Show)

	bobs := b.Session(t, b.Bob)
	_, err := b.Corridor.FinishRegister(t.Context(), bobs, c.Ceremony, payload, b.peer)
	wantKind(t, "in another's session", err, idp.Unproven)
	f := b.Flow(t, signin.Flow{}, b.peer)
	_, err = b.Corridor.Answer(t.Context(), f, m, c.Ceremony, payload, nil, b.peer)
	wantKind(t, "a registration as a sign-in", err, idp.Expired)
	signIn := b.beginIn(t, f, "")
	_, err = b.Corridor.FinishRegister(t.Context(), s, signIn.Ceremony, payload, b.peer)
	wantKind(t, "a sign-in as a registration", err, idp.Expired)
	if n := held(); n != 0 {
		t.Fatalf("%d credentials before any was registered", n)
	}
	cred, err := b.Corridor.FinishRegister(t.Context(), s, c.Ceremony, payload, b.peer)
	if err != nil || cred.User != b.Ada.ID || cred.Method != m || held() != 1 {
		t.Fatalf("register: %+v, %v", cred, err)
	}
	_, err = b.Corridor.FinishRegister(t.Context(), s, c.Ceremony, payload, b.peer)
	wantKind(t, "second use", err, idp.Expired)
	signIn = b.beginIn(t, signIn.flow, "")
	step, err := b.Corridor.Answer(t.Context(), signIn.flow, m, signIn.Ceremony, d.Answer(t, signIn.Show), nil, b.peer)
	if err != nil || step.Kind != signin.Done || step.Session.User != b.Ada.ID {
		t.Errorf("sign-in with it: step %s, %v", step.Kind, err)
	}
	for _, bad := range nasty() {
		if _, err := b.Corridor.FinishRegister(t.Context(), s, begin().Ceremony, bad, b.peer); err == nil || errors.Is(err, idp.Internal) || !errors.As(err, new(*idp.Error)) {
			t.Errorf("garbage %.40q: %v, want a refusal", bad, err)
		}
	}
	// The session ends under way.
	c = begin()
	payload = b.NewDevice(t).Register(t, c.Show)
	b.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return b.Sessions.End(ctx, tx, b.Tenant.ID, s.ID) })
	_, err = b.Corridor.FinishRegister(t.Context(), s, c.Ceremony, payload, b.peer)
	wantKind(t, "in a session that has ended", err, idp.Expired)
	if n := held(); n != 1 {
		t.Errorf("%d credentials, want 1", n)
	}
	b.Advance(5*time.Minute + time.Millisecond)
	_, err = b.Corridor.BeginRegister(t.Context(), s, m, b.peer)
	wantKind(t, "with an old proof", err, idp.Denied)
}

func registerParallel(t *testing.T, b *bench) {
	if b.NewDevice == nil {
		return
	}
	s := b.Session(t, b.Ada)
	c, err := b.Corridor.BeginRegister(t.Context(), s, b.Method.ID(), b.peer)
	if err != nil {
		t.Fatal(err)
	}
	payload := b.NewDevice(t).Register(t, c.Show)
	if won := oneAnswered(t, race(func(int) error {
		_, err := b.Corridor.FinishRegister(t.Context(), s, c.Ceremony, payload, b.peer)
		return err
	})); won != nil {
		t.Errorf("the one that was answered: %v", won)
	}
	list, err := b.Corridor.Credentials(t.Context(), b.Tenant.ID, b.Ada.ID)
	if err != nil || len(list) != 1 {
		t.Errorf("%d credentials, %v, want 1", len(list), err)
	}
}
