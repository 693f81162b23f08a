package signin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// group makes a group with members.
func (w *world) group(t testing.TB, name string, members ...idp.User) idp.GroupID {
	t.Helper()
	var g directory.Group
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if g, err = w.Directory.CreateGroup(ctx, tx, directory.Group{Tenant: w.Tenant.ID, Name: name}); err != nil {
			return err
		}
		for _, m := range members {
			if _, err = w.Directory.AddMember(ctx, tx, w.Tenant.ID, g.ID, m.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return g.ID
}

func (w *world) exclude(t testing.TB, m idp.MethodID, target policy.Target) {
	t.Helper()
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
		r := p.Methods[m]
		r.Exclude = append(r.Exclude, target)
		p.Methods[m] = r
	})
}

// wantRefused checks a refusal of policy, and that the last record names its rule.
func (w *world) wantRefused(t testing.TB, what string, err error, reason, rule string) {
	t.Helper()
	if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Reason != reason || e.Public == "" || e.Code == 0 {
		t.Errorf("%s: %v, want denied %s", what, err, reason)
		return
	}
	if last := w.last(t); last.Rule != rule || last.Reason != reason || last.Outcome != audit.Failure {
		t.Errorf("%s: record %s %s by %q, want %s by %q", what, last.Outcome, last.Reason, last.Rule, reason, rule)
	}
}

func (w *world) last(t testing.TB) audit.Event {
	t.Helper()
	list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	return list[0]
}

// A rule about a group holds for its members, at every step, from the moment
// that it is saved.
func TestGovernedByGroup(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		adas, bobs := w.page.room(t).Enrol(t, w.Ada), w.page.room(t).Enrol(t, w.Bob)
		before := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, adas, nil, signin.Done)
		s := w.Found(t, w.Tenant.ID, before.Bearer)
		reg, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
		if err != nil {
			t.Fatal(err)
		}
		payload := w.page.room(t).NewDevice(t).Register(t, reg.Show)
		f := w.Flow(t, signin.Flow{}, w.peer)
		began := w.Begin(t, f, "passkey", "")

		g := w.group(t, "leavers", w.Ada)
		w.exclude(t, "passkey", policy.Target{Group: g})
		const rule = "methods.passkey.exclude[0]"
		_, err = w.Corridor.Answer(t.Context(), f, "passkey", began.Ceremony, adas.Answer(t, began.Show), nil, w.peer)
		w.wantRefused(t, "a sign-in under way", err, "excluded", rule)
		_, err = w.do(t, w.Flow(t, signin.Flow{}, w.peer), w.page, adas, nil)
		w.wantRefused(t, "a new sign-in", err, "excluded", rule)
		w.wantNext(t, "the session that stood on it", w.Flow(t, signin.Flow{}, w.peer), &s, signin.StepUp)
		_, err = w.Corridor.FinishRegister(t.Context(), s, reg.Ceremony, payload, w.peer)
		w.wantRefused(t, "a registration under way", err, "excluded", rule)
		_, err = w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
		if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Reason != "excluded" {
			t.Errorf("a new registration: %v, want denied excluded", err)
		}
		stored := w.Stored(t, signin.Flow{}, w.Ada, w.peer)
		if _, err := w.Corridor.Begin(t.Context(), stored, "passkey", ""); !errors.Is(err, idp.Denied) {
			t.Errorf("another ceremony of somebody known: %v, want denied", err)
		}
		// The page says nothing about anybody.
		offers, err := w.Corridor.Offers(t.Context(), w.Flow(t, signin.Flow{LoginHint: w.Ada.Name}, w.peer))
		if err != nil || offers[0].ID != "passkey" {
			t.Errorf("offers %v, %v", offers, err)
		}
		all, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(all) != 1 || all[0].Usable() || all[0].Refusal.Rule != rule {
			t.Errorf("credentials %+v, %v", all, err)
		}
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, bobs, nil, signin.Done)
	})
}

