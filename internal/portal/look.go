package portal

import (
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/web"
)

// Cookies of ours that hold no secret and open nothing: how the pages look,
// and which way to sign in was used last in this browser.
const (
	themeCookie = "signet-theme"
	wayCookie   = "signet-way"
	yearSeconds = 365 * 24 * 60 * 60
)

func (p *Portal) keep(w http.ResponseWriter, name, value string) {
	age := yearSeconds
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: p.cookieName(name), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	})
}

// cookieName binds the cookie to exactly this host where browsers allow it,
// which is on https only (security.md WEB03).
func (p *Portal) cookieName(name string) string {
	if p.secure {
		return "__Host-" + name
	}
	return name
}

// theme is what the person chose, or empty for what the system says.
func (p *Portal) theme(r *http.Request) string {
	if c, err := r.Cookie(p.cookieName(themeCookie)); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// appearance sets the theme and leads back. It works without script.
func (p *Portal) appearance(w http.ResponseWriter, r *http.Request) error {
	v, err := web.Form(w, r)
	if err != nil {
		return err
	}
	switch chosen := v.Get("theme"); chosen {
	case "light", "dark":
		p.keep(w, themeCookie, chosen)
	default:
		p.keep(w, themeCookie, "")
	}
	back := v.Get("back")
	if !localPath(back) {
		back = "/"
	}
	return web.SeeOther(w, r, back)
}

// localPath says whether s is a path of this server and nothing that a
// browser would take for another: "//host" and "/\host" are other hosts.
func localPath(s string) bool {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r == 0x7f || r == '\\' })
}
