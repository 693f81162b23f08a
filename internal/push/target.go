package push

import (
	"cmp"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// vendors are the push services of the browsers' makers; a star stands for one
// or more labels. [K] web.push.apple.com, fcm.googleapis.com,
// updates.push.services.mozilla.com and <region>.notify.windows.com are what
// today's browsers give (passkeys-and-phone.md §6.8).
var vendors = []string{"*.push.apple.com", "fcm.googleapis.com", "updates.push.services.mozilla.com", "*.notify.windows.com"}

// Bounds of what a phone may register.
const (
	maxEndpoint = 2048 // of Mozilla's some 200, of others up to 500
	maxToken    = 4096
	authSize    = 16 // RFC 8291, Section 3.2
)

// Host is a push service that the operator adds.
type Host struct {
	Name    string // host name, or an address
	Port    string
	Private bool // in a network of the operator's own
}

// String is the host and its port.
func (h Host) String() string { return net.JoinHostPort(h.Name, h.Port) }

// ParseHost reads "push.example.com", "push.example.com:8443" and
// "push.internal:8443/private". The port is 443 when none is given.
func ParseHost(s string) (Host, error) {
	text, private := strings.CutSuffix(s, "/private")
	h := Host{Private: private}
	var err error
	if h.Name, h.Port, err = net.SplitHostPort(text); err != nil {
		h.Name, h.Port = strings.Trim(text, "[]"), "443"
	}
	h.Name = strings.ToLower(h.Name)
	ip, notIP := netip.ParseAddr(h.Name)
	if notIP == nil {
		h.Name = ip.String()
	}
	if n, err := strconv.ParseUint(h.Port, 10, 16); err != nil || n == 0 || notIP != nil && !hostName(h.Name) {
		return Host{}, idp.Invalidf("push_host", "%q is no host: write it as push.example.com, push.example.com:8443, or push.internal:8443/private", s)
	}
	return h, nil
}

// hostName says whether a name, in lower case, is made of the letters of host
// names only.
func hostName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.') {
			return false
		}
	}
	return true
}

// Check refuses a target that nothing would be sent to: Invalid, with a reason
// of its own for each rule and a sentence for the person.
func (s *Service) Check(t Target) error {
	switch t.Kind {
	case WebPush, APNs, FCM:
	default:
		return idp.Invalidf("push_kind_unknown", "kind %q", t.Kind).On("push.kind").Say("This server does not know that kind of notification.")
	}
	if s.roads[t.Kind] == nil {
		return s.closed(t.Kind)
	}
	switch t.Kind {
	case APNs:
		return s.checkAPNs(t)
	case FCM:
		return checkFCM(t)
	}
	if _, _, err := s.endpoint(t.Endpoint); err != nil {
		return err
	}
	_, _, err := webKeys(t)
	return err
}

// closed says why a road is not open.
func (s *Service) closed(kind string) error {
	return idp.Invalidf("push_kind_closed", "%s is not set up", kind).On("push.kind").Say(s.Closed(kind))
}

// Closed says in a sentence why a road is not open; "" of one that is.
func (s *Service) Closed(kind string) string {
	switch {
	case s.roads[kind] != nil:
		return ""
	case kind == WebPush:
		return "This server sends no notifications: push services want to know whom to ask about it, and its address is not a public one. " +
			"Its operator has to set push-subject to an address such as mailto:help@example.com."
	case kind == APNs:
		return "This server sends no notifications by Apple's service: its operator has to give it a key for that."
	case kind == FCM:
		return "This server sends no notifications by Firebase: its operator has to give it credentials for that."
	}
	return "This server does not know that kind of notification."
}

func badEndpoint(reason, public, format string, args ...any) error {
	return idp.Invalidf(reason, format, args...).On("push.endpoint").Say(public)
}

