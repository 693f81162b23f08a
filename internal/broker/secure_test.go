package broker_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// TestSec_T01_Replay sends each kind of message twice, the second time to
// another node: refused, with one event, and nothing more is given out.
func TestSec_T01_Replay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, k, h := w.enrolled(0, w.ada)
		there := w.again()
		for name, request := range map[string]string{
			"PRT by Hello":   m.sign(byHello(w.nonce(), k.Assertion(w.ada.Name, w.nonce(), w.clock.now()))),
			"PRT by refresh": m.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker))),
			"use":            h.sign(using(h.value, w.nonce(), nil)),
			"renewal":        h.sign(using(h.value, w.nonce(), object{"scope": "openid aza", "resource": nil})),
		} {
			if a := w.send(request); a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", name, a.status, a.body)
			}
			before := len(w.events(""))
			there.post(w.at("/oauth2/token"), form(request)).refused(t, name+" again", "invalid_grant", 140000, "bad_token")
			if n := len(w.events("")) - before; n != 1 {
				t.Errorf("%s: %d events", name, n)
			}
		}
	})
}

// TestSec_T01_InnerReplay takes the assertion out of a request and puts it into
// one with a new outer nonce: the inner one is spent.
func TestSec_T01_InnerReplay(t *testing.T) {
	w := lite(t)
	m, k, _ := w.enrolled(0, w.ada)
	inner := k.Assertion(w.ada.Name, w.nonce(), w.clock.now())
	m.receive(t, w.send(m.sign(byHello(w.nonce(), inner))))
	w.send(m.sign(byHello(w.nonce(), inner))).refused(t, "old assertion", "invalid_grant", 140000, "bad_token")
	// One nonce for both is what the specification wants.
	n := w.nonce()
	m.receive(t, w.send(m.sign(byHello(n, k.Assertion(w.ada.Name, n, w.clock.now())))))
}

// TestSec_T02_OneNonceOneWinner has two servers over one database answer 1,000
// uses of one nonce, by two kinds of message: one is answered.
func TestSec_T02_OneNonceOneWinner(t *testing.T) {
	const parallel = 1000
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		m, k, h := w.enrolled(0, w.ada)
		nodes := []*node{w.node, w.again()}
		nonce := w.nonceAt(t, "common")
		requests := []string{
			h.sign(using(h.value, nonce, nil)),
			m.sign(byHello(nonce, k.Assertion(w.ada.Name, nonce, w.clock.now()))),
			h.sign(using(h.value, nonce, object{"scope": "openid aza", "resource": nil})),
		}
		var won, lost atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		gate := make(chan struct{}, 64)
		for n := range parallel {
			all.Go(func() {
				<-start
				gate <- struct{}{}
				defer func() { <-gate }()
				a := nodes[n%2].post("/common/oauth2/token", form(requests[n%len(requests)]))
				switch {
				case a.status == http.StatusOK:
					won.Add(1)
				case strings.Contains(a.body, "AADSTS140000"):
					lost.Add(1)
				default:
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		close(start)
		all.Wait()
		if won.Load() != 1 || lost.Load() != parallel-1 {
			t.Errorf("%d answered, %d refused", won.Load(), lost.Load())
		}
	})
}

// TestSec_T03_DisabledInUse disables a device while its PRT, a refresh token
// and a session of it are in use: all stop, on both nodes, and do not come back.
func TestSec_T03_DisabledInUse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, k, h := w.enrolled(0, w.ada)
		there := w.again()
		out := h.open(t, w.use(h, nil))
		there.post(w.at("/oauth2/token"), form(h.sign(using(h.value, w.nonce(), nil)))) // its caches are warm
		refresh := out["refresh_token"].(string)
		redeem := func(n *node) answer {
			return n.post(w.at("/oauth2/token"), map[string][]string{
				"grant_type": {"refresh_token"}, "client_id": {string(client.Broker)}, "refresh_token": {refresh},
			})
		}
		if a := redeem(there); a.status != http.StatusOK {
			t.Fatalf("refresh: %d %s", a.status, a.body)
		}
		w.switchOn(m, false)
		nodes := map[string]*node{"here": w.node}
		if w.db.Dialect() == sqldb.Postgres { // a SQLite house has one server
			nodes["there"] = there
		}
		for name, n := range nodes {
			eventually(t, name, func() bool {
				return strings.Contains(n.post(w.at("/oauth2/token"), form(h.sign(using(h.value, w.nonce(), nil)))).body, "AADSTS135011")
			})
			eventually(t, name+" refresh", func() bool {
				return strings.Contains(redeem(n).body, "135011") || strings.Contains(redeem(n).body, "50173")
			})
		}
		w.switchOn(m, true)
		for name, n := range nodes {
			eventually(t, name, func() bool {
				return strings.Contains(n.post(w.at("/oauth2/token"), form(h.sign(using(h.value, w.nonce(), nil)))).body, "AADSTS50173")
			})
		}
		w.hello1(m, w.ada, k)
	})
}

