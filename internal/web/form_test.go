package web_test

import (
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

func form(body string) (url.Values, error) {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return web.Form(httptest.NewRecorder(), r)
}

var forms = []string{
	"", "a=b", "a=b&c=d", "a", "=", "=a", "&&a=b&", "a=b=c", "a+b=c+d", "a%20b=%2B%2b+%C3%A4", "a=%00", "a=%", "a=%4", "a=%zz", "%zz=a", "a=%+1", "a=%-1", "a=%_1", "a=%0x",
	"a=1;b=2", "a=%3b", "a=1&a=2", "a=1&%61=2", "A=1&a=2", "a=\xff", "a=" + strings.Repeat("%41x+", 100), strings.Repeat("&", 9_999), strings.Repeat("&", 10_000),
}

// TestFormIsReadAsURLsAre: nothing is added to how net/url reads a form but that
// a name given twice is refused.
func TestFormIsReadAsURLsAre(t *testing.T) {
	for _, body := range forms {
		sameForm(t, body)
	}
}

func FuzzForm(f *testing.F) {
	for _, body := range forms {
		f.Add(body)
	}
	f.Fuzz(sameForm)
}

func sameForm(t *testing.T, body string) {
	got, err := form(body)
	if len(body) > web.BodyLimit {
		if err == nil {
			t.Errorf("read %d bytes", len(body))
		}
		return
	}
	twice := err != nil && idp.AsError(err).Reason == "duplicate_parameter"
	want, wrong := url.ParseQuery(body)
	if (err != nil && !twice) != (wrong != nil) {
		t.Fatalf("%.200q: %v; net/url says %v", body, err, wrong)
	}
	if wrong == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%.200q: read as %v; by net/url as %v", body, got, want)
	}
	more := false
	for _, values := range want {
		more = more || len(values) > 1
	}
	if wrong == nil && more != twice {
		t.Errorf("%.200q: %v", body, err)
	}
}
