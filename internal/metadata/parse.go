package metadata

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
)

// Bounds of one entry; what exceeds them is left out.
const (
	maxEntries = 20_000
	maxName    = 128
	maxRoots   = 512
	maxReports = 128
	maxWord    = 64
	maxKeyIDs  = 1024
)

// soft is a member that is left empty when it is of another type than it
// should be, so that it costs only itself.
type soft[T any] struct{ v T }

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (s *soft[T]) UnmarshalJSON(raw []byte) error {
	var v T
	if json.Unmarshal(raw, &v) == nil {
		s.v = v
	}
	return nil
}

// wire is a payload entry (MDS §3.1.1) with its metadata statement, as far as
// it is used.
type wire struct {
	AAGUID    soft[string]       `json:"aaguid"`
	KeyIDs    soft[[]string]     `json:"attestationCertificateKeyIdentifiers"`
	Reports   soft[[]wireReport] `json:"statusReports"`
	Statement struct {
		Description soft[string]       `json:"description"`
		Protection  soft[[]string]     `json:"keyProtection"`
		Attachment  soft[[]string]     `json:"attachmentHint"`
		Roots       soft[[]string]     `json:"attestationRootCertificates"`
		Icon        soft[string]       `json:"icon"`
		Verify      soft[[][]wireWays] `json:"userVerificationDetails"`
		Info        soft[struct {
			Transports soft[[]string] `json:"transports"`
		}] `json:"authenticatorGetInfo"`
	} `json:"metadataStatement"`
}

// wireWays is a way to verify a user.
type wireWays struct {
	Method string `json:"userVerificationMethod"`
}

// wireReport is a status report on the wire.
type wireReport struct {
	Status      string `json:"status"`
	Effective   string `json:"effectiveDate"`
	Sunset      string `json:"sunsetDate"`
	Certificate string `json:"certificate"`
	Batch       string `json:"batchCertificate"`
	URL         string `json:"url"`
}

// reader builds a set. Roots and icons that many models share are kept once.
type reader struct {
	set   *set
	roots map[string]root // by their text
	icons map[string]string
}

// parse reads the payload of a verified list (MDS §3.1.6). Entries are read one
// by one; one that is not understood is counted and left out.
func parse(payload []byte) (*set, error) {
	r := reader{
		set:   &set{byAAGUID: map[string]*entry{}, byKeyID: map[string]*entry{}},
		roots: map[string]root{}, icons: map[string]string{},
	}
	var next string
	seen := false
	d := json.NewDecoder(bytes.NewReader(payload))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, idp.Unprovenf("metadata_malformed", "the payload is not an object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, idp.Unprovenf("metadata_malformed", "payload: %w", err)
		}
		switch name {
		case "no":
			err = d.Decode(&r.set.number)
		case "nextUpdate":
			err = d.Decode(&next)
		case "entries":
			if seen {
				err = errors.New("entries twice")
			} else {
				err = r.entries(d)
			}
			seen = true
		default:
			var skip json.RawMessage
			err = d.Decode(&skip)
		}
		if err != nil {
			return nil, idp.Unprovenf("metadata_malformed", "payload: %w", err)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, idp.Unprovenf("metadata_malformed", "payload: %w", err)
	}
	var err error
	if r.set.nextUpdate, err = time.Parse(time.DateOnly, next); err != nil {
		return nil, idp.Unprovenf("metadata_malformed", "nextUpdate: %w", err)
	}
	if r.set.number <= 0 || len(r.set.entries) == 0 {
		return nil, idp.Unprovenf("metadata_malformed", "number %d, %d models", r.set.number, len(r.set.entries))
	}
	r.set.index()
	return r.set, nil
}

func (r *reader) entries(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("entries is not an array")
	}
	var raw json.RawMessage
	for n := 0; d.More(); n++ {
		if n == maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		raw = raw[:0]
		if err := d.Decode(&raw); err != nil {
			return err
		}
		var w wire
		if err := json.Unmarshal(raw, &w); err != nil {
			r.set.skipped++
			continue
		}
		r.entry(w)
	}
	_, err := d.Token()
	return err
}

