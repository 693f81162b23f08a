package page

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// policyHead is the Content-Security-Policy of every page (passkeys-and-phone.md
// §7): nothing inline, nothing from elsewhere. Only form-action differs.
const policyHead = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'; form-action 'self'"

// schemeOnly is a private-use scheme of a native application (RFC 8252,
// Section 7.1); it contains a full stop, so it cannot be javascript or data.
var schemeOnly = regexp.MustCompile(`^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:$`)

// formTarget turns the place where a flow leads into a source expression for
// form-action. Browsers apply form-action to the whole chain of redirects
// after a form, so the application's own origin must stand in it. What is not
// plainly an origin is left out: it goes into a header.
func formTarget(leadsTo string) string {
	if schemeOnly.MatchString(leadsTo) {
		return leadsTo
	}
	u, err := url.Parse(leadsTo)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return ""
	}
	if strings.ContainsAny(u.Host, " ;,'\"*\\") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func contentPolicy(pg *Page) string {
	head := policyHead
	if pg.Types != "" {
		head = strings.Replace(head, "trusted-types 'none'", "trusted-types "+pg.Types, 1)
	}
	for _, origin := range append([]string{pg.LeadsTo}, pg.Also...) {
		if target := formTarget(origin); target != "" {
			head += " " + target
		}
	}
	return head
}

// headers sets those of every page (security.md WEB01, WEB02).
func headers(h http.Header, pg *Page) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", pg.Lang())
	h.Set("Content-Security-Policy", contentPolicy(pg))
	h.Set("Permissions-Policy", "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()")
	// With no-referrer a browser sends "Origin: null" with forms, and a browser
	// without Sec-Fetch-Site could then not prove that a form is our own.
	h.Set("Referrer-Policy", "same-origin")
	if pg.Hushed {
		h.Set("Referrer-Policy", "strict-origin")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language, Cookie")
	if pg.Apart {
		// Not on sign-in pages: applications open those as pop-ups and need
		// to find them again (passkeys-and-phone.md §7).
		h.Set("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
	}
}
