package policy_test

import (
	"context"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestMacsByDefault(t *testing.T) {
	p := policy.Default()
	want := policy.MacRules{Method: "UserSecureEnclaveKey", LoginFrequency: 64800 * time.Second}
	if p.Macs != want || p.Platform != (policy.PlatformRules{Limit: 20, WarnAt: 15}) || p.Methods[policy.Platform].On {
		t.Errorf("%+v, %+v, %+v", p.Macs, p.Platform, p.Methods[policy.Platform])
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if policy.MacKey != pssowire.MethodKey || policy.MacCard != pssowire.MethodCard {
		t.Error("methods of Macs have two spellings")
	}
	if policy.BiometricCurrent != pssowire.TouchIDOrWatchCurrentSet || policy.BiometricAny != pssowire.TouchIDOrWatchAny ||
		policy.BiometricReuse != pssowire.ReuseDuringUnlock || policy.BiometricPassword != pssowire.PasswordFallback {
		t.Error("bits of biometric policies have two meanings")
	}
}

func TestMacSettings(t *testing.T) {
	for name, values := range map[string]struct{ good, bad []string }{
		"macs.method":         {[]string{"SmartCard", "UserSecureEnclaveKey"}, []string{"Password", "smartcard", ""}},
		"macs.biometric":      {[]string{"0", "1", "2", "6", "10", "13"}, []string{"16", "-1", "x"}},
		"macs.loginFrequency": {[]string{"1h0m0s", "18h0m0s", "336h0m0s"}, []string{"59m59s", "336h0m1s", "64800"}},
		"macs.accountName":    {[]string{"", "Contoso Sign-In", "Übersee"}, []string{strings.Repeat("x", 65), "a\nb", "\xff"}},
		"platform.limit":      {[]string{"15", "50"}, []string{"0", "51"}},
		"platform.warnAt":     {[]string{"1", "20"}, []string{"0", "201"}},
	} {
		for _, v := range values.good {
			p := policy.Default()
			if err := p.Set(name, v); err != nil || p.Show()[name] != v {
				t.Errorf("%s = %q: %v, shows %q", name, v, err, p.Show()[name])
			}
			if err := p.Check(); err != nil {
				t.Errorf("%s = %q: %v", name, v, err)
			}
			form, err := policy.Format(p)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := policy.Parse(form, nil); err != nil || again.Macs != p.Macs || again.Platform != p.Platform {
				t.Errorf("%s = %q does not survive the form: %v, %+v", name, v, err, again.Macs)
			}
		}
		for _, v := range values.bad {
			p := policy.Default()
			if err := p.Set(name, v); idp.AsError(err).Reason != "bad_value" {
				t.Errorf("%s takes %q: %v", name, v, err)
			}
		}
	}
}

// What is wrong is told where it stands, in a form and in a policy alike.
func TestMacComplaints(t *testing.T) {
	for place, form := range map[string]string{
		"macs.biometric":             "macs: {biometric: 3}",
		"macs.biometric alone":       "macs: {biometric: 4}",
		"macs.biometric fallback":    "macs: {biometric: 8}",
		"macs.biometric many":        "macs: {biometric: 16}",
		"macs.method":                "macs: {method: Password}",
		"macs.loginFrequency":        "macs: {loginFrequency: 30m}",
		"macs.loginFrequency number": "macs: {loginFrequency: 64800}",
		"macs.accountName":           `macs: {accountName: "a\u0007b"}`,
		"platform.warnAt":            "platform: {limit: 4, warnAt: 5}",
		"platform.limit":             "platform: {limit: 0, warnAt: 1}",
		"macs.password":              "macs: {password: true}",
	} {
		place, _, _ = strings.Cut(place, " ")
		_, err := policy.Parse([]byte(form), nil)
		if e := idp.AsError(err); e.Kind != idp.Invalid || e.Field != place || !strings.HasPrefix(e.Public, place+", line 1") && !strings.HasPrefix(e.Public, place+" ") {
			t.Errorf("%s: %v, %q at %q", form, err, e.Public, e.Field)
		}
	}
}

// A policy that was saved before there were Macs has their defaults, and what
// it says of them and no more is changed.
func TestMacRulesOfOldDocuments(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{policy.Migrations}, func(t *testing.T, db *sqldb.DB) {
		s := policy.New(policy.Config{DB: db})
		changed := policy.Default().Macs
		changed.Method, changed.LoginFrequency = policy.MacCard, 2*time.Hour
		for tenant, tt := range map[idp.TenantID]struct {
			doc  string
			want policy.MacRules
		}{
			"t1": {`{"passkey":{"limit":7,"warnAt":7}}`, policy.Default().Macs},
			"t2": {`{"macs":{"method":"SmartCard","loginFrequency":"2h0m0s"}}`, changed},
		} {
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, `insert into policy (tenant_id, version, doc, changed_at) values ($1, 1, $2, 0)`, tenant, tt.doc)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Get(t.Context(), tenant); err != nil || got.Macs != tt.want || got.Platform != policy.Default().Platform {
				t.Errorf("%s: %v, %+v", tt.doc, err, got.Macs)
			}
		}
	})
}

func TestMacDifferences(t *testing.T) {
	p := policy.Default()
	for name, value := range map[string]string{
		"macs.method": "SmartCard", "macs.biometric": "2", "macs.loginFrequency": "1h", "macs.accountName": "Contoso", "platform.limit": "17",
	} {
		if err := p.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, d := range differences(t, policy.Default(), p) {
		got = append(got, d.At+" "+d.Old+"→"+d.New)
	}
	want := []string{
		`macs.accountName ""→"Contoso"`,
		`macs.biometric 0→2`,
		`macs.loginFrequency "18h0m0s"→"1h0m0s"`,
		`macs.method "UserSecureEnclaveKey"→"SmartCard"`,
		`platform.limit 20→17`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
