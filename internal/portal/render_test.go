package portal

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/page"
)

func render(t *testing.T, p *Portal, pg *page.Page) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	if err := p.show(rec, 200, pg); err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestPagesForTheEye writes every page and asset into a folder when
// SIGNET_PORTAL_PAGES names one, for looking at them in a browser.
func TestPagesForTheEye(t *testing.T) {
	p := bare(t)
	all := examples(p, same)
	dir := os.Getenv("SIGNET_PORTAL_PAGES")
	for key, pg := range all {
		body := render(t, p, pg).Body.String()
		if !strings.HasSuffix(body, "</html>\n") {
			t.Errorf("page %s does not end", key)
		}
		if dir != "" {
			write(t, filepath.Join(dir, key+".html"), body)
		}
	}
	if dir == "" {
		return
	}
	for _, url := range p.pages.Assets().URLs() {
		rec := httptest.NewRecorder()
		p.pages.Assets().ServeHTTP(rec, httptest.NewRequest("GET", url, nil))
		write(t, filepath.Join(dir, filepath.FromSlash(url)), rec.Body.String())
	}
}

func write(t *testing.T, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTemplates: every page can be parsed, also those that no test shows.
func TestTemplates(t *testing.T) {
	if err := newWorld(t).portal.pages.ParseAll(); err != nil {
		t.Fatal(err)
	}
}
