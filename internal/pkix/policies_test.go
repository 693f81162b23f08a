package pkix_test

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// apply writes policies into a certificate as a test spells them: "P1", "any",
// "1>2" (a mapping), "explicit:0", "nomap:0", "noany:0".
func apply(t testing.TB, b *pkixtest.Body, spec string) {
	var ids, maps []asn1.ObjectIdentifier
	explicit, nomap := -1, -1
	for word := range strings.FieldsSeq(spec) {
		name, value, _ := strings.Cut(word, ":")
		n, _ := strconv.Atoi(value)
		from, to, mapping := strings.Cut(word, ">")
		switch {
		case word == "any":
			ids = append(ids, idAny)
		case word == "self":
		case mapping:
			a, _ := strconv.Atoi(from)
			b, _ := strconv.Atoi(to)
			maps = append(maps, policy(a), policy(b))
		case name == "explicit":
			explicit = n
		case name == "nomap":
			nomap = n
		case name == "noany":
			b.Set(pkixtest.InhibitAny(t, n))
		default:
			p, err := strconv.Atoi(strings.TrimPrefix(word, "P"))
			if err != nil {
				t.Fatalf("word %q", word)
			}
			ids = append(ids, policy(p))
		}
	}
	if len(ids) > 0 {
		b.Set(pkixtest.Policies(t, ids...))
	}
	if len(maps) > 0 {
		b.Set(pkixtest.Mappings(t, maps...))
	}
	if explicit >= 0 || nomap >= 0 {
		b.Set(pkixtest.PolicyConstraints(t, explicit, nomap))
	}
}

// policyChain makes a path of these certificates, from below the anchor to the
// leaf. "self" says that one is self-issued.
func policyChain(t testing.TB, anchor string, specs []string) (*x509.Certificate, pkix.Options) {
	root := pkixtest.Root(t, "Root", now)
	top := root.Key
	root.Cert = pkixtest.Forge(t, root.Cert, top, func(b *pkixtest.Body) { apply(t, b, anchor) })
	o := pkix.Options{Anchors: []*x509.Certificate{root.Cert}, Now: now}
	above, name := root, "Root"
	for i, spec := range specs[:len(specs)-1] {
		if !strings.Contains(spec, "self") {
			name = fmt.Sprintf("Sub %d", i)
		}
		key := above.Key
		sub := above.Sub(name, now, func(c *x509.Certificate) { c.AuthorityKeyId = above.Cert.SubjectKeyId })
		sub.Cert = pkixtest.Forge(t, sub.Cert, key, func(b *pkixtest.Body) { apply(t, b, spec) })
		o.Intermediates = append(o.Intermediates, sub.Cert)
		above = sub
	}
	spec := specs[len(specs)-1]
	leaf := above.Leaf(pkixtest.ECKey(t).Public(), "Ada", "", now)
	if strings.Contains(spec, "self") {
		leaf = above.Sub(name, now, func(c *x509.Certificate) { c.AuthorityKeyId = above.Cert.SubjectKeyId }).Cert
	}
	return pkixtest.Forge(t, leaf, above.Key, func(b *pkixtest.Body) { apply(t, b, spec) }), o
}

