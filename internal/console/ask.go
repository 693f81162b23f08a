package console

import (
	"html/template"
	"net/http"
	"strings"
)

// askView is a question before something that takes something from somebody.
type askView struct {
	Action  string
	Text    []template.HTML
	Fields  []field
	Keep    string // where "no" leads
	Yes, No template.HTML
	Harm    bool
}

// ask shows the question.
func (v *visit) ask(title template.HTML, a askView) error {
	return v.show(http.StatusOK, v.page("ask", title, a))
}

// parent is the page that an action's address lies below.
func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > len("/admin") {
		return path[:i]
	}
	return "/admin"
}
