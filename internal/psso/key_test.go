package psso_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
)

// provisioned asks for the key that unlocks, and reads the answer as macOS does.
func (w *world) provisioned(t testing.TB, q *message) (*x509.Certificate, string) {
	t.Helper()
	o := q.open(t, w.send(q))
	if want := pssowire.TypeKeyReply; o.Type != want && !strings.EqualFold(q.header["typ"].(string), "JWT") || o.media != pssowire.MediaKey {
		t.Errorf("typ %q, media %q", o.Type, o.media)
	}
	text, _ := o.out["certificate"].(string)
	der, err := b64.DecodeString(text)
	if err != nil {
		t.Fatalf("certificate %q: %v", text, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if life := o.out["exp"].(float64) - o.out["iat"].(float64); life != 300 {
		t.Errorf("lives %v s", life)
	}
	context, _ := o.out["key_context"].(string)
	return cert, context
}

// exchanged asks for what the provisioned key and own agree on.
func (w *world) exchanged(t testing.TB, q *message) []byte {
	t.Helper()
	o := q.open(t, w.send(q))
	raw, err := base64.StdEncoding.Strict().DecodeString(o.out["key"].(string))
	if err != nil || o.out["certificate"] != nil || o.media != pssowire.MediaKey {
		t.Fatalf("%v: %v", o.out, err)
	}
	return raw
}

func TestUnlock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		token := w.signIn(m, w.ada, w.enrol(m, w.ada))
		cert, about := w.provisioned(t, w.keyRequest(m, w.ada, token))
		key, ok := cert.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() || cert.KeyUsage != x509.KeyUsageKeyAgreement || cert.IsCA || !cert.BasicConstraintsValid {
			t.Errorf("certificate %+v", cert)
		}
		if sum := sha1.Sum(pssowire.Point(key)); !bytes.Equal(cert.SubjectKeyId, sum[:]) {
			t.Errorf("subject key identifier %x", cert.SubjectKeyId)
		}
		again, _ := w.provisioned(t, w.keyRequest(m, w.ada, token))
		if !again.Equal(cert) {
			t.Error("another key at the second request")
		}
		theirs, err := key.ECDH()
		if err != nil {
			t.Fatal(err)
		}
		// Independent agreement, also where its result has a zero in front.
		for zeros := 0; zeros < 2; {
			own, err := ecKey().ECDH()
			if err != nil {
				t.Fatal(err)
			}
			want, err := own.ECDH(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if zeros == 1 && want[0] != 0 {
				continue
			}
			other := publicOf(t, own.PublicKey())
			if got := w.exchanged(t, w.keyExchange(m, w.ada, token, about, other)); !bytes.Equal(got, want) || len(got) != 32 {
				t.Errorf("key %x, want %x", got, want)
			}
			zeros++
		}
		if got := strings.Join(w.events("mac.unlock"), "\n"); strings.Count(got, "mac.unlock.provision success") != 2 || strings.Count(got, "mac.unlock.exchange success") != 2 {
			t.Errorf("events %s", got)
		}
	})
}

func publicOf(t testing.TB, k *ecdh.PublicKey) *ecdsa.PublicKey {
	t.Helper()
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// Two or three exchanges arrive at once while a person waits (§8.3), at whichever
// server.
func TestUnlockAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		token := w.signIn(m, w.ada, w.enrol(m, w.ada))
		nodes := []*node{w.node, w.again()}
		var requests []*message
		for range 8 {
			requests = append(requests, w.keyRequest(m, w.ada, token))
		}
		var mu sync.Mutex
		found := map[string]string{}
		race(len(requests), func(n int) {
			o := requests[n].open(t, nodes[n%2].send(requests[n]))
			mu.Lock()
			defer mu.Unlock()
			found[o.out["certificate"].(string)] = o.out["key_context"].(string)
		})
		if len(found) != 1 {
			t.Fatalf("%d keys of one holder", len(found))
		}
		var exchanges []*message
		for _, context := range found {
			for range 16 {
				exchanges = append(exchanges, w.keyExchange(m, w.ada, token, context, &ecKey().PublicKey))
			}
		}
		race(len(exchanges), func(n int) {
			if a := nodes[n%2].send(exchanges[n]); a.status != http.StatusOK {
				t.Errorf("%d %s (%s)", a.status, a.body, a.cause)
			}
		})
	})
}