// Restrictions on keys hold at registration and at each sign-in; on trial they
// are only recorded.
func TestGovernedKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		w.page.facts = idp.Facts{AAGUID: "a25342c0-3cdc-4414-8e46-f4807fca511c", Synced: true}
		deny := func(e policy.Enforcement) {
			w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Synced, p.Passkey.Restrictions = policy.SyncedDeny, e })
		}
		register := func() error {
			s := w.Session(t, w.Ada)
			b, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Corridor.FinishRegister(t.Context(), s, b.Ceremony, w.page.room(t).NewDevice(t).Register(t, b.Show), w.peer)
			return err
		}
		once := func() error {
			value, sealed := w.Nonce(t, w.Tenant.ID)
			w.message.facts = w.page.facts
			show := []byte(`{"challenge":"` + encode64(w.message.KeepFrom([]byte(value))) + `"}`)
			_, err := w.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
				OnceRequest: signin.OnceRequest{
					Tenant: w.Tenant.ID, Method: "message", Nonce: []byte(value), Nonces: []nonce.Sealed{sealed},
					Payload: w.page.room(t).NewDevice(t).Register(t, show), User: w.Ada, Peer: w.peer,
				},
				ProofTime: w.Now(), Within: 10 * time.Minute,
			})
			return err
		}
		deny(policy.EnforceAudit)
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
		if e := w.last(t); e.Outcome != audit.Success || e.Detail["wouldRefuse"] != "passkey.synced" || e.Detail["wouldReason"] != "synced_not_allowed" {
			t.Errorf("a sign-in on trial: %s, detail %v", e.Outcome, e.Detail)
		}
		if err := register(); err != nil {
			t.Errorf("a registration on trial: %v", err)
		}
		if e := w.last(t); e.Detail["wouldRefuse"] != "passkey.synced" {
			t.Errorf("a registration on trial: detail %v", e.Detail)
		}
		deny(policy.Enforce)
		n := w.holds(t, w.Ada)
		w.wantRefused(t, "registration", register(), "synced_not_allowed", "passkey.synced")
		f := w.Flow(t, signin.Flow{}, w.peer)
		_, err := w.do(t, f, w.page, held, nil)
		w.wantRefused(t, "sign-in", err, "synced_not_allowed", "passkey.synced")
		if got := w.holds(t, w.Ada); got != n {
			t.Errorf("%d credentials, had %d", got, n)
		}
		// Another key may still end the same flow.
		w.must(t, f, w.second, w.second.room(t).Enrol(t, w.Ada), nil, signin.Done)
		// What comes in one message is judged, too.
		if err := once(); err != nil {
			t.Errorf("in one message: %v", err)
		}
		w.exclude(t, "message", policy.Target{User: w.Ada.ID})
		w.wantRefused(t, "in one message", once(), "excluded", "methods.message.exclude[0]")
	})
}

// The last way in stays, and a key that a rule refuses is none.
func TestRemoveCountsWhatWorks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, _ := w.page.enrol(t, w.Ada)
		second, _ := w.second.enrol(t, w.Ada)
		w.exclude(t, "second", policy.Target{User: w.Ada.ID})
		s := w.Session(t, w.Ada)
		err := w.Corridor.Remove(t.Context(), s, "passkey", id, w.peer)
		if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Reason != "last_method" {
			t.Errorf("the last one that works: %v, want denied last_method", err)
		}
		if err := w.Corridor.Remove(t.Context(), s, "second", second, w.peer); err != nil {
			t.Errorf("one that does not work: %v", err)
		}
		if n := w.holds(t, w.Ada); n != 1 {
			t.Errorf("%d left, want 1", n)
		}
	})
}

func TestOfferOrder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Order.Methods = []idp.MethodID{"accessPass", "second"} })
		offers, err := w.Corridor.Offers(t.Context(), w.Flow(t, signin.Flow{}, w.peer))
		var ids []string
		for _, o := range offers {
			ids = append(ids, string(o.ID))
		}
		if err != nil || strings.Join(ids, " ") != "accessPass second passkey" {
			t.Errorf("offers %v, %v", ids, err)
		}
	})
}

