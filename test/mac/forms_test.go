package mac

import (
	"testing"
	"time"

	"github.com/signetid/signet/internal/macagent"
)

// Every form in which Macs have been seen to send (apple-platform-sso.md §18.2,
// §15), through login, refresh, key request, key exchange and single sign-on.
func TestForms(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	for name, form := range map[string]macagent.Form{
		"as macOS 14":               {},
		"as macOS 13":               {Old: true, TextTime: true},
		"old type in the new field": {Old: true, Field: "assertion"},
		"new type in the old field": {Field: "request"},
		"times in strings":          {TextTime: true},
		"certificate as a string":   {X5C: "string"},
		"certificate in an array":   {X5C: "array"},
		"key ids without padding":   {KeyID: "bare"},
		"key ids in base64url":      {KeyID: "url"},
		"version 1":                 {Version: "1"},
		"version 2":                 {Version: "2.0"},
		"aud in key requests":       {Audience: true},
		"a minute ahead":            {Skew: time.Minute},
		"a minute behind":           {Skew: -time.Minute},
		"all that is odd":           {Old: true, TextTime: true, X5C: "string", KeyID: "bare", Version: "1", Field: "request"},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.in(t).somebody()
			m, d := o.enrolled(t, form)
			if d.Pending || d.ID == "" {
				t.Errorf("device %+v", d)
			}
			got := login(t, m)
			if got.User != o.upn || got.UniqueID != o.id {
				t.Errorf("login: %+v", got)
			}
			if got, err := m.Refresh(t.Context()); err != nil || got.User != o.upn {
				t.Errorf("refresh: %+v, %v", got, err)
			}
			one, err := m.RequestKey(t.Context())
			if err != nil {
				t.Fatalf("key request: %v", err)
			}
			if two, err := m.RequestKey(t.Context()); err != nil || !two.Same || two.Hash != one.Hash {
				t.Errorf("key request again: %+v, %v", two, err)
			}
			if x, err := m.ExchangeKeys(t.Context(), 3); err != nil || !x.Equal {
				t.Errorf("key exchange: %+v, %v", x, err)
			}
		})
	}
}

// Groups: those asked for that the person is in, by name, and no others.
func TestGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	o := s.somebody()
	for _, name := range []string{"Admins", "Staff", "Secret"} {
		s.admin(nil, "group", "create", name)
		if name != "Admins" {
			s.admin(nil, "group", "add", name, o.upn)
		}
	}
	m, _ := o.enrolled(t, macagent.Form{})
	got, err := m.Login(t.Context(), macagent.LoginOptions{Groups: []string{"Admins", "Staff", "Nobody"}})
	if err != nil || len(got.Groups) != 1 || got.Groups[0] != "Staff" {
		t.Errorf("%+v, %v", got.Groups, err)
	}
	if got := login(t, m); len(got.Groups) != 0 {
		t.Errorf("groups that nobody asked for: %v", got.Groups)
	}
}
