package enrol_test

import (
	"net/http"
	"testing"

	"github.com/signetid/signet/internal/enrol"
)

// One bearer token, in any spelling of the scheme; its tests by what it may do
// are those of the doors.
func TestPresented(t *testing.T) {
	for _, row := range []struct {
		header []string
		want   string
		ok     bool
	}{
		{nil, "", false},
		{[]string{"Bearer abc"}, "abc", true},
		{[]string{"bearer  abc "}, "abc", true},
		{[]string{"Basic abc"}, "", false},
		{[]string{"abc"}, "", false},
		{[]string{"Bearer abc", "Bearer def"}, "", false},
		{[]string{"Bearer abc", "Basic def"}, "", false},
	} {
		got, ok := enrol.Presented(&http.Request{Header: http.Header{"Authorization": row.header}})
		if got != row.want || ok != row.ok {
			t.Errorf("%q: %q, %t", row.header, got, ok)
		}
	}
}
