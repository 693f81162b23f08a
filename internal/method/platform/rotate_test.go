package platform_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// TestRotate: the key that a Mac keeps speaks for the one in its place
// (apple-platform-sso.md §10; security.md PSO05), and what stood on it ends.
func TestRotate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, old, next := w.join("MacBook"), platformtest.New(), platformtest.New()
		first := w.register(t, w.Ada, d, old)
		second, err := w.Corridor.RegisterOnce(t.Context(), w.rotation(t, w.Ada, d, old, next))
		if err != nil || second.ID == first.ID || len(w.replaced) != 1 || w.replaced[0] != first.ID {
			t.Fatalf("rotated to %+v, %v; replaced %v", second, err, w.replaced)
		}
		if _, err := w.signIn(t, w.Ada, d, next); err != nil {
			t.Errorf("the new key: %v", err)
		}
		if _, err := w.signIn(t, w.Ada, d, old); reason(err) != "key_unknown" {
			t.Errorf("the old key: %v", err)
		}
		// It has no say any more.
		if _, err := w.Corridor.RegisterOnce(t.Context(), w.rotation(t, w.Ada, d, old, platformtest.New())); reason(err) != "old_key_not_held" {
			t.Errorf("the old key once more: %v", err)
		}
		// A reply that was lost: the key in place speaks for itself.
		if again, err := w.Corridor.RegisterOnce(t.Context(), w.rotation(t, w.Ada, d, next, next)); err != nil || again.ID != second.ID {
			t.Errorf("the same once more: %+v, %v", again, err)
		}
	})
}

// TestSec_PSO05_RotationNeedsTheOldKey: without the old key's word nothing takes
// its place, and no word of one key, person or Mac is good for another.
func TestSec_PSO05_RotationNeedsTheOldKey(t *testing.T) {
	w := oneWorld(t)
	d, other := w.join("MacBook"), w.join("Mac mini")
	old, bobs, far, stranger := platformtest.New(), platformtest.New(), platformtest.New(), platformtest.New()
	c := w.register(t, w.Ada, d, old)
	w.register(t, w.Ada, other, far)
	w.register(t, w.Bob, d, bobs)
	type offering = func(e *platform.Expected, k *platformtest.Key, o *platform.Offer)
	for name, one := range map[string]struct {
		reason string
		change offering
	}{
		"no word":            {"old_proof_malformed", func(_ *platform.Expected, _ *platformtest.Key, o *platform.Offer) { o.OldProof = "" }},
		"the new key's word": {"old_key_not_held", func(_ *platform.Expected, _ *platformtest.Key, o *platform.Offer) { o.OldProof = o.Proof }},
		"a stranger's": {"old_key_not_held", func(e *platform.Expected, k *platformtest.Key, o *platform.Offer) {
			o.OldProof = stranger.Proof(*e, k.ID(), w.Now())
		}},
		"Bob's on this Mac": {"old_key_not_held", func(e *platform.Expected, k *platformtest.Key, o *platform.Offer) {
			o.OldProof = bobs.Proof(*e, k.ID(), w.Now())
		}},
		"hers on another Mac": {"old_key_not_held", func(e *platform.Expected, k *platformtest.Key, o *platform.Offer) {
			o.OldProof = far.Proof(*e, k.ID(), w.Now())
		}},
		"about another key": {"old_proof_key", func(e *platform.Expected, _ *platformtest.Key, o *platform.Offer) {
			o.OldProof = old.Proof(*e, stranger.ID(), w.Now())
		}},
		"about itself": {"old_proof_key", func(e *platform.Expected, _ *platformtest.Key, o *platform.Offer) {
			o.OldProof = old.Proof(*e, old.ID(), w.Now())
		}},
		"on another nonce": {"old_proof_nonce", func(e *platform.Expected, k *platformtest.Key, o *platform.Offer) {
			x := *e
			x.Nonce = "x"
			o.OldProof = old.Proof(x, k.ID(), w.Now())
		}},
		"for another Mac": {"old_proof_device", func(e *platform.Expected, k *platformtest.Key, o *platform.Offer) {
			x := *e
			x.Device = signing(other)
			o.OldProof = old.Proof(x, k.ID(), w.Now())
		}},
		"for another address": {"old_proof_audience", func(e *platform.Expected, k *platformtest.Key, o *platform.Offer) {
			x := *e
			x.Audience += "/x"
			o.OldProof = old.Proof(x, k.ID(), w.Now())
		}},
		"an assertion of it": {"old_proof_type", func(e *platform.Expected, k *platformtest.Key, o *platform.Offer) {
			o.OldProof = string(old.Sign(old.Header(), platformtest.ProofClaims(*e, k.ID(), w.Now())))
		}},
		// Nobody makes a gesture for a rotation.
		"more than it was": {"rotation_biometric", func(_ *platform.Expected, _ *platformtest.Key, o *platform.Offer) {
			o.Biometric = pssowire.TouchIDOrWatchAny
		}},
		"the new key's own proof by the old": {"key_not_held", func(_ *platform.Expected, _ *platformtest.Key, o *platform.Offer) { o.Proof = o.OldProof }},
	} {
		k := platformtest.New()
		_, err := w.Corridor.RegisterOnce(t.Context(), w.asked(t, w.Ada, d, func(e *platform.Expected) platform.Offer {
			e.Rotation = true
			o := k.Offer(*e, w.Now())
			o.OldProof = old.Proof(*e, k.ID(), w.Now())
			one.change(e, k, &o)
			return o
		}))
		if !errors.Is(err, idp.Invalid) || reason(err) != one.reason {
			t.Errorf("%s: %v, want %s", name, err, one.reason)
		}
	}
	// Where there is none, a stranger's key is nobody's.
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.rotation(t, w.Bob, other, bobs, platformtest.New())); reason(err) != "old_key_missing" {
		t.Errorf("for who has none on this Mac: %v", err)
	}
	if all := w.list(t, w.Ada); len(all) != 2 || !slices.ContainsFunc(all, func(x method.Credential) bool { return x.ID == c.ID }) || len(w.replaced) != 0 {
		t.Errorf("held %+v, replaced %v", all, w.replaced)
	}
}