// eventually waits for the notice that tells the other nodes: two seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s: not within two seconds", what)
			return
		}
	}
}

// TestSec_T04_PassThePRT tries what somebody can do with a copied PRT: nothing,
// without its session key and a nonce of its tenant (DEV06).
func TestSec_T04_PassThePRT(t *testing.T) {
	w := lite(t)
	_, _, h := w.enrolled(0, w.ada)
	_, _, mine := w.enrolled(1, w.bob)
	old := h.sign(using(h.value, w.nonce(), nil))
	h.open(t, w.send(old))
	before := w.spent()
	for name, c := range map[string]struct {
		request string
		code    int
	}{
		"a proof of before":       {old, 140000},
		"another session key":     {mine.sign(using(h.value, w.nonce(), nil)), 140001},
		"an empty key":            {derived(nil, 2, using(h.value, w.nonce(), nil)), 140001},
		"nonce of another tenant": {h.sign(using(h.value, w.nonceAt(t, string(w.other.ID)), nil)), 140000},
		"payload of another":      {swapped(old, using(h.value, w.nonce(), nil)), 140001},
	} {
		w.send(c.request).refused(t, name, "invalid_grant", c.code, "bad_token")
	}
	if n := w.spent(); n != before {
		t.Errorf("%d nonces burnt by nobody's messages", n-before)
	}
}

// swapped puts another payload under a signature.
func swapped(request string, payload object) string {
	parts := strings.Split(request, ".")
	return parts[0] + "." + encode(payload) + "." + parts[2]
}

