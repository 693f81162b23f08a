package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/signetid/signet/internal/drs"
)

// Config is everything an operator may set. The zero value of a field that
// has a default means the default; Default shows them.
type Config struct {
	Data     string // folder with the SQLite file, the key-encryption key and admin.sock
	Database string // postgres://… instead of SQLite

	Listen        string // pages and APIs
	ListenTLS     string // the same over TLS, with client certificates asked for; empty or off: none
	ListenMetrics string // when set, /metrics is served there and nowhere else; empty: on Listen, for this machine
	BaseURL       string // the address people and apps use; empty: http://localhost and the port of Listen
	TLSBaseURL    string // the address of ListenTLS; empty: the host of BaseURL and the port of ListenTLS
	TLSCert       string // with TLSKey: Listen serves TLS, and ListenTLS shows it
	TLSKey        string
	TrustedProxy  []string // networks whose X-Forwarded-For is believed
	Handshake     Handshake

	KEKFile string // default: kek in Data
	KEK     string // the key itself (SIGNET_KEK), instead of a file

	LogLevel       string
	Drain          time.Duration // between "not ready" and closed listeners, so that a proxy notices
	Stop           time.Duration // what requests in flight get to finish
	AuditKeep      time.Duration // how long audit records are kept
	RelatedOrigins []string      // other origins that may use this server's passkeys
	Metadata       Metadata      // where what is known of key models comes from
	Limits         Limits        // how often one source may try
	Push           Push          // how phones are told that something waits
	Places         Places        // where addresses are
	CRL            CRL           // how lists of revoked certificates are fetched
	TPMRoots       string        // certificates of TPM makers, a PEM file or a folder; empty: no TPM is believed
	Macs           Macs          // the programs that stand for this server on Macs

	// AcceptRollback starts a database that lacks what this node saw written,
	// and voids everything that was handed out (decisions 1.7).
	AcceptRollback bool
	// Demo serves a database marked as a demo's, on this machine only.
	Demo bool
	// anyMark opens a database whether or not it is marked as a demo's.
	anyMark bool

	Log *slog.Logger
	Now func() time.Time
}

// Metadata says where the FIDO metadata comes from. The zero value fetches
// nothing: names are bundled, and administrators may load a file.
type Metadata struct {
	URL     string // https://…, or "off"
	File    string // read instead, whenever it changes; wins over URL
	Private bool   // URL is in a network of one's own, and may be http
}

// url is the address, or nothing when it is "off".
func (m Metadata) url() string {
	if m.URL == "off" {
		return ""
	}
	return m.URL
}

func (m Metadata) check() error {
	u, err := url.Parse(m.url())
	switch {
	case m.url() == "":
		return nil
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("metadata-url is %q, which is no address: write it as https://mds.example.com/, or off", m.URL)
	case u.Scheme == "http" && !m.Private:
		return fmt.Errorf("metadata-url is %q: use https, or say metadata-private for a mirror in a network of your own", m.URL)
	}
	return nil
}

// Limits bound what one source may do, so that a stranger can neither guess nor
// exhaust; decisions 3.7 has where they start from.
type Limits struct {
	Nonces    int // server nonces a minute
	Begins    int // challenges on the sign-in page a minute
	Failures  int // refused requests of applications a minute; a tenth for each application
	PassTries int // access passes for one user name in 15 minutes
	Asks      int // sign-ins by phone a minute
}

// Default is the configuration of a server that was told nothing.
func Default() Config {
	return Config{
		Data:      "./signet-data",
		Listen:    "127.0.0.1:8080",
		LogLevel:  "info",
		Drain:     time.Second,
		Stop:      15 * time.Second,
		AuditKeep: 180 * 24 * time.Hour,
		CRL:       CRL{Bytes: 20 << 20, Time: 10 * time.Second},
		Limits:    Limits{Nonces: 60, Begins: 240, Failures: 600, PassTries: 5, Asks: 10},
		Now:       time.Now,
	}
}

// Validate reports every complaint at once, each a sentence that says what to
// change. It looks at the words only, not at disk or network.
func (c Config) Validate() error {
	return errors.Join(
		c.checkListeners(),
		checkBaseURL(c.BaseURL, c.Demo),
		c.checkTLSBaseURL(),
		c.checkDatabase(),
		c.checkTLS(),
		c.Handshake.check(c),
		c.checkLimits(),
		c.checkOrigins(),
		c.Metadata.check(),
		c.Push.check(),
		c.Places.check(),
		c.CRL.check(),
		c.Macs.check(),
	)
}

func (c Config) checkListeners() error {
	var bad []error
	for _, l := range []struct{ flag, addr string }{
		{"listen", c.Listen}, {"listen-tls", c.tlsAddr()}, {"listen-metrics", c.ListenMetrics},
	} {
		if l.addr == "" && l.flag != "listen" {
			continue
		}
		host, _, err := net.SplitHostPort(l.addr)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s is %q, which is no address: write it as 127.0.0.1:8080", l.flag, l.addr))
		} else if c.Demo && !Loopback(host) {
			bad = append(bad, fmt.Errorf("%s is %q, but a demo listens on this machine only: use 127.0.0.1, or signet serve for others to reach it", l.flag, l.addr))
		}
	}
	if _, err := c.proxies(); err != nil {
		bad = append(bad, err)
	}
	return errors.Join(bad...)
}

