package passkey

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/corpustest"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/metadata/metadatatest"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// Tests of what the registry of models and this room do together.

var withMetadata = []fs.FS{Migrations, metadata.Migrations, bus.Migrations}

var (
	modelBytes = [16]byte{0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x41, 0x11, 0x81, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11}
	otherBytes = [16]byte{0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x42, 0x22, 0x82, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22}
)

// governed is a world whose models come from a metadata service.
type governed struct {
	*world
	service *metadatatest.Service
	maker   *passkeytest.CA
	no      int64
	list    *metadata.Registry
}

func newGoverned(t testing.TB, db *sqldb.DB) *governed {
	t.Helper()
	now := time.Now()
	maker, err := passkeytest.NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	g := &governed{service: metadatatest.New(now), maker: maker}
	g.list = metadata.New(metadata.Config{DB: db, Now: time.Now, Roots: []*x509.Certificate{g.service.Root.Cert}, Signer: metadatatest.Signer})
	g.world = newWorld(t, db, nil)
	g.world.Room.cfg.Models = g.list
	return g
}

// publish makes entries the newest list.
func (g *governed) publish(t testing.TB, entries ...any) {
	t.Helper()
	g.no++
	path := filepath.Join(t.TempDir(), "blob.jwt")
	if err := os.WriteFile(path, g.service.List(g.no, time.Now(), entries...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.list.LoadFile(context.Background(), path, nil); err != nil {
		t.Fatal(err)
	}
}

func (g *governed) entry(aaguid [16]byte, reports ...metadatatest.Report) any {
	return metadatatest.Entry(guid(aaguid[:]), "Governed key", []*x509.Certificate{g.maker.Cert}, reports...)
}

// key is an authenticator of the maker's model.
func (g *governed) key(aaguid [16]byte) *passkeytest.Authenticator {
	d := device()
	d.AAGUID, d.CA, d.Attestation = aaguid, g.maker, "packed"
	return d
}

func (g *governed) attestation(t testing.TB, id idp.CredentialID) Attestation {
	t.Helper()
	a, err := g.Attestation(context.Background(), tenant, ada.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAttestedByMetadata: a row says attested only when the chain ends in a
// root of that model, and says why not otherwise.
func TestAttestedByMetadata(t *testing.T) {
	sqldbtest.Each(t, withMetadata, func(t *testing.T, db *sqldb.DB) {
		g := newGoverned(t, db)
		g.rules.Attestation = policy.AttestationPreferred
		g.publish(t, g.entry(modelBytes))
		stranger, err := passkeytest.NewCA(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, format string
			aaguid       [16]byte
			ca           *passkeytest.CA
			reason       string
		}{
			{"by the maker", "packed", modelBytes, g.maker, ""},
			{"spoofed with none", "none", modelBytes, nil, metadata.ReasonNone},
			{"spoofed with self", "packed-self", modelBytes, nil, metadata.ReasonSelf},
			{"spoofed with another CA", "packed", modelBytes, stranger, metadata.ReasonChain},
			{"model not in the list", "packed", otherBytes, g.maker, metadata.ReasonModelUnknown},
		} {
			d := device()
			d.AAGUID, d.CA, d.Attestation = c.aaguid, c.ca, c.format
			cred := g.register(t, ada, d)
			a := g.attestation(t, cred.ID)
			if cred.Facts.Attested != (c.reason == "") || a.Attested != cred.Facts.Attested || a.Reason != c.reason || a.Number != 1 {
				t.Errorf("%s: %+v, %+v", c.name, cred.Facts, a)
			}
			if (len(a.Chain) > 0) != (c.ca != nil) {
				t.Errorf("%s: chain of %d", c.name, len(a.Chain))
			}
			if want := g.list.Name(guid(c.aaguid[:])); cred.Model != want {
				t.Errorf("%s: model %q", c.name, cred.Model)
			}
			p, err := g.signIn(t, d)
			if err != nil {
				t.Fatal(err)
			}
			if p.Has(idp.HardwareBound) != (c.reason == "") || p.Facts.Attested != (c.reason == "") {
				t.Errorf("%s: proof %+v", c.name, p)
			}
			if err := g.settle(func(ctx context.Context, tx *sqldb.Tx) error { return g.Remove(ctx, tx, tenant, ada.ID, cred.ID) }); err != nil {
				t.Fatal(err)
			}
		}
		_, err = g.Attestation(t.Context(), tenant, bo.ID, "nothing")
		if !errors.Is(err, idp.NotFound) {
			t.Errorf("%v", err)
		}
	})
}

// TestRequiredAttestation: where a policy asks for it, each lack is refused.
func TestRequiredAttestation(t *testing.T) {
	g := newGoverned(t, sqldbtest.Open(t, withMetadata))
	g.rules.Attestation, g.rules.Withdrawn = policy.AttestationRequired, policy.WithdrawnAllow
	_, err := g.tryRegister(t, ada, g.key(modelBytes))
	wantReason(t, err, idp.Denied, "attestation_unanchored") // no list yet
	g.publish(t, g.entry(modelBytes))
	g.register(t, ada, g.key(modelBytes))
	_, err = g.tryRegister(t, ada, g.key(otherBytes))
	wantReason(t, err, idp.Denied, "attestation_unanchored")
	for _, status := range []string{"REVOKED", "ATTESTATION_KEY_COMPROMISE"} {
		g.publish(t, g.entry(modelBytes, metadatatest.Report{Status: status, Effective: "2020-01-01"}))
		_, err = g.tryRegister(t, ada, g.key(modelBytes))
		wantReason(t, err, idp.Denied, "attestation_unanchored")
	}
}

// TestWithdrawnModel: a status in a new list counts at the very next sign-in
// and registration, in every listing, and is never stored.
func TestWithdrawnModel(t *testing.T) {
	sqldbtest.Each(t, withMetadata, func(t *testing.T, db *sqldb.DB) {
		g := newGoverned(t, db)
		g.publish(t, g.entry(modelBytes), g.entry(otherBytes))
		key, stays := g.key(modelBytes), g.key(otherBytes)
		cred := g.register(t, ada, key)
		g.register(t, ada, stays)
		listed := func(want idp.ModelStatus) {
			t.Helper()
			seen := 0
			note := func(c method.Credential) error {
				if seen++; c.ID == cred.ID && c.Facts.Status != want || c.ID != cred.ID && c.Facts.Status != idp.ModelFine {
					t.Errorf("%s has the status %q, want %q", c.ID, c.Facts.Status, want)
				}
				return nil
			}
			list, err := g.List(t.Context(), tenant, ada.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				_ = note(c)
			}
			if err := g.Walk(t.Context(), tenant, note); err != nil || seen != 4 {
				t.Errorf("%d credentials, %v", seen, err)
			}
		}
		listed(idp.ModelFine)
		for _, report := range []metadatatest.Report{
			{Status: "REVOKED", Effective: "2020-01-01"}, {Status: "USER_KEY_REMOTE_COMPROMISE"}, {Status: "ATTESTATION_KEY_COMPROMISE", Effective: "2020-01-01"},
		} {
			g.publish(t, g.entry(modelBytes, report), g.entry(otherBytes))
			listed(idp.ModelRefuse)
			_, err := g.signIn(t, key)
			wantReason(t, err, idp.Denied, "model_withdrawn")
			_, err = g.tryRegister(t, bo, g.key(modelBytes))
			wantReason(t, err, idp.Denied, "model_withdrawn")
			claimed := device()
			claimed.AAGUID = modelBytes
			_, err = g.tryRegister(t, bo, claimed)
			wantReason(t, err, idp.Denied, "model_withdrawn")
			if _, err := g.signIn(t, stays); err != nil {
				t.Errorf("a key of another model, after %s: %v", report.Status, err)
			}
			g.rules.Withdrawn = policy.WithdrawnRegistration
			if _, err := g.signIn(t, key); err != nil {
				t.Errorf("%s, where only new keys are refused: %v", report.Status, err)
			}
			g.rules.Withdrawn = policy.WithdrawnRefuse
		}
		for _, report := range []metadatatest.Report{
			{Status: "USER_KEY_PHYSICAL_COMPROMISE"}, {Status: "REVOKED", Effective: "2999-01-01"}, {Status: "REVOKED", Effective: "2020-01-01", Sunset: "2021-01-01"},
		} {
			g.publish(t, g.entry(modelBytes, report), g.entry(otherBytes))
			if _, err := g.signIn(t, key); err != nil {
				t.Errorf("%+v: %v", report, err)
			}
		}
	})
}

// TestRejudge: kept statements are judged again by each newer list, once.
func TestRejudge(t *testing.T) {
	sqldbtest.Each(t, withMetadata, func(t *testing.T, db *sqldb.DB) {
		g := newGoverned(t, db)
		key, plain := g.key(modelBytes), device()
		cred, none := g.register(t, ada, key), g.register(t, bo, plain)
		check := func(what string, want Rejudged, attested bool, reason string) {
			t.Helper()
			got, err := g.Rejudge(t.Context(), time.Now())
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
			}
			if a := g.attestation(t, cred.ID); a.Attested != attested || a.Reason != reason || a.Number != g.no {
				t.Errorf("%s: %+v", what, a)
			}
		}
		check("without a list", Rejudged{}, false, metadata.ReasonNoMetadata)
		g.publish(t, g.entry(otherBytes))
		check("list without the model", Rejudged{Seen: 1}, false, metadata.ReasonModelUnknown)
		g.publish(t, g.entry(modelBytes))
		check("list with it", Rejudged{Seen: 1, Gained: 1}, true, "")
		check("again", Rejudged{}, true, "")
		g.publish(t, g.entry(otherBytes))
		check("the model left the list", Rejudged{Seen: 1}, true, "")
		g.publish(t, g.entry(modelBytes, metadatatest.Report{Status: "REVOKED", Effective: "2020-01-01"}))
		check("revoked", Rejudged{Seen: 1, Lost: 1}, false, metadata.ReasonRevoked)
		g.publish(t, g.entry(modelBytes))
		check("cleared", Rejudged{Seen: 1, Gained: 1}, true, "")
		other, err := passkeytest.NewCA(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		g.publish(t, metadatatest.Entry(guid(modelBytes[:]), "Governed key", []*x509.Certificate{other.Cert}))
		check("its root was replaced", Rejudged{Seen: 1, Lost: 1}, false, metadata.ReasonChain)

		var events []string
		for _, e := range g.events {
			if e.Tenant != tenant || e.User != ada.ID || e.Credential != cred.ID || e.Detail["list"] == "" {
				t.Errorf("event %+v", e)
			}
			events = append(events, strings.TrimSpace(e.Activity+" "+e.Reason))
		}
		want := []string{"passkey.attested", "passkey.unattested model_revoked", "passkey.attested", "passkey.unattested chain"}
		if !slices.Equal(events, want) {
			t.Errorf("events %q", events)
		}
		// A key that never said anything was not touched, and works.
		if a, err := g.Attestation(t.Context(), tenant, bo.ID, none.ID); err != nil || a.Reason != metadata.ReasonNone || a.Number != 0 {
			t.Errorf("%+v, %v", a, err)
		}
		// Another process finds nothing left to do.
		g.judged.Store(0)
		check("restarted", Rejudged{}, false, metadata.ReasonChain)
	})
}

// TestRejudgeAtRegistration: a certificate that expired since proves what it
// proved on the day.
func TestRejudgeAtRegistration(t *testing.T) {
	g := newGoverned(t, sqldbtest.Open(t, withMetadata))
	cred := g.register(t, ada, g.key(modelBytes))
	g.publish(t, g.entry(modelBytes))
	long := time.Now().AddDate(20, 0, 0)
	if got, err := g.Rejudge(t.Context(), long); err != nil || got.Gained != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	// And one that was not valid on the day does not.
	if _, err := g.store.Exec(t.Context(), `update passkey set created = $2, trust_number = 0 where tenant_id = $1`, tenant, long.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	g.judged.Store(0)
	if got, err := g.Rejudge(t.Context(), long); err != nil || got.Lost != 1 || g.attestation(t, cred.ID).Reason != metadata.ReasonChain {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestRejudgePages goes through more keys than one page holds.
func TestRejudgePages(t *testing.T) {
	g := newGoverned(t, sqldbtest.Open(t, withMetadata))
	g.rules.Limit = 1000
	key := g.key(modelBytes)
	g.register(t, ada, key)
	const copies = rejudgePage*2 + 7
	err := g.store.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for i := range copies {
			_, err := tx.Exec(ctx, `
				insert into passkey (id, tenant_id, user_id, handle, public_key, alg, sign_count, aaguid, attested, backup_eligible, backed_up,
					disabled, name, created, last_used, clone_seen, discoverable, transports, attestation, attestation_object, client_data)
				select id || $2, tenant_id, user_id, handle, public_key, alg, sign_count, aaguid, attested, backup_eligible, backed_up,
					disabled, name, created, last_used, clone_seen, discoverable, transports, attestation, attestation_object, client_data
				from passkey where tenant_id = $1 and length(id) = 43`, tenant, string(rune('A'+i%26))+strings.Repeat("x", i/26+1))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g.publish(t, g.entry(modelBytes))
	if got, err := g.Rejudge(t.Context(), time.Now()); err != nil || got.Seen != copies+1 || got.Gained != copies+1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestRealDevicesByMetadata: recordings of authenticators are attested by a
// list that names the issuers in their own statements, on the day.
func TestRealDevicesByMetadata(t *testing.T) {
	dir := corpustest.Folder(t, "fido2-real-devices")
	if dir == "" {
		return
	}
	attested := map[string]bool{}
	for _, name := range []string{
		"attestationResultsPacked", "attestationResultsPacked512", "attestationResultsATKey", "attestationResultTrustKeyT110",
		"attestationTPMSHA256Response", "attestationTPMSHA1Response", "attestationResultsU2F", "attestationAppleResponse", "attestationResultsNone",
	} {
		t.Run(name, func(t *testing.T) {
			var p map[string]any
			corpustest.Read(t, filepath.Join(dir, name+".json"), &p)
			object, _, fault := parseObject(lenient(t, response(p)["attestationObject"].(string)))
			if fault != nil {
				t.Fatal(fault)
			}
			clientData := lenient(t, response(p)["clientDataJSON"].(string))
			e, at := evidence(object), timeOf(object)
			none, ours, theirs := Models(bare()), Models(bare()), Models(bare())
			if len(e.Chain) > 0 && object.Format != "apple" {
				// The list names the last certificate of the chain: the
				// authority, or the batch certificate itself.
				// (crypto/x509 refuses the serial number of one of them.)
				last, err := x509.ParseCertificate(e.Chain[len(e.Chain)-1])
				if err != nil {
					last, err = x509.ParseCertificate(e.Chain[0])
				}
				if err != nil {
					t.Fatal(err)
				}
				ours = listing1(t, e, e.AAGUID, last, at)
				theirs = listing1(t, e, e.AAGUID, metadatatest.NewCA("Stranger", at).Cert, at)
			}
			synctest.Test(t, func(t *testing.T) {
				atTimeOf(t, object)
				for _, c := range []struct {
					models Models
					want   bool
				}{
					{none, object.Format == "apple"},
					{ours, len(e.Chain) > 0},
					{theirs, object.Format == "apple"},
				} {
					st, fault := judgeStatement(object, clientData, c.models, at)
					if fault != nil || st.anchored != c.want {
						t.Errorf("%s: %v, %+v; want %t", object.Format, fault, st.trust, c.want)
					}
				}
			})
			attested[object.Format] = ours.Judge(e, at).Attested
		})
	}
	for _, format := range []string{"packed", "tpm", "fido-u2f", "apple"} {
		if !attested[format] {
			t.Errorf("no recording of %s was attested", format)
		}
	}
	if attested["none"] {
		t.Error("none is attested")
	}
}

// listing1 is a registry whose list has one model with one root. A U2F key is
// listed by its certificate.
func listing1(t *testing.T, e metadata.Evidence, aaguid string, root *x509.Certificate, at time.Time) Models {
	t.Helper()
	service := metadatatest.New(at)
	entry := metadatatest.Entry(aaguid, "Model", []*x509.Certificate{root})
	if e.Format == "fido-u2f" {
		cert, err := x509.ParseCertificate(e.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		delete(entry, "aaguid")
		entry["attestationCertificateKeyIdentifiers"] = []string{metadatatest.KeyID(cert)}
	}
	r := metadata.New(metadata.Config{
		DB: sqldbtest.Open(t, withMetadata), Now: func() time.Time { return at },
		Roots: []*x509.Certificate{service.Root.Cert}, Signer: metadatatest.Signer,
	})
	path := filepath.Join(t.TempDir(), "blob.jwt")
	if err := os.WriteFile(path, service.List(1, at, entry), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.LoadFile(context.Background(), path, nil); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestW3CVectorsByMetadata: each vector with a chain is attested by a list
// that names the vectors' authority for its model, and by no other.
func TestW3CVectorsByMetadata(t *testing.T) {
	dir := corpustest.Folder(t, "webauthn-l3")
	if dir == "" {
		return
	}
	raw, err := os.ReadFile(filepath.Join(dir, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(f.AttestationRoot.Cert)
	if err != nil {
		t.Fatal(err)
	}
	formats := map[string]int{}
	for _, v := range f.Vectors {
		object, _, fault := parseObject(v.Registration.AttestationObject)
		if fault != nil {
			t.Fatalf("%s: %v", v.ID, fault)
		}
		e, at := evidence(object), time.Now()
		got := listing1(t, e, e.AAGUID, root, at).Judge(e, at)
		if got.Attested != (len(e.Chain) > 0) {
			t.Errorf("%s (%s): %+v", v.ID, object.Format, got)
		}
		if got.Attested {
			formats[object.Format]++
		}
		if object.Format != "fido-u2f" && listing1(t, e, guid(otherBytes[:]), root, at).Judge(e, at).Attested {
			t.Errorf("%s: attested as another model", v.ID)
		}
	}
	for _, format := range []string{"packed", "tpm", "android-key", "apple", "fido-u2f"} {
		if formats[format] == 0 {
			t.Errorf("no vector of %s was attested", format)
		}
	}
}
