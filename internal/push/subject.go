package push

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// notPublic are the last labels of names that mean something on somebody's own
// network only, or nothing at all (RFC 2606, RFC 6761, RFC 6762, RFC 8375,
// ICANN's "internal", and what is common besides).
var notPublic = []string{
	"localhost", "local", "localdomain", "invalid", "test", "example", "internal", "intranet", "private", "corp", "home", "lan", "onion", "arpa",
}

// PublicName says whether a host name could be one of the public internet. It
// asks nobody.
func PublicName(host string) bool {
	host = strings.ToLower(host)
	if _, err := netip.ParseAddr(host); err == nil || !hostName(host) || numeric(host) {
		return false
	}
	i := strings.LastIndexByte(host, '.')
	return i > 0 && !slices.Contains(notPublic, host[i+1:])
}

// CheckSubject judges what push services are told about whom to ask (VAPID's
// sub, RFC 8292, Section 2.1): mailto: or https: with a public host. [K] Apple
// answers 403 BadJwtToken to every message with another one
// (passkeys-and-phone.md §6.8), so it is refused at the start.
func CheckSubject(s string) error {
	bad := func(why string) error {
		return idp.Invalidf("push_subject", "push-subject is %q, %s: push services ask for an address that they could write to, and Apple's refuses all messages without one; "+
			"write it as mailto:help@example.com", s, why)
	}
	u, err := url.Parse(s)
	if err != nil {
		return bad("which is no address")
	}
	host := u.Hostname()
	switch u.Scheme {
	case "mailto":
		name, domain, ok := strings.Cut(u.Opaque, "@")
		if !ok || name == "" || strings.ContainsAny(u.Opaque, " ,;<>%") || u.RawQuery != "" || u.Fragment != "" {
			return bad("which is no mail address")
		}
		host = domain
	case "https":
		if u.User != nil || u.Fragment != "" || u.Host == "" {
			return bad("which is no plain address")
		}
	default:
		return bad("which begins with neither mailto: nor https:")
	}
	if !PublicName(host) {
		return bad("whose host the public internet does not know")
	}
	return nil
}

// SubjectOf is what to say about whom to ask when nobody said: the address of
// this server, where it is a public one, and "" otherwise.
func SubjectOf(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || !PublicName(u.Hostname()) {
		return ""
	}
	return "https://" + u.Hostname()
}
