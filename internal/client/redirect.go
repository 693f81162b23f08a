package client

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
)

// maxURI is the length of a registered URI; doors refuse longer ones unread.
const maxURI = 2048

// MatchRedirect says whether uri is one of the client's redirect URIs: the
// same bytes (RFC 9700, Section 4.1.3). The only exception is the port of a
// loopback address of a native client, which the system chooses when the app
// starts (RFC 8252, Section 7.3).
func MatchRedirect(c Client, uri string) bool { return match(c, c.RedirectURIs, uri) }

// MatchPostLogout says the same of the URIs a browser may go to after logout
// (security.md OAU16).
func MatchPostLogout(c Client, uri string) bool { return match(c, c.PostLogoutURIs, uri) }

func match(c Client, registered []string, uri string) bool {
	if uri == "" || len(uri) > maxURI {
		return false
	}
	for _, r := range registered {
		if r == uri {
			return true
		}
		if c.Kind != Native {
			continue
		}
		rHost, rRest, ok := cutLoopback(r)
		if !ok {
			continue
		}
		if host, rest, ok := cutLoopback(uri); ok && host == rHost && rest == rRest {
			return true
		}
	}
	return false
}

// loopbacks are the hosts whose port may vary. RFC 8252, Section 8.3 would
// rather not have localhost, but RFC 9700, Section 4.1.3 and the libraries in
// use have it.
var loopbacks = []string{"127.0.0.1", "[::1]", "localhost"}

// cutLoopback takes http://host[:port]rest apart for a loopback host. It works
// on the bytes and not on a parsed URL: two parsers may disagree, bytes may
// not.
func cutLoopback(uri string) (host, rest string, ok bool) {
	after, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", "", false
	}
	for _, host := range loopbacks {
		rest, ok := strings.CutPrefix(after, host)
		if !ok {
			continue
		}
		if port, ok := strings.CutPrefix(rest, ":"); ok {
			digits := len(port) - len(strings.TrimLeft(port, "0123456789"))
			if !validPort(port[:digits]) {
				return "", "", false
			}
			rest = port[digits:]
		}
		if rest != "" && rest[0] != '/' && rest[0] != '?' {
			return "", "", false // localhost.evil.example, 127.0.0.1@evil.example
		}
		return host, rest, true
	}
	return "", "", false
}

func validPort(p string) bool {
	n, err := strconv.Atoi(p)
	return err == nil && n >= 1 && n <= 65535 && p[0] != '0'
}

// sectorOf is whom the pairwise subjects of an application are for (OpenID
// Connect Core 1.0, Section 8.1): the host that all its redirect URIs share,
// when that is one that somebody owns. Loopback addresses and schemes of apps
// are everybody's: there the application is alone, and so it is with several
// hosts, for want of a published list of them.
func sectorOf(c Client) string {
	host := ""
	for _, uri := range c.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" || onThisMachine(u.Hostname()) || host != "" && host != u.Hostname() {
			return string(c.ID)
		}
		host = u.Hostname()
	}
	if host == "" {
		return string(c.ID)
	}
	return "https://" + host // no id looks like that
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// CheckRedirect says why uri may not be registered for a client of that kind,
// or nil. Web applications have https, or http on this machine while they are
// being written; native ones also a scheme of their own with a dot in it (RFC
// 8252, Section 7.1). Nothing may be in a URI that two parsers could read
// differently.
func CheckRedirect(kind, uri string) error {
	if say := redirectFault(kind, uri); say != "" {
		return idp.Invalidf("bad_redirect_uri", "uri %q: %s", audit.Clean(uri, 200), say).On("redirectUri").
			Say("The address " + strconv.Quote(audit.Clean(uri, 200)) + " cannot be registered: " + say + ".")
	}
	return nil
}