// Loopback says whether a listener on host can be reached from this machine
// only. An empty host is every interface.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// checkBaseURL wants https and a host name: browsers give passkeys to nothing
// else but localhost (WebAuthn Level 3, §5.1.3 step 7 and secure contexts).
func checkBaseURL(base string, demo bool) error {
	if base == "" {
		return nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return fmt.Errorf("base-url is %q, which is no address: write it as https://id.example.com", base)
	}
	host := u.Hostname()
	switch {
	case demo && host != "localhost":
		return fmt.Errorf("base-url is %q, but a demo is for this machine only: leave base-url out, or use signet serve", base)
	case u.Scheme != "https" && !(u.Scheme == "http" && host == "localhost"):
		return fmt.Errorf("base-url is %q, but browsers allow passkeys only on https: use https://%s, or http://localhost for a try", base, u.Host)
	case net.ParseIP(host) != nil:
		return fmt.Errorf("base-url is %q, but a passkey belongs to a host name, not a number: give this server a name", base)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("base-url is %q, but it may hold a scheme, a host and a port only: use %s://%s", base, u.Scheme, u.Host)
	}
	return nil
}

// checkTLSBaseURL wants an https address of a name, where something listens.
func (c Config) checkTLSBaseURL() error {
	if c.TLSBaseURL == "" {
		return nil
	}
	u, err := url.Parse(c.TLSBaseURL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("tls-base-url is %q: write it as https://id.example.com:8443", c.TLSBaseURL)
	case c.Demo && u.Hostname() != "localhost":
		return fmt.Errorf("tls-base-url is %q, but a demo is for this machine only: leave tls-base-url out, or use signet serve", c.TLSBaseURL)
	case c.tlsAddr() == "" && c.Handshake.Socket == "":
		return errors.New("tls-base-url is given, but nothing listens there: give listen-tls too")
	}
	return nil
}

func (c Config) checkDatabase() error {
	if c.Database == "" || strings.HasPrefix(c.Database, "postgres://") || strings.HasPrefix(c.Database, "postgresql://") {
		return nil
	}
	// The value may hold a password and is not repeated.
	return errors.New("database is not an address that starts with postgres://: use one, or leave it out for SQLite in the data folder")
}

func (c Config) checkTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls-cert and tls-key go together: give both, or neither and let a proxy speak TLS")
	}
	return nil
}

func (c Config) checkLimits() error {
	var bad []error
	var level slog.Level
	if c.LogLevel != "" && level.UnmarshalText([]byte(c.LogLevel)) != nil {
		bad = append(bad, fmt.Errorf("log-level is %q: use debug, info, warn or error", c.LogLevel))
	}
	if c.Drain < 0 || c.Drain > 5*time.Minute {
		bad = append(bad, fmt.Errorf("drain is %s: use a time between 0s and 5m", c.Drain))
	}
	if c.AuditKeep != 0 && c.AuditKeep < 24*time.Hour {
		bad = append(bad, fmt.Errorf("audit-keep is %s: use at least 24h", c.AuditKeep))
	}
	for name, n := range map[string]int{
		"limit-nonces": c.Limits.Nonces, "limit-sign-ins": c.Limits.Begins, "limit-failures": c.Limits.Failures, "limit-pass-tries": c.Limits.PassTries, "limit-phone-asks": c.Limits.Asks,
	} {
		if n < 1 {
			bad = append(bad, fmt.Errorf("%s is %d: use at least 1", name, n))
		}
	}
	if c.KEK != "" && c.KEKFile != "" {
		bad = append(bad, errors.New("kek-file and SIGNET_KEK are both given: use one of them"))
	}
	return errors.Join(bad...)
}

func (c Config) checkOrigins() error {
	var bad []error
	for _, o := range c.RelatedOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "https" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			bad = append(bad, fmt.Errorf("related-origin is %q: write it as https://sign-in.example.com", o))
		}
	}
	return errors.Join(bad...)
}

// proxies parses TrustedProxy: addresses or networks.
func (c Config) proxies() ([]netip.Prefix, error) {
	var all []netip.Prefix
	var bad []error
	for _, s := range c.TrustedProxy {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			ip, err := netip.ParseAddr(s)
			if err != nil {
				bad = append(bad, fmt.Errorf("trusted-proxy is %q: use an address or a network such as 10.0.0.0/8", s))
				continue
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, errors.Join(bad...)
}

// baseURL is the configured address without a slash at the end, or the one
// that this machine's browser can use for a listener on addr.
func (c Config) baseURL(addr net.Addr) (string, error) {
	if c.BaseURL != "" {
		return strings.TrimSuffix(c.BaseURL, "/"), nil
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "", err
	}
	if !Loopback(host) {
		return "", fmt.Errorf("listen is %s, which others can reach, so people need to know this server by a name: set base-url to something like https://id.example.com", addr)
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://localhost:" + port, nil
}

// suites are those of TLS 1.2 that encrypt with authentication and have forward
// secrecy (security.md NET01; RFC 9325, Section 4.2); TLS 1.3 has no others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// tlsConfig loads the certificate; nil when there is none.
func (c Config) tlsConfig() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	if info, err := os.Stat(c.TLSKey); err == nil {
		if err := ownersOnly("TLS key", c.TLSKey, info); err != nil {
			return nil, err
		}
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls-cert %s and tls-key %s cannot be used: %w; give a PEM certificate and the key that belongs to it", c.TLSCert, c.TLSKey, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, CipherSuites: suites}, nil
}

// tpmRoots loads the certificates of TPM makers; nil when none are given.
func (c Config) tpmRoots() (*x509.CertPool, error) {
	if c.TPMRoots == "" {
		return nil, nil
	}
	roots, err := drs.ReadRoots(c.TPMRoots)
	if err != nil {
		return nil, fmt.Errorf("tpm-roots %s cannot be used: %w; give the makers' certificates, as a PEM file or a folder of such files", c.TPMRoots, err)
	}
	return roots, nil
}
