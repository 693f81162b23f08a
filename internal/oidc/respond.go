package oidc

import (
	"cmp"
	"html"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/web"
)

// responseMode is how an authorization response travels.
type responseMode string

const (
	modeQuery    responseMode = client.ModeQuery
	modeFragment responseMode = client.ModeFragment
	modeFormPost responseMode = client.ModeFormPost
)

var responseModes = []responseMode{modeQuery, modeFragment, modeFormPost}

// modesOf lists the modes that the client is registered for and that the
// redirect URI can take: a private-use scheme of a native app has nothing to
// post to. Which of them is used must not be for whoever writes the address to
// choose (security.md OAU04).
func modesOf(c client.Client, redirect string) []responseMode {
	takesPost := strings.HasPrefix(redirect, "https://") || strings.HasPrefix(redirect, "http://")
	var out []responseMode
	for _, m := range responseModes {
		if slices.Contains(c.ResponseModes, string(m)) && (takesPost || m != modeFormPost) {
			out = append(out, m)
		}
	}
	return out
}

// parseMode reads the requested mode; query is what none says (OAuth 2.0
// Multiple Response Type Encoding Practices, Section 2.1). On error it gives
// the mode by which that may travel.
func parseMode(s string, c client.Client, redirect string) (responseMode, error) {
	m, modes := responseMode(cmp.Or(s, string(modeQuery))), modesOf(c, redirect)
	switch {
	case slices.Contains(modes, m):
		return m, nil
	case len(modes) == 0:
		modes = []responseMode{modeQuery}
	}
	return modes[0], badRequest("response_mode", "response_mode is none that the application is registered for and that its address can take.",
		"response mode %q of client %s", clip(s), c.ID)
}

// reply is an authorization response on its way: where, how, and its state.
type reply struct {
	Redirect string
	Mode     responseMode
	State    string
	Issuer   string
	// Found answers a GET by 302: clients of the device protocols look for
	// that number (device-protocol.md §9.3).
	Found bool
}

// fields are the parameters of a response. iss is in every one, errors
// included, so that a client with two providers notices a mix-up (RFC 9207,
// security.md OAU05).
func (a reply) fields(more url.Values) url.Values {
	v := url.Values{"iss": {a.Issuer}}
	if a.State != "" {
		v.Set("state", a.State)
	}
	for name, values := range more {
		v[name] = values
	}
	return v
}

// address is the redirect URI with the response in its query or fragment. The
// registered URI may have a query of its own, which stays (RFC 6749, Section
// 3.1.2).
func (a reply) address(more url.Values) string {
	encoded := a.fields(more).Encode()
	if a.Mode == modeFragment {
		return a.Redirect + "#" + encoded
	}
	switch {
	case !strings.Contains(a.Redirect, "?"):
		return a.Redirect + "?" + encoded
	case strings.HasSuffix(a.Redirect, "?"), strings.HasSuffix(a.Redirect, "&"):
		return a.Redirect + encoded
	}
	return a.Redirect + "&" + encoded
}

// send answers. Redirects are 303, whatever brought the person here: a 307
// would hand what was posted to us on to the application (security.md OAU07).
func (a reply) send(w http.ResponseWriter, r *http.Request, more url.Values) error {
	if a.Mode == modeFormPost {
		return a.post(w, a.fields(more))
	}
	return a.redirect(w, r, a.address(more))
}

// redirect answers with the address in a header, and as a link in the body for
// clients that look there alone (device-protocol.md §0 fact 6).
func (a reply) redirect(w http.ResponseWriter, r *http.Request, to string) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if !a.Found {
		if err := web.SeeOther(w, r, to); err != nil {
			return err
		}
	} else {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
	io.WriteString(w, `<a href="`+html.EscapeString(to)+`">Continue</a>`+"\n") // a peer that has gone away is nobody's error
	return nil
}

// fail answers with an error.
func (a reply) fail(w http.ResponseWriter, r *http.Request, err error) error {
	web.Note(r, err, code(err))
	return a.send(w, r, url.Values{
		"error":             {word(err, true)},
		"error_description": {description(err, web.Trace(r.Context()))},
	})
}

// formPost is OAuth 2.0 Form Post Response Mode. There is a button because the
// script may not run; the script is a file because no page of ours has code in
// it (passkeys-and-phone.md §7).
var formPost = template.Must(template.New("form_post").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Back to the application</title>
<form method="post" action="{{.Action}}" data-form-post>
{{- range .Fields}}
<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{- end}}
<p>The application opens now.
<p><button data-action="next">Continue</button>
</form>
<script src="{{.Script}}"></script>
</html>
`))

const formPostPath = "/oauth2/form_post.js"

const formPostScript = `"use strict";
document.querySelector("form[data-form-post]").submit();
`

type field struct{ Name, Value string }

func (a reply) post(w http.ResponseWriter, v url.Values) error {
	var fields []field
	for name := range v {
		fields = append(fields, field{name, v.Get(name)})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; base-uri 'none'; "+
		"frame-ancestors 'none'; form-action "+originOf(a.Redirect))
	return formPost.Execute(w, struct {
		Action template.URL // registered, and https or loopback
		Fields []field
		Script string
	}{template.URL(a.Redirect), fields, formPostPath})
}

func serveFormPostScript(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Write([]byte(formPostScript))
}

// originOf is what a Content-Security-Policy calls the place that a redirect
// URI leads to: scheme and host, or the bare scheme of a native app.
func originOf(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || strings.ContainsAny(u.Host, ";,'\" ") {
		return "'none'"
	}
	if u.Scheme == "https" || u.Scheme == "http" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":"
}