// Each row is a path from below the anchor to the leaf, what the caller asks
// for, and the policies that hold ("!": none does, and one must).
func TestPolicies(t *testing.T) {
	cases := []struct{ path, ask, want string }{
		// PKITS 4.8: certificate policies.
		{"P1 | P1", "explicit", "1"},
		{"P1 | P1", "explicit want1", "1"},
		{"P1 | P1", "explicit want2", "!"},
		{"P1 | P1", "want2", ""},
		{"P1 | P1", "explicit want1 want2", "1"},
		{" | ", "", ""},
		{" | ", "explicit", "!"},
		{"P1 | ", "", ""},
		{"P1 | ", "explicit", "!"},
		{"P1 | P2", "", ""},
		{"P1 | P2", "explicit", "!"},
		{"P1 explicit:0 | P2", "", "!"},
		{"P1 P2 explicit:0 | P1 P3 | P3", "", "!"},
		{"P1 P2 explicit:0 | P1 | P1", "", "1"},
		{"P1 P2 explicit:0 | P1 | P1", "want2", "!"},
		{" | P1", "", ""},
		{"any | P1", "", "1"},
		{"any | any", "explicit", "any"},
		{"any | any", "explicit want1", "any"},
		{"P1 | any", "explicit", ""}, // the leaf claims nothing in particular
		{"P1 | any", "explicit want1", ""},
		{"P1 | any", "explicit want2", "!"},
		{"any | P1 P2", "explicit want2", "2"},
		{"P1 P2 P3 explicit:0 | P1 P2 P3", "want2", "2"},
		{"any | P1 | P1", "want1", "1"},
		{"any | P1 | P1", "explicit want2", "!"},
		{"P1 | any | P1", "explicit", "1"},
		{"P1 | any | P2", "explicit", "!"},

		// PKITS 4.9: require explicit policy.
		{"explicit:4 | | ", "", ""},
		{"explicit:3 | | ", "", ""},
		{"explicit:2 | | ", "", "!"},
		{"explicit:1 | | ", "", "!"},
		{"P1 explicit:2 | P1 | P1", "", "1"},
		{"explicit:2 | self | ", "", ""}, // the self-issued one is not counted, the leaf always is: §6.1.5 (a)
		{"explicit:2 |  | ", "", "!"},
		{"explicit:1 | self | ", "", "!"},
		{"explicit:2 | self | | ", "", "!"},
		{"explicit:7 | explicit:2 | ", "", ""},
		{"explicit:7 | explicit:1 | ", "", "!"},
		{"explicit:7 | explicit:0 | ", "", "!"},
		{"explicit:0 | explicit:7 | ", "", "!"},
		{" | explicit:0", "", "!"}, // §6.1.5 (b)
		{" | explicit:1", "", ""},

		// PKITS 4.10: policy mapping.
		{"P1 1>2 | P2", "", "2"},
		{"P1 1>2 | P2", "want1", "2"},
		{"P1 1>2 | P2", "want2 explicit", "!"},
		{"P1 1>2 | P1", "", ""},
		{"P1 1>2 | P1", "explicit", "!"},
		{"P1 1>2 | P2", "nomap explicit", "!"},
		{"P1 P2 1>3 2>3 | P3", "want2", "3"},
		{"P1 P2 P4 P5 1>3 2>3 4>3 5>3 | P3", "explicit want1", "3"},
		{"P1 P2 P4 P5 1>3 2>3 4>3 5>3 | P3", "explicit want5", "3"},
		{"P1 P2 P4 P5 1>3 2>3 4>3 5>3 | P3", "explicit want3", "!"},
		{"P1 1>2 1>3 | P2 P3", "explicit want1", "2 3"},
		{"P1 1>2 | P2 2>3 | P3", "explicit want1", "3"},
		{"P1 1>2 | P2 2>3 | P2", "explicit", "!"},
		{"P1 1>2 2>1 | P2", "explicit want1", "2"},
		{"P1 P2 1>2 2>1 | P1", "explicit want2", "1"},
		{"P1 P2 1>2 2>1 | P1", "explicit want1", "!"},
		{"any 1>2 | P2", "explicit want1", "2"},
		{"any 1>2 | P2", "explicit want2", "!"}, // P2 stands for P1 now, and anyPolicy only for what nothing stands for
		{"any 1>2 | P1", "explicit want1", "1"}, // §6.1.3 (d)(1)(ii): nothing expects P1, anyPolicy does
		{"P1 any 1>2 | P2", "explicit want1", "2"},
		{"P1 any 1>2 | P3", "explicit", "3"},
		{"P2 1>3 | P3", "explicit", "!"}, // what is mapped does not hold
		{"P1 1>2 | any", "explicit want1", ""},

		// PKITS 4.11: inhibit policy mapping.
		{"P1 P2 nomap:0 | P1 1>3 | P3", "explicit", "!"},
		{"P1 P2 nomap:1 | P1 1>3 | P3", "explicit", "3"},
		{"P1 nomap:1 | P1 1>3 | P3 3>4 | P4", "explicit", "!"},
		{"P1 nomap:1 | P1 1>3 | P3 | P3", "explicit", "3"},
		{"P1 nomap:1 | P1 self | P1 1>2 | P2", "explicit", "2"}, // a self-issued one does not count
		{"P1 nomap:1 | P1 self 1>2 | P2 | P2", "explicit", "2"},
		{"P1 nomap:0 | P1 self 1>2 | P2 | P2", "explicit", "!"},
		{"P1 P2 nomap:0 | P1 P2 1>3 | P2", "explicit", "2"}, // what is not mapped remains

		// PKITS 4.12: inhibit any policy.
		{"any noany:0 | any", "explicit", "!"},
		{"any noany:0 | P1", "explicit", "1"},
		{"any noany:1 | any | P1", "explicit", "1"},
		{"any noany:1 | any | any", "explicit", "!"},
		{"any noany:5 | any noany:1 | any | any", "explicit", "!"},
		{"any noany:1 | any self | any | P1", "explicit", "1"},
		{"any noany:0 | any self | P1", "explicit", "1"},
		{"any noany:0 | any | P1", "explicit", "!"},
		{"any noany:0 | any", "", ""},
		{"any noany:0 | any self", "explicit", "!"}, // the leaf is no exception: §6.1.3 (d)(2)
		{"any | any", "noany explicit", "!"},
		{"any | P1", "noany explicit", "!"},
		{"any self | P1", "noany explicit", "1"},
		{"P1 | any", "noany explicit", "!"},
		{"P1 any | P2 any", "noany explicit", "!"},
	}
	for _, c := range cases {
		leaf, o := policyChain(t, "", strings.Split(c.path, "|"))
		ask(t, &o, c.ask)
		path, err := pkix.Verify(leaf, o)
		got := strings.ReplaceAll(strings.ReplaceAll(strings.Join(path.Policies, " "), "2.999.", ""), "2.5.29.32.0", "any")
		if err != nil {
			if got = "!"; !strings.Contains(err.Error(), string(pkix.PolicyMissing)) {
				t.Errorf("%s (%s): %v", c.path, c.ask, err)
			}
		}
		if got != c.want {
			t.Errorf("%s (%s): got %q, want %q (%v)", c.path, c.ask, got, c.want, err)
		}
	}
}

