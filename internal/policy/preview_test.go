package policy_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

func each(people ...policy.Subject) iter.Seq2[policy.Subject, error] {
	return func(yield func(policy.Subject, error) bool) {
		for _, p := range people {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func anySubject(t *rapid.T, id idp.UserID) policy.Subject {
	s := policy.Subject{Who: policy.Who{
		User: idp.User{
			ID: id, Tenant: "t1", Enabled: rapid.IntRange(0, 9).Draw(t, "enabled") > 0,
			Type: rapid.SampledFrom([]idp.UserType{idp.Member, idp.Member, idp.Guest}).Draw(t, "type"),
		},
		Groups: policy.NewGroups(rapid.SliceOfNDistinct(rapid.SampledFrom([]idp.GroupID{staff, admins, leavers}), 0, 3, rapid.ID[idp.GroupID]).Draw(t, "groups")),
	}}
	for i := range rapid.IntRange(0, 3).Draw(t, "keys") {
		if rapid.IntRange(0, 4).Draw(t, "certificate") == 0 {
			s.Keys = append(s.Keys, policy.Held{ID: idp.CredentialID(fmt.Sprint(id, "-", i)), Method: policy.Certificate, Facts: anyCard(t)})
			continue
		}
		s.Keys = append(s.Keys, policy.Held{
			ID:     idp.CredentialID(fmt.Sprint(id, "-", i)),
			Method: rapid.SampledFrom([]idp.MethodID{policy.Passkey, policy.Passkey, "hello", policy.Phone, policy.Phone, "gone"}).Draw(t, "method"),
			Dead:   rapid.IntRange(0, 9).Draw(t, "dead") == 0,
			Facts: idp.Facts{
				AAGUID:   rapid.SampledFrom([]string{nitro, other, "00000000-0000-0000-0000-000000000000", policy.PlatformAAGUID}).Draw(t, "model"),
				Attested: rapid.Bool().Draw(t, "attested"), Synced: rapid.Bool().Draw(t, "synced"),
				PlatformKey: rapid.Bool().Draw(t, "platform key"),
				Status:      rapid.SampledFrom([]idp.ModelStatus{"", idp.ModelFine, idp.ModelWarn, idp.ModelRefuse}).Draw(t, "status"),
			},
		})
	}
	return s
}

// opens asks Decide whether somebody who proves one key now may open an app
// that asks nothing in particular.
func opens(p policy.Policy, s policy.Subject, k policy.Held) bool {
	proof := idp.Proof{Tenant: s.User.Tenant, User: s.User.ID, Method: k.Method, Mode: idp.ModeFIDO2, Credential: k.ID, Facts: k.Facts, Time: now}
	d := policy.Decide(&p, policy.Question{
		User: s.User, Groups: s.Groups, Proofs: []idp.Proof{proof}, MaxAge: -1, Purpose: policy.SignIn, Now: now,
	})
	return d.Outcome == policy.Allow
}

// TestPreviewIsWhatHappens: over any two policies and any people, the preview
// says exactly what sign-ins would then find.
func TestPreviewIsWhatHappens(t *testing.T) {
	stopped, stranded := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		old, next := anyGoverned(t), anyGoverned(t)
		if rapid.Bool().Draw(t, "from the default") {
			old = policy.Default()
			old.Switch("hello", true)
			old.Switch(policy.Phone, true)
		}
		var people []policy.Subject
		for i := range rapid.IntRange(1, 6).Draw(t, "people") {
			people = append(people, anySubject(t, idp.UserID(fmt.Sprint("u", i))))
		}
		got, err := policy.Preview(t.Context(), old, next, each(people...), policy.PreviewOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := policy.Impact{People: len(people)}
		stops, reasons := map[idp.CredentialID]bool{}, 0
		for _, s := range people {
			lost, left, phones, rest := 0, 0, 0, 0
			for _, k := range s.Keys {
				want.Keys++
				before, after := !k.Dead && opens(old, s, k), !k.Dead && opens(next, s, k)
				switch {
				case k.Method == policy.Phone && before && after:
					phones++
				case k.Method != policy.Phone && after:
					rest++
				}
				switch {
				case before && !after:
					lost++
					stops[k.ID] = true
				case !before && after:
					want.Starts++
				}
				if after {
					left++
				}
			}
			if phones > 0 && stricter(old.PhoneFor(s.Who).From, next.PhoneFor(s.Who).From) {
				want.Narrowed++
				if rest == 0 {
					want.OnlyPhone++
				}
			}
			want.Stops += lost
			if lost > 0 {
				want.Affected++
				if left == 0 {
					want.NoWayIn++
				}
			}
			if way := next.WayIn(s); way != (left > 0) {
				t.Fatalf("%s has a way in: %v, want %v", s.User.ID, way, left > 0)
			}
		}
		for _, n := range got.Reasons {
			reasons += n
		}
		if got.People != want.People || got.Keys != want.Keys || got.Stops != want.Stops || got.Starts != want.Starts ||
			got.Affected != want.Affected || got.NoWayIn != want.NoWayIn || got.Narrowed != want.Narrowed ||
			got.OnlyPhone != want.OnlyPhone || len(got.Narrow) != want.Narrowed || reasons != want.Stops {
			t.Fatalf("preview %+v, what happens %+v", got, want)
		}
		for i, loss := range got.Lost {
			for _, k := range loss.Keys {
				if !stops[k.ID] || k.Allowed() {
					t.Fatalf("%s is said to stop: %+v", k.ID, k.Refusal)
				}
				delete(stops, k.ID)
			}
			if i > 0 && loss.NoWayIn && !got.Lost[i-1].NoWayIn {
				t.Fatal("people with no way in are not the first")
			}
		}
		if len(stops) != 0 || len(got.Lost) != got.Affected {
			t.Fatalf("keys %v and %d of %d people are not named", stops, len(got.Lost), got.Affected)
		}
		stopped += got.Stops
		stranded += got.NoWayIn
	})
	if stopped < 10 || stranded < 5 {
		t.Errorf("%d keys stopped and %d people were stranded: the test says little", stopped, stranded)
	}
}

// stricter says whether fewer browsers may ask than before.
func stricter(before, after policy.PhoneFrom) bool {
	order := []policy.PhoneFrom{policy.FromAnywhere, policy.FromNetwork, policy.FromKnown}
	return slices.Index(order, after) > slices.Index(order, before)
}

func key(id string, f idp.Facts) policy.Held {
	return policy.Held{ID: idp.CredentialID(id), Method: policy.Passkey, Facts: f}
}

func subject(id idp.UserID, keys ...policy.Held) policy.Subject {
	return policy.Subject{Who: policy.Who{User: idp.User{ID: id, Tenant: "t1", Enabled: true, Type: idp.Member}}, Keys: keys}
}

// TestPreview is the sentence that administrators read.
func TestPreview(t *testing.T) {
	good, bad := idp.Facts{AAGUID: nitro, Attested: true}, idp.Facts{AAGUID: other, Attested: true}
	next := policy.Default()
	next.Passkey.KeyRules = allowList(nitro)
	dead := key("d1", good)
	dead.Dead = true
	people := []policy.Subject{
		subject("keeps", key("k1", good)),
		subject("other-way", key("o1", good), key("o2", bad)),
		subject("stranded", key("s1", bad), key("s2", idp.Facts{AAGUID: nitro})),
		subject("dead", dead, key("d2", bad), policy.Held{ID: "pass", Method: policy.AccessPass}),
		subject("nothing"),
	}
	var told []int
	got, err := policy.Preview(t.Context(), policy.Default(), next, each(people...), policy.PreviewOptions{Progress: func(n int) { told = append(told, n) }})
	if err != nil {
		t.Fatal(err)
	}
	if got.People != 5 || got.Keys != 8 || got.Stops != 4 || got.Affected != 3 || got.NoWayIn != 2 || got.Starts != 0 {
		t.Errorf("impact %+v", got)
	}
	var names []idp.UserID
	for _, l := range got.Lost {
		names = append(names, l.User.ID)
	}
	if !slices.Equal(names, []idp.UserID{"stranded", "dead", "other-way"}) {
		t.Errorf("people %v", names)
	}
	if n := got.Reasons[policy.Because{Rule: "passkey.aaguids", Reason: "model_not_allowed"}]; n != 4 {
		t.Errorf("reasons %v", got.Reasons)
	}
	if !slices.Equal(told, []int{5}) {
		t.Errorf("progress %v", told)
	}
	if back, err := policy.Preview(t.Context(), next, policy.Default(), each(people...), policy.PreviewOptions{Names: 2}); err != nil ||
		back.Starts != 4 || back.Stops != 0 || len(back.Regain) != 2 {
		t.Errorf("the other way round: %+v, %v", back, err)
	}
	few, err := policy.Preview(t.Context(), policy.Default(), next, each(people...), policy.PreviewOptions{Names: 1})
	if err != nil || len(few.Lost) != 1 || !few.Lost[0].NoWayIn || few.Affected != 3 {
		t.Errorf("one name only: %+v, %v", few, err)
	}
}

func TestPreviewEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	endless := func(yield func(policy.Subject, error) bool) {
		for yield(subject("u", key("k", idp.Facts{})), nil) {
			if seen++; seen == 5000 {
				cancel()
			}
		}
	}
	if _, err := policy.Preview(ctx, policy.Default(), policy.Default(), endless, policy.PreviewOptions{}); !errors.Is(err, context.Canceled) || seen > 7000 {
		t.Errorf("cancelled: %v after %d people", err, seen)
	}
	broken := errors.New("database is gone")
	failing := func(yield func(policy.Subject, error) bool) { yield(policy.Subject{}, broken) }
	if _, err := policy.Preview(t.Context(), policy.Default(), policy.Default(), failing, policy.PreviewOptions{}); !errors.Is(err, broken) {
		t.Errorf("people that cannot be read: %v", err)
	}
}

func TestLocksOut(t *testing.T) {
	good, bad := idp.Facts{AAGUID: nitro, Attested: true}, idp.Facts{AAGUID: other}
	old, next := policy.Default(), policy.Default()
	next.Passkey.KeyRules = allowList(nitro)
	off := subject("off", key("f", good))
	off.User.Enabled = false
	a, b := subject("a", key("a1", good)), subject("b", key("b1", bad))
	pass := subject("p", policy.Held{ID: "p1", Method: policy.AccessPass})
	for _, tt := range []struct {
		name   string
		admins []policy.Subject
		actor  idp.UserID
		next   policy.Policy
		reason string
	}{
		{"another administrator keeps a way in", []policy.Subject{a, b}, "a", next, ""},
		{"the actor loses the only one", []policy.Subject{a, b}, "b", next, "locks_out_actor"},
		{"the command line, and one administrator is left", []policy.Subject{a, b}, "", next, ""},
		{"the command line, and none is left", []policy.Subject{b}, "", next, "locks_out_administrators"},
		{"the one left may not sign in", []policy.Subject{b, off}, "", next, "locks_out_administrators"},
		{"the one left has a pass only", []policy.Subject{b, pass}, "", next, "locks_out_administrators"},
		{"on trial", []policy.Subject{b}, "b", func() policy.Policy {
			p := next.Clone()
			p.Passkey.Restrictions = policy.EnforceAudit
			return p
		}(), ""},
		{"nobody had a way in before", []policy.Subject{pass, off}, "p", next, ""},
		{"no administrator at all", nil, "", next, ""},
		{"nothing changes", []policy.Subject{a, b}, "b", old, ""},
	} {
		err := policy.LocksOut(old, tt.next, tt.admins, tt.actor)
		if tt.reason == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Reason != tt.reason || e.Public == "" {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.reason)
		}
	}
}