// TestSec_T05_Downgrade tries to get by with less of the key derivation than
// the PRT is bound to (DEV06; device-protocol.md §8.3).
func TestSec_T05_Downgrade(t *testing.T) {
	w := lite(t)
	w.policy(func(p *policy.Policy) { p.Devices.Compat.KDFv1 = true })
	_, _, h := w.enrolled(0, w.ada)
	payload := func() object { return using(h.value, w.nonce(), nil) }
	w.send(derived(h.key, 1, payload())).refused(t, "version 1 of a PRT asked for with 2", "invalid_grant", 5000611, "bad_token")

	good := h.sign(payload())
	parts := strings.Split(good, ".")
	raw, err := jose.Unbase64(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	var header object
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	delete(header, "kdf_ver")
	w.send(encode(header)+"."+parts[1]+"."+parts[2]).refused(t, "kdf_ver removed", "invalid_grant", 140001, "bad_token")
	for name, size := range map[string]int{"no ctx": 0, "a short ctx": 15, "a long ctx": 65} {
		ctx := secret.Bytes(size)
		head := encode(object{"alg": "HS256", "ctx": base64.StdEncoding.EncodeToString(ctx), "kdf_ver": 2})
		w.send(derivedWith(h.key, 2, ctx, head, encode(payload()))).refused(t, name, "invalid_grant", 140001, "bad_token")
	}
	// The raw session key is no derived key.
	head, body := encode(object{"alg": "HS256"}), encode(payload())
	w.send(rawMAC(h.key, head, body)).refused(t, "the session key itself", "invalid_grant", 140001, "bad_token")
	// One client uses the same ctx for ever: the nonce is what counts.
	for range 2 {
		ctx := bytes.Repeat([]byte{7}, 16)
		head := encode(object{"alg": "HS256", "ctx": b64.EncodeToString(ctx), "kdf_ver": "2"})
		h.open(t, w.send(derivedWith(h.key, 2, ctx, head, encode(payload()))))
	}
}

// TestSec_T09_KeyOfAnother signs for one person with another's key on the same
// device, and from another device (DEV04).
func TestSec_T09_KeyOfAnother(t *testing.T) {
	w := lite(t)
	m, mine, _ := w.enrolled(0, w.ada)
	his := helloKey(1)
	w.enrol(m, w.bob, his)
	there := w.join(1)
	send := func(m *machine, assertion func(nonce string) []byte) answer {
		n := w.nonce()
		return w.send(m.sign(byHello(n, assertion(n))))
	}
	send(m, func(n string) []byte { return mine.Assertion(w.bob.Name, n, w.clock.now()) }).
		refused(t, "A's key for B", "invalid_grant", 130005, "bad_token")
	send(there, func(n string) []byte { return mine.Assertion(w.ada.Name, n, w.clock.now()) }).
		refused(t, "from another device, with one nonce for both", "invalid_grant", 130005, "bad_token")
	send(m, func(n string) []byte { return his.Assertion(w.bob.Name, n, w.clock.now()) }).json(t)
	for name, change := range map[string]object{
		"another use":   {"use": "sig"},
		"no use":        {"use": nil},
		"another alg":   {"alg": "HS256"},
		"a certificate": {"jku": "https://evil.example"},
	} {
		header := mine.Header()
		for k, v := range change {
			if v == nil {
				delete(header, k)
			} else {
				header[k] = v
			}
		}
		n := w.nonce()
		claims := object{"iss": w.ada.Name, "aud": "common", "request_nonce": n, "exp": w.clock.now().Add(time.Minute).Unix()}
		a := w.send(m.sign(byHello(n, mine.Sign(header, claims))))
		if a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

// TestSec_DEV04_OrderOfWork sees that nothing in a message counts before its
// signature: a message with a bad one burns no nonce, one with a good one burns
// all of them whatever else is wrong (decisions 1.3).
func TestSec_DEV04_OrderOfWork(t *testing.T) {
	w := lite(t)
	m, k, h := w.enrolled(0, w.ada)
	burns := func(want int64, request string) {
		t.Helper()
		before := w.spent()
		if a := w.send(request); a.status != http.StatusBadRequest {
			t.Errorf("%d %s", a.status, a.body)
		}
		if got := w.spent() - before; got != want {
			t.Errorf("%d nonces burnt, want %d", got, want)
		}
	}
	good := m.sign(byHello(w.nonce(), k.Assertion(w.ada.Name, w.nonce(), w.clock.now())))
	burns(0, swapped(good, byHello(w.nonce(), nil)))
	burns(0, swapped(good, outer(w.nonce(), object{"grant_type": "password"})))
	burns(2, m.sign(byHello(w.nonce(), helloKey(5).Assertion(w.ada.Name, w.nonce(), w.clock.now()))))
	burns(1, m.sign(outer(w.nonce(), object{"grant_type": "password"})))
	burns(1, m.sign(outer(w.nonce(), object{"grant_type": "device_token"})))
	burns(1, m.sign(byRefresh(w.nonce(), "abc")))
	burns(1, m.sign(byHello(w.nonce(), nil)))
	burns(1, m.sign(byHello(w.nonce(), []byte("abc"))))
	burns(1, m.sign(outer(w.nonce(), object{"scope": "openid"})))
	burns(1, h.sign(using(h.value, w.nonce(), object{"client_id": "nobody"})))
	burns(1, derived(h.key, 1, using(h.value, w.nonce(), nil)))
	w.policy(func(p *policy.Policy) { p.Switch(policy.Hello, false) })
	burns(2, m.sign(byHello(w.nonce(), k.Assertion(w.ada.Name, w.nonce(), w.clock.now()))))
	burns(1, h.sign(using(h.value, w.nonce(), nil)))
}

// TestSec_DEV05_SessionKey sees that the session key goes to the transport key
// alone, and nowhere else: not to a row, not to the audit.
func TestSec_DEV05_SessionKey(t *testing.T) {
	w := lite(t)
	_, _, h := w.enrolled(0, w.ada)
	_, _, other := w.enrolled(1, w.bob)
	if len(h.key) != 32 || bytes.Equal(h.key, other.key) {
		t.Errorf("session keys %d bytes, alike: %v", len(h.key), bytes.Equal(h.key, other.key))
	}
	h.open(t, w.use(h, nil))
	rows, err := w.db.Query(t.Context(), `select proofs, agent from prt union all select detail, reason from audit_event`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			t.Fatal(err)
		}
		for _, canary := range []string{h.value, h.value[len(h.value)-40:], base64.StdEncoding.EncodeToString(h.key), b64.EncodeToString(h.key), string(h.key)} {
			if strings.Contains(a+b, canary) {
				t.Errorf("a secret in %q %q", a, b)
			}
		}
	}
}

// TestSec_KEY05_NothingSecretLogged sends what is refused and what is answered,
// and looks for tokens, nonces and messages in the log (device-protocol.md §15).
func TestSec_KEY05_NothingSecretLogged(t *testing.T) {
	w := lite(t)
	m, k, h := w.enrolled(0, w.ada)
	app := w.app(nil)
	var log bytes.Buffer
	w.handler = web.Chain(w.mux, web.Identify(nil),
		web.Log(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), web.NewMetrics(prometheus.NewRegistry())))
	refresh := w.signIn(w.ada, client.Broker)
	nonces := []string{w.nonce(), w.nonce(), w.nonce(), w.nonce(), w.nonce()}
	inner := string(k.Assertion(w.ada.Name, nonces[1], w.clock.now()))
	messages := []string{
		m.sign(byHello(nonces[0], []byte(inner))),
		m.sign(byRefresh(nonces[2], refresh)),
		h.sign(using(h.value, nonces[3], nil)),
		derived(h.key, 1, using(h.value, w.nonce(), nil)),
		m.sign(outer(w.nonce(), object{"grant_type": "password", "username": "ada", "password": "hunter2hunter2"})),
		m.sign(byRefresh(w.nonce(), refresh+"x")),
	}
	for _, request := range messages {
		w.send(request)
		w.send(request)
		w.send(request[:len(request)-3])
	}
	cookie := h.cookie(nonces[4])
	w.authorize(ask(app), prtHeader, cookie)
	w.authorize(ask(app), prtHeader, cookie)
	w.authorize(ask(app), prtHeader, cookie[:len(cookie)-3])
	canaries := append([]string{h.value, refresh, inner, cookie, "hunter2hunter2", b64.EncodeToString(h.key)}, append(nonces, messages...)...)
	for _, canary := range canaries {
		// Also a good part of one would be too much.
		for _, part := range []string{canary, canary[len(canary)-min(len(canary), 24):]} {
			if strings.Contains(log.String(), part) {
				t.Errorf("%.24s… is in the log", canary)
			}
		}
	}
	if !strings.Contains(log.String(), "140001") || !strings.Contains(log.String(), "5000611") {
		t.Errorf("the log tells no reasons: %.500s", log.String())
	}
}

// TestSec_DEV04_ForeignCertificates: a certificate of the device's name and key
// that somebody else has signed is none, and one of ours is good for its own
// tenant (device-protocol.md §15, x5c injection).
func TestSec_DEV04_ForeignCertificates(t *testing.T) {
	w := lite(t)
	m := w.join(0)
	good, err := x509.ParseCertificate(m.cert)
	if err != nil {
		t.Fatal(err)
	}
	template := *good
	own := rsaKey(11)
	forge := func(parent *x509.Certificate, public any, by crypto.Signer) *machine {
		der, err := x509.CreateCertificate(rand.Reader, &template, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		return &machine{Device: m.Device, key: m.key, transport: m.transport, cert: der}
	}
	issuer := &x509.Certificate{Subject: good.Issuer, SerialNumber: good.SerialNumber, IsCA: true, BasicConstraintsValid: true}
	for name, f := range map[string]*machine{
		"self-signed by the device": forge(&template, m.key.Public(), m.key),
		"an authority of that name": forge(issuer, m.key.Public(), own),
	} {
		w.send(f.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker)))).refused(t, name, "invalid_grant", 50155, "device_authentication_failed")
	}
	theirs := w.joinWith(w.other.ID, idp.UserID(secret.NewUUID4()), rsaKey(12), rsaKey(13))
	w.send(theirs.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker)))).refused(t, "another tenant's device", "invalid_grant", 50155, "device_authentication_failed")
	w.post("/common/oauth2/token", form(theirs.sign(byRefresh(w.nonceAt(t, "common"), w.signIn(w.ada, client.Broker))))).
		refused(t, "on the common address", "invalid_grant", 70000, "bad_token")
	m.receive(t, w.send(m.sign(byRefresh(w.nonce(), w.signIn(w.ada, client.Broker)))))
}