// TestUnlockDialects: real key requests have no aud (§8.2), and those of others
// have one.
func TestUnlockDialects(t *testing.T) {
	w := lite(t)
	m := w.mac()
	token := w.signIn(m, w.ada, w.enrol(m, w.ada))
	at := base + "/" + string(w.tenant.ID) + "/psso"
	for name, change := range map[string]func(q *message){
		"aud of the configuration": func(q *message) { q.with(object{"aud": at}) },
		"aud of the address":       func(q *message) { q.with(object{"aud": at + "/key"}) },
		"old typ":                  func(q *message) { q.header["typ"] = "JWT" },
		"old field":                func(q *message) { q.form.Set("request", q.compact()) },
		"version 1 in the form":    func(q *message) { q.form.Set("platform_sso_version", "1.0") },
		"with a client_id":         func(q *message) { q.with(object{"client_id": pssowire.ClientID}) },
		"name in capitals": func(q *message) {
			q.with(object{"sub": strings.ToUpper(w.ada.Name), "username": strings.ToUpper(w.ada.Name)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := w.keyRequest(m, w.ada, token)
			change(q)
			w.provisioned(t, q)
		})
	}
}

// TestSec_PSO05_Unlock: a key of the Mac and a sign-in of this person on this Mac,
// both, and nothing else opens the key service; each thing that may be wrong
// alone.
func TestSec_PSO05_Unlock(t *testing.T) {
	w := lite(t)
	m, second := w.mac(), w.mac()
	k := w.enrol(m, w.ada)
	token, bobs := w.signIn(m, w.ada, k), w.signIn(m, w.bob, w.enrol(m, w.bob))
	elsewhere := w.signIn(second, w.ada, w.enrol(second, w.ada))
	_, context := w.provisioned(t, w.keyRequest(m, w.ada, token))
	_, contextOfBob := w.provisioned(t, w.keyRequest(m, w.bob, bobs))
	_, contextElsewhere := w.provisioned(t, w.keyRequest(second, w.ada, elsewhere))
	claim := func(more object) func(q *message) { return func(q *message) { q.with(more) } }
	at := base + "/" + string(w.tenant.ID) + "/psso"
	common := []refusal{
		malformed("typ of a login", "typ_differs", func(q *message) { q.header["typ"] = pssowire.TypeLogin }),
		malformed("typ of a refresh", "typ_differs", func(q *message) { q.header["typ"] = pssowire.TypeRefresh }),
		malformed("at the token endpoint", "wrong_address", func(q *message) { q.path = "/psso/token" }),
		ofDevice("iss of another application", "client_unknown", claim(object{"iss": "x"})),
		ofDevice("a client_id of another", "client_unknown", claim(object{"client_id": "x"})),
		ofDevice("aud of a login", "audience_differs", claim(object{"aud": at + "/token"})),
		ofDevice("aud of another tenant", "audience_differs", claim(object{"aud": base + "/" + string(w.other.ID) + "/psso"})),
		malformed("no iat", "times_missing", claim(object{"iat": nil})),
		malformed("no nonce of its own", "claim_nonce", func(q *message) { q.with(object{"nonce": nil, "jwe_crypto": crypt(q.apv())}) }),
		malformed("no jwe_crypto", "jwe_crypto", claim(object{"jwe_crypto": object{}})),
		ofDevice("an answer to another key", "apv_key", func(q *message) {
			q.with(object{"jwe_crypto": crypt(pssowire.PartyV(pssowire.Point(&second.encryption.PublicKey), macNonce))})
		}),
		badNonce("a nonce that is none", "nonce_unknown", claim(object{"request_nonce": "x"})),
		ofDevice("signed by another Mac", "wrong_signature", func(q *message) { q.signer = second.signing }).unburnt(),
		malformed("no name", "subject_differs", claim(object{"sub": nil, "username": nil})),
		malformed("two names", "subject_differs", claim(object{"username": w.bob.Name})),
		credential("the name of somebody else", "prt_of_other_user", claim(object{"sub": w.bob.Name, "username": w.bob.Name})),
		malformed("another purpose", "key_purpose", claim(object{"key_purpose": "escrow"})),
		malformed("no purpose", "key_purpose", claim(object{"key_purpose": nil})),
		credential("no sign-in", "prt_unreadable", claim(object{"refresh_token": nil})),
		credential("somebody else's sign-in", "prt_of_other_user", claim(object{"refresh_token": bobs})),
		credential("a sign-in on another Mac", "prt_of_other_device", claim(object{"refresh_token": elsewhere})),
	}
	w.check(t, func() *message { return w.keyRequest(m, w.ada, token) }, common...)
	good := pssowire.Point(&ecKey().PublicKey)
	off := pssowire.Point(&ecKey().PublicKey)
	off[64] ^= 1
	fresh := func() *message { return w.keyExchange(m, w.ada, token, context, &ecKey().PublicKey) }
	w.check(t, fresh, append(common,
		malformed("no context", "key_context", claim(object{"key_context": nil})),
		malformed("a context of our making by others", "key_context", claim(object{"key_context": "AAAA"})),
		malformed("a bent context", "key_context", claim(object{"key_context": context[:len(context)-4] + "AAAA"})),
		malformed("the context of somebody else", "key_context", claim(object{"key_context": contextOfBob})),
		malformed("the context of another Mac", "key_context", claim(object{"key_context": contextElsewhere})),
		malformed("no key", "other_publickey", claim(object{"other_publickey": nil})),
		malformed("no base64", "other_publickey", claim(object{"other_publickey": "ä"})),
		malformed("a point off the curve", "other_publickey", claim(object{"other_publickey": base64.StdEncoding.EncodeToString(off)})),
		malformed("the point at infinity", "other_publickey", claim(object{"other_publickey": base64.StdEncoding.EncodeToString([]byte{0})})),
		malformed("a compressed point", "other_publickey", claim(object{"other_publickey": base64.StdEncoding.EncodeToString(append([]byte{2 + good[64]&1}, good[1:33]...))})),
		malformed("zeros", "other_publickey", claim(object{"other_publickey": base64.StdEncoding.EncodeToString(append([]byte{4}, make([]byte, 64)...))})),
	)...)
}

// What is taken away opens no key any more, and the key is erased with it (§8.3).
func TestSec_PSO05_UnlockEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		k := w.enrol(m, w.ada)
		token := w.signIn(m, w.ada, k)
		cert, about := w.provisioned(t, w.keyRequest(m, w.ada, token))
		w.enable(w.ada, false)
		a := w.send(w.keyExchange(m, w.ada, token, about, &ecKey().PublicKey))
		a.refused(t, "person off", http.StatusUnauthorized, "invalid_grant", "")
		if a.reason() != "user_disabled" {
			t.Errorf("person off: %s", a.cause)
		}
		w.enable(w.ada, true)
		w.exchanged(t, w.keyExchange(m, w.ada, token, about, &ecKey().PublicKey))
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.macs.Unlock.Erase(ctx, tx, w.tenant.ID, m.ID, w.ada.ID)
		})
		a = w.send(w.keyExchange(m, w.ada, token, about, &ecKey().PublicKey))
		a.refused(t, "erased", http.StatusBadRequest, "invalid_request", "")
		if a.reason() != "key_context" {
			t.Errorf("erased: %s", a.cause)
		}
		next, _ := w.provisioned(t, w.keyRequest(m, w.ada, token))
		if next.Equal(cert) {
			t.Error("an erased key is back")
		}
		// Another one's context does not open it.
		w.send(w.keyExchange(m, w.ada, token, about, &ecKey().PublicKey)).refused(t, "the old context", http.StatusBadRequest, "invalid_request", "")
		w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, m.Tenant, m.ID) })
		var left int
		if err := w.db.QueryRow(t.Context(), `select count(*) from mac_unlock where tenant_id = $1`, w.tenant.ID).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d keys of a Mac that is gone, %v", left, err)
		}
	})
}

