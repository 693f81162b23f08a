package psso_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetid/signet/internal/web"
)

// TestSec_KEY05_NothingSecretLogged sends what is refused and what is answered,
// and looks for tokens, nonces, keys and messages in the log and in the audit.
func TestSec_KEY05_NothingSecretLogged(t *testing.T) {
	w := lite(t)
	m := w.mac()
	k := w.enrol(m, w.ada)
	token := w.signIn(m, w.ada, k)
	_, about := w.provisioned(t, w.keyRequest(m, w.ada, token))
	var log bytes.Buffer
	w.handler = web.Chain(w.mux, web.Identify(nil),
		web.Log(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), web.NewMetrics(prometheus.NewRegistry())))
	canaries := []string{token, about, "hunter2hunter2"}
	for _, q := range []*message{
		w.login(m, w.ada, k), w.refresh(m, token), w.keyRequest(m, w.ada, token), w.keyExchange(m, w.ada, token, about, &ecKey().PublicKey),
		w.login(m, w.ada, k).with(object{"grant_type": "password", "password": "hunter2hunter2"}),
		w.refresh(m, token+"x"), w.keyExchange(m, w.ada, token, about+"x", &ecKey().PublicKey), w.login(m, w.bob, k),
		w.login(m, w.ada, k).with(object{"jwe_crypto": object{}}), w.login(m, w.ada, k).with(object{"scope": "x"}),
	} {
		form := q.body()
		for _, text := range []string{form.Get("assertion"), form.Get("assertion"), form.Get("assertion")[:len(form.Get("assertion"))-3]} {
			form.Set("assertion", text)
			a := w.post(w.at(q.path), form)
			if a.status == http.StatusOK {
				o := q.open(t, a)
				for _, name := range []string{"refresh_token", "id_token", "key"} {
					if s, _ := o.out[name].(string); s != "" {
						canaries = append(canaries, s)
					}
				}
			}
		}
		canaries = append(canaries, q.nonce, form.Get("assertion"))
	}
	if err := w.audit.Flush(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	rows, err := w.db.Query(t.Context(), `select coalesce(detail, ''), coalesce(reason, '') from audit_event`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	text := log.String()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			t.Fatal(err)
		}
		text += a + b
	}
	for _, canary := range canaries {
		// Also a good part of one would be too much.
		for _, part := range []string{canary, canary[len(canary)-min(len(canary), 24):]} {
			if strings.Contains(text, part) {
				t.Errorf("%.24s… is written down", canary)
			}
		}
	}
	for _, reason := range []string{"wrong_signature", "spent", "scope_missing", "prt_unreadable"} {
		if !strings.Contains(text, reason) {
			t.Errorf("the log does not tell of %s", reason)
		}
	}
}

// An outage is neither a Mac's fault nor its person's (§7.6): macOS comes again
// later.
func TestOutage(t *testing.T) {
	w := lite(t)
	m := w.mac()
	q := w.login(m, w.ada, w.enrol(m, w.ada))
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	a := w.send(q)
	a.refused(t, "without a database", http.StatusServiceUnavailable, "temporarily_unavailable", "")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
