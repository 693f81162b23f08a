package directory

import (
	"io"

	"github.com/signetid/signet/internal/idp"
)

// SplitUserName is for the fuzz test.
var SplitUserName = splitUserName

// ParseImport is for the fuzz test.
func ParseImport(r io.Reader) (users []idp.User, bad int, err error) {
	f, err := parseImport(r, "t1", []string{"a.example"})
	if err != nil {
		return nil, 0, err
	}
	return f.users, len(f.bad), nil
}
