package page

import (
	"testing"
)

func TestAgentName(t *testing.T) {
	c, err := LoadCatalogue(wordFiles)
	if err != nil {
		t.Fatal(err)
	}
	pg := &Page{Words: c.list[0]}
	for agent, want := range map[string]string{
		firefox: "Firefox on Linux", mac: "Safari on macOS", pixel: "Chrome on Android",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0":                  "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
		"curl/8.5": "curl", "": "Unknown browser", "(Linux)": "A browser on Linux",
	} {
		if got := string(AgentName(pg, agent)); got != want {
			t.Errorf("%q: got %q, want %q", agent, got, want)
		}
	}
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15"
const pixel = "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"
