package metadata

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Bounds of a revocation list, and how many of them are looked at.
const (
	maxCRL    = 8 << 20
	crlWithin = 20 * time.Second
	maxPoints = 4
)

// revoked looks whether a certificate of the path that signed a list was
// revoked (MDS §3.2 step 5): where a revocation list can be had and is in
// order. One that cannot be had is no reason to refuse, or whoever can keep us
// from it could keep us from newer metadata for ever.
func (r *Registry) revoked(ctx context.Context, path []*x509.Certificate, now time.Time) error {
	for i, cert := range path[:len(path)-1] {
		points := cert.CRLDistributionPoints
		for _, point := range points[:min(len(points), maxPoints)] {
			list := r.revocationList(ctx, point)
			if list == nil || list.CheckSignatureFrom(path[i+1]) != nil || now.After(list.NextUpdate) {
				continue
			}
			for _, e := range list.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return idp.Unprovenf("metadata_revoked", "certificate of %q was revoked on %s", cert.Subject.CommonName, e.RevocationTime.Format(time.DateOnly))
				}
			}
			break
		}
	}
	return nil
}

// revocationList fetches a list; nil when it cannot be had.
func (r *Registry) revocationList(ctx context.Context, point string) *x509.RevocationList {
	if !strings.HasPrefix(point, "http://") && !strings.HasPrefix(point, "https://") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(crlWithin, r.cfg.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, point, nil)
	if err != nil {
		return nil
	}
	res, err := r.plain.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	der, err := io.ReadAll(io.LimitReader(res.Body, maxCRL+1))
	if err != nil || res.StatusCode != http.StatusOK || len(der) > maxCRL {
		return nil
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil
	}
	return list
}
