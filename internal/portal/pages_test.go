package portal

import (
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// walk calls fn for every element, those inside of template elements too.
func walk(n *html.Node, fn func(*html.Node)) {
	if n.Type == html.ElementNode {
		fn(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, fn)
	}
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func parse(t *testing.T, body string) *html.Node {
	t.Helper()
	doc, err := html.ParseWithOptions(strings.NewReader(body), html.ParseOptionEnableScripting(false))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// hostile is what a place of a page may hold at worst.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>' javascript:alert(1) {{.}} ${x} </title></textarea></style></script>*b*`

// TestHostileStrings puts hostile text everywhere a page shows something, and
// finds no element, attribute or address made of it.
func TestHostileStrings(t *testing.T) {
	p := bare(t)
	plainPages, bad := examples(p, same), examples(p, func(string) string { return hostile })
	for key, pg := range bad {
		body := render(t, p, pg).Body.String()
		if !strings.Contains(body, "alert(1)") && strings.Contains(render(t, p, plainPages[key]).Body.String(), "Nordhafen") {
			t.Errorf("%s: the hostile text is not on the page: the test proves nothing", key)
		}
		var want []string
		walk(parse(t, render(t, p, plainPages[key]).Body.String()), func(n *html.Node) { want = append(want, n.Data) })
		var got []string
		walk(parse(t, body), func(n *html.Node) {
			got = append(got, n.Data)
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
					t.Errorf("%s: <%s %s>", key, n.Data, a.Key)
				}
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && strings.HasPrefix(strings.TrimSpace(a.Val), "javascript:") {
					t.Errorf("%s: %s=%q", key, a.Key, a.Val)
				}
			}
		})
		slices.Sort(want)
		slices.Sort(got)
		// A hostile name may leave out a part (a tag that would repeat it),
		// never add one that the page does not have.
		for _, name := range slices.Compact(slices.Clone(got)) {
			if w, g := count(want, name), count(got, name); g > w {
				t.Errorf("%s: %d <%s>, with plain text %d", key, g, name, w)
			}
		}
	}
}

func count(list []string, s string) (n int) {
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

// TestNothingInline: no script, style or handler in any page, and nothing from
// another place (security.md WEB01, WEB06).
func TestNothingInline(t *testing.T) {
	p := bare(t)
	for key, pg := range examples(p, same) {
		walk(parse(t, render(t, p, pg).Body.String()), func(n *html.Node) {
			src, hasSrc := attr(n, "src")
			kind, _ := attr(n, "type")
			href, _ := attr(n, "href")
			switch {
			case n.Data == "style":
				t.Errorf("%s: a style element", key)
			case n.Data == "script" && !hasSrc && kind != "application/json":
				t.Errorf("%s: an inline script", key)
			case n.Data == "script" && hasSrc && (kind != "module" || !strings.HasPrefix(src, assetPrefix)):
				t.Errorf("%s: script %q of type %q", key, src, kind)
			case n.Data == "link" && !strings.HasPrefix(href, assetPrefix):
				t.Errorf("%s: link to %q", key, href)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					t.Errorf("%s: <%s %s=%q>", key, n.Data, a.Key, a.Val)
				}
			}
		})
	}
}

// void elements have no end tag.
var void = map[string]bool{"meta": true, "link": true, "input": true, "br": true, "hr": true, "img": true}

// TestWellFormed checks what a validator would find first: tags in balance,
// ids used once and pointing somewhere, labels, one h1, names.
func TestWellFormed(t *testing.T) {
	p := bare(t)
	for key, pg := range examples(p, same) {
		body := render(t, p, pg).Body.String()
		balanced(t, key, body)
		ids, refs, h1, main := map[string]int{}, []string{}, 0, 0
		labelled := map[string]bool{}
		visit := func(n *html.Node) {
			if inTemplate(n) {
				return
			}
			if id, ok := attr(n, "id"); ok {
				ids[id]++
			}
			for _, a := range []string{"aria-describedby", "aria-labelledby", "for"} {
				if v, ok := attr(n, a); ok {
					refs = append(refs, strings.Fields(v)...)
				}
			}
			if v, ok := attr(n, "for"); ok && n.Data == "label" {
				labelled[v] = true
			}
			switch n.Data {
			case "h1":
				h1++
			case "main":
				main++
			}
		}
		doc := parse(t, body)
		walk(doc, visit)
		for id, n := range ids {
			if n > 1 {
				t.Errorf("%s: id %q is there %d times", key, id, n)
			}
		}
		for _, ref := range refs {
			if ids[ref] == 0 && !(ref == "ask-title") { // the dialog is filled when it opens
				t.Errorf("%s: nothing has the id %q", key, ref)
			}
		}
		if h1 != 1 || main != 1 {
			t.Errorf("%s: %d h1, %d main", key, h1, main)
		}
		walk(doc, func(n *html.Node) { named(t, key, n, labelled) })
		if !regexp.MustCompile(`<html lang="en" dir="ltr"`).MatchString(body) || !strings.Contains(body, `<a class="skip" href="#main">`) {
			t.Errorf("%s: no lang, dir or skip link", key)
		}
		if title := regexp.MustCompile(`<title>(.+) – .+</title>`); !title.MatchString(body) {
			t.Errorf("%s: no title", key)
		}
	}
}

// named checks that a control has a name and a picture hides from readers.
func named(t *testing.T, key string, n *html.Node, labelled map[string]bool) {
	t.Helper()
	switch n.Data {
	case "input":
		kind, _ := attr(n, "type")
		id, _ := attr(n, "id")
		if kind != "hidden" && !labelled[id] && n.Parent.Data != "label" && !inTemplate(n) {
			t.Errorf("%s: input %q has no label", key, id)
		}
	case "button", "a", "summary":
		label, _ := attr(n, "aria-label")
		if strings.TrimSpace(textOf(n)+label) == "" {
			t.Errorf("%s: a %s without words", key, n.Data)
		}
		// WCAG 2.5.3: the name contains what is seen.
		if seen := strings.TrimSuffix(strings.TrimSpace(textOf(n)), "…"); label != "" && !strings.Contains(label, seen) {
			t.Errorf("%s: %s says %q and is called %q", key, n.Data, seen, label)
		}
	case "svg":
		if hidden, _ := attr(n, "aria-hidden"); hidden != "true" {
			t.Errorf("%s: a picture that readers see", key)
		}
	case "form":
		if method, _ := attr(n, "method"); method != "post" && method != "get" {
			t.Errorf("%s: form with method %q", key, method)
		}
	}
}

func inTemplate(n *html.Node) bool {
	for ; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == "template" {
			return true
		}
	}
	return false
}

func textOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(textOf(c))
	}
	return b.String()
}

// balanced reads the tags as they are written, before any parser mends them.
func balanced(t *testing.T, key, body string) {
	t.Helper()
	var open []string
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%s: never closed: %v", key, open)
			}
			return
		case html.StartTagToken:
			name, _ := z.TagName()
			if !void[string(name)] {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Errorf("%s: </%s> closes %v", key, name, open)
				return
			}
			open = open[:len(open)-1]
		}
	}
}

// TestHandles: the handles of product.md §5 that this door owes are there.
func TestHandles(t *testing.T) {
	p := bare(t)
	actions, names, codes := map[string][]string{}, map[string]bool{}, map[string]bool{}
	for key, pg := range examples(p, same) {
		walk(parse(t, render(t, p, pg).Body.String()), func(n *html.Node) {
			if a, ok := attr(n, "data-action"); ok {
				actions[a] = append(actions[a], key)
				if n.Data != "button" && n.Data != "a" && n.Data != "summary" {
					t.Errorf("%s: data-action=%q on <%s>", key, a, n.Data)
				}
			}
			if name, ok := attr(n, "name"); ok {
				names[name] = true
			}
			if c, ok := attr(n, "data-code"); ok {
				trace, _ := attr(n, "data-trace")
				if _, err := strconv.Atoi(c); err != nil {
					t.Errorf("%s: data-code=%q", key, c)
				}
				codes[key] = trace != "" || strings.HasPrefix(key, "error")
			}
		})
	}
	for action, pages := range map[string][]string{
		"signin-passkey": {"signin", "signin-known", "try"}, "signin-access-pass": {"signin"}, "next": {"signin", "register", "org"},
		"other-ways": {"signin"}, "register-passkey": {"account", "register", "nudge", "nudge-forced"}, "consent-allow": {"consent"}, "consent-deny": {"consent"}, "later": {"nudge"},
		"rename": {"account"}, "remove": {"account"}, "confirm": {"rename", "remove", "takeback", "account"}, "cancel": {"rename", "remove", "remove-last", "takeback", "register"},
		"sign-out": {"account", "logout"}, "sign-out-everywhere": {"account"},
	} {
		for _, page := range pages {
			if !slices.Contains(actions[action], page) {
				t.Errorf("no data-action=%q on %s", action, page)
			}
		}
	}
	for _, name := range []string{"username", "access_pass"} {
		if !names[name] {
			t.Errorf("no field %q", name)
		}
	}
	for _, key := range []string{"error", "error-internal", "error-said", "error-404", "signin-wrong"} {
		if !codes[key] {
			t.Errorf("no data-code and data-trace on %s", key)
		}
	}
	if n := count(actions["later"], "nudge-forced") + count(actions["register-passkey"], "account-desk"); n != 0 {
		t.Errorf("%d ways to do what cannot be done", n)
	}
	if n := count(actions["remove"], "account-none"); n != 0 {
		t.Errorf("%d things to remove where nothing is", n)
	}
}