// The preview reads the same people, groups and credentials as sign-ins do.
func TestCorridorPreview(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.page.enrol(t, w.Ada)
		w.page.enrol(t, w.Bob)
		w.second.enrol(t, w.Bob)
		w.pass.enrol(t, w.Ada)
		w.page.facts = idp.Facts{Synced: true}
		g := w.group(t, "office", w.Ada, w.Bob)
		p, err := w.Policies.Get(t.Context(), w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		next := p.Clone()
		const strict = "44444444-4444-4444-8444-444444444444"
		next.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "Strict", KeyRules: policy.KeyRules{
			Attestation: policy.AttestationNone, Synced: policy.SyncedDeny, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListOff}}}}
		next.Methods["passkey"] = policy.MethodRules{On: true, Include: []policy.Include{
			{Target: policy.Target{All: true}}, {Target: policy.Target{Group: g}, Profiles: []string{strict}}}}
		got, err := w.Corridor.Preview(t.Context(), w.Tenant.ID, next, policy.PreviewOptions{})
		if err != nil || got.People != 2 || got.Keys != 3 || got.Stops != 2 || got.Affected != 2 || got.NoWayIn != 1 {
			t.Fatalf("impact %+v, %v", got, err)
		}
		if got.Lost[0].User.ID != w.Ada.ID || got.Lost[1].User.ID != w.Bob.ID {
			t.Errorf("people %+v", got.Lost)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.Directory.DeleteGroup(ctx, tx, w.Tenant.ID, g) })
		if got, err = w.Corridor.Preview(t.Context(), w.Tenant.ID, next, policy.PreviewOptions{}); err != nil || got.Stops != 0 {
			t.Errorf("without the group: %+v, %v", got, err)
		}
	})
}

func TestCheckSave(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.page.enrol(t, w.Ada)
		w.page.enrol(t, w.Bob)
		g := w.group(t, "office", w.Ada)
		role := func(u idp.User) {
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Directory.SetRole(ctx, tx, w.Tenant.ID, u.ID, directory.Administrator)
			})
		}
		old, err := w.Policies.Get(t.Context(), w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		next := old.Clone()
		r := next.Methods["passkey"]
		r.Exclude = []policy.Target{{Group: g}}
		next.Methods["passkey"] = r
		save := func(actor idp.UserID) string {
			err := w.Corridor.CheckSave(t.Context(), w.Tenant.ID, old, next, actor)
			if err == nil {
				return ""
			}
			return idp.AsError(err).Reason
		}
		got := []string{save(w.Ada.ID)} // she is no administrator
		role(w.Ada)
		got = append(got, save(w.Ada.ID), save(""))
		role(w.Bob)
		got = append(got, save(w.Ada.ID), save(w.Bob.ID), save(""))
		if want := []string{"", "locks_out_actor", "locks_out_administrators", "locks_out_actor", "", ""}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSavePolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		old := w.policy(t)
		next := old.Clone()
		next.Passkey.WarnAt = 3
		e := audit.Event{Activity: "policy.set", Actor: "somebody"}
		saved, err := w.Corridor.SavePolicy(t.Context(), w.Tenant.ID, old, next, "", e)
		if err != nil || saved.Version != old.Version+1 || saved.Passkey.WarnAt != 3 {
			t.Fatalf("saved: version %d, %v", saved.Version, err)
		}
		if last := w.last(t); last.Activity != "policy.set" || last.Actor != "somebody" || last.Detail["passkey.warnAt"] == "" {
			t.Errorf("record: %+v", last)
		}
		if _, err := w.Corridor.SavePolicy(t.Context(), w.Tenant.ID, old, next, "", e); !errors.Is(err, idp.Conflict) {
			t.Errorf("a policy that was changed meanwhile: %v", err)
		}
		broken := saved.Clone()
		broken.Passkey.Limit = 0
		if _, err := w.Corridor.SavePolicy(t.Context(), w.Tenant.ID, saved, broken, "", e); !errors.Is(err, idp.Invalid) {
			t.Errorf("a policy that cannot stand: %v", err)
		}
		if now := w.policy(t); now.Version != saved.Version {
			t.Errorf("refused saves changed the version to %d", now.Version)
		}
	})
}

func (w *world) policy(t testing.TB) policy.Policy {
	t.Helper()
	p, err := w.Policies.Load(t.Context(), w.DB, w.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
