package oddclient

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// drsRefused checks an error of device registration (§5.3).
func drsRefused(t *testing.T, name string, a Answer, err error, statuses ...int) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var got struct{ ErrorType, Message, TraceId, Time string }
	if jerr := json.Unmarshal([]byte(a.Body), &got); jerr != nil || !slices.Contains(statuses, a.Status) || got.ErrorType == "" || got.Message == "" || got.TraceId == "" || got.Time == "" {
		t.Errorf("%s: got %d %.300q, want one of %v with the members of §5.3", name, a.Status, a.Body, statuses)
	}
}

// What a join refuses before the token is spent, and that the token is good for
// one join afterwards (§5.1, §5.4; decisions 4.1, 4.8).
func TestJoinRefused(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	c := o.client(DialectA())
	token := ada.tokens(t).Access
	good := c.joining(t, false)
	other := s.key()
	blob := rsaBlob(&good.Transport.PublicKey)
	jwk := func(member, value string) string {
		text, err := base64.StdEncoding.DecodeString(rsaJWK(&other.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]string
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		m[member] = value
		if text, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(text)
	}
	transport := func(b []byte) func(*Joining) {
		return func(j *Joining) { j.Body["TransportKey"] = base64.StdEncoding.EncodeToString(b) }
	}
	for _, c2 := range []struct {
		name string
		edit func(*Joining)
	}{
		{"the proof of possession is broken", func(j *Joining) { j.Request.breakSignature = true }},
		{"another subject", func(j *Joining) { j.Request.name = newGUID() }},
		{"not base64", func(j *Joining) { j.Body["CertificateRequest"] = map[string]any{"Type": "pkcs10", "Data": "§§"} }},
		{"not PKCS#10", func(j *Joining) { j.Body["CertificateRequest"] = map[string]any{"Type": "pkcs10", "Data": "MAA="} }},
		{"another type of request", func(j *Joining) {
			raw, _ := j.Request.make(j.Key)
			j.Body["CertificateRequest"] = map[string]any{"Type": "cmc", "Data": base64.StdEncoding.EncodeToString(raw)}
		}},
		{"no request", func(j *Joining) { j.Body["CertificateRequest"] = nil }},
		{"blob: another magic", transport(append([]byte("RSA2"), blob[4:]...))},
		{"blob: cut short", transport(blob[:len(blob)-1])},
		{"blob: something behind it", transport(append(slices.Clone(blob), 0))},
		{"blob: prime lengths", transport(poke(blob, 16, 128))},
		{"blob: bit length is not the modulus's", transport(poke(blob, 4, 2040))},
		{"blob: exponent 3", transport(blobOf(good.Transport.N, 3))},
		{"blob: even exponent", transport(blobOf(good.Transport.N, 65538))},
		{"blob: even modulus", transport(blobOf(new(big.Int).Sub(good.Transport.N, big.NewInt(1)), 65537))},
		{"blob: 1024 bits", transport(blobOf(oddNumber(t, 1024), 65537))},
		{"JWK: exponent 3", func(j *Joining) { j.Body["TransportKey"] = jwk("e", "Aw==") }},
		{"JWK: a symmetric key", func(j *Joining) { j.Body["TransportKey"] = jwk("kty", "oct") }},
		{"JWK: a short modulus", func(j *Joining) {
			j.Body["TransportKey"] = jwk("n", base64.StdEncoding.EncodeToString(oddNumber(t, 1024).Bytes()))
		}},
		{"device key and transport key are one", func(j *Joining) {
			j.Transport = other
			j.Key = other
			j.Body["TransportKey"] = base64.StdEncoding.EncodeToString(rsaBlob(&other.PublicKey))
		}},
	} {
		j := *good
		j.Body = maps.Clone(good.Body)
		c2.edit(&j)
		_, a, err := c.Join(t.Context(), token, &j)
		drsRefused(t, c2.name, a, err, 400)
	}
	for name, body := range map[string]string{"a duplicate member": `{"JoinType":0,"JoinType":4}`, "no JSON": "JoinType=0", "an array": "[]", "nothing": ""} {
		a, err := c.sendJSON(t.Context(), s.base+"/EnrollmentServer/device/?api-version=2.0", token, []byte(body))
		drsRefused(t, name, a, err, 400)
	}
	for _, version := range []string{"", "0.9", "4.0"} {
		odd := *c
		odd.JoinVersion = version
		_, a, err := odd.Join(t.Context(), token, c.joining(t, false))
		drsRefused(t, "api-version "+version, a, err, 400)
	}
	// None of that spent the token; a join does.
	if d, a, err := c.Join(t.Context(), token, good); err != nil || d == nil {
		t.Fatalf("the token does not join: %d %.300s, %v", a.Status, a.Body, err)
	}
	_, a, err := c.Join(t.Context(), token, c.joining(t, false))
	drsRefused(t, "a token for the second time", a, err, 401, 403)
	_, a, err = c.Join(t.Context(), ada.tokens(t).Access, good)
	drsRefused(t, "keys for the second time", a, err, 400, 403, 409)
	j := c.joining(t, false)
	if j.Key, err = newEC(); err != nil {
		t.Fatal(err)
	}
	_, a, err = c.Join(t.Context(), ada.tokens(t).Access, j)
	drsRefused(t, "a P-256 key in api-version 2.0", a, err, 400)
}

// poke replaces a number of a blob's head.
func poke(blob []byte, at int, v uint32) []byte {
	out := slices.Clone(blob)
	binary.LittleEndian.PutUint32(out[at:], v)
	return out
}

func blobOf(n *big.Int, e int64) []byte {
	eb, nb := big.NewInt(e).Bytes(), n.Bytes()
	out := []byte("RSA1")
	for _, v := range []int{n.BitLen(), len(eb), len(nb), 0, 0} {
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	return append(append(out, eb...), nb...)
}

func oddNumber(t *testing.T, bits int) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
	if err != nil {
		t.Fatal(err)
	}
	return n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
}

// Who may not join (§5.1, §15 "fake device join"; decisions 4.1, 4.3, 4.8).
func TestJoinRefusesTokens(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example", "devices.quota", "2")
	off := s.organise("off.example")
	ada := o.somebody("ada")
	c := o.client(DialectC())
	graph := ada.org.app
	graph.Scope = "openid profile offline_access " + graphURL + "/.default"
	elsewhere, err := ada.authorize(t.Context(), graph)
	if err != nil {
		t.Fatal(err)
	}
	tokens := ada.tokens(t)
	for name, token := range map[string]string{
		"no token": "", "not a token": "x", "a refresh token": tokens.Refresh, "an id token": tokens.ID, "a token for another resource": elsewhere.Access,
		"a bit of the signature": bent(tokens.Access), "no signature": unsigned(t, tokens.Access),
	} {
		_, a, err := c.Join(t.Context(), token, c.joining(t, false))
		drsRefused(t, name, a, err, 401)
	}
	bob := off.somebody("bob")
	late := bob.tokens(t)
	off.set("devices.on", "false")
	_, a, err := off.client(DialectC()).Join(t.Context(), late.Access, c.joining(t, false))
	drsRefused(t, "devices are off", a, err, 401, 403)

	// A token that came through a device joins no other one.
	e := ada.enrol(t, o.client(DialectB()))
	_, a, err = c.Join(t.Context(), c.registrationToken(t, e.first, e.device), c.joining(t, false))
	drsRefused(t, "a token of a joined device", a, err, 401, 403)

	if d, a, err := c.Join(t.Context(), tokens.Access, c.joining(t, false)); err != nil || d == nil {
		t.Errorf("the second device of two: %d %.300s, %v", a.Status, a.Body, err)
	}
	_, a, err = c.Join(t.Context(), ada.tokens(t).Access, c.joining(t, false))
	drsRefused(t, "more devices than the quota", a, err, 400, 403)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.base+"/EnrollmentServer/device/"+newGUID()+"?api-version=2.0", strings.NewReader(`{"JoinType":6}`))
	if err != nil {
		t.Fatal(err)
	}
	a, err = c.do(r)
	drsRefused(t, "hybrid join", a, err, 400, 401, 403, 404, 405)
}

// bent is a token with another bit in its signature.
func bent(token string) string {
	i := strings.LastIndexByte(token, '.') + 5
	b := byte('A')
	if token[i] == b {
		b = 'B'
	}
	return token[:i] + string(b) + token[i+1:]
}

// unsigned is a token with alg none.
func unsigned(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
}

// A device without a transport key is not taken, or gets no PRT (§3.2, 130006).
func TestNoTransportKey(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	c := o.client(DialectA())
	j := c.joining(t, false)
	delete(j.Body, "TransportKey")
	tokens := ada.tokens(t)
	d, a, err := c.Join(t.Context(), tokens.Access, j)
	if d == nil {
		drsRefused(t, "no transport key", a, err, 400)
		return
	}
	request, err := c.outer(d, c.nonce(t), byRefresh(tokens.Refresh))
	if err != nil {
		t.Fatal(err)
	}
	a, err = c.askPRT(t.Context(), request)
	want{"invalid_grant", anything, []int{130006}}.check(t, "a PRT without a transport key", a, err)
}
