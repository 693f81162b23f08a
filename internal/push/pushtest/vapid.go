package pushtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// vapid checks who says that he sends (RFC 8292, Sections 2 and 3), with the
// strictness of the strictest service: the subject is there, and has a public
// host. bound is the key of the subscription, when it is bound to one.
func vapid(header, origin, bound string, now time.Time) (subject, key, problem string) {
	rest, ok := strings.CutPrefix(header, "vapid ")
	if !ok {
		return "", "", "Authorization is not vapid"
	}
	params := map[string]string{}
	for _, p := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		params[name] = value
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(params["k"])
	if err != nil {
		return "", "", "k is not base64url"
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	if err != nil {
		return "", "", "k is no point on P-256"
	}
	if bound != "" && params["k"] != bound { // Section 4.2
		return "", "", "VapidPkHashMismatch"
	}
	token, err := jose.ParseSignedCompact(params["t"], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", "", "t is no JWS by ES256"
	}
	body, err := token.Verify(public)
	if err != nil {
		return "", "", "BadJwtToken: signature"
	}
	var claims struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
	}
	if json.Unmarshal(body, &claims) != nil {
		return "", "", "BadJwtToken: claims"
	}
	if claims.Audience != origin {
		return "", "", "BadJwtToken: aud"
	}
	if exp := time.Unix(claims.Expires, 0); exp.Before(now) || exp.After(now.Add(24*time.Hour)) {
		return "", "", "BadJwtToken: exp"
	}
	if !reachable(claims.Subject) {
		return "", "", "BadJwtToken: sub"
	}
	return claims.Subject, params["k"], ""
}

// reachable says whether a subject could be written to.
func reachable(subject string) bool {
	u, err := url.Parse(subject)
	if err != nil {
		return false
	}
	host := u.Hostname()
	switch u.Scheme {
	case "mailto":
		_, host, _ = strings.Cut(u.Opaque, "@")
	case "https":
	default:
		return false
	}
	for _, bad := range []string{"localhost", ".localhost", ".local", ".invalid"} {
		if host == bad || strings.HasSuffix(host, bad) {
			return false
		}
	}
	return strings.Contains(host, ".") && net.ParseIP(host) == nil
}