// TestOneMain: at most one main button in a form or panel of a page.
func TestOneMainButton(t *testing.T) {
	p := bare(t)
	for key, pg := range examples(p, same) {
		mains := 0
		walk(parse(t, render(t, p, pg).Body.String()), func(n *html.Node) {
			class, _ := attr(n, "class")
			if slices.Contains(strings.Fields(class), "main") && !inTemplate(n) && !inHidden(n) {
				mains++
			}
		})
		if mains > 1 {
			t.Errorf("%s: %d main buttons", key, mains)
		}
	}
}

func inHidden(n *html.Node) bool {
	for ; n != nil; n = n.Parent {
		if _, ok := attr(n, "hidden"); ok {
			return true
		}
	}
	return false
}

func TestContentPolicy(t *testing.T) {
	p := bare(t)
	head := render(t, p, examples(p, same)["account"]).Header().Get("Content-Security-Policy")
	for _, c := range []struct{ leadsTo, want string }{
		{"", head},
		{"https://wiki.example", head + " https://wiki.example"},
		{"https://wiki.example:8443", head + " https://wiki.example:8443"},
		{"http://127.0.0.1:8090", head + " http://127.0.0.1:8090"},
		{"com.example.app:", head + " com.example.app:"},
		{"javascript:", head},
		{"data:", head},
		{"https:", head},
		{"https://a.example; script-src *", head},
		{"https://a.example script-src", head},
		{"https://*.example", head},
		{"//a.example", head},
		{"https://wiki.example/path?x", head + " https://wiki.example"},
	} {
		pg := examples(p, same)["signin"]
		pg.LeadsTo = c.leadsTo
		if got := render(t, p, pg).Header().Get("Content-Security-Policy"); got != c.want {
			t.Errorf("%q: got %q", c.leadsTo, got)
		}
	}
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "form-action 'self'"} {
		if !strings.Contains(head, want) {
			t.Errorf("the policy lacks %s", want)
		}
	}
	if strings.Contains(head, "unsafe") || strings.Contains(head, "nonce") {
		t.Errorf("the policy allows inline: %s", head)
	}
}

func TestPageHeaders(t *testing.T) {
	p := bare(t)
	for key, pg := range examples(p, same) {
		h := render(t, p, pg).Header()
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8", "Content-Language": "en",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q", key, name, got)
			}
		}
		if !strings.Contains(h.Get("Permissions-Policy"), "publickey-credentials-get=(self), publickey-credentials-create=(self)") {
			t.Errorf("%s: Permissions-Policy %q", key, h.Get("Permissions-Policy"))
		}
		opener := h.Get("Cross-Origin-Opener-Policy")
		if account := pg.Apart; account != (opener == "same-origin-allow-popups") {
			t.Errorf("%s: account page %v, opener policy %q", key, account, opener)
		}
	}
}

// TestSizes holds door pages to the design's budget.
func TestSizes(t *testing.T) {
	sum := 0
	for _, name := range []string{"tokens.css", "base.css", "door.css"} {
		rec := httptest.NewRecorder()
		assets := bare(t).pages.Assets()
		assets.ServeHTTP(rec, httptest.NewRequest("GET", assets.URL(name), nil))
		sum += rec.Body.Len()
	}
	if sum > 15_000 {
		t.Errorf("the door's style is %d bytes, more than 15 kB", sum)
	}
}
