package directory

import (
	"io"

	"github.com/signetid/signet/internal/idp"
)

// SplitUserName is for the fuzz test.
var SplitUserName = splitUserName

// UsersByQuery is the statement of UsersBy with a number of keys.
func UsersByQuery(property string, n int) string { return usersBy(mappingColumns[property], n) }

// ParseImport is for the fuzz test.
func ParseImport(r io.Reader) (users []idp.User, bad int, err error) {
	f, err := parseImport(r, "t1", []string{"a.example"})
	if err != nil {
		return nil, 0, err
	}
	return f.users, len(f.bad), nil
}
