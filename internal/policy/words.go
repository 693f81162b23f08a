package policy

import (
	"reflect"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// words lists what the members of each enumeration may be, for Check and Parse
// alike.
var words = map[reflect.Type][]string{
	reflect.TypeFor[Attestation](): {"none", "preferred", "required", "always"},
	reflect.TypeFor[Synced]():      {"allow", "deny", "only"},
	reflect.TypeFor[ListMode]():    {"off", "allow", "deny"},
	reflect.TypeFor[Counter]():     {"warn", "block"},
	reflect.TypeFor[Enforcement](): {"off", "audit", "enforce"},
	reflect.TypeFor[Withdrawn]():   {"allow", "registration", "refuse"},
	reflect.TypeFor[PhoneFrom]():   {string(FromAnywhere), string(FromNetwork), string(FromKnown)},
	reflect.TypeFor[MacMethod]():   {string(MacKey), string(MacCard)},
	reflect.TypeFor[Affinity]():    {string(LowAffinity), string(HighAffinity)},
	reflect.TypeFor[CertificateField](): {
		string(FieldPrincipalName), string(FieldRFC822Name), string(FieldSubject), string(FieldIssuerAndSubject),
		string(FieldSubjectKeyIdentifier), string(FieldSHA1PublicKey), string(FieldIssuerAndSerialNumber),
	},
	reflect.TypeFor[UserProperty](): {string(ByUserName), string(ByOnPremisesUserName), string(ByCertificateUserIDs)},
	reflect.TypeFor[idp.Property](): {
		string(idp.PhishingResistant), string(idp.UserVerified), string(idp.HardwareBound), string(idp.Possession), string(idp.MultiFactor),
	},
	reflect.TypeFor[idp.Mode](): modeWords(),
}

func modeWords() []string {
	out := make([]string, len(Modes))
	for i, m := range Modes {
		out[i] = string(m)
	}
	return out
}

// oneOf complains about a word that its enumeration has not.
func oneOf[T ~string](c *checker, at string, value T) {
	if all := words[reflect.TypeFor[T]()]; !slices.Contains(all, string(value)) {
		c.at(at, "bad_value", "%q is not one of %s", clip(string(value)), strings.Join(all, ", "))
	}
}
