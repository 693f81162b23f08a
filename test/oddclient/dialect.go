package oddclient

import (
	"encoding/json"
	"strconv"
	"time"
)

// Dialect is the habits of one client. The facts are those of
// device-protocol.md §0, §7 and §14.
type Dialect struct {
	Name string

	// TokenPath and AuthorizePath follow the tenant, in the client's own
	// spelling (§0.8).
	TokenPath, AuthorizePath string
	// Slash is put before each path: "//" for clients that join carelessly.
	Slash string
	// NoContentType leaves it out of the nonce request (§0.3).
	NoContentType bool
	// RawForms posts values without URL encoding (§0.7).
	RawForms bool

	// JoinVersion is the api-version of a join (§5.1).
	JoinVersion string
	// TransportJWK sends the transport key as a JWK in standard base64
	// instead of an RSA1 blob (§5.1 b).
	TransportJWK bool

	// X5CText sends x5c as a string instead of an array (§0.9).
	X5CText bool
	// StandardSegments encodes header and payload in the standard alphabet
	// (§0.10); Padded adds padding.
	StandardSegments, Padded bool
	// StrayKid adds a kid that means nothing (§1.3).
	StrayKid bool
	// Times says how iat, nbf and exp are written in requests, HelloTimes in
	// Hello assertions (§0.11).
	Times, HelloTimes Times
	// HelloBack is how far in the past the Hello assertion's iat lies, and
	// HelloAhead how far its exp lies ahead; zero leaves both out.
	HelloBack, HelloAhead time.Duration

	// Protocol names the form field with the version: windows_api_version or
	// prt_protocol_version (§7).
	Protocol, Version string
	// KDF is 1 or 2; ctx is Constant or CtxLen random bytes (§8.2).
	KDF, CtxLen int
	Constant    []byte

	// TGT is the value of the tgt field, if any (§7).
	TGT string
	// Cookie carries the browser credential instead of the header (§9.3).
	Cookie bool
	// OneNonce puts the same nonce into both credentials (§0.5).
	OneNonce bool
	// BodyCode reads the code from the first link of the body (§0.6).
	BodyCode bool
	// PollField carries the device code in polls (§0.23).
	PollField string
	// Previous sends previous_refresh_token with a renewal (§9.2).
	Previous bool
	// UserAgent is sent when not empty.
	UserAgent string
}

// Times is how a client writes moments.
type Times int

// The three habits of §0.11.
const (
	NoTimes Times = iota
	NumberTimes
	StringTimes
)

func (t Times) put(payload map[string]any, name string, at time.Time) {
	switch t {
	case NumberTimes:
		payload[name] = json.Number(strconv.FormatInt(at.Unix(), 10))
	case StringTimes:
		payload[name] = strconv.FormatInt(at.Unix(), 10)
	}
}

// The fields of the two families of versions.
const (
	windowsAPI  = "windows_api_version"
	prtProtocol = "prt_protocol_version"
)

// DialectA has no times, an array x5c, no Content-Type on the nonce request,
// unencoded forms, KDF 1 with 32 bytes of ctx, one nonce for both headers, and
// reads the code from the body's link (§0.2, 0.3, 0.5–0.9, 0.11; §14 column 1).
func DialectA() Dialect {
	return Dialect{
		Name: "a", TokenPath: "oauth2/token", AuthorizePath: "oAuth2/v2.0/authorize", Slash: "//", NoContentType: true, RawForms: true,
		JoinVersion: "2.0", StrayKid: true, HelloBack: 5 * time.Minute, HelloAhead: 5 * time.Minute, HelloTimes: NumberTimes,
		Protocol: windowsAPI, Version: "2.0", KDF: 1, CtxLen: 32, TGT: "true",
		OneNonce: true, BodyCode: true, PollField: "device_code",
	}
}

// DialectB has decimal strings for times, x5c as a string, KDF 2 with 24 bytes
// of ctx, Hello assertions from an hour ago, a cookie instead of a header, and
// polls with code= (§0.2, 0.4, 0.9, 0.11, 0.23; §7 columns 2–4; §14 column 2).
func DialectB() Dialect {
	return Dialect{
		Name: "b", TokenPath: "oauth2/token", AuthorizePath: "oauth2/v2.0/authorize", Slash: "/",
		JoinVersion: "2.0", TransportJWK: true, X5CText: true, Times: StringTimes, HelloTimes: StringTimes, HelloBack: time.Hour, HelloAhead: time.Hour,
		Protocol: windowsAPI, Version: "2.2", KDF: 2, CtxLen: 24, TGT: "True",
		Cookie: true, PollField: "code", Previous: true, UserAgent: "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0)",
	}
}

// DialectC writes header and payload in standard base64, x5c as a string, joins
// with api-version 1.0 and derives with KDF 2 from a constant ctx (§0.2, 0.9,
// 0.10, 0.11; §7 last column; §14 column 3).
func DialectC() Dialect {
	return Dialect{
		Name: "c", TokenPath: "oauth2/token", AuthorizePath: "oauth2/authorize", Slash: "/",
		JoinVersion: "1.0", X5CText: true, StandardSegments: true, Times: NumberTimes, HelloTimes: NumberTimes, HelloAhead: 10 * time.Minute,
		Protocol: windowsAPI, Version: "2.0", KDF: 2, Constant: []byte("always the same 24 bytes"),
		PollField: "device_code",
	}
}

// With is the dialect speaking another version of the protocol.
func (d Dialect) With(field, version string) Dialect {
	d.Protocol, d.Version = field, version
	if field == prtProtocol {
		d.TokenPath, d.KDF = "oauth2/v2.0/token", 2
	}
	return d
}

// WithKDF is the dialect with another key derivation.
func (d Dialect) WithKDF(version int) Dialect {
	d.KDF = version
	return d
}
