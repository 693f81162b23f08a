package phone

import (
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// maxRowID is longer than any id of a row here.
const maxRowID = 64

// plain says whether texts from outside can be ids of rows: UUIDs, or base64url.
// Anything else no row has, and PostgreSQL would not even look for it: a zero
// byte, or what is no UTF-8, is an error of the server there.
func plain(ids ...string) bool {
	for _, id := range ids {
		if len(id) > maxRowID || strings.ContainsFunc(id, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

func notPlain(what string) error {
	return idp.NotFoundf("no_row", "what is asked for can be no %s", what)
}
