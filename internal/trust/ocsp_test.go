package trust_test

import (
	"context"
	"crypto"
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
)

// responder answers for an authority, as change makes it, by the authority or
// by a delegate.
func (p *pki) responder(change func(*ocsp.Response), by *x509.Certificate, key crypto.Signer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		der, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
			p.t.Errorf("%s %v, %v", r.Method, r.Header, err)
		}
		req, err := ocsp.ParseRequest(der)
		if err != nil {
			p.t.Error(err)
			return
		}
		a := ocsp.Response{Status: ocsp.Good, SerialNumber: req.SerialNumber, ThisUpdate: p.now().Add(-time.Minute), NextUpdate: p.now().Add(10 * time.Minute)}
		change(&a)
		if by != p.ca.Cert {
			a.Certificate = by
		}
		out, err := ocsp.CreateResponse(p.ca.Cert, by, a, key)
		if err != nil {
			p.t.Error(err)
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		w.Write(out)
	}
}

// asks makes the authority for people one with a responder, and without a list.
func (p *pki) asks(crl string) {
	p.t.Helper()
	address := p.pub.URL + "/ocsp"
	if _, err := p.update(tenant, p.ids[1], 0, trust.Edit{OCSP: &address, CRL: &crl}); err != nil {
		p.t.Fatal(err)
	}
	p.run(p.Store)
	p.pub.hits.Store(0)
}

func good(*ocsp.Response) {}

// TestResponder: asked at sign-in, and its answer kept to its end.
func TestResponder(t *testing.T) {
	p := newPKI(t, sqldbtest.Open(t, sources))
	p.asks("")
	p.pub.at("/ocsp", p.responder(good, p.ca.Cert, p.ca.Key))
	got := p.want("good", "")
	if c := got.Checks[0]; c.By != trust.ByOCSP || c.Authority != p.ids[1] || !c.NextUpdate.Equal(start.Add(10*time.Minute)) || got.Checks[1].By != trust.ByCRL {
		t.Errorf("%+v", got.Checks)
	}
	p.pass(10*time.Minute - time.Second)
	p.want("again", "")
	if n := p.pub.hits.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	revoked := func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, start }
	p.pub.at("/ocsp", p.responder(revoked, p.ca.Cert, p.ca.Key))
	p.pass(time.Second)
	p.want("revoked, once the answer is over", "certificate_revoked")
	p.pub.at("/ocsp", p.responder(good, p.ca.Cert, p.ca.Key))
	p.want("what was refused is asked anew", "")
	hits := p.pub.hits.Load()
	other := p.leaf
	p.leaf = p.ca.Leaf(pkixtest.ECKey(t).Public(), "Bob", "", start)
	p.want("somebody else", "")
	if p.pub.hits.Load() != hits+1 {
		t.Error("one's answer was taken for another's")
	}
	// Without an end an answer is good for now, and is not kept.
	p.leaf = other
	p.pass(time.Hour)
	p.pub.at("/ocsp", p.responder(func(r *ocsp.Response) { r.NextUpdate = time.Time{} }, p.ca.Cert, p.ca.Key))
	hits = p.pub.hits.Load()
	p.want("without an end", "")
	p.want("without an end, again", "")
	if p.pub.hits.Load() != hits+2 {
		t.Error("an answer without an end was kept")
	}
	// A long one is asked about again after an hour.
	p.pub.at("/ocsp", p.responder(func(r *ocsp.Response) { r.NextUpdate = p.now().Add(23 * time.Hour) }, p.ca.Cert, p.ca.Key))
	p.want("a long one", "")
	hits = p.pub.hits.Load()
	p.pass(time.Hour)
	p.want("a long one, later", "")
	if p.pub.hits.Load() != hits+1 {
		t.Error("an answer was kept for more than an hour")
	}
}

