package page

import (
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestContrast recomputes design.md §2 from the tokens that ship, in both
// themes and for the flat list (WCAG 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	raw, err := os.ReadFile("static/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := map[string]map[string]string{"light": {}, "dark": {}, "flat": {}}
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+): light-dark\((#[0-9A-F]{6}), (#[0-9A-F]{6})\)`).FindAllStringSubmatch(string(raw), -1) {
		themes["light"][m[1]], themes["dark"][m[1]] = m[2], m[3]
	}
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9A-F]{6});`).FindAllStringSubmatch(string(raw), -1) {
		themes["flat"][m[1]] = m[2]
	}
	for name, hex := range themes["light"] {
		if themes["flat"][name] != hex {
			t.Errorf("flat --%s is %q, light is %q", name, themes["flat"][name], hex)
		}
	}
	pairs := []struct {
		front, back string
		least       float64
	}{
		{"ink", "ground", 4.5}, {"ink", "surface", 4.5}, {"ink", "sunk", 4.5}, {"ink", "raised", 4.5},
		{"ink-2", "ground", 4.5}, {"ink-2", "surface", 4.5}, {"ink-2", "sunk", 4.5},
		{"ink-3", "ground", 4.5}, {"ink-3", "surface", 4.5}, {"ink-3", "sunk", 4.5},
		{"on-accent", "accent", 4.5}, {"on-accent", "accent-hover", 4.5}, {"edge", "surface", 3}, {"edge", "ground", 3},
		{"accent-text", "surface", 4.5}, {"accent-text", "ground", 4.5}, {"accent-text", "accent-wash", 4.5}, {"brass", "surface", 4.5}, {"brass", "ground", 4.5},
		{"bad", "surface", 4.5}, {"bad", "bad-wash", 4.5}, {"bad", "ground", 4.5}, {"warn", "surface", 4.5}, {"warn", "warn-wash", 4.5}, {"good", "surface", 4.5}, {"good", "good-wash", 4.5},
		{"ink", "bad-wash", 4.5}, {"ink", "warn-wash", 4.5}, {"ink", "good-wash", 4.5}, {"ink-2", "accent-wash", 4.5}, {"ink", "accent-wash", 4.5},
		{"focus", "surface", 3}, {"focus", "ground", 3}, {"focus", "sunk", 3}, {"brass-line", "surface", 3},
	}
	for theme, tokens := range themes {
		for _, pair := range pairs {
			f, b := tokens[pair.front], tokens[pair.back]
			if f == "" || b == "" {
				t.Fatalf("%s: no --%s or --%s", theme, pair.front, pair.back)
			}
			if got := contrast(f, b); got < pair.least {
				t.Errorf("%s: %s on %s is %.2f, less than %.1f", theme, pair.front, pair.back, got, pair.least)
			}
		}
	}
	// The design's own table, to two digits: the same sums, the same values.
	for _, row := range []struct {
		front, back string
		light, dark string
	}{
		{"ink", "ground", "15.05", "15.70"}, {"on-accent", "accent", "7.82", "8.80"}, {"ink-3", "sunk", "4.73", "7.05"},
		{"focus", "ground", "4.28", "11.25"}, {"bad", "bad-wash", "6.34", "7.42"}, {"edge", "ground", "3.23", "4.46"},
	} {
		light := fmt.Sprintf("%.2f", contrast(themes["light"][row.front], themes["light"][row.back]))
		dark := fmt.Sprintf("%.2f", contrast(themes["dark"][row.front], themes["dark"][row.back]))
		if light != row.light || dark != row.dark {
			t.Errorf("%s on %s: %s / %s, the design says %s / %s", row.front, row.back, light, dark, row.light, row.dark)
		}
	}
}

// contrast is that of WCAG 2.2.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

func luminance(hex string) float64 {
	var rgb [3]float64
	for i := range rgb {
		n, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		v := float64(n) / 255
		if v <= .04045 {
			rgb[i] = v / 12.92
		} else {
			rgb[i] = math.Pow((v+.055)/1.055, 2.4)
		}
	}
	return .2126*rgb[0] + .7152*rgb[1] + .0722*rgb[2]
}

func TestLocalPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/account?x=1": true, "/t/oauth2/v2.0/authorize?a=b%20c": true,
		"": false, "account": false, "//evil.example": false, `/\evil.example`: false, "/a\r\nSet-Cookie: x": false, "https://evil.example": false, "/a b": false,
		"/\tevil": false,
	} {
		if got := LocalPath(path); got != want {
			t.Errorf("%q: got %v", path, got)
		}
	}
}

func TestCookies(t *testing.T) {
	rec := httptest.NewRecorder()
	(&Set{secure: true}).Keep(rec, themeCookie, "dark")
	for _, want := range []string{"__Host-signet-theme=dark", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
		if got := rec.Header().Get("Set-Cookie"); !strings.Contains(got, want) {
			t.Errorf("cookie %q lacks %s", got, want)
		}
	}
}
