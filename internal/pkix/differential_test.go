package pkix_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// mutation changes one certificate of a chain.
type mutation struct {
	name string
	of   string // who may have it: any of "root", "sub", "leaf", by their first letters
	do   func(t testing.TB, b *pkixtest.Body)
}

func mutations() []mutation {
	exts := func(make func(t testing.TB) stdpkix.Extension) func(testing.TB, *pkixtest.Body) {
		return func(t testing.TB, b *pkixtest.Body) { b.Set(make(t)) }
	}
	without := func(id asn1.ObjectIdentifier) func(testing.TB, *pkixtest.Body) {
		return func(_ testing.TB, b *pkixtest.Body) { b.Drop(id) }
	}
	spec := func(words string) mutation {
		return mutation{"policies " + words, "rsl", func(t testing.TB, b *pkixtest.Body) { apply(t, b, words) }}
	}
	nc := func(permitted, excluded string) mutation {
		return mutation{"constraints +" + permitted + " -" + excluded, "rs", exts(func(t testing.TB) stdpkix.Extension {
			return pkixtest.Constraints(t, generals(t, permitted), generals(t, excluded))
		})}
	}
	alt := func(names string) mutation {
		return mutation{"names " + names, "sl", exts(func(t testing.TB) stdpkix.Extension { return pkixtest.Alternatives(t, generals(t, names)...) })}
	}
	issuer := func(what string, tag byte, o, n string) mutation {
		return mutation{"issuer " + what, "l", func(t testing.TB, b *pkixtest.Body) {
			b.Issuer = asn1.RawValue{FullBytes: dn(t, one(attr(t, idO, tag, o)), one(attr(t, idCN, tag, n)))}
		}}
	}
	return []mutation{
		{"no authority", "rsl", exts(func(t testing.TB) stdpkix.Extension { return basic(t, false, -1) })},
		{"authority", "l", func(t testing.TB, b *pkixtest.Body) { b.Set(basic(t, true, -1)); b.Set(keyUsage(t, 0x84)) }},
		{"no basic constraints", "rs", without(idBasic)},
		{"basic constraints not critical", "rs", func(_ testing.TB, b *pkixtest.Body) { critical(idBasic, false)(b) }},
		{"path length 0", "rs", exts(func(t testing.TB) stdpkix.Extension { return basic(t, true, 0) })},
		{"path length 1", "rs", exts(func(t testing.TB) stdpkix.Extension { return basic(t, true, 1) })},
		{"over", "rsl", func(_ testing.TB, b *pkixtest.Body) { b.Validity.NotAfter = now.Add(-time.Second) }},
		{"until now", "rsl", func(_ testing.TB, b *pkixtest.Body) { b.Validity.NotAfter = now }},
		{"to come", "rsl", func(_ testing.TB, b *pkixtest.Body) { b.Validity.NotBefore = now.Add(time.Second) }},
		{"no key usage", "rsl", without(idKeyUsage)},
		{"key usage without signing certificates", "rs", exts(func(t testing.TB) stdpkix.Extension { return keyUsage(t, 0x82) })},
		{"key usage with signing certificates", "l", exts(func(t testing.TB) stdpkix.Extension { return keyUsage(t, 0x84) })},
		{"no AKI", "rsl", without(idAKI)}, {"no SKI", "rsl", without(idSKI)},
		{"AKI of another", "sl", exts(func(t testing.TB) stdpkix.Extension {
			return stdpkix.Extension{Id: idAKI, Value: pkixtest.Wrap(t, 0x30, pkixtest.Wrap(t, 0x80, []byte{1, 2, 3}))}
		})},
		{"unknown critical", "rsl", func(_ testing.TB, b *pkixtest.Body) { b.Set(unknown(true)) }},
		{"unknown", "rsl", func(_ testing.TB, b *pkixtest.Body) { b.Set(unknown(false)) }},
		{"for servers", "rsl", exts(func(t testing.TB) stdpkix.Extension { return pkixtest.Usages(t, idServerAuth) })},
		{"serial number 0", "sl", func(_ testing.TB, b *pkixtest.Body) { b.SerialNumber = new(big.Int) }},
		{"serial number too long", "sl", func(_ testing.TB, b *pkixtest.Body) { b.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 170) }},
		{"no subject", "l", func(_ testing.TB, b *pkixtest.Body) { b.Subject = asn1.RawValue{FullBytes: []byte{0x30, 0}} }},
		{"SHA-1", "rsl", func(_ testing.TB, b *pkixtest.Body) {
			b.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
		}},
		{"signature", "sl", nil}, // see chain.make
		issuer("in other letters", printable, "NORDHAFEN", "sub"), issuer("as UTF8String", utf8Str, "Nordhafen", "Sub"),
		issuer("with spaces", printable, " Nordhafen", "Sub  "), issuer("of another", printable, "Nordhafen", "Subs"),
		nc("dns:a.example", ""), nc("", "dns:a.example"), nc("dns:b.example dns:a.example", "dns:x.a.example"),
		nc("mail:a.example", ""), nc("", "mail:.a.example"), nc("mail:ada@a.example", ""), nc("uri:.a.example", ""), nc("", "uri:x.a.example"),
		nc("ip:192.0.2.0.255.255.255.0", ""), nc("", "ip:192.0.2.0.255.255.255.0"), nc("dn:Nordhafen", ""), nc("dn:Elsewhere", ""), nc("", "dn:Nordhafen/Ada"),
		nc("upn:a.example", ""), nc("", "upn:b.example"),
		alt("dns:a.example"), alt("dns:x.a.example dns:b.example"), alt("mail:ada@a.example"), alt("mail:ada@x.a.example"), alt("ip:192.0.2.9"),
		alt("ip:198.51.100.1"), alt("uri:https://x.a.example/"), alt("uri:urn:a"), alt("dn:Nordhafen/Eve"), alt("upn:ada@a.example"), alt("upn:ada@b.example"),
		alt("dns:a_b.a.example"), alt("dns:*.a.example"),
		spec("P1"), spec("P1 P2"), spec("any"), spec("P1 1>2"), spec("P2"), spec("P1 any"), spec("P1 explicit:0"), spec("explicit:0"), spec("explicit:1"),
		spec("P1 nomap:0"), spec("any noany:0"), spec("any noany:1"),
	}
}