// TestSec_DEV07_RevokedAtOnce ends what a PRT stands on in each of the ways, and
// uses it once more.
func TestSec_DEV07_RevokedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, end := range map[string]func(ctx context.Context, tx *sqldb.Tx, m *machine) error{
			"the person's sign-ins": func(ctx context.Context, tx *sqldb.Tx, _ *machine) error {
				return w.prts.RevokeUser(ctx, tx, w.tenant.ID, w.ada.ID)
			},
			"the device's": func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				return w.prts.RevokeDevice(ctx, tx, m.Tenant, m.ID)
			},
			"what stands on the key": func(ctx context.Context, tx *sqldb.Tx, _ *machine) error {
				all, err := w.hello.List(ctx, w.tenant.ID, w.ada.ID)
				if err != nil || len(all) == 0 {
					return fmt.Errorf("keys %v, %w", all, err)
				}
				return w.prts.RevokeStanding(ctx, tx, w.tenant.ID, w.ada.ID, policy.Hello, all[0].ID)
			},
		} {
			m := w.joinWith(w.tenant.ID, w.ada.ID, ecKey(), rsaKey(1))
			w.enrol(m, w.ada, helloKey(0))
			h := w.hello1(m, w.ada, helloKey(0))
			out := h.open(t, w.use(h, nil))
			if err := w.writeErr(func(ctx context.Context, tx *sqldb.Tx) error { return end(ctx, tx, m) }); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w.use(h, nil).refused(t, name, "invalid_grant", 50173, "bad_token")
			w.renew(h).refused(t, name, "invalid_grant", 50173, "bad_token")
			a := w.post(w.at("/oauth2/token"), map[string][]string{
				"grant_type": {"refresh_token"}, "client_id": {string(client.Broker)}, "refresh_token": {out["refresh_token"].(string)}})
			if !strings.Contains(a.body, "50173") {
				t.Errorf("%s: its refresh token: %d %s", name, a.status, a.body)
			}
			w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, m.Tenant, m.ID) })
			w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				return w.hello.RemoveUser(ctx, tx, w.tenant.ID, w.ada.ID)
			})
		}
	})
}

