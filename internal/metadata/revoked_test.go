package metadata

import (
	"net/http"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata/metadatatest"
)

// TestRevokedSigner: a list whose signer was revoked is refused when it is
// fetched; what cannot be known for sure refuses nothing.
func TestRevokedSigner(t *testing.T) {
	w, _, db := openWorld(t)
	points := serve(t)
	w.service.Points = []string{"ldap://example.com/crl", points.URL + "/crl"}
	w.service.Resign(metadatatest.Signer, start.AddDate(0, -1, 0), start.AddDate(0, 1, 0))
	s := serve(t)
	s.set(w.list(1), "")
	tomorrow, yesterday := start.AddDate(0, 0, 1), start.AddDate(0, 0, -1)
	points.set(w.service.Revocations(w.service.Mid, tomorrow, true), "")
	_, err := w.online(db, s).Refresh(t.Context(), nil)
	wantReason(t, err, idp.Unproven, "metadata_revoked")
	if points.count() != 1 {
		t.Errorf("asked %d times", points.count())
	}
	no := int64(1)
	for name, crl := range map[string][]byte{
		"not revoked":        w.service.Revocations(w.service.Mid, tomorrow, false),
		"list out of date":   w.service.Revocations(w.service.Mid, yesterday, true),
		"list of a stranger": w.service.Revocations(metadatatest.NewCA("Stranger", start), tomorrow, true),
		"list of the root":   w.service.Revocations(w.service.Root, tomorrow, true),
		"no list":            []byte("<html>"),
		"nothing":            nil,
	} {
		no++
		points.set(crl, "")
		s.set(w.list(no), "")
		if st, err := w.online(db, s).Refresh(t.Context(), nil); err != nil || st.Number != no {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
	}
	points.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s.set(w.list(no+1), "")
	if st, err := w.online(db, s).Refresh(t.Context(), nil); err != nil || st.Number != no+1 {
		t.Errorf("not found: %+v, %v", st, err)
	}
	// A file is taken where there is no network: nobody is asked.
	points.answer(nil)
	points.set(w.service.Revocations(w.service.Mid, tomorrow, true), "")
	asked := points.count()
	if st, err := w.online(db, s).LoadFile(t.Context(), write(t, w.list(no+2)), nil); err != nil || st.Number != no+2 || points.count() != asked {
		t.Errorf("%+v, %v", st, err)
	}
}