// chain is a generated case.
type chain struct {
	did      []string // "sub: path length 0"
	certs    [][]byte // root, authorities, leaf; DER
	explicit bool     // an explicit policy is asked for
}

func (c *chain) has(words ...string) bool {
	return slices.ContainsFunc(c.did, func(d string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(d, w) })
	})
}

// makeChain draws a chain of one or two authorities, the second self-issued at
// times, and changes it in one to three places. base is made once: keys are
// slow to make.
func makeChain(t testing.TB, r *rand.Rand, base *kin) *chain {
	c := &chain{explicit: r.IntN(6) == 0}
	links := base.links[r.IntN(len(base.links))]
	pool := mutations()
	changes := make([][]mutation, len(links))
	for range 1 + r.IntN(3) {
		m := pool[r.IntN(len(pool))]
		at := r.IntN(len(links))
		who := "s"
		if at == 0 {
			who = "r"
		} else if at == len(links)-1 {
			who = "l"
		}
		if strings.Contains(m.of, who) {
			changes[at] = append(changes[at], m)
			c.did = append(c.did, map[string]string{"r": "root: ", "s": "sub: ", "l": "leaf: "}[who]+m.name)
		}
	}
	if r.IntN(3) == 0 { // policies all the way down, so that they matter
		for i := 1; i < len(links); i++ {
			changes[i] = slices.Insert(changes[i], 0, mutation{"", "", func(t testing.TB, b *pkixtest.Body) { apply(t, b, "P1") }})
		}
		c.did = append(c.did, "P1 all along")
	}
	for i, l := range links {
		flip := false
		der := pkixtest.Rewrite(t, l.cert, l.signer, func(b *pkixtest.Body) {
			for _, m := range changes[i] {
				if flip = flip || m.do == nil; m.do != nil {
					m.do(t, b)
				}
			}
		})
		if flip {
			der[len(der)-1] ^= 1
		}
		c.certs = append(c.certs, der)
	}
	return c
}

// kin are chains without a fault, with the keys that signed each certificate.
type kin struct{ links [][]link }

type link struct {
	cert   *x509.Certificate
	signer crypto.Signer
}