// TestSec_DEV08_RenewAgainstRevoke renews on both nodes while the person signs
// out: once that has committed nothing is renewed, and no generation lives.
func TestSec_DEV08_RenewAgainstRevoke(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, _, h := w.enrolled(0, w.ada)
		nodes := []*node{w.node, w.again()}
		var over atomic.Bool
		var mu sync.Mutex
		values := []string{h.value}
		var all sync.WaitGroup
		start := make(chan struct{})
		for n := range 32 {
			nonce := w.nonce()
			all.Go(func() {
				<-start
				if n == 16 {
					if err := w.writeErr(func(ctx context.Context, tx *sqldb.Tx) error {
						return w.prts.RevokeUser(ctx, tx, w.tenant.ID, w.ada.ID)
					}); err != nil {
						t.Error(err)
					}
					over.Store(true)
					return
				}
				was := over.Load()
				a := nodes[n%2].post(w.at("/oauth2/token"), form(h.sign(using(h.value, nonce, object{"scope": "openid aza", "resource": nil}))))
				if a.status == http.StatusOK {
					if was {
						t.Error("renewed after the end")
					}
					out := h.open(t, a)
					mu.Lock()
					values = append(values, out["refresh_token"].(string))
					mu.Unlock()
				} else if !strings.Contains(a.body, "50173") {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		close(start)
		all.Wait()
		for _, n := range nodes { // once they have heard
			limit := time.Now().Add(30 * time.Second)
			for n.post(w.at("/oauth2/token"), form(h.sign(using(h.value, w.nonce(), nil)))).status == http.StatusOK && time.Now().Before(limit) {
				time.Sleep(5 * time.Millisecond)
			}
		}
		for _, v := range values {
			for _, n := range nodes {
				a := n.post(w.at("/oauth2/token"), form(h.sign(using(v, w.nonce(), nil))))
				a.refused(t, "after the end", "invalid_grant", 50173, "bad_token")
			}
		}
	})
}

// TestSec_T10_Fork renews on one copy, and uses an old generation on the other
// after the overlap: the PRT ends, with an event (DEV08).
func TestSec_T10_Fork(t *testing.T) {
	w := lite(t)
	m, _, h := w.enrolled(0, w.ada)
	renewed := h.open(t, w.renew(h))
	next := held{renewed["refresh_token"].(string), h.key, m}
	w.advance(prt.Overlap + time.Second)
	_, _, stranger := w.enrolled(1, w.bob)
	// Who found an old value but not the key cannot end it.
	w.send(stranger.sign(using(h.value, w.nonce(), nil))).refused(t, "without the key", "invalid_grant", 140001, "bad_token")
	next.open(t, w.use(next, nil))
	w.use(h, nil).refused(t, "old generation", "invalid_grant", 50173, "bad_token")
	w.use(next, nil).refused(t, "the other copy", "invalid_grant", 50173, "bad_token")
	if got := w.events("prt.reuse"); !slices.Equal(got, []string{"prt.reuse failure prt_reuse"}) {
		t.Errorf("events %v", got)
	}
}

// TestSec_DEV08_Ends sees that a PRT has an end however often it is renewed.
func TestSec_DEV08_Ends(t *testing.T) {
	w := lite(t)
	m, _, h := w.enrolled(0, w.ada)
	for range 6 {
		w.advance(13 * 24 * time.Hour)
		h = held{h.open(t, w.renew(h))["refresh_token"].(string), h.key, m}
	}
	// Nor does a refresh token that came of it lead to one that lives longer.
	out := h.open(t, w.use(h, nil))
	later := m.receive(t, w.send(m.sign(byRefresh(w.nonce(), out["refresh_token"].(string)))))
	if _, err := w.db.Exec(t.Context(), `update refresh_family set expires_at = expires_at + 10000000000 where tenant_id = $1`, w.tenant.ID); err != nil {
		t.Fatal(err)
	}
	w.advance(13 * 24 * time.Hour)
	w.renew(h).refused(t, "after 91 days", "invalid_grant", 700082, "token_expired")
	w.renew(later).refused(t, "what came of it", "invalid_grant", 700082, "token_expired")
	if a := w.send(m.sign(byRefresh(w.nonce(), out["refresh_token"].(string)))); a.status != http.StatusBadRequest {
		t.Errorf("a refresh token outlives its PRT: %d %s", a.status, a.body)
	}
}

// TestSec_T11_WeakPRT: claims of assurance come from how a PRT was obtained and
// from nowhere else (DEV09; POL01).
func TestSec_T11_WeakPRT(t *testing.T) {
	w := lite(t)
	m := w.join(0)
	weak := w.signIn(w.ada, client.Broker, func(s *token.Subject) {
		s.Basis[0].Properties, s.Basis[0].AMR = []idp.Property{idp.Possession}, []string{"pop"}
	})
	n := w.nonce()
	p := byRefresh(n, weak)
	p["amr"], p["acr"], p["mfa_time"] = []string{"mfa", "ngcmfa"}, "phrh", w.clock.now().Unix()
	h := m.receive(t, w.send(m.sign(p)))
	got := h.open(t, w.use(h, object{"amr": []string{"mfa"}, "acr": "phr", "resource": token.RegistrationAudience}))
	access := claimsOf(t, got["access_token"])
	if fmt.Sprint(access["amr"]) != "[pop]" || access["acr"] != nil {
		t.Errorf("amr %v, acr %v", access["amr"], access["acr"])
	}
	for name, more := range map[string]object{"": {}, "with acr in the request": {"acr_values": "phr", "amr": []string{"mfa"}}} {
		strict := w.app(func(c *client.Client) { c.ACR = policy.ACRPhishingResistant })
		more["client_id"], more["resource"] = string(strict.ID), nil
		w.use(h, more).refused(t, "phishing-resistant app "+name, "invalid_grant", 50074, "basic_action")
	}
	// The policy is raised later: what is renewed or refreshed then is asked.
	lax := w.app(nil)
	out := h.open(t, w.use(h, object{"client_id": string(lax.ID), "resource": nil, "scope": "openid offline_access"}))
	lax.ACR = policy.ACRPhishingResistant
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { _, err := w.clients.Update(ctx, tx, lax); return err })
	a := w.post(w.at("/oauth2/token"), map[string][]string{
		"grant_type": {"refresh_token"}, "client_id": {string(lax.ID)}, "refresh_token": {out["refresh_token"].(string)}})
	if a.status != http.StatusBadRequest {
		t.Errorf("refresh after the policy was raised: %d %s", a.status, a.body)
	}
}

// TestSec_DEV09_FreshMFA: a DRS token says that several factors were shown just
// now only for ten minutes after the gesture, whatever was renewed since
// (decisions 2.5).
func TestSec_DEV09_FreshMFA(t *testing.T) {
	w := lite(t)
	m, _, h := w.enrolled(0, w.ada)
	amr := func(h held) string {
		t.Helper()
		return fmt.Sprint(claimsOf(t, h.open(t, w.use(h, object{"resource": token.RegistrationAudience}))["access_token"])["amr"])
	}
	if got := amr(h); got != "[rsa mfa ngcmfa]" {
		t.Errorf("just now: %s", got)
	}
	w.advance(10*time.Minute + time.Second)
	h = held{h.open(t, w.renew(h))["refresh_token"].(string), h.key, m}
	if got := amr(h); got != "[rsa mfa]" {
		t.Errorf("after ten minutes and a renewal: %s", got)
	}
}

// TestSec_T15_DeviceCode: what was approved in another place gives no PRT, and
// where it does, no fresh factor to register a Hello key with; a switch opens
// each (device-protocol.md §15).
func TestSec_T15_DeviceCode(t *testing.T) {
	w := lite(t)
	code := w.signIn(w.ada, client.Broker, func(s *token.Subject) { s.Code = token.ByDeviceCode })
	m := w.join(0, joinedBy(t, code))
	ask := func() answer { return w.send(m.sign(byRefresh(w.nonce(), code))) }
	fresh := func(h held) bool {
		return strings.Contains(fmt.Sprint(claimsOf(t, h.open(t, w.use(h, object{"resource": token.RegistrationAudience}))["access_token"])["amr"]), "ngcmfa")
	}
	ask().refused(t, "off", "invalid_grant", 53003, "message_only")
	w.policy(func(p *policy.Policy) { p.Devices.Compat.DeviceCodeToPRT = true })
	h := m.receive(t, ask())
	if fresh(h) {
		t.Error("a device code counts as a fresh factor")
	}
	// Not by a renewal, nor by the refresh token that the use gave, either.
	h = held{h.open(t, w.renew(h))["refresh_token"].(string), h.key, m}
	out := h.open(t, w.use(h, object{"resource": token.RegistrationAudience}))
	a := w.post(w.at("/oauth2/token"), map[string][]string{
		"grant_type": {"refresh_token"}, "client_id": {string(client.Broker)}, "refresh_token": {out["refresh_token"].(string)}})
	if strings.Contains(fmt.Sprint(claimsOf(t, a.json(t)["access_token"])["amr"]), "ngcmfa") {
		t.Error("a refresh token of it counts as a fresh factor")
	}
	w.policy(func(p *policy.Policy) { p.Devices.Compat.DeviceCodeToHello = true })
	if !fresh(h) {
		t.Error("the switch opens nothing")
	}
}

// TestSec_T15_DeviceCodeElsewhere: whoever talks somebody into typing a code
// holds that person's refresh token, and a device of their own. It gives no PRT
// there, whatever the tenant allows: only the device that joined by that same
// grant gets one, and no other afterwards (device-protocol.md §15, clause b).
func TestSec_T15_DeviceCodeElsewhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.policy(func(p *policy.Policy) { p.Devices.Compat.DeviceCodeToPRT = true })
		byCode := func(s *token.Subject) { s.Code = token.ByDeviceCode }
		phished := w.signIn(w.ada, client.Broker, byCode)
		ask := func(m *machine, refresh string) answer { return w.send(m.sign(byRefresh(w.nonce(), refresh))) }
		for name, m := range map[string]*machine{
			"joined by its owner":            w.joinWith(w.tenant.ID, w.bob.ID, rsaKey(2), rsaKey(3), joinedBy(t, w.signIn(w.bob, client.Broker))),
			"joined by another code":         w.join(2, joinedBy(t, w.signIn(w.ada, client.Broker, byCode))),
			"joined before this was kept":    w.join(3),
			"joined by the person's passkey": w.join(4, joinedBy(t, w.signIn(w.ada, client.Broker))),
		} {
			ask(m, phished).refused(t, name, "invalid_grant", 53003, "message_only")
		}
		own := w.join(0, joinedBy(t, phished))
		own.receive(t, ask(own, phished))
		own.receive(t, ask(own, phished)) // bound to it now
		later := w.join(5, joinedBy(t, phished))
		ask(later, phished).refused(t, "a second device by the same code", "invalid_grant", 70000, "bad_token")
	})
}

