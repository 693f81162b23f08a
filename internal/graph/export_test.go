package graph

import (
	"encoding/json"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

func all(idp.MethodID) bool { return true }

// ShowPolicy is what GET of the whole policy says.
func ShowPolicy(p policy.Policy) ([]byte, error) { return json.Marshal(policyEntity(p, all)) }

// ShowConfiguration is what GET of one method says.
func ShowConfiguration(id string, p policy.Policy) ([]byte, error) {
	k, _ := configurationOf(id)
	return json.Marshal(configurationEntity(k, p, all))
}

// PatchPolicy and PatchConfiguration are what PATCH does to a policy.
func PatchPolicy(raw []byte, p *policy.Policy) error {
	return patchPolicy(raw, p, all, func() string { return "99999999-9999-4999-8999-999999999999" })
}

func PatchConfiguration(id string, raw []byte, p *policy.Policy) error {
	k, _ := configurationOf(id)
	return patchConfiguration(k, raw, p, all, func() string { return "99999999-9999-4999-8999-999999999999" })
}

// HasConfiguration says whether there is a method with an id of Graph's.
func HasConfiguration(id string) bool {
	_, ok := configurationOf(id)
	return ok
}

// ShowStrength, NewStrength and ChangedStrength are GET, POST and PATCH of a
// strength.
func ShowStrength(s policy.Strength) ([]byte, error) { return json.Marshal(strengthEntity(s)) }

func NewStrength(raw []byte) (policy.Strength, error) {
	return newStrength(raw, func() string { return "99999999-9999-4999-8999-999999999999" })
}

func ChangedStrength(raw []byte, s policy.Strength) (policy.Strength, error) {
	return changedStrength(raw, s)
}

// PlainPath rewrites an address as a request's is.
func PlainPath(r *http.Request) *http.Request { return plainPath(r) }

// Expansions reads a $expand and gives the names and what is selected of each.
func Expansions(value string, there ...string) (map[string][]string, error) {
	all, err := expansions(value, there)
	out := map[string][]string{}
	for _, e := range all {
		out[e.name] = e.selected
	}
	return out, err
}

// ShowJoinPolicy and PatchJoinPolicy are GET, and PUT or PATCH, of who may join.
func ShowJoinPolicy(p policy.Policy) ([]byte, error) { return json.Marshal(joinPolicyEntity(p)) }

func PatchJoinPolicy(raw []byte, p *policy.Policy, whole bool) error {
	return patchJoinPolicy(raw, p, whole)
}