// TestSec_PSO05_AttestedStaysAttested: what takes the place of an attested key
// without its person must be attested, too.
func TestSec_PSO05_AttestedStaysAttested(t *testing.T) {
	w := oneWorld(t)
	good := true
	w.judge = func(platform.Attestation) (bool, error) { return good, nil }
	d, old, next := w.join("MacBook"), platformtest.New(), platformtest.New()
	w.register(t, w.Ada, d, old)
	good = false
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.rotation(t, w.Ada, d, old, next)); reason(err) != "attestation_required" {
		t.Errorf("without an attestation: %v", err)
	}
	good = true
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.rotation(t, w.Ada, d, old, next)); err != nil {
		t.Errorf("with one: %v", err)
	}
	// Its person may do without.
	good = false
	if c := w.register(t, w.Ada, d, platformtest.New()); c.Facts.Attested {
		t.Errorf("registered %+v", c)
	}
}

// TestSec_PSO05_OneRotationWins: of many at once for one key, one takes its
// place; a key that went meanwhile speaks for nothing.
func TestSec_PSO05_OneRotationWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, old := w.join("MacBook"), platformtest.New()
		c := w.register(t, w.Ada, d, old)
		errs := race(20, func(int) func() error {
			r := w.rotation(t, w.Ada, d, old, platformtest.New())
			return func() error { _, err := w.Corridor.RegisterOnce(t.Context(), r); return err }
		})
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			} else if r := reason(err); r != "key_replaced" && r != "old_key_not_held" {
				t.Errorf("refused: %v", err)
			}
		}
		all := w.list(t, w.Ada)
		if good != 1 || len(all) != 1 || all[0].ID == c.ID || slices.ContainsFunc(w.replaced, func(id idp.CredentialID) bool { return id != c.ID }) {
			t.Errorf("%d took its place, held %+v, replaced %v", good, all, w.replaced)
		}
		// Verified, then removed, then settled.
		first := platformtest.New()
		w.register(t, w.Ada, d, first)
		held := w.list(t, w.Ada)[0]
		r := w.rotation(t, w.Ada, d, first, platformtest.New())
		reg, err := w.room.RegisterOnce(t.Context(), answer(r, w.Now()))
		if err != nil {
			t.Fatal(err)
		}
		err = w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, held.ID); err != nil {
				return err
			}
			return reg.Settle(ctx, tx)
		})
		if reason(err) != "key_replaced" {
			t.Errorf("the old key went meanwhile: %v", err)
		}
	})
}
