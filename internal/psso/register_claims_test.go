package psso_test

import (
	"context"
	"testing"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// A token for one Mac makes only that Mac active by an attestation: one that was
// taken from a profile, with the serial number that it is for, and any Mac of the
// thief's, does not, neither at once nor with an attestation that comes later.
func TestSec_PSO01_SerialIsShown(t *testing.T) {
	hidden := func(c *certified) { c.serial, c.udid = "", "" }
	another := func(c *certified) { c.serial, c.udid = "C02XYZ789", "00008112-FFFF" }
	for what, row := range map[string]struct {
		first bool
		shows func(*certified)
		on    bool
	}{
		"hidden, at once":      {first: true, shows: hidden},
		"hidden, later":        {shows: hidden},
		"another's, later":     {shows: another},
		"the right one, later": {shows: func(*certified) {}, on: true},
	} {
		t.Run(what, func(t *testing.T) {
			w := liteOffice(t)
			value, _ := w.ticket()
			h := newHardware()
			m := w.bring(h, value, func(c *pssowire.Device) {
				if row.first {
					w.attest(h, c, row.shows)
				}
			})
			if !row.first {
				c := w.joinClaims(h, value, true)
				w.attest(h, &c, row.shows)
				w.sendJoin(h, c, "")
			}
			if now := w.load(m.ID); now.Enabled != row.on || now.Pending.IsZero() != row.on {
				t.Errorf("enabled %t, pending until %v", now.Enabled, now.Pending)
			}
			if row.on {
				return
			}
			if e := w.changes("device.join"); e[0].Detail["attestation"] == "" {
				t.Errorf("the record does not say why: %+v", e[0])
			}
			w.enrolled(m.machine, w.ada) // a person makes it active, as every other one
			if now := w.load(m.ID); !now.Enabled || now.Owner != w.ada.ID {
				t.Errorf("with its person: %+v", now)
			}
		})
	}
}

// New keys of a Mac that has shown which one it is are in that very Mac: an
// attestation that hides which says nothing.
func TestSec_DEV11_RotationHidden(t *testing.T) {
	w := liteOffice(t)
	h := newHardware()
	m := w.join(w.ada, h, func(c *pssowire.Device) { w.attest(h, c) }).machine
	session := w.signIn(m, w.ada, w.enrolled(m, w.ada))
	next := newHardware()
	q := w.rotation(m, next, session)
	sum := deviceData(q.claims.RequestNonce, &next.signing.PublicKey, &next.encryption.PublicKey)
	q.claims.Attestation = &pssowire.Attestation{
		Signing: w.maker.chain(t, &next.signing.PublicKey, sum, nil), Encryption: w.maker.chain(t, &next.encryption.PublicKey, sum, nil),
	}
	w.rotate(q).refused(t, "hidden", 403, "access_denied", "attestation_required")
}

// A Mac that its attestation made active, and nobody's, becomes its first
// person's, who must be one who may join devices and has a place left.
func TestSec_PSO01_FirstPersonOwns(t *testing.T) {
	for _, rule := range []policy.Attestation{policy.AttestationPreferred, policy.AttestationRequired} {
		t.Run(string(rule), func(t *testing.T) {
			w := liteOffice(t)
			w.attestation(rule)
			value, _ := w.ticket()
			h := newHardware()
			m := w.bring(h, value, func(c *pssowire.Device) { w.attest(h, c) })
			if !m.Enabled || m.Owner != "" {
				t.Fatalf("%+v", m.Device)
			}
			w.attestation(policy.AttestationPreferred) // of the people's keys
			w.policy(func(p *policy.Policy) { p.Devices.Exclude = []policy.Target{{User: w.bob.ID}} })
			tok := w.bearer(w.bob)
			w.sendUser(m.machine, w.userClaims(m.machine, newKey(), tok), tok).refused(t, "excluded", 403, "access_denied", "excluded")
			w.attestation(rule)
			if rule == policy.AttestationRequired {
				return // user keys would need one as well
			}
			w.enrolled(m.machine, w.ada)
			if now := w.load(m.ID); now.Owner != w.ada.ID || !now.Enabled {
				t.Errorf("%+v", now)
			}
		})
	}
}

// A token for a person does not make theirs, by its own say, what is another's;
// what it replaces becomes another device.
func TestSec_PSO01_TokenOwner(t *testing.T) {
	w := liteOffice(t)
	value, _ := w.ticket(func(q *mac.TokenRequest) { q.For = w.ada.ID })
	h := newHardware()
	first := w.bring(h, value, func(c *pssowire.Device) { w.attest(h, c) })
	value, _ = w.ticket(func(q *mac.TokenRequest) { q.For = w.bob.ID })
	h2 := newHardware()
	second := w.bring(h2, value, func(c *pssowire.Device) { w.attest(h2, c) })
	if second.Owner != w.bob.ID || second.ID == first.ID || second.body["replaced"] != string(first.ID) || w.held() != 1 {
		t.Errorf("%+v, %v, %d devices", second.Device, second.body, w.held())
	}
}

// A nonce from before devices were switched off registers nothing after it.
func TestSec_POL02_DevicesOffMeanwhile(t *testing.T) {
	w := liteOffice(t)
	value, _ := w.ticket()
	m := w.join(w.ada, newHardware()).machine
	h, tok := newHardware(), w.bearer(w.ada)
	byToken, user := w.joinClaims(h, value, true), w.userClaims(m, newKey(), tok)
	w.policy(func(p *policy.Policy) { p.Devices.On = false })
	w.sendJoin(h, byToken, "").refused(t, "a Mac by a token", 400, "invalid_client", "devices_off")
	w.sendUser(m, user, tok).refused(t, "a person", 400, "invalid_client", "devices_off")
	if w.held() != 1 || w.keysOf(w.ada) != 0 {
		t.Errorf("%d devices, %d keys", w.held(), w.keysOf(w.ada))
	}
}

// Two first registrations of one Mac at once leave one of it.
func TestSec_PSO01_OneOfHardware(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		got := w.together(6, func(n int) answer {
			tok, h := w.bearer(w.ada), newHardware()
			c := w.joinClaims(h, tok, false)
			w.attest(h, &c)
			return w.sendJoin(h, c, tok)
		})
		proven := 0
		all, err := w.macs.OfSerial(t.Context(), w.db, w.tenant.ID, "C02ABC123")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if m.Proven {
				proven++
			}
		}
		if got["OK "] < 1 || proven != 1 || w.held() != 1 {
			t.Errorf("%v, %d proven of %d devices", got, proven, w.held())
		}
	})
}

// A Mac that is switched off between the look at it and the write is not
// replaced.
func TestSec_DEV07_ReplacedMeanwhile(t *testing.T) {
	w := liteOffice(t)
	h := newHardware()
	m := w.join(w.ada, h, func(c *pssowire.Device) { w.attest(h, c) })
	// What this node remembers of the Mac is from before it was switched off.
	if _, err := w.devices.Get(t.Context(), w.tenant.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `update device set enabled = $3 where tenant_id = $1 and id = $2`, w.tenant.ID, m.ID, false)
		return err
	})
	if d, err := w.devices.Get(t.Context(), w.tenant.ID, m.ID); err != nil || !d.Enabled {
		t.Fatalf("nothing is remembered: %+v %v", d, err)
	}
	for who, u := range map[string]idp.User{"the same person": w.ada, "another one": w.bob} {
		h2, tok := newHardware(), w.bearer(u)
		c := w.joinClaims(h2, tok, false)
		w.attest(h2, &c)
		w.sendJoin(h2, c, tok).refused(t, who, 400, "invalid_client", "device_disabled")
	}
	if now := w.load(m.ID); now.Enabled || !device.Same(now.Key, &h.signing.PublicKey) {
		t.Errorf("%+v", now)
	}
}