func TestNudge(t *testing.T) {
	campaign := governed(func(p *policy.Policy) {
		p.Campaign.On, p.Campaign.SnoozeDays, p.Campaign.Snoozes = true, 3, 2
		p.Campaign.Include, p.Campaign.Exclude = []policy.Target{{Group: staff}}, []policy.Target{{Group: leavers}}
	})
	endless := governed(func(p *policy.Policy) { p.Campaign.On, p.Campaign.Snoozes, p.Campaign.SnoozeDays = true, 0, 0 })
	required := governed(func(p *policy.Policy) {
		p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{
			{Target: policy.Target{All: true}}, {Target: policy.Target{Group: admins}, Required: true}}}
	})
	byAdmin := governed(func(p *policy.Policy) { p.Campaign.On, p.Passkey.SelfService = true, false })
	ago := func(times int, days int) policy.Snoozed {
		return policy.Snoozed{Times: times, Last: now.Add(-time.Duration(days) * 24 * time.Hour)}
	}
	guest := member(idp.User{ID: "g", Tenant: "t1", Enabled: true, Type: idp.Guest}, staff)
	for _, tt := range []struct {
		name    string
		p       *policy.Policy
		who     policy.Who
		held    []idp.MethodID
		snoozed policy.Snoozed
		want    policy.Nudge
	}{
		{"no campaign", governed(func(*policy.Policy) {}), member(ada, staff), nil, policy.Snoozed{}, policy.Nudge{}},
		{"asked for the first time", campaign, member(ada, staff), nil, policy.Snoozed{}, policy.Nudge{Rule: "campaign", Method: policy.Passkey, Days: 3, Left: 2}},
		{"not among those asked", campaign, member(ada, admins), nil, policy.Snoozed{}, policy.Nudge{}},
		{"excepted", campaign, member(ada, staff, leavers), nil, policy.Snoozed{}, policy.Nudge{}},
		{"has one", campaign, member(ada, staff), []idp.MethodID{policy.Passkey}, policy.Snoozed{}, policy.Nudge{}},
		{"put off yesterday", campaign, member(ada, staff), nil, ago(1, 1), policy.Nudge{}},
		{"put off long enough ago", campaign, member(ada, staff), nil, ago(1, 3), policy.Nudge{Rule: "campaign", Method: policy.Passkey, Days: 3, Left: 1}},
		{"put off for the last time yesterday", campaign, member(ada, staff), nil, ago(2, 1), policy.Nudge{}},
		{"put off too often", campaign, member(ada, staff), nil, ago(2, 3), policy.Nudge{Rule: "campaign", Method: policy.Passkey, Forced: true}},
		{"may put off for ever", endless, member(ada), nil, ago(99, 0), policy.Nudge{Rule: "campaign", Method: policy.Passkey}},
		{"a guest", campaign, guest, nil, policy.Snoozed{}, policy.Nudge{}},
		{"where only administrators register", byAdmin, member(ada), nil, policy.Snoozed{}, policy.Nudge{}},
		{"required", required, member(ada, admins), nil, policy.Snoozed{}, policy.Nudge{Rule: "methods.passkey.include[1].required", Method: policy.Passkey, Forced: true}},
		{"required of others", required, member(ada, staff), nil, policy.Snoozed{}, policy.Nudge{}},
		{"required and there", required, member(ada, admins), []idp.MethodID{policy.Passkey}, policy.Snoozed{}, policy.Nudge{}},
	} {
		if got := tt.p.Nudge(tt.who, tt.held, tt.snoozed, now); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if tt.want.Method != "" && !tt.p.Nudges() {
			t.Errorf("%s: no rule is said to ask anybody", tt.name)
		}
	}
}

func TestNudges(t *testing.T) {
	if p := policy.Default(); p.Nudges() {
		t.Error("the default policy asks for something")
	}
}

func TestPreferred(t *testing.T) {
	house := []idp.MethodID{"passkey", "phone", "accessPass"}
	p := policy.Default()
	if got := p.Preferred(policy.Who{}, house); !slices.Equal(got, house) {
		t.Errorf("by default: %v", got)
	}
	p.Order.Methods = []idp.MethodID{"accessPass", "hello"}
	want := []idp.MethodID{"accessPass", "passkey", "phone"}
	if got := p.Preferred(policy.Who{}, house); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p.Order.Include = []policy.Target{{Group: staff}}
	if got := p.Preferred(policy.Who{}, house); !slices.Equal(got, house) {
		t.Errorf("a stranger, where some have an order: %v", got)
	}
	if got := p.Preferred(member(ada, staff), house); !slices.Equal(got, want) {
		t.Errorf("one of them: %v", got)
	}
	if !slices.Equal(house, []idp.MethodID{"passkey", "phone", "accessPass"}) {
		t.Error("the list that was given is changed")
	}
}
