package psso_test

import (
	"context"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

func (o *office) removal(path string, k *platformtest.Key) pssowire.Removal {
	o.t.Helper()
	nonce, _ := o.freshNonce(o.t, o.tenant.ID)
	c := pssowire.Removal{Signed: o.says(path, nonce)}
	if k != nil {
		c.UserKey = k.ID().String()
	}
	return c
}

func (o *office) remove(m *machine, path string, c pssowire.Removal) answer {
	return o.request("DELETE", path, signAs(o.t, m.signing, pssowire.TypeRemoval, c), "")
}

// A Mac that takes itself away is gone, with all that stood on it.
func TestRemoveDevice(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, session := w.signedIn(w.ada)
		refresh := w.refresh(m, session)
		a := w.remove(m, "/psso/device", w.removal("/psso/device", nil))
		if a.status != 200 || a.json(t)["device_id"] != string(m.ID) || w.held() != 0 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if e := w.changes("device.remove"); len(e) != 1 || e[0].Outcome != audit.Success || e[0].Actor != "device:"+string(m.ID) || e[0].User != w.ada.ID {
			t.Errorf("audit: %+v", e)
		}
		w.send(w.login(m, w.ada, k)).refused(t, "login", 400, "invalid_client", "")
		w.send(refresh).refused(t, "refresh", 400, "invalid_client", "")
		w.remove(m, "/psso/device", w.removal("/psso/device", nil)).refused(t, "again", 400, "invalid_client", "device_unknown")
		all, err := w.platform.List(t.Context(), w.tenant.ID, w.ada.ID)
		if err != nil || len(all) != 1 || !all[0].Orphaned {
			t.Errorf("keys: %+v, %v", all, err)
		}
		// Its keys may be registered anew.
		h := &hardware{signing: m.signing, encryption: m.encryption}
		w.join(w.ada, h)
	})
}

// A Mac that is not finished may go, too.
func TestRemovePending(t *testing.T) {
	w := liteOffice(t)
	value, _ := w.ticket()
	m := w.bring(newHardware(), value).machine
	if a := w.remove(m, "/psso/device", w.removal("/psso/device", nil)); a.status != 200 || w.held() != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A Mac that takes a person's key away: the key and what stood on it are gone,
// the Mac stays.
func TestRemoveUserKey(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, session := w.signedIn(w.ada)
		kb := w.enrolled(m, w.bob)
		a := w.remove(m, "/psso/user", w.removal("/psso/user", k))
		if a.status != 200 || a.json(t)["credential_id"] == "" || w.keysOf(w.ada) != 0 || w.keysOf(w.bob) != 1 || w.held() != 1 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if e := w.changes("platform.remove"); len(e) != 1 || e[0].User != w.ada.ID || e[0].Actor != "device:"+string(m.ID) {
			t.Errorf("audit: %+v", e)
		}
		w.send(w.login(m, w.ada, k)).refused(t, "login", 401, "invalid_grant", "")
		w.send(w.refresh(m, session)).refused(t, "refresh", 401, "invalid_grant", "")
		w.signIn(m, w.bob, kb)
	})
}

