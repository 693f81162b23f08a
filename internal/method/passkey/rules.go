package passkey

import (
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// zeroAAGUID is what a key says that does not tell its model.
const zeroAAGUID = "00000000-0000-0000-0000-000000000000"

// rules are a tenant's rules on passkeys, as this room judges them.
type rules struct {
	limit, warnAt int
	attestation   string   // none, preferred, required
	mode          string   // off, allow, deny
	aaguids       []string // lower case
	syncedAllowed bool
	counterBlocks bool
}

// mustAttest says whether only keys of a proven model may register. An
// allow-list implies it: an unproven model is a claim of the client (trap 4).
func (r rules) mustAttest() bool { return r.attestation == "required" || r.mode == "allow" }

// asksAttestation says whether browsers are asked for a statement at all: it
// costs the person one more prompt.
func (r rules) asksAttestation() bool {
	return r.mustAttest() || r.attestation == "preferred" || r.mode == "deny"
}

// admit judges a new key (§7.1 steps 18 and 24): what its statement must prove,
// then what refuse says of any key. The check is here, after the ceremony, and
// never only in the options that a browser may ignore (trap 1).
func (r rules) admit(st statement, aaguid string, synced bool) *idp.Error {
	if r.mustAttest() {
		switch {
		case st.format == "none":
			return denied("attestation_none", "the key did not say what it is")
		case st.self:
			return denied("attestation_self", "the key vouches for itself only")
		case !st.anchored:
			return denied("attestation_unanchored", "format %s, and no chain to an anchor", st.format)
		}
	}
	return r.refuse(aaguid, st.anchored, synced)
}

// refuse judges any key, at registration and at every sign-in (WAN07, WAN09).
// That a model must be attested is asked at registration only.
func (r rules) refuse(aaguid string, attested, synced bool) *idp.Error {
	if synced && !r.syncedAllowed {
		return denied("synced_not_allowed", "the key may be copied (BE=1)")
	}
	listed := slices.Contains(r.aaguids, strings.ToLower(aaguid))
	switch r.mode {
	case "allow":
		// The library's own list lets the zero AAGUID through (trap 3).
		if aaguid == zeroAAGUID {
			return denied("aaguid_zero", "the key does not tell its model")
		}
		if !attested || !listed {
			return denied("model_not_allowed", "model %s, attested %t", aaguid, attested)
		}
	case "deny":
		if listed {
			return denied("model_not_allowed", "model %s", aaguid)
		}
	}
	return nil
}

func denied(reason, format string, args ...any) *idp.Error {
	return idp.Deniedf(reason, format, args...).Say(saidModel)
}

// What may be shown; design.md §5, texts 8 and 10. The tenant's name and the
// list of models are the page's to add.
const (
	saidModel = "This key cannot be used here. Your organisation allows only certain models, and this is another one. The help desk can give you one that fits."
	saidLimit = "You hold as many passkeys as your organisation allows. Remove one you no longer use, then add this one."
	saidTaken = "This key is already registered. Nothing changed."
)
