package person

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// What the page that waits for a phone says of itself.
var (
	shownNumber = regexp.MustCompile(`data-number="(\d\d)"`)
	waitPath    = regexp.MustCompile(`data-wait="([^"]*)"`)
	askPath     = regexp.MustCompile(`action="(/[^"]*/signin)/(?:answer|ask)"`)
	userField   = regexp.MustCompile(`name="username" value="([^"]*)"`)
)

// AskPhone asks somebody's phones from a sign-in page, or from the page of a
// number that is over. What comes is the page with the number.
func (p *Person) AskPhone(ctx context.Context, page Page, user string) (Page, error) {
	handle, err1 := page.field(handleField)
	path, err2 := page.field(askPath)
	if err := errors.Join(err1, err2); err != nil {
		return page, err
	}
	return p.Post(ctx, path+"/ask", url.Values{"handle": {handle}, "method": {"phone"}, "username": {user}})
}

// Number is what such a page shows; empty on any other.
func (page Page) Number() string {
	if found := shownNumber.FindStringSubmatch(page.Text); found != nil {
		return found[1]
	}
	return ""
}

// Wait is an open stream of a page that waits.
type Wait struct {
	res   *http.Response
	lines *bufio.Scanner
}

// Wait opens the stream of a page that waits, and returns once the server has
// begun to send it.
func (p *Person) Wait(ctx context.Context, page Page) (*Wait, error) {
	path, err := page.field(waitPath)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/event-stream")
	// A stream lasts longer than what else a person has patience for.
	c := *p.HTTP
	c.Timeout = 0
	res, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, &Refused{Path: path, Status: res.StatusCode}
	}
	w := &Wait{res: res, lines: bufio.NewScanner(res.Body)}
	if !w.lines.Scan() { // retry: …
		return nil, errors.Join(w.lines.Err(), w.Close(), fmt.Errorf("%s sent nothing", path))
	}
	return w, nil
}

// Event waits for the next event and is its name: ready, or over.
func (w *Wait) Event() (string, error) {
	for w.lines.Scan() {
		if name, ok := strings.CutPrefix(w.lines.Text(), "event: "); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("the stream ended: %w", errors.Join(w.lines.Err(), errors.New("no event came")))
}

// Close ends the stream.
func (w *Wait) Close() error { return w.res.Body.Close() }

// Collect posts the form of a page that waits, as its script does once the
// answer is there.
func (p *Person) Collect(ctx context.Context, page Page) (Page, error) {
	handle, err1 := page.field(handleField)
	path, err2 := page.field(askPath)
	name, err3 := page.field(userField)
	if err := errors.Join(err1, err2, err3); err != nil {
		return page, err
	}
	return p.Post(ctx, path+"/answer", url.Values{"handle": {handle}, "method": {"phone"}, "username": {html.UnescapeString(name)}})
}

// PhoneCode is what the page that adds a phone shows.
type PhoneCode struct {
	Link, Typed string
	ceremony    string
}

// AddPhone asks for a code, from a session that is minutes old.
func (p *Person) AddPhone(ctx context.Context, session string) (PhoneCode, error) {
	var begun struct {
		Ceremony string
		Show     PhoneCode
	}
	err := p.call(ctx, "/account/register/begin", map[string]string{"method": "phone", "session": session}, &begun)
	begun.Show.ceremony = begun.Ceremony
	return begun.Show, err
}

// ConfirmPhone says that the words of the phone are those of the page.
func (p *Person) ConfirmPhone(ctx context.Context, session string, c PhoneCode) error {
	var done struct{ Next string }
	return p.call(ctx, "/account/register/finish", map[string]any{
		"method": "phone", "session": session, "ceremony": c.ceremony, "payload": map[string]bool{"confirm": true}}, &done)
}
