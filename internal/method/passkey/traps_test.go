package passkey

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// One test for each gap of the library that the room closes. The numbers are
// those of the list in the specification of passkeys, §1.2; 12 and the counter
// policy (5) have tests of their own: TestRegistrationStep26, TestCounter.

func newCA(t *testing.T) *passkeytest.CA {
	t.Helper()
	ca, err := passkeytest.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestTrap01NoneWhereAttestationIsAsked(t *testing.T) {
	w, d := sqliteWorld(t), device()
	w.rules.Attestation = policy.AttestationRequired
	d.Attestation = "none" // the browser, or the person, said no
	_, err := w.tryRegister(t, ada, d)
	wantReason(t, err, idp.Denied, "attestation_none")
	// Preferred asks and takes none; it does not count as attested.
	w.rules.Attestation = policy.AttestationPreferred
	if c := w.register(t, ada, d); c.Facts.Attested {
		t.Error("none counts as attested")
	}
}

func TestTrap02SelfMadeCA(t *testing.T) {
	maker, thief := newCA(t), newCA(t)
	w, d := newWorld(t, sqldbtest.Open(t, sources), maker.Pool()), device()
	d.CA, d.Attestation = thief, "packed"
	if c := w.register(t, ada, d); c.Facts.Attested {
		t.Error("a chain to a self-made CA counts as attested")
	}
	w.rules.Attestation = policy.AttestationRequired
	d = device()
	d.CA = thief
	_, err := w.tryRegister(t, ada, d)
	wantReason(t, err, idp.Denied, "attestation_unanchored")
	d.CA = maker
	if c := w.register(t, ada, d); !c.Facts.Attested {
		t.Error("a chain to an anchor does not count as attested")
	}
}

func TestTrap03ZeroAAGUID(t *testing.T) {
	ca := newCA(t)
	w, d := newWorld(t, sqldbtest.Open(t, sources), ca.Pool()), device()
	// Even on the list, zero is no model.
	w.rules.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{noModel}}
	d.CA = ca
	_, err := w.tryRegister(t, ada, d)
	wantReason(t, err, idp.Denied, "aaguid_zero")
}

func TestTrap04ClaimedAAGUID(t *testing.T) {
	w, d := sqliteWorld(t), device()
	d.AAGUID = [16]byte{0xa2, 0x53, 0x42, 0xc0, 0x3c, 0xdc, 0x44, 0x14, 0x8e, 0x46, 0xf4, 0x80, 0x7f, 0xca, 0x51, 0x1c}
	c := w.register(t, ada, d)
	if c.Model != "YubiKey 5 NFC" || c.Name != "YubiKey 5 NFC" || c.Facts.Attested {
		t.Errorf("a claim should name the key and prove nothing: %+v", c)
	}
	w.rules.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{c.Facts.AAGUID}}
	_, err := w.signIn(t, d)
	wantReason(t, err, idp.Denied, "model_not_allowed")
}

func TestTrap06BackupEligibleFlip(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w, d := newWorld(t, db, nil), device()
		c := w.register(t, ada, d)
		// A signature that does not verify changes nothing.
		forged := d.Clone()
		forged.Flags |= passkeytest.FlagBE
		forged.Signature = flip
		_, err := w.signIn(t, forged)
		wantReason(t, err, idp.Unproven, "bad_signature")
		if list, _ := w.List(t.Context(), tenant, ada.ID); list[0].Facts.Synced || len(w.events) != 0 {
			t.Fatal("a bad signature changed the record")
		}
		// The real key may become copyable, once, as an event.
		d.Flags |= passkeytest.FlagBE | passkeytest.FlagBS
		p, err := w.signIn(t, d)
		if err != nil || !p.Facts.Synced {
			t.Fatalf("%+v, %v", p.Facts, err)
		}
		if list, _ := w.List(t.Context(), tenant, ada.ID); !list[0].Facts.Synced {
			t.Error("the record did not follow")
		}
		if len(w.events) != 1 || w.events[0].Activity != "passkey.synced" || w.events[0].Credential != c.ID {
			t.Errorf("events %+v", w.events)
		}
		if _, err = w.signIn(t, d); err != nil || len(w.events) != 1 {
			t.Errorf("the second time: %v, %d events", err, len(w.events))
		}
		// Never back.
		d.Flags &^= passkeytest.FlagBE | passkeytest.FlagBS
		_, err = w.signIn(t, d)
		wantReason(t, err, idp.Unproven, "backup_eligibility_changed")
	})
}

