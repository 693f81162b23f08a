package passkey

import "github.com/signetid/signet/internal/policy"

// rules are what this room obeys of a tenant's rules on passkeys. Whether a
// key is good for a person is not its question: it states facts and the
// corridor asks policy, at registration and at each sign-in.
type rules struct {
	limit, warnAt int
	counterBlocks bool
}

// statementOf says what a judged statement proves of the model, in the words
// of idp.Facts.Statement; nothing when it is anchored.
func statementOf(st statement) string {
	switch {
	case st.anchored:
		return ""
	case st.format == "none":
		return "none"
	case st.self:
		return "self"
	}
	return "unanchored"
}

// hints tell a browser where to look for a key first.
func hints(w policy.Wishes) []string {
	if w.DeviceBound {
		return []string{"security-key", "client-device"}
	}
	return []string{"client-device", "security-key", "hybrid"}
}

// What may be shown; design.md §5, text 10.
const (
	saidLimit = "You hold as many passkeys as your organisation allows. Remove one you no longer use, then add this one."
	saidTaken = "This key is already registered. Nothing changed."
)