func ask(t testing.TB, o *pkix.Options, words string) {
	for word := range strings.FieldsSeq(words) {
		switch word {
		case "explicit":
			o.RequireExplicitPolicy = true
		case "nomap":
			o.InhibitPolicyMapping = true
		case "noany":
			o.InhibitAnyPolicy = true
		default:
			o.InitialPolicies = append(o.InitialPolicies, "2.999."+strings.TrimPrefix(word, "want"))
		}
	}
}

// TestAnchorPolicies: the anchor's constraints bind, its policies do not.
func TestAnchorPolicies(t *testing.T) {
	for _, c := range []struct {
		anchor, path string
		ok           bool
	}{
		{"P9", "P1|P1", true},
		{"explicit:0", "|", false},
		{"explicit:1", "|", false},
		{"explicit:2", "|", false},
		{"explicit:3", "|", true},
		{"explicit:0 nomap:0", "P1 1>2|P2", false},
		{"explicit:0 nomap:1", "P1 1>2|P2", true},
		{"explicit:0 nomap:1", "P1|P1 1>2|P2", false},
		{"explicit:0 noany:0", "any|P1", false},
		{"explicit:0", "any|P1", true},
	} {
		leaf, o := policyChain(t, c.anchor, strings.Split(c.path, "|"))
		if _, err := pkix.Verify(leaf, o); (err == nil) != c.ok {
			t.Errorf("%q over %q: %v", c.anchor, c.path, err)
		}
	}
}

// TestSec_T27_Policies: what a leaf asserts counts only where every authority
// above it may say so.
func TestSec_T27_Policies(t *testing.T) {
	for path, want := range map[string]int{
		"P1|P1": 1, "any|P1": 1,
		"P2|P1": 0, "|P1": 0, "P2|P1 P2": 1, "any|P2|P1": 0, "|any|P1": 0, "P1 1>2|P1": 0, "any noany:0|any|P1": 0,
	} {
		leaf, o := policyChain(t, "", strings.Split(path, "|"))
		got, err := pkix.Verify(leaf, o)
		if err != nil || len(got.Policies) != want {
			t.Errorf("%s: %v, %v", path, got.Policies, err)
		}
	}
}

// TestSec_CBA11_Policies is the path that makes the tree of RFC 5280 grow
// exponentially (RFC 9618 §1): each authority maps two policies to both.
func TestSec_CBA11_Policies(t *testing.T) {
	spec := "P1 P2 1>1 1>2 2>1 2>2"
	specs := []string{spec, spec, spec, spec, spec, spec, spec, spec, "P1 P2"}
	leaf, o := policyChain(t, "", specs)
	o.RequireExplicitPolicy = true
	quickly(t, func() {
		if path, err := pkix.Verify(leaf, o); err != nil || len(path.Policies) != 2 {
			t.Errorf("%v, %v", path.Policies, err)
		}
	})
}