// TestSec_T15_StolenBrokerToken: an ordinary refresh token of a broker that
// somebody steals before its device had a PRT is good for no more than decisions
// 4.3 says: an hour, one device's PRT, and device registration. Of many devices
// that show it at once, one has it from then on.
func TestSec_T15_StolenBrokerToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var all []*machine
		for n := range 4 {
			all = append(all, w.joinWith(w.tenant.ID, w.bob.ID, rsaKey(2*n), rsaKey(2*n+1)))
		}
		ask := func(m *machine, refresh string) answer { return w.send(m.sign(byRefresh(w.nonce(), refresh))) }
		redeem := func(refresh, resource string) answer {
			return w.post(w.at("/oauth2/token"), map[string][]string{
				"grant_type": {"refresh_token"}, "client_id": {string(client.Broker)}, "refresh_token": {refresh}, "resource": {resource}})
		}
		stolen := w.signIn(w.ada, client.Broker)
		for _, resource := range []string{"https://graph.microsoft.com", "https://graph.windows.net", "https://enrollment.manage.microsoft.com"} {
			redeem(stolen, resource).refused(t, resource, "interaction_required", 50097, "")
		}
		if got := claimsOf(t, redeem(stolen, token.RegistrationAudience).json(t)["access_token"]); got["deviceid"] != nil {
			t.Errorf("device %v", got["deviceid"])
		}
		var won atomic.Int64
		var owner atomic.Pointer[machine]
		var racing sync.WaitGroup
		for _, m := range slices.Repeat(all, 4) {
			request := m.sign(byRefresh(w.nonce(), stolen))
			racing.Go(func() {
				if a := w.send(request); a.status == http.StatusOK {
					if had := owner.Swap(m); had != nil && had != m {
						t.Errorf("devices %s and %s", had.ID, m.ID)
					}
					won.Add(1)
				}
			})
		}
		racing.Wait()
		if won.Load() == 0 {
			t.Fatal("nobody")
		}
		for _, m := range all {
			prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
			if err != nil {
				t.Fatal(err)
			}
			if m == owner.Load() {
				m.receive(t, ask(m, stolen))
				continue
			}
			ask(m, stolen).refused(t, "another device", "invalid_grant", 70000, "bad_token")
			if len(prts) != 0 {
				t.Errorf("%d PRTs on another device", len(prts))
			}
		}
		late := w.signIn(w.ada, client.Broker)
		w.advance(token.UnboundLives)
		ask(all[0], late).refused(t, "after an hour", "invalid_grant", 70008, "token_expired")
	})
}