func newKin(t testing.TB) *kin {
	f := newFamily(t)
	root, sub := f.root.Key, f.sub.Key
	f.reLeaf(func(b *pkixtest.Body) {
		b.Set(pkixtest.Alternatives(t, generals(t, "dns:x.a.example mail:ada@a.example")...))
	})
	short := []link{{f.root.Cert, root}, {f.sub.Cert, root}, {f.leaf, sub}}
	rolled := f.sub.Sub("Sub", now, func(c *x509.Certificate) { c.AuthorityKeyId = f.sub.Cert.SubjectKeyId })
	key := rolled.Key
	self := []link{{f.root.Cert, root}, {f.sub.Cert, root}, {rolled.Cert, sub}, {rolled.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now), key}}
	upper := f.root.Sub("Upper", now)
	lower := upper.Sub("Sub", now)
	long := []link{{f.root.Cert, root}, {upper.Cert, root}, {lower.Cert, upper.Key},
		{lower.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now), lower.Key}}
	return &kin{[][]link{short, short, self, long}}
}

// verdicts of the three.
type verdicts struct {
	ours, std, openssl error
}

func judgeAll(t *testing.T, openssl, dir string, c *chain) (v verdicts) {
	certs := make([]*x509.Certificate, len(c.certs))
	var unread error // what crypto/x509 does not read it and we refuse
	for i, der := range c.certs {
		var err error
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			unread = err
		}
	}
	last := len(certs) - 1
	if unread != nil {
		v.ours, v.std = unread, unread
	} else {
		_, v.ours = pkix.Verify(certs[last], pkix.Options{Anchors: certs[:1], Intermediates: certs[1:last], Now: now, RequireExplicitPolicy: c.explicit})
		o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		o.Roots.AddCert(certs[0])
		for _, i := range certs[1:last] {
			o.Intermediates.AddCert(i)
		}
		_, v.std = certs[last].Verify(o)
	}
	if openssl != "" {
		v.openssl = opensslVerify(t, openssl, dir, c)
	}
	return v
}

