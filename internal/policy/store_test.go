package policy_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func put(t *testing.T, db *sqldb.DB, s *policy.Store, tenant idp.TenantID, p policy.Policy) error {
	t.Helper()
	return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return s.Put(ctx, tx, tenant, p) })
}

func TestStore(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{policy.Migrations}, func(t *testing.T, db *sqldb.DB) {
		s := policy.New(policy.Config{DB: db, Now: func() time.Time { return now }})
		p, err := s.Get(t.Context(), "t1")
		if err != nil || cmp.Diff(policy.Default(), p) != "" {
			t.Fatalf("a tenant that saved nothing: %v\n%s", err, cmp.Diff(policy.Default(), p))
		}
		p = p.Clone()
		for name, value := range map[string]string{
			"passkey.limit": "3", "passkey.warnAt": "2", "accessPass.default": "2h", "method.accessPass": "false", "method.stub": "true",
			"passkey.aaguids.mode": "allow", "passkey.aaguids.list": "CB69481E-8FF7-4039-93EC-0A2729A154A8",
		} {
			if err := p.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		p.Strengths = append(p.Strengths, policy.Strength{ID: "own", Name: "Own", Combinations: [][]idp.Mode{{idp.ModeFIDO2, idp.ModePhone}}})
		if err := put(t, db, s, "t1", p); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), "t1")
		p.Version, p.Changed = 1, now
		if diff := cmp.Diff(p, got); err != nil || diff != "" {
			t.Errorf("saved and read (-want +got): %v\n%s", err, diff)
		}
		if other, err := s.Get(t.Context(), "t2"); err != nil || cmp.Diff(policy.Default(), other) != "" {
			t.Errorf("another tenant got %v, %v", other, err)
		}
		if err := put(t, db, s, "t1", policy.Default()); !errors.Is(err, idp.Conflict) {
			t.Errorf("saved over version 1 as version 0: %v", err)
		}
	})
}

// Of parallel changes of one version, one is saved.
func TestPutRace(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{policy.Migrations}, func(t *testing.T, db *sqldb.DB) {
		s := policy.New(policy.Config{DB: db, Now: func() time.Time { return now }})
		for round := range 5 {
			p, err := s.Get(t.Context(), "t1")
			if err != nil {
				t.Fatal(err)
			}
			var won atomic.Int64
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					switch err := put(t, db, s, "t1", p); {
					case err == nil:
						won.Add(1)
					case !errors.Is(err, idp.Conflict):
						t.Error(err)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Fatalf("round %d: %d of 8 were saved", round, won.Load())
			}
		}
	})
}

// bus delivers at once and counts.
type bus struct{ fn func(string) }

func (b *bus) Publish(_ context.Context, tx *sqldb.Tx, _, key string) error {
	tx.OnCommit(func() { b.fn(key) })
	return nil
}
func (b *bus) Subscribe(_ string, fn func(string)) { b.fn = fn }

func TestCache(t *testing.T) {
	db := sqldbtest.Open(t, []fs.FS{policy.Migrations})
	s := policy.New(policy.Config{DB: db, Now: func() time.Time { return now }, Bus: &bus{}})
	if _, err := s.Get(t.Context(), "t1"); err != nil {
		t.Fatal(err)
	}
	p := policy.Default()
	p.Passkey.Limit = 7
	p.Passkey.WarnAt = 7
	if err := put(t, db, s, "t1", p); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "t1"); err != nil || got.Passkey.Limit != 7 {
		t.Errorf("after the change was told: limit %d, %v", got.Passkey.Limit, err)
	}
}

func TestSet(t *testing.T) {
	for name, values := range map[string][]string{
		"passkey.limit": {"0", "-1", "51", "many", "", "1e3"}, "passkey.attestation": {"", "Required", "indirect"},
		"passkey.aaguids.list": {strings.Repeat("cb69481e-8ff7-4039-93ec-0a2729a154a8,", 501)}, "passkey.withdrawn": {"", "always"},
		"accessPass.default": {"9m59s", "721h", "60", "-1h"}, "accessPass.appSignIn": {"yes", ""}, "accessPass.length": {"7", "49"},
		"session.idle": {"0", "59s"}, "method.passkey": {"on"}, "nothing": {"1"}, "method.": {"true"}, "method.a b": {"true"},
	} {
		for _, value := range values {
			p := policy.Default()
			err := p.Set(name, value)
			if !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Errorf("%s = %q: %v", name, value, err)
			}
			if diff := cmp.Diff(policy.Default(), p); diff != "" {
				t.Errorf("%s = %q changed the policy:\n%s", name, value, diff)
			}
		}
	}
}