// joinedBy makes a device one that joined with a token of that grant.
func joinedBy(t *testing.T, refresh string) func(*device.Candidate) {
	t.Helper()
	raw, err := b64.DecodeString(refresh)
	if err != nil {
		t.Fatal(err)
	}
	family, err := uuid.FromBytes(raw[:16])
	if err != nil {
		t.Fatal(err)
	}
	return func(c *device.Candidate) { c.By = idp.FamilyID(family.String()) }
}

// TestSec_DEV06_CompatKDF: the switch for key derivation version 1 is off, and
// opens what it says: PRTs that never used version 2, not on Windows.
func TestSec_DEV06_CompatKDF(t *testing.T) {
	w := lite(t)
	old := func(m *machine, k int) held {
		header := m.header()
		delete(header, "kdf_ver")
		n := w.nonce()
		return m.receive(t, w.send(sign(m.key, header, byHello(n, helloKey(k).Assertion(w.ada.Name, n, w.clock.now())))))
	}
	m := w.join(0)
	w.enrol(m, w.ada, helloKey(0))
	windows := w.join(1, func(c *device.Candidate) { c.OS = "Windows" })
	w.enrol(windows, w.ada, helloKey(1))
	h, win := old(m, 0), old(windows, 1)
	use := func(h held) answer { return w.send(derived(h.key, 1, using(h.value, w.nonce(), nil))) }
	use(h).refused(t, "off", "invalid_grant", 5000611, "bad_token")
	w.policy(func(p *policy.Policy) { p.Devices.Compat.KDFv1 = true })
	h.open(t, use(h))
	use(win).refused(t, "on Windows", "invalid_grant", 5000611, "bad_token")
	if got := w.events("prt.use"); !slices.Equal(got, []string{"prt.use failure kdf_v1", "prt.use success", "prt.use failure kdf_v1"}) {
		t.Errorf("events %v: every use of version 1 is to be told", got)
	}
	h.open(t, w.use(h, nil)) // version 2, once
	use(h).refused(t, "after version 2 was used", "invalid_grant", 5000611, "bad_token")
	w.policy(func(p *policy.Policy) { p.Devices.Compat.KDFv1 = false })
}