// TestSec_CBA06_FailsClosed: what a responder does not say is refused, for that
// reason alone.
func TestSec_CBA06_FailsClosed(t *testing.T) {
	key := pkixtest.ECKey(t)
	stranger := pkixtest.Root(t, "Stranger", start)
	signing := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	noCheck := func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, stdpkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}})
	}
	for name, c := range map[string]struct {
		serve  func(p *pki) http.HandlerFunc
		reason string
		says   string
	}{
		"good": {func(p *pki) http.HandlerFunc { return p.responder(good, p.ca.Cert, p.ca.Key) }, "", ""},
		"a delegate": {func(p *pki) http.HandlerFunc {
			return p.responder(good, p.ca.Leaf(key.Public(), "Responder", "", start, signing, noCheck), key)
		}, "", ""},
		"a delegate whom no list tells of": {func(p *pki) http.HandlerFunc {
			return p.responder(good, p.ca.Leaf(key.Public(), "Responder", "", start, signing), key)
		}, "certificate_list_unavailable", "no list"},
		"answering for another authority": {func(p *pki) http.HandlerFunc { return p.responder(good, stranger.Cert, stranger.Key) }, "certificate_list_unavailable", "who signed"},
		"a delegate of another": {func(p *pki) http.HandlerFunc {
			return p.responder(good, stranger.Leaf(key.Public(), "Responder", "", start, signing, noCheck), key)
		}, "certificate_list_unavailable", "another issuer"},
		"unknown": {func(p *pki) http.HandlerFunc {
			return p.responder(func(r *ocsp.Response) { r.Status = ocsp.Unknown }, p.ca.Cert, p.ca.Key)
		}, "certificate_list_unavailable", "does not know"},
		"another's number": {func(p *pki) http.HandlerFunc {
			return p.responder(func(r *ocsp.Response) { r.SerialNumber = big.NewInt(999) }, p.ca.Cert, p.ca.Key)
		}, "certificate_list_unavailable", "no response matching"},
		"over": {func(p *pki) http.HandlerFunc {
			return p.responder(func(r *ocsp.Response) { r.NextUpdate = start }, p.ca.Cert, p.ca.Key)
		}, "certificate_list_unavailable", "over since"},
		"old and without an end": {func(p *pki) http.HandlerFunc {
			return p.responder(func(r *ocsp.Response) { r.NextUpdate, r.ThisUpdate = time.Time{}, start.Add(-6*time.Minute) }, p.ca.Cert, p.ca.Key)
		}, "certificate_list_unavailable", "when the next comes"},
		"not there": {func(p *pki) http.HandlerFunc { return http.NotFound }, "certificate_list_unavailable", "status 404"},
		"hangs": {func(p *pki) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // or the server does not notice that the client has gone
				<-r.Context().Done()
			}
		}, "certificate_list_unavailable", "deadline"},
		"endless": {func(p *pki) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) }
		}, "certificate_list_unavailable", "too long"},
		"leads elsewhere": {func(p *pki) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
			}
		}, "certificate_list_unavailable", "leads to"},
		"a page": {func(p *pki) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") }
		}, "certificate_list_unavailable", "asn1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, sqldbtest.Open(t, sources))
			p.asks("")
			if name == "hangs" {
				p.Store = p.listNode(trust.Limits{OCSPTime: 100 * time.Millisecond}, "127.0.0.1")
			}
			p.pub.at("/ocsp", c.serve(p))
			_, err := p.Verify(t.Context(), tenant, p.leaf, nil, trust.Rules{StaleFor: 24 * time.Hour})
			refused(t, "it", err, c.reason)
			if c.reason != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// TestSec_CBA06_BothSay: with a list besides, the responder decides, and what
// the list knows to be revoked is revoked.
func TestSec_CBA06_BothSay(t *testing.T) {
	p := newPKI(t, sqldbtest.Open(t, sources))
	p.pub.put("/ca.crl", p.ca.List(p.of(1)))
	p.asks(p.pub.URL + "/ca.crl")
	p.pub.at("/ocsp", http.NotFound)
	p.want("a list, and no answer", "certificate_list_unavailable")
	p.pub.at("/ocsp", p.responder(good, p.ca.Cert, p.ca.Key))
	if got := p.want("both", ""); got.Checks[0].By != trust.ByOCSP {
		t.Errorf("%+v", got.Checks)
	}
	p.pub.put("/ca.crl", p.ca.List(p.of(2, p.revoked(1))))
	if _, err := p.Refresh(t.Context(), tenant, p.ids[1]); err != nil {
		t.Fatal(err)
	}
	p.want("the list says that it is revoked", "certificate_revoked")

	// The list tells of a delegate, too.
	p = newPKI(t, sqldbtest.Open(t, sources))
	key := pkixtest.ECKey(t)
	delegate := p.ca.Leaf(key.Public(), "Responder", "", start, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} })
	p.pub.put("/ca.crl", p.ca.List(p.of(1)))
	p.asks(p.pub.URL + "/ca.crl")
	p.pub.at("/ocsp", p.responder(good, delegate, key))
	p.want("a delegate of whom the list says nothing", "")
	p.pub.put("/ca.crl", p.ca.List(p.of(2, pkixtest.ListEntry{Serial: delegate.SerialNumber, When: start})))
	if _, err := p.Refresh(t.Context(), tenant, p.ids[1]); err != nil {
		t.Fatal(err)
	}
	p.pass(time.Hour)
	p.want("a delegate that is revoked", "certificate_list_unavailable")
}

// TestResponderGivesUp: a sign-in that ends takes its question along.
func TestResponderGivesUp(t *testing.T) {
	p := newPKI(t, sqldbtest.Open(t, sources))
	p.asks("")
	asked := make(chan struct{})
	p.pub.at("/ocsp", func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := p.Verify(ctx, tenant, p.leaf, nil, trust.Rules{})
		done <- err
	}()
	<-asked
	cancel()
	refused(t, "it", <-done, "certificate_list_unavailable")
}