// What a removal must show, each alone; one message is one removal.
func TestSec_PSO01_Removal(t *testing.T) {
	w := liteOffice(t)
	m := w.join(w.ada, newHardware()).machine
	k := w.enrolled(m, w.ada)
	other := w.join(w.bob, newHardware()).machine
	off := w.join(w.ada, newHardware()).machine
	w.switchOn(off, false)
	n := func() int64 { return w.clock.now().Unix() }
	type bent struct {
		claims pssowire.Removal
		by     *machine
		typ    string
		sign   []func(*pssowire.Signing)
	}
	for what, row := range map[string]struct {
		path   string
		bend   func(b *bent)
		status int
		word   string
		sub    string
		burns  int64
	}{
		"not its signature":   {"/psso/device", func(b *bent) { b.by, b.sign = other, kid(&m.signing.PublicKey) }, 400, "invalid_client", "wrong_signature", 0},
		"unknown":             {"/psso/device", func(b *bent) { b.by = &machine{signing: ecKey()} }, 400, "invalid_client", "device_unknown", 0},
		"disabled":            {"/psso/device", func(b *bent) { b.by = off }, 400, "invalid_client", "device_disabled", 0},
		"another type":        {"/psso/device", func(b *bent) { b.typ = pssowire.TypeRotation }, 400, "invalid_request", "typ_differs", 0},
		"for the other one":   {"/psso/device", func(b *bent) { b.claims.Audience = pssowire.Audience{base + w.at("/psso/user")} }, 400, "invalid_request", "audience_differs", 1},
		"of another client":   {"/psso/device", func(b *bent) { b.claims.Issuer = "x" }, 400, "invalid_request", "client_differs", 1},
		"over":                {"/psso/device", func(b *bent) { b.claims.Issued, b.claims.Expires = at(n()-200), at(n()-100) }, 400, "invalid_request", "request_late", 1},
		"no nonce":            {"/psso/device", func(b *bent) { b.claims.RequestNonce = "" }, 400, "invalid_grant", "nonce", 0},
		"no user key":         {"/psso/user", func(b *bent) { b.claims.UserKey = "" }, 400, "invalid_request", "kid_malformed", 1},
		"an unknown user key": {"/psso/user", func(b *bent) { b.claims.UserKey = newKey().ID().String() }, 400, "invalid_request", "user_key_unknown", 1},
		"that another keeps":  {"/psso/user", func(b *bent) { b.by = other }, 400, "invalid_request", "user_key_unknown", 1},
	} {
		b := &bent{claims: w.removal(row.path, k), by: m, typ: pssowire.TypeRemoval}
		row.bend(b)
		before := w.spent()
		a := w.request("DELETE", row.path, signAs(t, b.by.signing, b.typ, b.claims, b.sign...), "")
		a.refused(t, what, row.status, row.word, row.sub)
		if got := w.spent() - before; got != row.burns {
			t.Errorf("%s: %d nonces burnt, want %d", what, got, row.burns)
		}
	}
	if w.held() != 3 || w.keysOf(w.ada) != 1 {
		t.Errorf("%d devices, %d keys", w.held(), w.keysOf(w.ada))
	}
	c := w.removal("/psso/user", k)
	message := signAs(t, m.signing, pssowire.TypeRemoval, c)
	if a := w.request("DELETE", "/psso/user", message, ""); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.request("DELETE", "/psso/user", message, "").refused(t, "replayed", 400, "invalid_grant", "nonce")
}

// Several removals of one Mac at once are one.
func TestRemoveTogether(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m := w.join(w.ada, newHardware()).machine
		got := w.together(4, func(int) answer { return w.remove(m, "/psso/device", w.removal("/psso/device", nil)) })
		if got["OK "] != 1 || got["Bad Request device_unknown"] != 3 || w.held() != 0 {
			t.Errorf("%v", got)
		}
	})
}

// A key that is no more the Mac's takes nobody's key and no Mac away, though this node has
// not heard of it yet; that costs the nonce, as every outcome does.
func TestSec_PSO01_RemovalByOldKey(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		m, k, _ := w.signedIn(w.ada)
		id := pssowire.KeyOf(&m.signing.PublicKey)
		w.write(func(ctx context.Context, tx *sqldb.Tx) error { // as another node would
			_, err := tx.Exec(ctx, `delete from mac_key where tenant_id = $1 and kid = $2`, w.tenant.ID, id[:])
			return err
		})
		before := w.spent()
		w.remove(m, "/psso/user", w.removal("/psso/user", k)).refused(t, "old key", 400, "invalid_client", "device_unknown")
		w.remove(m, "/psso/device", w.removal("/psso/device", nil)).refused(t, "old key, the Mac", 400, "invalid_client", "device_unknown")
		if w.keysOf(w.ada) != 1 || w.held() != 1 || w.spent() != before+2 {
			t.Errorf("%d keys, %d devices, %d nonces burnt", w.keysOf(w.ada), w.held(), w.spent()-before)
		}
	})
}