// TestSec_DEV06_CompatCBC: answers are authenticated, unless the switch is on
// and the client speaks the classic dialect.
func TestSec_DEV06_CompatCBC(t *testing.T) {
	w := lite(t)
	_, _, h := w.enrolled(0, w.ada)
	ivOf := func(a answer) int {
		t.Helper()
		parts := strings.Split(a.body, ".")
		if a.status != http.StatusOK || len(parts) != 5 || parts[1] != "" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		iv, err := b64.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		return len(iv)
	}
	if n := ivOf(w.use(h, nil)); n != 12 {
		t.Errorf("an IV of %d bytes while it is off", n)
	}
	w.policy(func(p *policy.Policy) { p.Devices.Compat.CBCResponses = true })
	if n := ivOf(w.use(h, nil)); n != 16 {
		t.Errorf("an IV of %d bytes while it is on", n)
	}
	v3 := w.send(h.sign(using(h.value, w.nonce(), nil)), "windows_api_version", "", "prt_protocol_version", "3.0")
	if n := ivOf(v3); n != 12 {
		t.Errorf("protocol 3.0 gets an IV of %d bytes", n)
	}
}

// TestSec_DEV06_OneRead counts what the use of a PRT costs: one read, whatever the
// node knows of device and person is cached (decisions 3.3).
func TestSec_DEV06_OneRead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, _, h := w.enrolled(0, w.ada)
		h.open(t, w.use(h, nil))
		var m sqldb.Meter
		r := request(w.at("/oauth2/token"), form(h.sign(using(h.value, w.nonce(), nil))))
		h.open(t, w.do(r.WithContext(sqldb.WithMeter(r.Context(), &m))))
		if m.Reads.Load() > 1 {
			t.Errorf("%d reads", m.Reads.Load())
		}
		if m.Writes.Load() != 2 { // the nonce, and the grant
			t.Errorf("%d writes", m.Writes.Load())
		}
	})
}
