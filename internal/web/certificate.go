package web

import (
	"context"
	"net/http"
)

type certificateKey struct{}

// AsksForCertificate marks requests of the listener that asks clients for
// certificates.
func AsksForCertificate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), certificateKey{}, true)))
	})
}

// ClientCertificates gives the chain that the client showed, each
// certificate in DER, leaf first: none
// when it showed none. asked says whether the request came by the listener that
// asks; on any other there is never one. The handshake has proven that the
// sender holds the leaf's key, and nothing else: who issued it, for what and
// until when is for the caller to judge.
func ClientCertificates(r *http.Request) (chain [][]byte, asked bool) {
	if asked, _ = r.Context().Value(certificateKey{}).(bool); !asked || r.TLS == nil {
		return nil, asked
	}
	for _, c := range r.TLS.PeerCertificates {
		chain = append(chain, c.Raw)
	}
	return chain, true
}
