package graph

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// maxBatch is how many requests a batch may hold (entra-behaviours.md §2.4).
const maxBatch = 20

type batchItem struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

type batchAnswer struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// batch answers several requests in one, each on the same road as if it had
// come alone, one after the other. One whose dependsOn failed is 424.
func (s *Server) batch(version string, mux http.Handler) http.Handler {
	return web.Adapt(s.phrase, func(w http.ResponseWriter, r *http.Request) error {
		if _, err := s.identify(r); err != nil {
			return err
		}
		var in struct {
			Requests []batchItem `json:"requests"`
		}
		c := &call{Server: s, w: w, r: r}
		if err := c.body(&in); err != nil {
			return err
		}
		if err := checkBatch(in.Requests); err != nil {
			return err
		}
		done := map[string]int{}
		answers := make([]batchAnswer, 0, len(in.Requests))
		for _, item := range in.Requests {
			a := batchAnswer{ID: item.ID, Status: http.StatusFailedDependency, Headers: map[string]string{}}
			if !slices.ContainsFunc(item.DependsOn, func(id string) bool { return done[id] >= 400 }) {
				a = run(r, version, mux, item)
			}
			done[item.ID] = a.Status
			answers = append(answers, a)
		}
		return web.JSON(w, http.StatusOK, map[string]any{"responses": answers})
	})
}

func checkBatch(items []batchItem) error {
	if len(items) == 0 || len(items) > maxBatch {
		return badProperty("requests", "A batch holds 1 to 20 requests.")
	}
	seen := map[string]bool{}
	for _, i := range items {
		u, err := url.Parse(i.URL)
		switch {
		case i.ID == "" || len(i.ID) > 64 || seen[i.ID]:
			return badProperty("id", "Every request of a batch needs an id of its own.")
		case err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "/$batch"):
			return badProperty("url", "The url of request '"+clip(i.ID)+"' must be a path below the version.")
		case !slices.Contains([]string{"GET", "POST", "PATCH", "PUT", "DELETE"}, i.Method):
			return badProperty("method", "The method of request '"+clip(i.ID)+"' is none that there is.")
		}
		for _, d := range i.DependsOn {
			if !seen[d] {
				return badProperty("dependsOn", "Request '"+clip(i.ID)+"' depends on one that does not come before it.")
			}
		}
		seen[i.ID] = true
	}
	return nil
}

// run answers one request of a batch.
func run(outer *http.Request, version string, mux http.Handler, item batchItem) batchAnswer {
	a := batchAnswer{ID: item.ID, Headers: map[string]string{}}
	req, err := http.NewRequestWithContext(outer.Context(), item.Method, version+item.URL, bytes.NewReader(item.Body))
	if err != nil {
		a.Status = web.Status(idp.Invalid)
		return a
	}
	for name, v := range item.Headers {
		req.Header.Set(name, v)
	}
	if len(item.Body) > 0 && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	// Who asks is who sent the batch, whatever the item says.
	req.Header.Set("Authorization", outer.Header.Get("Authorization"))
	req.RemoteAddr, req.Host = outer.RemoteAddr, outer.Host
	rec := &recorder{header: http.Header{}}
	mux.ServeHTTP(rec, req)
	a.Status = max(rec.status, http.StatusOK)
	for _, name := range []string{"Content-Type", "Location", "ETag", "Retry-After", "request-id", EndedHeader} {
		if v := rec.header.Get(name); v != "" {
			a.Headers[name] = v
		}
	}
	if body := rec.body.Bytes(); json.Valid(body) {
		a.Body = body
	} else if len(body) > 0 {
		a.Body, _ = json.Marshal(string(body))
	}
	return a
}

// recorder keeps the answer to one request of a batch.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}
