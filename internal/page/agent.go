package page

import (
	"html/template"
	"strings"
)

// token is a word in a User-Agent header and the name that people know.
type token struct{ word, name string }

// The order matters: every browser claims to be several others.
var (
	browsers = []token{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systems = []token{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

func find(agent string, list []token) string {
	for _, t := range list {
		if strings.Contains(agent, t.word) {
			return t.name
		}
	}
	return ""
}

// AgentName turns a User-Agent header into "Firefox on Linux". It is what the
// browser says of itself: good to recognise one's own, proof of nothing.
func AgentName(pg *Page, agent string) template.HTML {
	browser, system := find(agent, browsers), find(agent, systems)
	switch {
	case browser == "" && system == "":
		return pg.T("agent.unknown")
	case browser == "":
		browser = Plain(pg.T("agent.browser"))
	case system == "":
		return template.HTML(template.HTMLEscapeString(browser))
	}
	return pg.T("agent.on", "browser", browser, "system", system)
}

// AgentWords is AgentName in English, for what is kept and signed: it must read
// the same to whoever looks. Empty when nothing is known.
func AgentWords(agent string) string {
	browser, system := find(agent, browsers), find(agent, systems)
	switch {
	case browser == "" && system == "":
		return ""
	case browser == "":
		return "A browser on " + system
	case system == "":
		return browser
	}
	return browser + " on " + system
}

// AgentIcon is the picture of the machine.
func AgentIcon(agent string) string {
	switch find(agent, systems) {
	case "Android", "iPhone", "iPad":
		return "phone"
	case "macOS":
		return "screen"
	}
	return "laptop"
}

// SystemName is what this machine runs, for the name of a passkey on it.
func SystemName(pg *Page, agent string) string {
	if s := find(agent, systems); s != "" {
		return s
	}
	return Plain(pg.T("agent.unknown"))
}