func TestTrap07UnsolicitedExtensionOutput(t *testing.T) {
	w, d := sqliteWorld(t), device()
	d.Payload = func(p map[string]any) {
		p["clientExtensionResults"] = map[string]any{
			"appid": false, "credProps": map[string]any{"rk": true},
			"prf": map[string]any{"enabled": "what"}, "somethingNew": []int{1},
		}
	}
	w.register(t, ada, d)
	if _, err := w.signIn(t, d); err != nil {
		t.Errorf("appid: false, unasked: %v", err)
	}
	// And true does not change the RP ID that is expected.
	d.Payload = func(p map[string]any) { p["clientExtensionResults"] = map[string]any{"appid": true} }
	d.AuthData = func(b []byte) []byte { b[0] ^= 1; return b }
	_, err := w.signIn(t, d)
	wantReason(t, err, idp.Unproven, "wrong_rp_id")
}

// TestTrap08KeepIsWhole: a Keep that lost any of its members verifies nothing,
// and all of it survives the seal.
func TestTrap08KeepIsWhole(t *testing.T) {
	k := keep{Purpose: purposeSignIn, Challenge: []byte("0123456789abcdef"), User: ada.ID, Named: true, Allow: [][]byte{listed([]byte("id"))}, Handle: []byte("h")}
	back, fault := parseKeep(k.bytes(), purposeSignIn)
	if fault != nil || !reflect.DeepEqual(back, k) {
		t.Fatalf("got %+v (%v), want %+v", back, fault, k)
	}
	w, d := sqliteWorld(t), device()
	a := w.beginRegister(t, ada)
	payload, err := d.Create(a.Show)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(a.Keep, &all); err != nil {
		t.Fatal(err)
	}
	for name := range all {
		less := map[string]json.RawMessage{}
		for n, v := range all {
			if n != name {
				less[n] = v
			}
		}
		raw, _ := json.Marshal(less)
		if _, err := w.finish(asked{method.Challenge{Keep: raw}, ada}, payload); idp.AsError(err) == nil || idp.AsError(err).Kind != idp.Unproven {
			t.Errorf("without %q: %v", name, err)
		}
	}
	if _, err := w.finish(a, payload); err != nil {
		t.Errorf("whole: %v", err)
	}
}

// TestTrap09Replay: the room keeps no used-set; a ceremony is burnt by the
// corridor. What the room does add: a key that counts answers once even if
// nothing were burnt, and a registration's second Settle finds the id taken.
func TestTrap09Replay(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w, d := newWorld(t, db, nil), device()
		w.rules.Counter, d.Count, d.Step = policy.CounterBlock, 1, 1
		a := w.beginRegister(t, ada)
		payload, err := d.Create(a.Show)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"", "credential_exists"} {
			reg, err := w.finish(a, payload)
			if err != nil {
				t.Fatal(err)
			}
			if got := reasonOfErr(w.settle(reg.Settle)); got != want {
				t.Errorf("registration %d: got %q, want %q", i, got, want)
			}
		}
		a = w.begin(t, method.Request{})
		if payload, err = d.Get(a.Show); err != nil {
			t.Fatal(err)
		}
		v, err := w.verify(a, payload)
		if err != nil {
			t.Fatal(err)
		}
		twice := v.Settle
		if err := w.settle(v.Settle); err != nil {
			t.Fatal(err)
		}
		wantReason(t, w.settle(twice), idp.Unproven, "counter_rollback")
		_, err = w.verify(a, payload)
		wantReason(t, err, idp.Unproven, "counter_rollback")
	})
}

func reasonOfErr(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// TestTrap10Timeouts: the corridor is told how long a ceremony lives, the
// browser is told the same.
func TestTrap10Timeouts(t *testing.T) {
	w := sqliteWorld(t)
	for _, a := range []asked{w.begin(t, method.Request{}), w.beginRegister(t, ada)} {
		var show struct{ PublicKey struct{ Timeout int64 } }
		if err := json.Unmarshal(a.Show, &show); err != nil {
			t.Fatal(err)
		}
		if a.Lives != 5*time.Minute || show.PublicKey.Timeout != a.Lives.Milliseconds() {
			t.Errorf("lives %s, timeout %d", a.Lives, show.PublicKey.Timeout)
		}
	}
}

func TestTrap11WrittenBack(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w, d := newWorld(t, db, nil), device()
		d.Count, d.Step, d.Flags = 4, 3, d.Flags|passkeytest.FlagBE
		c := w.register(t, ada, d)
		d.Flags |= passkeytest.FlagBS
		w.now = w.now.Add(time.Hour)
		if _, err := w.signIn(t, d); err != nil {
			t.Fatal(err)
		}
		var count, used int64
		var backedUp bool
		err := db.QueryRow(t.Context(), `select sign_count, last_used, backed_up from passkey where tenant_id = $1 and id = $2`, tenant, c.ID).
			Scan(&count, &used, &backedUp)
		if err != nil || count != 7 || used != w.now.UnixMilli() || !backedUp {
			t.Errorf("count %d, used %d, backed up %t, %v", count, used, backedUp, err)
		}
	})
}