// entry adds one model. An entry that names neither an AAGUID nor key
// identifiers (a UAF authenticator) has nothing to do with passkeys.
func (r *reader) entry(w wire) {
	aaguid, ok := canonical(w.AAGUID.v)
	ids := r.keyIDs(w.KeyIDs.v)
	if !ok && len(ids) == 0 || aaguid == Zero {
		r.set.skipped++
		return
	}
	e := &entry{}
	e.reports, e.burnt = readReports(w.Reports.v)
	if old := r.set.byAAGUID[aaguid]; ok && old != nil {
		// Which one is right cannot be told: the first stands, and what is
		// bad in either counts.
		old.reports, old.burnt = append(old.reports, e.reports...), append(old.burnt, e.burnt...)
		r.set.doubled++
		return
	}
	st := w.Statement
	e.Model = Model{
		AAGUID: aaguid, KeyIDs: ids, Source: FromMDS,
		Name:       cut(st.Description.v, maxName),
		Protection: words(st.Protection.v),
		Transports: words(st.Info.v.Transports.v),
		Biometric:  biometric(st.Verify.v),
		Icon:       r.icon(st.Icon.v),
	}
	if len(e.Transports) == 0 {
		e.Transports = words(st.Attachment.v)
	}
	e.Name = cmp.Or(e.Name, bundled[aaguid].name, aaguid)
	var org string
	e.Roots, org = r.anchors(st.Roots.v)
	e.Vendor = cmp.Or(bundled[aaguid].vendor, vendorOf(e.Name), org)
	r.set.entries = append(r.set.entries, e)
	if ok {
		r.set.byAAGUID[aaguid] = e
	}
	for _, id := range ids {
		if r.set.byKeyID[id] == nil {
			r.set.byKeyID[id] = e
		}
	}
}

func readReports(all []wireReport) ([]report, [][32]byte) {
	var out []report
	var burnt [][32]byte
	for _, w := range all {
		word := cut(w.Status, maxWord)
		if word == "" || len(out) == maxReports {
			continue
		}
		r := report{word: word, effective: day(w.Effective), sunset: day(w.Sunset), batch: w.Certificate != "" || w.Batch != ""}
		if strings.HasPrefix(w.URL, "https://") && len(w.URL) <= 512 {
			r.url = cut(w.URL, 512)
		}
		out = append(out, r)
		if word != attestationCompromise {
			continue
		}
		for _, text := range []string{w.Certificate, w.Batch} {
			if der, ok := certificate(text); ok {
				burnt = append(burnt, sha256.Sum256(der))
			}
		}
	}
	return out, burnt
}

// day reads a date, which is since always when it is none.
func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// certificate decodes base64 as statements have it, at times with line breaks.
func certificate(text string) ([]byte, bool) {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, text)
	der, err := base64.StdEncoding.DecodeString(text)
	return der, err == nil && len(der) > 0
}

// root is an anchor and whose it is; der is nil for one that cannot be read,
// which anchors nothing.
type root struct {
	der []byte
	org string
}

func readRoot(text string) root {
	der, ok := certificate(text)
	if !ok {
		return root{}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return root{}
	}
	return root{der, cut(strings.Join(cert.Subject.Organization, " "), maxName)}
}

// anchors keeps roots as DER, each once however many models share it, and says
// which organisation they belong to if it is one.
func (r *reader) anchors(all []string) (roots [][]byte, org string) {
	orgs := map[string]bool{}
	for _, text := range all[:min(len(all), maxRoots)] {
		a, ok := r.roots[text]
		if !ok {
			a = readRoot(text)
			r.roots[text] = a
		}
		if a.der == nil {
			continue
		}
		roots = append(roots, a.der)
		orgs[a.org], org = true, a.org
	}
	if len(orgs) != 1 {
		org = ""
	}
	return roots, org
}

func (r *reader) icon(uri string) string {
	if uri == "" {
		return ""
	}
	kept, ok := r.icons[uri]
	if !ok {
		kept = checkedIcon(uri)
		r.icons[uri] = kept
	}
	return kept
}

func (r *reader) keyIDs(all []string) []string {
	var out []string
	for _, id := range all {
		id = strings.ToLower(id)
		if len(id) == 40 && strings.Trim(id, "0123456789abcdef") == "" && len(out) < maxKeyIDs {
			out = append(out, id)
		}
	}
	return out
}

func vendorOf(name string) string {
	name = strings.ToLower(name)
	for _, v := range vendors {
		if strings.Contains(name, v.word) {
			return v.vendor
		}
	}
	return ""
}

// biometric looks for a method that reads a body feature.
func biometric(all [][]wireWays) bool {
	for _, group := range all {
		for _, m := range group {
			for _, part := range []string{"fingerprint", "faceprint", "voiceprint", "eyeprint", "handprint"} {
				if strings.HasPrefix(m.Method, part) {
					return true
				}
			}
		}
	}
	return false
}

// words keeps what a list of short words may hold.
func words(all []string) []string {
	var out []string
	for _, w := range all {
		if w = cut(w, maxWord); w != "" && len(out) < 16 && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// cut makes text of others harmless in a list: one line, no invisible or
// reversing characters, bounded.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case audit.Unprintable(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit])
	}
	return s
}

// canonical writes an AAGUID in lower case with hyphens; ok is false for what
// is none.
func canonical(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) == 32 {
		s = s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
	}
	if len(s) != 36 {
		return "", false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (s[i] == '-') || !hyphen && !strings.ContainsRune("0123456789abcdef", rune(s[i])) {
			return "", false
		}
	}
	return s, true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