// TestTypoInEveryDoor: whichever way a mistyped model comes in, it is refused
// with the one that was meant, before anything is saved.
func TestTypoInEveryDoor(t *testing.T) {
	const typo = "a25342c0-3cdc-4414-8e46-f4807fca511d"
	sqldbtest.Each(t, []fs.FS{policy.Migrations}, func(t *testing.T, db *sqldb.DB) {
		s := policy.New(policy.Config{DB: db, Now: time.Now, Models: models})
		refused := func(door string, err error) {
			t.Helper()
			if e := idp.AsError(err); e == nil || e.Kind != idp.Invalid || e.Reason != "aaguid_typo" || !strings.Contains(e.Public, nitro) || !strings.Contains(e.Public, "YubiKey 5 NFC") {
				t.Errorf("%s: %v", door, err)
			}
		}
		for _, typed := range []string{typo, strings.ToUpper(typo), nitro[:35], nitro + "0"} {
			p := policy.Default()
			if err := p.Set("passkey.aaguids.list", other+", "+typed); err != nil {
				t.Fatal(err)
			}
			refused("Set and Check", s.Check(p))
			refused("Put", put(t, db, s, "t1", p))
			_, err := s.Parse([]byte("passkey:\n  aaguids:\n    list: [" + typed + "]\n"))
			refused("Parse", err)
		}
		p := policy.Default()
		p.Strengths = append(p.Strengths, policy.Strength{ID: "own", Name: "Own", Combinations: [][]idp.Mode{{idp.ModeFIDO2}},
			Configurations: []policy.Configuration{{ID: "c", Modes: []idp.Mode{idp.ModeFIDO2}, AAGUIDs: []string{typo}}}})
		refused("a strength", put(t, db, s, "t1", p))
		p = policy.Default()
		p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "Own", KeyRules: allowList(typo)}}
		refused("a profile", put(t, db, s, "t1", p))
		if got, err := s.Get(t.Context(), "t1"); err != nil || got.Version != 0 {
			t.Errorf("saved all the same: version %d, %v", got.Version, err)
		}
		// What was saved while the model was not known yet is read as it is.
		before := policy.New(policy.Config{DB: db, Now: time.Now})
		p = policy.Default()
		p.Passkey.KeyRules = allowList(typo)
		if err := put(t, db, before, "t1", p); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "t1"); err != nil || got.Version != 1 {
			t.Errorf("a saved policy is not read any more: %v", err)
		}
	})
}

// TestPresent: kept proofs are judged by what is known of their models now,
// and stay as they were kept.
func TestPresent(t *testing.T) {
	s := policy.New(policy.Config{Status: func(aaguid string) idp.ModelStatus {
		return map[string]idp.ModelStatus{nitro: idp.ModelRefuse, other: idp.ModelFine}[aaguid]
	}})
	kept := []idp.Proof{
		{Facts: idp.Facts{AAGUID: nitro}}, {Facts: idp.Facts{AAGUID: other, Status: idp.ModelRefuse}},
		{Facts: idp.Facts{AAGUID: strict, Status: idp.ModelRefuse}}, {Mode: idp.ModeAccessPassOnce},
	}
	got := s.Present(kept)
	for i, want := range []idp.ModelStatus{idp.ModelRefuse, idp.ModelFine, "", ""} {
		if got[i].Facts.Status != want {
			t.Errorf("proof %d: %q, want %q", i, got[i].Facts.Status, want)
		}
	}
	if kept[0].Facts.Status != "" {
		t.Error("the proofs that were kept are changed")
	}
}

func TestShowAndSetAgree(t *testing.T) {
	var p policy.Policy
	for name, value := range policy.Default().Show() {
		if err := p.Set(name, value); err != nil {
			t.Errorf("%s does not take what it shows: %v", name, err)
		}
	}
	// What has no word.
	p.Strengths, p.Order = policy.Default().Strengths, policy.Default().Order
	p.Campaign.Method, p.Campaign.Include = policy.Default().Campaign.Method, policy.Default().Campaign.Include
	p.Devices.Include = policy.Default().Devices.Include
	p.Phone.ShowApp.Include, p.Phone.ShowPlace.Include = policy.Default().Phone.ShowApp.Include, policy.Default().Phone.ShowPlace.Include
	p.Phone.Report.Include = policy.Default().Phone.Report.Include
	p.Certificate.Bindings = policy.Default().Certificate.Bindings
	if diff := cmp.Diff(policy.Default(), p); diff != "" {
		t.Errorf("shown and set again (-want +got):\n%s", diff)
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*policy.Policy){
		"warning above the limit": func(p *policy.Policy) { p.Passkey.WarnAt = 30 },
		"default pass too long":   func(p *policy.Policy) { p.AccessPass.Max = 30 * time.Minute },
		"idle above absolute":     func(p *policy.Policy) { p.Session.Idle = 48 * time.Hour },
		"empty combination": func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "x", Name: "x", Combinations: [][]idp.Mode{{}}})
		},
		"strength without any": func(p *policy.Policy) { p.Strengths = append(p.Strengths, policy.Strength{ID: "x", Name: "x"}) },
		"two strengths of one acr": func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "x", Name: "x", ACR: "phr", Combinations: [][]idp.Mode{{idp.ModePhone}}})
		},
	} {
		p := policy.Default()
		change(&p)
		if err := p.Check(); !errors.Is(err, idp.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	p := policy.Default()
	c := p.Clone()
	c.Switch(policy.Passkey, false)
	c.Strengths[0].Combinations[0][0] = "x"
	c.Strengths[0].Each[0] = "x"
	if diff := cmp.Diff(policy.Default(), p); diff != "" {
		t.Errorf("changing a clone changed its original:\n%s", diff)
	}
}

// FuzzSet: no value panics, and what is taken can be saved and read again.
func FuzzSet(f *testing.F) {
	for name, value := range policy.Default().Show() {
		f.Add(name, value)
	}
	f.Add("accessPass.default", "9223372036854775807ns")
	f.Add("method.x", "T")
	f.Fuzz(func(t *testing.T, name, value string) {
		p := policy.Default()
		if p.Set(name, value) != nil {
			return
		}
		again := policy.Default()
		if err := again.Set(name, p.Show()[name]); err != nil {
			t.Fatalf("%s = %q shows as %q, which is not taken: %v", name, value, p.Show()[name], err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
