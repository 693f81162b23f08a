package card

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/pkix/pkixtest"
)

func pemOf(certs []*x509.Certificate) []byte { return pkixtest.PEM(certs...) }

// Browser is curl with a cookie jar of its own. Redirects are followed one by
// one, so that a test can stop and look at what would be sent.
type Browser struct {
	Card   *Card  // nil: none is in the reader
	TLS    string // "1.2" or "1.3": no other version is spoken; empty: whatever
	CAFile string // of the server's certificate

	t    testing.TB
	jar  string
	last *url.URL
	// Handshakes is curl's account of the handshakes in which the server asked for
	// a certificate, one text for each.
	Handshakes []string
}

// NewBrowser has no cookies and no card.
func NewBrowser(t testing.TB, caFile string) *Browser {
	return &Browser{t: t, CAFile: caFile, jar: filepath.Join(t.TempDir(), "cookies")}
}

// Page is an answer.
type Page struct {
	Status int
	URL    *url.URL
	Header http.Header
	Text   string
}

// To is where the page leads by itself; empty: nowhere.
func (p Page) To() string {
	to, err := p.URL.Parse(p.Header.Get("Location"))
	if p.Header.Get("Location") == "" || err != nil {
		return ""
	}
	return to.String()
}

// Words is what a person reads on the page: the text of its main part, in one
// line.
func (p Page) Words() string {
	text := p.Text
	if _, main, ok := strings.Cut(text, "<main"); ok {
		text, _, _ = strings.Cut("<main"+main, "</main>")
	}
	for _, hidden := range []string{"script", "style", "template", "noscript"} {
		text = regexp.MustCompile(`(?s)<`+hidden+`[ >].*?</`+hidden+`>`).ReplaceAllString(text, " ")
	}
	text = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, " ")
	return strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}

// Step opens an address, or sends a form to it, and follows nothing.
func (b *Browser) Step(address string, form url.Values, header ...string) Page {
	b.t.Helper()
	page, err := b.try(address, form, header...)
	if err != nil {
		b.t.Fatal(err)
	}
	return page
}

func (b *Browser) try(address string, form url.Values, header ...string) (Page, error) {
	at, err := url.Parse(address)
	if err != nil {
		return Page{}, err
	}
	args := []string{"--silent", "--show-error", "--verbose", "--include", "--raw", "--http1.1", "--max-time", "20", "--cookie", b.jar, "--cookie-jar", b.jar}
	cmd := exec.Command("curl")
	if at.Scheme == "https" {
		args = append(args, "--cacert", b.CAFile)
		if b.TLS != "" {
			args = append(args, "--tlsv"+b.TLS, "--tls-max", b.TLS)
		}
		if b.Card != nil {
			args, cmd.Env = append(args, b.Card.flags()...), b.Card.Environment()
		}
	}
	if b.last != nil && form != nil {
		args = append(args, "--header", "Origin: "+b.last.Scheme+"://"+b.last.Host, "--header", "Sec-Fetch-Site: same-origin")
	}
	for _, h := range header {
		args = append(args, "--header", h)
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			args = append(args, "--data-urlencode", name+"="+value)
		}
	}
	cmd.Args = append(append(cmd.Args, args...), address)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if strings.Contains(said.String(), "Request CERT") {
		b.Handshakes = append(b.Handshakes, said.String())
	}
	if err != nil {
		return Page{}, fmt.Errorf("curl %s: %w (`make test` installs what the tests need)\n%s", address, err, said.String())
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
	if err != nil {
		return Page{}, fmt.Errorf("answer of %s: %w", address, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Page{}, err
	}
	b.last = at
	return Page{Status: res.StatusCode, URL: at, Header: res.Header, Text: string(text)}, nil
}

// Open opens an address, or sends a form to it, and follows redirects until
// there is a page, or an address that begins with one of the given ones: that
// is not opened, and To is where it leads.
func (b *Browser) Open(address string, form url.Values, stops ...string) Page {
	b.t.Helper()
	page := b.Step(address, form)
	for range 15 {
		to := page.To()
		if to == "" || slices.ContainsFunc(stops, func(s string) bool { return strings.HasPrefix(to, s) }) {
			return page
		}
		page = b.Step(to, nil)
	}
	b.t.Fatalf("redirects have no end: %s", page.URL)
	return page
}

// Fields are what the first form with this id would send if nothing were typed,
// and where to.
func (p Page) Fields(id string) (action string, fields url.Values, err error) {
	_, text, ok := strings.Cut(p.Text, `id="`+id+`"`)
	if !ok {
		return "", nil, fmt.Errorf("%s (%d) has no form %s: %.400s", p.URL, p.Status, id, p.Words())
	}
	text, _, _ = strings.Cut(text, "</form>")
	found := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(text)
	if found == nil {
		return "", nil, fmt.Errorf("form %s of %s has no action", id, p.URL)
	}
	to, err := p.URL.Parse(html.UnescapeString(found[1]))
	if err != nil {
		return "", nil, err
	}
	fields = url.Values{}
	for _, tag := range regexp.MustCompile(`<input type="hidden"[^>]*>`).FindAllString(text, -1) {
		name := regexp.MustCompile(`name="([^"]*)"`).FindStringSubmatch(tag)
		value := regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(tag)
		if name != nil && value != nil {
			fields.Add(html.UnescapeString(name[1]), html.UnescapeString(value[1]))
		}
	}
	return to.String(), fields, nil
}

// Button is what pressing the button with this data-action sends along: its own
// name and value, and the address if it has one.
func (p Page) Button(action string) (name, value, to string, ok bool) {
	tag := regexp.MustCompile(`<(?:button|a)[^>]*data-action="` + regexp.QuoteMeta(action) + `"[^>]*>`).FindString(p.Text)
	if tag == "" {
		return "", "", "", false
	}
	attribute := func(which string) string {
		if m := regexp.MustCompile(` ` + which + `="([^"]*)"`).FindStringSubmatch(tag); m != nil {
			return html.UnescapeString(m[1])
		}
		return ""
	}
	to = attribute("formaction")
	if href := attribute("href"); href != "" {
		to = href
	}
	if to != "" {
		if at, err := p.URL.Parse(to); err == nil {
			to = at.String()
		}
	}
	return attribute("name"), attribute("value"), to, true
}

// Press presses the button of a form with this data-action, or follows the link
// with it.
func (b *Browser) Press(p Page, form, action string, typed url.Values, stops ...string) Page {
	b.t.Helper()
	name, value, to, ok := p.Button(action)
	if !ok {
		b.t.Fatalf("%s (%d) has no %s: %s", p.URL, p.Status, action, p.Words())
	}
	if name == "" && to != "" {
		return b.Open(to, nil, stops...)
	}
	address, fields, err := p.Fields(form)
	if err != nil {
		b.t.Fatal(err)
	}
	if to != "" {
		address = to
	}
	maps.Copy(fields, typed)
	if name != "" {
		fields.Set(name, value)
	}
	return b.Open(address, fields, stops...)
}