// TestTrap16Algorithms: what is offered works both ways; Ed448 is neither
// offered nor taken. (The W3C vectors hold a whole Ed448 key.)
func TestTrap16Algorithms(t *testing.T) {
	for _, alg := range offered {
		w, d := sqliteWorld(t), device()
		d.Alg = alg
		c := w.register(t, ada, d)
		p, err := w.signIn(t, d)
		if err != nil || p.Credential != c.ID {
			t.Errorf("algorithm %d: %v", alg, err)
		}
		d.Attestation = "packed-self"
		w.register(t, bo, d)
		d.Signature = flip
		_, err = w.signIn(t, d)
		wantReason(t, err, idp.Unproven, "bad_signature")
	}
	if slices.Contains(offered, -53) || !slices.Equal(offered, []int{-8, -7, -257}) {
		t.Errorf("offered %v", offered)
	}
	w, d := sqliteWorld(t), device()
	d.Alg = passkeytest.EdDSA
	d.Key = replace([]byte{0x03, 0x27}, []byte{0x03, 0x38, 0x34}) // alg -53
	_, err := w.tryRegister(t, ada, d)
	wantReason(t, err, idp.Unproven, "algorithm_not_offered")
}

// TestKeys is T32: keys that do not agree with themselves, or hide something.
func TestKeys(t *testing.T) {
	coseOf := func(lie func([]byte) []byte, alg int) error {
		w, d := sqliteWorld(t), device()
		d.Alg, d.Key = alg, lie
		_, err := w.tryRegister(t, ada, d)
		return err
	}
	for _, row := range []struct {
		name string
		alg  int
		lie  func([]byte) []byte
	}{
		{"RS256 key says ES256", -257, replace([]byte{0x03, 0x39, 0x01, 0x00}, []byte{0x03, 0x26})},
		{"ES256 key on P-384", -7, replace([]byte{0x20, 0x01}, []byte{0x20, 0x02})},
		{"Ed25519 key on Ed448", -8, replace([]byte{0x20, 0x06}, []byte{0x20, 0x07})},
		{"point not on the curve", -7, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"a member more", -7, func(b []byte) []byte { b[0] = 0xa6; return append(b, 0x23, 0x00) }},
		{"a member twice", -7, func(b []byte) []byte { b[0] = 0xa6; return append(b, 0x20, 0x01) }},
		{"members in another order", -7, replace([]byte{0x01, 0x02, 0x03, 0x26}, []byte{0x03, 0x26, 0x01, 0x02})},
		{"a number in a longer form", -7, replace([]byte{0x20, 0x01}, []byte{0x20, 0x18, 0x01})},
		{"RSA exponent 1", -257, func(b []byte) []byte { return append(b[:len(b)-4], 0x41, 0x01) }},
		{"RSA of 8 bits", -257, func([]byte) []byte {
			return []byte{0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x41, 0xfb, 0x21, 0x43, 1, 0, 1}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := idp.AsError(coseOf(row.lie, row.alg))
			if e == nil || e.Kind != idp.Unproven || !strings.HasPrefix(e.Reason, "key_") && e.Reason != "authenticator_data_malformed" {
				t.Errorf("got %v", e)
			}
		})
	}
}

// TestCanonicalKey: the short way to read an ES256 key and the library agree.
func TestCanonicalKey(t *testing.T) {
	for _, s := range seedsOf(t) {
		if s.row.alg != algES256 {
			continue
		}
		short, err := parseKey(s.row.key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := webauthncose.ParsePublicKey(s.row.key)
		if err != nil {
			t.Fatal(err)
		}
		k := parsed.(webauthncose.EC2PublicKeyData)
		long, err := k.ToECDSA()
		if err != nil || !long.Equal(short.key) {
			t.Errorf("%x: %v", s.row.key, err)
		}
		if _, _, ok := es256Canonical(s.row.key); !ok {
			t.Errorf("%x took the long way", s.row.key)
		}
		for i := range s.row.key[:10] {
			if _, _, ok := es256Canonical(append([]byte{}, replaceAt(s.row.key, i)...)); ok {
				t.Errorf("byte %d does not matter", i)
			}
		}
		bad := replaceAt(s.row.key, len(s.row.key)-1)
		if _, err := parseKey(bad); err == nil {
			t.Error("a point that is not on the curve")
		}
	}
}

func replaceAt(b []byte, i int) []byte { b = slices.Clone(b); b[i] ^= 1; return b }
