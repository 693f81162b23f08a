package session

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// maxBearers bounds the sessions in one browser; the oldest leave the cookie
// first.
const maxBearers = 8

// browserAge is how long a browser keeps its binding cookie: the 400 days that
// browsers allow at most.
const browserAge = 400 * 24 * 60 * 60

// browserLen is 128 random bits in base64url.
const browserLen = 22

func (st *Store) name(plain string) string {
	if st.secure {
		return "__Host-" + plain
	}
	return plain
}

func (st *Store) cookie(plain, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name:     st.name(plain),
		Value:    value,
		Path:     "/",
		MaxAge:   age,
		HttpOnly: true,
		Secure:   st.secure,
		// Lax: an app sends people to authorize by a link or redirect from
		// its own site, and the session must come along.
		SameSite: http.SameSiteLaxMode,
	}
}

// value is the cookie as this response leaves it: what an earlier call has set
// already, else what the browser sent.
func (st *Store) value(w http.ResponseWriter, r *http.Request, plain string) string {
	name := st.name(plain)
	if w != nil {
		for _, line := range w.Header().Values("Set-Cookie") {
			if !sets(line, name) {
				continue
			}
			if c, err := http.ParseSetCookie(line); err == nil {
				return c.Value
			}
		}
	}
	// Of two cookies of one name neither is to be believed. With the __Host-
	// prefix only we can have set it.
	if cs := r.CookiesNamed(name); len(cs) == 1 {
		return cs[0].Value
	}
	return ""
}

// put sets the cookie, instead of what an earlier call has set.
func put(w http.ResponseWriter, c *http.Cookie) {
	lines := w.Header().Values("Set-Cookie")
	lines = slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return sets(line, c.Name) })
	w.Header()["Set-Cookie"] = append(lines, c.String())
}

// sets says whether a line that http.Cookie wrote is about the cookie.
func sets(line, name string) bool {
	rest, ok := strings.CutPrefix(line, name)
	return ok && strings.HasPrefix(rest, "=")
}

func (st *Store) bearers(w http.ResponseWriter, r *http.Request) []string {
	v := st.value(w, r, "signet-session")
	if v == "" || len(v) > (bearerLen+1)*maxBearers {
		return nil
	}
	return slices.DeleteFunc(strings.Split(v, "."), func(b string) bool {
		_, _, ok := parseBearer(b)
		return !ok
	})
}

// FromRequest gives the live sessions of this browser in the tenant, newest
// first; none is no error. It notes that they were used.
func (st *Store) FromRequest(ctx context.Context, r *http.Request, tenant idp.TenantID) ([]Session, error) {
	var out []Session
	for _, b := range st.bearers(nil, r) {
		s, err := st.Find(ctx, tenant, b)
		if errors.Is(err, idp.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
		// A store that can be read but not written must not sign people
		// out: a session that is not touched ends a little early, no more.
		if err := st.Touch(ctx, s); err != nil && !errors.Is(err, idp.Unavailable) {
			return nil, err
		}
	}
	return out, nil
}

// AllFromRequest gives the live sessions of this browser in every tenant,
// newest first: for the account picker (decisions 3.6).
func (st *Store) AllFromRequest(ctx context.Context, r *http.Request) ([]Session, error) {
	var out []Session
	for _, b := range st.bearers(nil, r) {
		id, _, _ := parseBearer(b)
		tenant, err := locate(ctx, st.db, id)
		if errors.Is(err, idp.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := st.Find(ctx, tenant, b)
		if errors.Is(err, idp.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
		if err := st.Touch(ctx, s); err != nil && !errors.Is(err, idp.Unavailable) {
			return nil, err
		}
	}
	return out, nil
}

// Set puts bearer first in the browser's cookie, in the place of replaces
// (empty: of none).
func (st *Store) Set(w http.ResponseWriter, r *http.Request, bearer, replaces string) {
	bs := slices.DeleteFunc(st.bearers(w, r), func(b string) bool { return b == replaces || b == bearer })
	bs = append([]string{bearer}, bs...)
	put(w, st.cookie("signet-session", strings.Join(bs[:min(len(bs), maxBearers)], "."), 0))
}

// Drop takes bearer out of the browser's cookie. It does not end the session.
func (st *Store) Drop(w http.ResponseWriter, r *http.Request, bearer string) {
	bs := slices.DeleteFunc(st.bearers(w, r), func(b string) bool { return b == bearer })
	age := 0
	if len(bs) == 0 {
		age = -1
	}
	put(w, st.cookie("signet-session", strings.Join(bs, "."), age))
}

// Browser tells this browser from others: a random value in a cookie, made
// when there is none. Flows are bound to its digest (SES05).
func (st *Store) Browser(w http.ResponseWriter, r *http.Request) string {
	if v := st.value(w, r, "signet-browser"); wellFormedBrowser(v) {
		return v
	}
	v := base64.RawURLEncoding.EncodeToString(secret.Bytes(16))
	put(w, st.cookie("signet-browser", v, browserAge))
	return v
}

func wellFormedBrowser(v string) bool {
	if len(v) != browserLen {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(v)
	return err == nil
}
