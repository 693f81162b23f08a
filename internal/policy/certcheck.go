package policy

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/signetid/signet/internal/idp"
)

// Bounds of the rules on certificates.
const (
	maxBindings  = 21 // every field with every property
	maxPriority  = 1000
	maxLevels    = 200
	maxUnchecked = 250                // as many as a tenant has authorities
	maxStale     = 7 * 24 * time.Hour // a list older than that says nothing any more
	maxDN        = 1024
	// MaxScopes is how many CertificateScopes a tenant may have
	// (entra-behaviours.md §5.7).
	MaxScopes = 30
)

var (
	keyHex = regexp.MustCompile(`^([0-9a-f]{2})+$`)
	anyHex = regexp.MustCompile(`^[0-9A-Fa-f]+$`)
	dotted = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*))+$`)
)

// isKeyID says whether s is a subject key identifier as rules name it: SHA-1
// mostly, and whatever else a CA gives itself.
func isKeyID(s string) bool { return len(s) <= 128 && keyHex.MatchString(s) }

// isOID says whether s is an object identifier, dotted (X.660): no arc has a
// leading zero.
func isOID(s string) bool { return len(s) <= 128 && dotted.MatchString(s) }

// properties says with what a field may be compared (entra-behaviours.md §5.2).
func (f CertificateField) properties() []UserProperty {
	switch f {
	case FieldPrincipalName, FieldRFC822Name:
		return []UserProperty{ByUserName, ByOnPremisesUserName, ByCertificateUserIDs}
	}
	return []UserProperty{ByCertificateUserIDs}
}

// certificate checks what settings have no word for, and what two rules on
// certificates contradict.
func (c *checker) certificate() {
	r := &c.p.Certificate
	c.bindings(r)
	c.levels(r)
	c.certificateScopes(r)
	c.keys("certificate.unchecked", r.Unchecked, maxUnchecked)
	if r.Hints && r.Host == "" {
		c.between("certificate.hints", "certificate.host", "browsers are told of authorities only at a host name of the tenant's own, and there is none")
	}
}

func (c *checker) bindings(r *CertificateRules) {
	const at = "certificate.bindings"
	if len(r.Bindings) == 0 {
		c.at(at, "bad_value", "without a binding no certificate is anybody's")
	}
	if len(r.Bindings) > maxBindings {
		c.at(at, "too_many", "at most %d bindings", maxBindings)
	}
	priorities, pairs := make(map[int]string), make(map[[2]string]string)
	high := len(r.Bindings) == 0
	for i, b := range r.Bindings {
		here := at + "[" + strconv.Itoa(i) + "]"
		high = high || b.Affinity == HighAffinity
		oneOf(c, here+".field", b.Field)
		oneOf(c, here+".property", b.Property)
		oneOf(c, here+".affinity", b.Affinity)
		if b.Priority < 1 || b.Priority > maxPriority {
			c.at(here+".priority", "bad_value", "a priority is 1 to %d", maxPriority)
		} else if first, taken := priorities[b.Priority]; taken {
			c.between(first+".priority", here+".priority", "two bindings have the priority %d", b.Priority)
		} else {
			priorities[b.Priority] = here
		}
		pair := [2]string{string(b.Field), string(b.Property)}
		if first, taken := pairs[pair]; taken {
			c.between(first, here, "both compare %s with %s", clip(pair[0]), clip(pair[1]))
		} else {
			pairs[pair] = here
		}
		if b.Affinity == HighAffinity && b.Field.known() && b.Field.Affinity() == LowAffinity {
			c.between(here+".affinity", here+".field", "%s is a name, which can be given to somebody else: its affinity is low", b.Field)
		}
		if b.Field.known() && b.Property.known() && !slices.Contains(b.Field.properties(), b.Property) {
			c.between(here+".property", here+".field", "%s is only compared with %s", b.Field, ByCertificateUserIDs)
		}
	}
	if !high && r.Affinity == HighAffinity {
		c.between("certificate.affinity", at, "high affinity is asked for, and no binding has it")
	}
	for i, l := range r.Levels {
		if !high && l.Affinity == HighAffinity && r.Affinity != HighAffinity {
			c.between("certificate.levels["+strconv.Itoa(i)+"].affinity", at, "high affinity is asked for, and no binding has it")
		}
	}
}

func (f CertificateField) known() bool {
	return slices.Contains([]CertificateField{FieldPrincipalName, FieldRFC822Name, FieldSubject, FieldIssuerAndSubject,
		FieldSubjectKeyIdentifier, FieldSHA1PublicKey, FieldIssuerAndSerialNumber}, f)
}

func (p UserProperty) known() bool {
	return p == ByUserName || p == ByOnPremisesUserName || p == ByCertificateUserIDs
}

func (c *checker) levels(r *CertificateRules) {
	const at = "certificate.levels"
	if len(r.Levels) > maxLevels {
		c.at(at, "too_many", "at most %d levels", maxLevels)
	}
	seen := make(map[[2]string]string)
	for i, l := range r.Levels {
		here := at + "[" + strconv.Itoa(i) + "]"
		if l.Issuer == "" && l.Policy == "" {
			c.at(here, "bad_value", "a level names an issuer, a policy or both; certificate.mode is for all others")
		}
		if l.Issuer != "" && !isIssuer(l.Issuer) {
			c.at(here+".issuer", "bad_value", "%q is neither a subject key identifier in lower-case hex nor a subject like CN=Issuing CA,O=Contoso", clip(l.Issuer))
		}
		if l.Policy != "" && !isOID(l.Policy) {
			c.at(here+".policy", "bad_value", "%q is no object identifier like 1.3.6.1.4.1.311.21.8.1", clip(l.Policy))
		}
		if l.Mode != idp.ModeCertificateSingle && l.Mode != idp.ModeCertificateMulti {
			c.at(here+".mode", "bad_value", "%q is not one of %s, %s", clip(string(l.Mode)), idp.ModeCertificateSingle, idp.ModeCertificateMulti)
		}
		oneOf(c, here+".affinity", l.Affinity)
		key := [2]string{strings.ToLower(l.Issuer), l.Policy}
		if first, taken := seen[key]; taken {
			c.between(first, here, "two levels are for the same certificates")
		} else {
			seen[key] = here
		}
	}
}

// isIssuer says whether a level can name an issuer so: by key, or by name.
func isIssuer(s string) bool {
	if anyHex.MatchString(s) {
		return isKeyID(s)
	}
	return len(s) <= maxDN && strings.Contains(s, "=") && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}

func (c *checker) certificateScopes(r *CertificateRules) {
	const at = "certificate.scopes"
	if len(r.Scopes) > MaxScopes {
		c.at(at, "too_many", "at most %d scopes", MaxScopes)
	}
	type key struct {
		authority string
		target    Target
	}
	seen := make(map[key]string)
	for i, s := range r.Scopes {
		here := at + "[" + strconv.Itoa(i) + "]"
		if !isKeyID(s.Authority) {
			c.at(here+".authority", "bad_value", "%q is no subject key identifier in lower-case hex", clip(s.Authority))
		}
		if !c.target(here, s.Target) {
			continue
		}
		if first, taken := seen[key{s.Authority, s.Target}]; taken {
			c.between(first, here, "the same target stands there twice for one authority")
		} else {
			seen[key{s.Authority, s.Target}] = here
		}
	}
}

// keys checks a list of subject key identifiers.
func (c *checker) keys(at string, all []string, most int) {
	if len(all) > most {
		c.at(at, "too_many", "at most %d of them", most)
	}
	c.twice(at, all)
	for i, k := range all {
		if !isKeyID(k) {
			c.at(at+"["+strconv.Itoa(i)+"]", "bad_value", "%q is no subject key identifier in lower-case hex", clip(k))
		}
	}
}

// normalize writes key identifiers in the one way in which they are compared.
func (r *CertificateRules) normalize() {
	for i := range r.Levels {
		if l := &r.Levels[i]; anyHex.MatchString(l.Issuer) {
			l.Issuer = strings.ToLower(l.Issuer)
		}
	}
	for i := range r.Scopes {
		r.Scopes[i].Authority = strings.ToLower(r.Scopes[i].Authority)
	}
	for i := range r.Unchecked {
		r.Unchecked[i] = strings.ToLower(r.Unchecked[i])
	}
}
