package graph

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/web"
)

// entity is one object on the wire, by its property names.
type entity map[string]any

// list is a page of objects.
type list struct {
	items []entity
	next  string // cursor of the page behind; empty: the end
	total int64  // of $count
	notes entity // annotations of the whole list
}

// created is a new object, with where it is.
type created struct {
	entity
	path string
}

// text is a bare value: the number of /$count.
type text string

// words are a list of texts.
type words []string

// value is an answer that is no object of the directory.
type value struct{ v any }

// reply writes what an operation returned. nil is 204.
func (c *call) reply(out any) error {
	switch out := out.(type) {
	case nil:
		return web.NoContent(c.w)
	case entity:
		if tag, ok := out["@odata.etag"].(string); ok {
			c.w.Header().Set("ETag", tag)
		}
		return c.json(http.StatusOK, c.single(out))
	case created:
		c.w.Header().Set("Location", c.cfg.BaseURL+c.version+out.path)
		return c.json(http.StatusCreated, c.single(out.entity))
	case list:
		return c.json(http.StatusOK, c.page(out))
	case words:
		return c.json(http.StatusOK, entity{"@odata.context": c.context(), "value": out})
	case text:
		c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		c.w.Header().Set("Cache-Control", "no-store")
		_, err := c.w.Write([]byte(out))
		return err
	case value:
		return c.json(http.StatusOK, out.v)
	}
	return fmt.Errorf("operation %s returned a %T", c.op.path, out)
}

func (c *call) json(status int, v any) error {
	c.w.Header().Set("OData-Version", "4.0")
	return web.JSON(c.w, status, v)
}

func (c *call) single(e entity) entity {
	e = c.choose(e)
	e["@odata.context"] = c.context() + "/$entity"
	return e
}

func (c *call) page(l list) entity {
	items := make([]entity, 0, len(l.items))
	for _, e := range l.items {
		items = append(items, c.choose(e))
	}
	out := entity{"@odata.context": c.context(), "value": items}
	maps.Copy(out, l.notes)
	if c.query.count {
		out["@odata.count"] = l.total
	}
	if l.next != "" {
		out["@odata.nextLink"] = c.nextLink(l.next)
	}
	return out
}

// choose keeps what $select asks for; the id, annotations and what was expanded
// always stay.
func (c *call) choose(e entity) entity {
	out := pick(e, c.query.selected)
	for _, x := range c.query.expand {
		for _, name := range []string{x.name, x.name + "@odata.nextLink"} {
			if v, ok := e[name]; ok {
				out[name] = v
			}
		}
	}
	return out
}

// pick keeps the properties that are selected, all of them when none is.
func pick(e entity, selected []string) entity {
	if len(selected) == 0 || slices.Contains(selected, "*") {
		return e
	}
	out := entity{}
	for name, v := range e {
		wanted := func(s string) bool {
			first, _, _ := strings.Cut(s, "/")
			return strings.EqualFold(first, name)
		}
		if name == "id" || strings.HasPrefix(name, "@") || slices.ContainsFunc(selected, wanted) {
			out[name] = v
		}
	}
	return out
}

// picked is pick for each of a list, which is never null.
func picked(all []entity, selected []string) []entity {
	out := make([]entity, 0, len(all))
	for _, e := range all {
		out = append(out, pick(e, selected))
	}
	return out
}

// context is the metadata address of what is answered (OData JSON Format
// 4.01, Section 4.6.1).
func (c *call) context() string {
	what := c.op.set
	if len(c.query.selected) > 0 {
		what += "(" + strings.Join(c.query.selected, ",") + ")"
	}
	return c.cfg.BaseURL + c.version + "/$metadata#" + what
}

// nextLink is the same question, one page on.
func (c *call) nextLink(cursor string) string {
	q := c.r.URL.Query()
	for name := range q {
		if strings.EqualFold(strings.TrimPrefix(name, "$"), "skiptoken") {
			q.Del(name)
		}
	}
	q.Set("$skiptoken", skipToken(cursor))
	return c.cfg.BaseURL + c.r.URL.EscapedPath() + "?" + q.Encode()
}

// stamp is how times are written; the zero time is null.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

func count(n int64) text { return text(strconv.FormatInt(n, 10)) }
