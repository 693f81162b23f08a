package oidc_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/signetid/signet/internal/client"
)

// What an administrator changes while a person sits before a page, or while an
// application holds a code or a refresh token, counts from then on.

// An address that was taken out of the registration gets neither a code nor an
// error.
func TestSec_OAU01_RedirectTakenOutMeanwhile(t *testing.T) {
	const old = "https://old.wiki.example/cb"
	for name, finish := range map[string]func(b *browser, handle string) answer{
		"code":  func(b *browser, handle string) answer { return b.prove(handle, b.ada) },
		"error": func(b *browser, handle string) answer { return b.refuse(handle) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			a := d.newApp(func(c *client.Client) {
				c.RedirectURIs, c.FirstParty = []string{callback, old}, name == "code"
			})
			b := d.browser()
			page := b.authorize(a.ask("redirect_uri", old)).shown(t)
			if name == "error" {
				page = b.prove(page.Handle, d.ada).shown(t) // asks for consent
			}
			d.update(a, func(c *client.Client) { c.RedirectURIs = []string{callback} })
			got := finish(b, page.Handle)
			got.page(t, "error")
			if where := got.Header.Get("Location"); where != "" {
				t.Errorf("sent to an address that is not registered: %.90s", where)
			}
		})
	}
}

// An application that was switched off while the page was open hears nothing
// more: its addresses are no longer proven.
func TestSec_OAU06_ApplicationOffMeanwhile(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	page := b.authorize(a.ask()).shown(t)
	d.update(a, func(c *client.Client) { c.Enabled = false })
	got := b.prove(page.Handle, d.ada)
	got.page(t, "error")
	if where := got.Header.Get("Location"); where != "" || got.StatusCode != http.StatusForbidden {
		t.Errorf("got %d to %q", got.StatusCode, where)
	}
}

// refuse says no on the consent page.
func (b *browser) refuse(handle string) answer {
	b.t.Helper()
	return b.post(b.at("/test/consent"), url.Values{"handle": {handle}, "allow": {"no"}})
}