func redirectFault(kind, uri string) string {
	if uri == "" || len(uri) > maxURI {
		return "it is empty or longer than 2048 characters"
	}
	if say := characterFault(uri); say != "" {
		return say
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return "it is no absolute URI"
	}
	if !strings.HasPrefix(uri, u.Scheme+":") {
		return "its scheme must be in lower case"
	}
	switch {
	case u.Scheme == "https":
		return authorityFault(u, uri, false)
	case u.Scheme == "http":
		return authorityFault(u, uri, true)
	case kind == Native && strings.Contains(u.Scheme, "."):
		return privateFault(u, uri)
	case kind == Native:
		return "a native application has https, http on this machine, or a scheme with a dot such as com.example.app"
	}
	return "a web application has https, or http on this machine"
}

// characterFault refuses what has no place in a URI (RFC 3986, Section 2) and
// what some parser reads as something else.
func characterFault(uri string) string {
	for _, r := range uri {
		switch {
		case r <= 0x20 || r >= 0x7f:
			return "it has a space, a control character or a letter outside ASCII"
		case r == '#':
			return "it has a fragment"
		case r == '*':
			return "it has a wildcard"
		case strings.ContainsRune("\\\"<>^`{|}", r):
			return "it has a character that is not allowed in a URI"
		}
	}
	for i := 0; i < len(uri); i++ {
		if uri[i] != '%' {
			continue
		}
		if i+2 >= len(uri) || !isHex(uri[i+1]) || !isHex(uri[i+2]) {
			return "it has a broken percent escape"
		}
		// Escapes that hide what was just refused, or a dot or slash.
		b, _ := strconv.ParseUint(uri[i+1:i+3], 16, 8)
		if b <= 0x20 || b == 0x7f || strings.ContainsRune(`#*\./%`, rune(b)) {
			return "it hides a character behind a percent escape"
		}
	}
	return ""
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// authorityFault checks a URI with a host.
func authorityFault(u *url.URL, uri string, plain bool) string {
	switch {
	case u.Opaque != "" || u.Host == "":
		return "it has no host"
	case u.User != nil || strings.Contains(u.Host, "@"):
		return "it has a user name"
	case strings.HasPrefix(uri, u.Scheme+":///"):
		return "it has no host"
	case u.Port() == "" && strings.HasSuffix(u.Host, ":") || u.Port() != "" && !validPort(u.Port()):
		return "its port is none"
	}
	if say := hostFault(u); say != "" {
		return say
	}
	if _, _, loop := cutLoopback(uri); plain && !loop {
		return "http is for this machine only (127.0.0.1, [::1], localhost); use https"
	}
	return pathFault(u.EscapedPath())
}

func hostFault(u *url.URL) string {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		if ip, err := netip.ParseAddr(host); err != nil || ip.Zone() != "" || ip.String() != host {
			return "its address is not in the usual form"
		}
		return ""
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') }) {
			return "its host name must be lower-case letters, digits and hyphens, with dots between"
		}
	}
	// 0x7f.1, 2130706433 and 0177.0.0.1 are addresses to a browser.
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is4() || ip.String() != host {
			return "its address is not in the usual form"
		}
	}
	return ""
}

// pathFault refuses paths that browsers rewrite before they go there.
func pathFault(path string) string {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "its path has dot segments"
		}
	}
	if strings.HasPrefix(path, "//") {
		return "its path begins with two slashes"
	}
	return ""
}

// privateFault checks a URI of an app's own scheme.
func privateFault(u *url.URL, uri string) string {
	for label := range strings.SplitSeq(u.Scheme, ".") {
		if label == "" {
			return "its scheme must look like com.example.app"
		}
	}
	if u.User != nil || strings.Contains(u.Host, "@") {
		return "it has a user name"
	}
	if len(uri) <= len(u.Scheme)+1 {
		return "it has nothing behind its scheme"
	}
	if u.Opaque != "" {
		return "a slash must follow its scheme"
	}
	return pathFault(u.EscapedPath())
}
