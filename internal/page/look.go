package page

import (
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/web"
)

// themeCookie holds no secret and opens nothing: how pages look.
const themeCookie = "signet-theme"

const yearSeconds = 365 * 24 * 60 * 60

// Keep sets a cookie for a year, or takes it away when value is empty. It is
// for what holds no secret and opens nothing.
func (s *Set) Keep(w http.ResponseWriter, name, value string) {
	age := yearSeconds
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.CookieName(name), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	})
}

// CookieName binds the cookie to exactly this host where browsers allow it,
// which is on https only (security.md WEB03).
func (s *Set) CookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

// Theme is what the person chose, or empty for what the system says.
func (s *Set) Theme(r *http.Request) string {
	if c, err := r.Cookie(s.CookieName(themeCookie)); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// Appearance sets the theme and leads back. It works without script.
func (s *Set) Appearance(w http.ResponseWriter, r *http.Request) error {
	v, err := web.Form(w, r)
	if err != nil {
		return err
	}
	switch chosen := v.Get("theme"); chosen {
	case "light", "dark":
		s.Keep(w, themeCookie, chosen)
	default:
		s.Keep(w, themeCookie, "")
	}
	back := v.Get("back")
	if !LocalPath(back) {
		back = "/"
	}
	return web.SeeOther(w, r, back)
}

// LocalPath says whether s is a path of this server and nothing that a
// browser would take for another: "//host" and "/\host" are other hosts.
func LocalPath(s string) bool {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r == 0x7f || r == '\\' })
}