// endpoint judges an address that a phone gave, and gives it as it is called,
// and the road there. The path of an endpoint is a secret and in no error.
func (s *Service) endpoint(raw string) (*url.URL, road, error) {
	if raw == "" || len(raw) > maxEndpoint {
		return nil, road{}, badEndpoint("push_endpoint_malformed", "The notification address has a wrong length.", "endpoint of %d bytes", len(raw))
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return nil, road{}, badEndpoint("push_endpoint_malformed", "The notification address is no address.", "endpoint with byte %#x", c)
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || u.Fragment != "" || strings.HasSuffix(u.Host, ":") {
		return nil, road{}, badEndpoint("push_endpoint_malformed", "The notification address is no address.", "endpoint is no plain URL")
	}
	if u.Scheme != "https" {
		return nil, road{}, badEndpoint("push_endpoint_scheme", "A notification address begins with https.", "endpoint with scheme %q", u.Scheme)
	}
	host, port := strings.ToLower(u.Hostname()), cmp.Or(u.Port(), "443")
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	}
	u.Host = net.JoinHostPort(host, port)
	if port == "443" {
		u.Host = strings.TrimSuffix(u.Host, ":443") // as in an origin: VAPID's aud (RFC 8292, Section 2)
	}
	if r, ok := s.hosts[net.JoinHostPort(host, port)]; ok {
		return u, r, nil
	}
	if numeric(host) {
		return nil, road{}, badEndpoint("push_endpoint_number", "A notification address has a host name, not a number.", "endpoint at %s", host)
	}
	lane := vendor(host)
	if lane == "" {
		return nil, road{}, badEndpoint("push_endpoint_host",
			"Notifications by "+shown(host)+" are not allowed here. The server's operator can add it: push-host.", "endpoint at %s", host)
	}
	if port != "443" {
		return nil, road{}, badEndpoint("push_endpoint_port", "A notification address has no port of its own.", "endpoint at %s, port %s", host, port)
	}
	return u, road{lane: lane, client: s.vendors}, nil
}

// numeric says whether a host is an address, in any way that some resolver
// takes for one: 127.0.0.1, 2130706433, 0x7f.1, ::1.
func numeric(host string) bool {
	if strings.ContainsAny(host, ":%") {
		return true
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || last == "0x"
}

// shown is a host for a sentence: what is no host name is not repeated.
func shown(host string) string {
	if !hostName(host) || len(host) > 100 {
		return "that service"
	}
	return host
}

// vendor is the line of vendors that a host is on, or "".
func vendor(host string) string {
	if !hostName(host) {
		return ""
	}
	for _, v := range vendors {
		if suffix, wild := strings.CutPrefix(v, "*"); host == v || wild && strings.HasSuffix(host, suffix) {
			return v
		}
	}
	return ""
}

// webKeys judges the keys of a subscription: a point on P-256, uncompressed,
// and 16 bytes (RFC 8291, Sections 3.1 and 3.2).
func webKeys(t Target) (public *ecdh.PublicKey, auth []byte, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(t.P256DH)
	if err == nil {
		public, err = ecdh.P256().NewPublicKey(raw)
	}
	if err != nil {
		return nil, nil, idp.Invalidf("push_keys_malformed", "p256dh: %w", err).On("push.p256dh").Say("The keys of the notification address are damaged.")
	}
	auth, err = base64.RawURLEncoding.Strict().DecodeString(t.Auth)
	if err != nil || len(auth) != authSize {
		return nil, nil, idp.Invalidf("push_keys_malformed", "auth of %d bytes", len(auth)).On("push.auth").Say("The keys of the notification address are damaged.")
	}
	return public, auth, nil
}

func badToken(format string, args ...any) error {
	return idp.Invalidf("push_token_malformed", format, args...).On("push.token").Say("The notification token is damaged.")
}

// checkAPNs judges a device token, which is a part of the address that is
// called. [K] Apple says only that its length may change.
func (s *Service) checkAPNs(t Target) error {
	if _, err := hex.DecodeString(t.Token); err != nil || len(t.Token) < 32 || len(t.Token) > 400 {
		return badToken("device token of %d bytes", len(t.Token))
	}
	if !s.cfg.APNs.serves(t.Topic) {
		return idp.Invalidf("push_topic_refused", "topic %q", t.Topic).On("push.topic").Say("This server sends no notifications to that app.")
	}
	return nil
}

// checkFCM judges a registration token: letters, digits and -_:. [K] by what
// is seen; it travels inside JSON.
func checkFCM(t Target) error {
	if t.Token == "" || len(t.Token) > maxToken {
		return badToken("registration token of %d bytes", len(t.Token))
	}
	for _, c := range []byte(t.Token) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_:.", c) >= 0) {
			return badToken("registration token with byte %#x", c)
		}
	}
	return nil
}