func opensslVerify(t *testing.T, openssl, dir string, c *chain) error {
	last := len(c.certs) - 1
	write := func(name string, ders ...[]byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pemOf(ders...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{"verify", "-x509_strict", "-policy_check", "-policy", "2.5.29.32.0", "-no-CApath", "-no-CAstore", "-attime", strconv.FormatInt(now.Unix(), 10),
		"-CAfile", write("root.pem", c.certs[0]), "-untrusted", write("subs.pem", c.certs[1:last]...)}
	if c.explicit {
		args = append(args, "-explicit_policy")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, openssl, append(args, write("leaf.pem", c.certs[last]))...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s", bytes.ReplaceAll(bytes.TrimSpace(out), []byte("\n"), []byte("; ")))
	}
	return nil
}

// TestDifferential holds our verdict against that of crypto/x509 and of the
// openssl command, on chains that are drawn from a seed. Where one of them
// says otherwise a rule must explain it.
func TestDifferential(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Log("without the openssl command:", err)
	}
	count := 300
	if testing.Short() {
		count = 60
	}
	seed := uint64(5280)
	if s, err := strconv.ParseUint(os.Getenv("SIGNET_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	r := rand.New(rand.NewPCG(seed, 9618))
	base, dir := newKin(t), t.TempDir()
	used, refusals, began := map[string]int{}, 0, time.Now()
	for i := range count {
		if time.Since(began) > 25*time.Second { // on a busy machine fewer have to do
			count = i
			break
		}
		c := makeChain(t, r, base)
		v := judgeAll(t, openssl, dir, c)
		if v.ours != nil {
			refusals++
		}
		if !c.explicit && (v.ours == nil) != (v.std == nil) { // crypto/x509 cannot be asked for one
			explain(t, used, "crypto/x509", c, v.ours, v.std)
		}
		if openssl != "" && (v.ours == nil) != (v.openssl == nil) {
			explain(t, used, "openssl", c, v.ours, v.openssl)
		}
	}
	t.Logf("seed %d: %d chains, %d refused by us", seed, count, refusals)
	for _, rule := range rules {
		t.Logf("%4d  %s: %s", used[rule.who+rule.why], rule.who, rule.why)
	}
	if refusals == 0 || refusals == count {
		t.Error("the chains show nothing")
	}
}

// explain finds the rule for a disagreement.
func explain(t *testing.T, used map[string]int, who string, c *chain, ours, theirs error) {
	t.Helper()
	for _, rule := range rules {
		if rule.who == who && rule.refuses == (ours == nil) && rule.says(c, ours, theirs) {
			used[rule.who+rule.why]++
			return
		}
	}
	t.Errorf("%s disagrees about %q (explicit %v)\nours: %v\ntheirs: %v", who, c.did, c.explicit, ours, theirs)
}

// rule explains why another verifier says otherwise.
type rule struct {
	who     string
	refuses bool // they refuse, we do not
	why     string
	says    func(c *chain, ours, theirs error) bool
}

// stricter is where we refuse and they do not: one sentence of ours says it.
func stricter(who, sentence, why string) rule {
	return rule{who, false, why, func(_ *chain, ours, _ error) bool { return strings.Contains(ours.Error(), sentence) }}
}

// looser is where they refuse and we do not, for what was done to the chain.
func looser(who, sentence, why string, did ...string) rule {
	return rule{who, true, why, func(c *chain, _, theirs error) bool {
		return strings.Contains(theirs.Error(), sentence) && c.has(did...)
	}}
}

// anchorBinds is where we take the anchor's policy constraints as binding.
func anchorBinds(who string) rule {
	return rule{who, false, "the anchor's policy constraints do not bind (RFC 5937 §3.2)", func(c *chain, ours, _ error) bool {
		return strings.Contains(ours.Error(), "path: policy") && slices.ContainsFunc(c.did, func(d string) bool {
			return strings.HasPrefix(d, "root: policies") && (strings.Contains(d, ":"))
		})
	}}
}

var rules = []rule{
	// RFC 5280 §4 says MUST, §6.1 does not check; crypto/x509 follows §6.1.
	stricter("crypto/x509", "serial number is zero or longer", "§4.1.2.2 is not asked"),
	stricter("openssl", "serial number is zero or longer", "§4.1.2.2 is not asked"),
	stricter("crypto/x509", "basic constraints are not critical", "§4.2.1.9 is not asked of anchors"),
	stricter("crypto/x509", "has no subject key identifier", "§4.2.1.2 is not asked"),
	stricter("crypto/x509", "has no authority key identifier", "§4.2.1.1 is not asked"),
	stricter("crypto/x509", "may sign certificates and is no authority", "§4.2.1.3 is not asked of leaves"),
	stricter("crypto/x509", "its subject has no name", "§4.1.2.6 is not asked"),
	stricter("crypto/x509", "is no DNS name", "§4.2.1.6 is not asked"),
	stricter("openssl", "is no DNS name", "§4.2.1.6 is not asked"),
	{"openssl", false, "a wildcard that may stand for an excluded name passes (CVE-2025-61727)", func(c *chain, ours, _ error) bool {
		return strings.Contains(ours.Error(), `"*.a.example" is excluded`) && c.has("dns:*.")
	}},
	stricter("crypto/x509", "its key usage does not allow it", "an authority without key usage passes; §4.2.1.3 wants one"),
	anchorBinds("crypto/x509"), anchorBinds("openssl"),
	stricter("openssl", "signature algorithm ECDSA-SHA1", "SHA-1 passes at its security level"),

	looser("crypto/x509", "unhandled critical extension", "it has no constraints on directory names and other names", "dn:", "upn:"),
	looser("crypto/x509", "unknown authority", "names are compared byte by byte, not as §7.1 says", "issuer in other", "issuer as UTF8", "issuer with spaces"),

	looser("crypto/x509", "too many intermediates", "self-issued authorities count towards a path length; §6.1.4 (l) does not count them", "path length"),
	looser("crypto/x509", "cannot be matched against constraints", "a URI without a host is refused under constraints of any form", "uri:urn"),

	looser("openssl", "unsupported name constraint type", "it has no constraints on principal names", "upn:"),
	looser("openssl", "unable to get local issuer", "an authority key identifier that does not match excludes an issuer; §4.2.1.1 has it help", "AKI of another"),
	looser("openssl", "certificate has expired", "the last second of notAfter is not included; §4.1.2.5 includes it", "until now"),
	looser("openssl", "Basic Constraints of CA cert not marked critical", "PKITS 4.6.4 wants it accepted", "basic constraints not critical"),
}

func pemOf(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