// TestSec_PSO03_OnlyToTheMac: an answer is for the key that the message named,
// with what the Mac asked for, and never in plain.
func TestSec_PSO03_OnlyToTheMac(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	token := w.signIn(m, w.ada, k)
	seen := map[string]bool{}
	for name, q := range map[string]*message{
		"login": w.login(m, w.ada, k), "refresh": w.refresh(m, token), "key request": w.keyRequest(m, w.ada, token),
	} {
		a := w.send(q)
		parts := split(a.body)
		if a.status != http.StatusOK || len(parts) != 5 || parts[1] != "" {
			t.Fatalf("%s: %d, %d parts", name, a.status, len(parts))
		}
		h := part(t, a.body, 0)
		epk, _ := h["epk"].(map[string]any)
		x, _ := b64.DecodeString(epk["x"].(string))
		y, _ := b64.DecodeString(epk["y"].(string))
		if h["alg"] != "ECDH-ES" || h["enc"] != "A256GCM" || h["apv"] != b64.EncodeToString(q.apv()) || h["zip"] != nil || len(x) != 32 || len(y) != 32 || epk["crv"] != "P-256" {
			t.Errorf("%s: header %v", name, h)
		}
		if want := b64.EncodeToString(pssowire.PartyU(append(append([]byte{4}, x...), y...))); h["apu"] != want {
			t.Errorf("%s: apu %v, want %s", name, h["apu"], want)
		}
		if seen[string(x)] {
			t.Errorf("%s: an ephemeral key a second time", name)
		}
		seen[string(x)] = true
		for what, key := range map[string]*ecdsa.PrivateKey{"signing key": m.signing, "another": ecKey()} {
			own, _ := key.ECDH()
			if _, err := pssowire.Open(a.body, own, q.apv()); err == nil {
				t.Errorf("%s: the %s opens it", name, what)
			}
		}
		own, _ := m.encryption.ECDH()
		if _, err := pssowire.Open(a.body, own, pssowire.PartyV(pssowire.Point(&m.encryption.PublicKey), "another")); err == nil {
			t.Errorf("%s: opens for another nonce", name)
		}
		q.open(t, a)
	}
}
