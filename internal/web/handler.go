package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// HandlerFunc is the one shape of a handler: it replies, or returns an error
// having written nothing.
type HandlerFunc func(http.ResponseWriter, *http.Request) error

// Phrase turns an error into a reply. Each door has exactly one.
type Phrase func(http.ResponseWriter, *http.Request, *idp.Error)

// Adapt makes h an http.Handler. Errors go to phrase as idp.Errors (plain
// ones are Internal) and to the access log, once.
func Adapt(phrase Phrase, h HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		e := idp.AsError(err)
		Note(r, err, e.Code)
		phrase(w, r, e)
	})
}

// Note hands the cause of a reply and its AADSTS number to the access log, for
// doors that phrase an error without returning it.
func Note(r *http.Request, err error, code int) {
	i := infoOf(r.Context())
	i.err, i.code = err, code
}

// Status is the honest HTTP status of a Kind, for doors whose protocol does
// not say otherwise.
func Status(k idp.Kind) int {
	switch k {
	case idp.Invalid:
		return http.StatusBadRequest
	case idp.Unproven:
		return http.StatusUnauthorized
	case idp.Denied:
		return http.StatusForbidden
	case idp.NotFound:
		return http.StatusNotFound
	case idp.Conflict:
		return http.StatusConflict
	case idp.Expired:
		return http.StatusGone
	case idp.Limited:
		return http.StatusTooManyRequests
	case idp.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// JSON replies with v. Replies that carry tokens or state are never stored;
// a handler that wants caching sets Cache-Control before.
func JSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	h := w.Header()
	h["Content-Type"] = isJSON
	if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = noStore
	}
	// Told its length, net/http sends a long body in one piece.
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body) // a peer that has gone away is nobody's error
	return nil
}

// NoContent replies 204.
func NoContent(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// SeeOther redirects with 303, which turns a POST into a GET; 307 would send
// what was posted to the next place as well.
func SeeOther(w http.ResponseWriter, r *http.Request, to string) error {
	w.Header()["Cache-Control"] = noStore
	// http.Redirect would clean the path of an absolute address; the
	// registered redirect URI must arrive byte for byte.
	w.Header().Set("Location", headerSafe(to))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func headerSafe(s string) string {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return strings.Map(func(r rune) rune {
				if r < 0x20 || r == 0x7f {
					return -1
				}
				return r
			}, s)
		}
	}
	return s
}
