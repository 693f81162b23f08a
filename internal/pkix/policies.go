package pkix

import (
	"crypto/x509"
	"errors"
	"slices"
)

const anyPolicy = "2.5.29.32.0"

// policyNode is a node of the valid policy graph at one depth (RFC 9618 §5.1).
// Parents are not kept. What the graph is asked for upward is only whether a
// policy goes back to one of the initial policy set, and that is known when the
// node is made.
type policyNode struct {
	expected []string
	initial  bool // goes back to a policy that the caller accepts
}

// policies is the state of policy processing: RFC 5280 §6.1.2 (a), (d) to (f)
// with the graph of RFC 9618. Of the graph only the lowest depth is kept; nil
// is the NULL graph.
type policies struct {
	nodes                      map[string]*policyNode
	explicit, mapping, inhibit int
	wanted                     []string // nil: any
}

// newPolicies is §6.1.2, and what the anchor's own constraints take off it
// (RFC 5937 §3.2): they bind as if the anchor were the first certificate. Its
// certificate policies do not.
func newPolicies(o *Options, n int, anchor *x509.Certificate) *policies {
	p := &policies{explicit: n + 1, mapping: n + 1, inhibit: n + 1}
	if len(o.InitialPolicies) > 0 && !slices.Contains(o.InitialPolicies, anyPolicy) {
		p.wanted = o.InitialPolicies
	}
	if o.RequireExplicitPolicy {
		p.explicit = 0
	}
	if o.InhibitPolicyMapping {
		p.mapping = 0
	}
	if o.InhibitAnyPolicy {
		p.inhibit = 0
	}
	p.nodes = map[string]*policyNode{anyPolicy: {expected: []string{anyPolicy}, initial: true}}
	p.constrain(anchor)
	return p
}

func (p *policies) accepts(policy string) bool {
	return p.wanted == nil || slices.Contains(p.wanted, policy)
}

// process is §6.1.3 (d) to (f) for one certificate of the path; last is the
// leaf.
func (p *policies) process(cert *x509.Certificate, selfIssued, last bool) error {
	if len(cert.Policies) == 0 {
		p.nodes = nil // (e)
	} else if p.nodes != nil {
		p.step(cert, p.inhibit > 0 || !last && selfIssued)
	}
	if p.explicit == 0 && len(p.nodes) == 0 { // (f)
		return errors.New("no policy holds down to here, and one is required")
	}
	return nil
}

// step makes the nodes of the next depth, (d). anyOK says whether an anyPolicy
// of the certificate counts.
func (p *policies) step(cert *x509.Certificate, anyOK bool) {
	next := make(map[string]*policyNode, len(cert.Policies))
	// Every edge: an expected policy and whether one of its parents goes back to
	// the initial set.
	expected := make(map[string]bool)
	for policy, node := range p.nodes {
		if policy == anyPolicy {
			continue
		}
		for _, e := range node.expected {
			expected[e] = expected[e] || node.initial
		}
	}
	add := func(policy string, initial bool) {
		next[policy] = &policyNode{expected: []string{policy}, initial: initial}
	}
	_, open := p.nodes[anyPolicy]
	hasAny := false
	for _, oid := range cert.Policies {
		policy := oid.String()
		if policy == anyPolicy {
			hasAny = true
			continue
		}
		if initial, ok := expected[policy]; ok {
			add(policy, initial) // (1)(i)
		} else if open {
			add(policy, p.accepts(policy)) // (1)(ii): below anyPolicy a chain of policies begins
		}
	}
	if hasAny && anyOK { // (2)
		for policy, initial := range expected {
			if next[policy] == nil {
				add(policy, initial)
			}
		}
		if open {
			add(anyPolicy, true)
		}
	}
	p.nodes = next
}

// descend is §6.1.4 (a), (b) and (h) to (j): what an issuer within the path
// does to those below it.
func (p *policies) descend(cert *x509.Certificate, selfIssued bool) error {
	if err := p.mapPolicies(cert); err != nil {
		return err
	}
	if !selfIssued {
		p.explicit, p.mapping, p.inhibit = max(p.explicit-1, 0), max(p.mapping-1, 0), max(p.inhibit-1, 0)
	}
	p.constrain(cert)
	return nil
}

// mapPolicies is §6.1.4 (a) and (b).
func (p *policies) mapPolicies(cert *x509.Certificate) error {
	to := make(map[string][]string)
	for _, m := range cert.PolicyMappings {
		from, into := m.IssuerDomainPolicy.String(), m.SubjectDomainPolicy.String()
		if from == anyPolicy || into == anyPolicy {
			return errors.New("a policy mapping names anyPolicy")
		}
		to[from] = append(to[from], into)
	}
	if p.nodes == nil {
		return nil
	}
	_, open := p.nodes[anyPolicy]
	for from, into := range to {
		node := p.nodes[from]
		switch {
		case p.mapping == 0:
			delete(p.nodes, from)
		case node != nil:
			node.expected = into
		case open:
			p.nodes[from] = &policyNode{expected: into, initial: p.accepts(from)}
		}
	}
	return nil
}

// constrain is §6.1.4 (i) and (j).
func (p *policies) constrain(cert *x509.Certificate) {
	p.explicit = least(p.explicit, cert.RequireExplicitPolicy, cert.RequireExplicitPolicyZero)
	p.mapping = least(p.mapping, cert.InhibitPolicyMapping, cert.InhibitPolicyMappingZero)
	p.inhibit = least(p.inhibit, cert.InhibitAnyPolicy, cert.InhibitAnyPolicyZero)
}

// least is the smaller of a counter and a certificate's; crypto/x509 tells a
// zero from none by a second field.
func least(counter, value int, zero bool) int {
	if zero || value > 0 {
		return min(counter, value)
	}
	return counter
}

// finish is §6.1.5 (a), (b) and (g): the policies that the leaf itself names
// and that hold. A leaf that names only anyPolicy has none but that one, though
// its issuer may be bound to others: a claim has to be made.
func (p *policies) finish(leaf *x509.Certificate) ([]string, error) {
	p.explicit = max(p.explicit-1, 0)
	if leaf.RequireExplicitPolicyZero {
		p.explicit = 0
	}
	held := false
	for _, node := range p.nodes {
		held = held || node.initial
	}
	if p.explicit == 0 && !held {
		return nil, errors.New("none of the accepted policies holds down to the leaf, and one is required")
	}
	var named []string
	for _, oid := range leaf.Policies {
		if node := p.nodes[oid.String()]; node != nil && node.initial {
			named = append(named, oid.String())
		}
	}
	slices.Sort(named)
	return named, nil
}
