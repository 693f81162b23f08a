package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*app.Config)
		want   []string // none: good
	}{
		{"default", func(*app.Config) {}, nil},
		{"https", func(c *app.Config) { c.BaseURL = "https://id.example.com" }, nil},
		{"https with a slash", func(c *app.Config) { c.BaseURL = "https://id.example.com/" }, nil},
		{"localhost", func(c *app.Config) { c.BaseURL = "http://localhost:8080" }, nil},
		{"proxies", func(c *app.Config) { c.TrustedProxy = []string{"127.0.0.1", "10.0.0.0/8", "::1"} }, nil},
		{"plain http", func(c *app.Config) { c.BaseURL = "http://id.example.com" }, []string{"only on https"}},
		{"looks like localhost", func(c *app.Config) { c.BaseURL = "http://localhost.example.com" }, []string{"only on https"}},
		{"no scheme", func(c *app.Config) { c.BaseURL = "id.example.com" }, []string{"which is no address"}},
		{"user in the address", func(c *app.Config) { c.BaseURL = "https://a:b@id.example.com" }, []string{"a scheme, a host and a port only"}},
		{"address for a name", func(c *app.Config) { c.BaseURL = "https://[::1]" }, []string{"belongs to a host name"}},
		{"demo for others", func(c *app.Config) { c.Demo = true; c.BaseURL = "https://id.example.com" }, []string{"for this machine only"}},
		{"demo on all interfaces", func(c *app.Config) { c.Demo = true; c.Listen = ":8080" }, []string{"this machine only"}},
		{"demo metrics on all interfaces", func(c *app.Config) { c.Demo = true; c.ListenMetrics = "0.0.0.0:9090" }, []string{"listen-metrics"}},
		{"a proxy for certificates", func(c *app.Config) {
			c.ListenTLS, c.Handshake = "127.0.0.1:8443", app.Handshake{Header: "Client-Cert", Proxy: "x"}
		}, nil},
		{"a socket for certificates", func(c *app.Config) {
			c.TLSBaseURL, c.Handshake = "https://cards.example.com", app.Handshake{Header: "X-SSL-Cert", Socket: "/run/x"}
		}, nil},
		{"certificates in no header", func(c *app.Config) { c.ListenTLS, c.Handshake.Proxy = "127.0.0.1:8443", "x" }, []string{"certificate-header is missing"}},
		{"certificates from anybody", func(c *app.Config) { c.Handshake.Header = "Client-Cert" }, []string{"nobody may send it"}},
		{"certificates as a cookie", func(c *app.Config) {
			c.ListenTLS, c.Handshake = "127.0.0.1:8443", app.Handshake{Header: "Cookie", Proxy: "x"}
		}, []string{"certificate-header", "nothing else uses"}},
		{"certificates in no name", func(c *app.Config) {
			c.ListenTLS, c.Handshake = "127.0.0.1:8443", app.Handshake{Header: "A B", Proxy: "x"}
		}, []string{"certificate-header"}},
		{"a proxy that nothing listens for", func(c *app.Config) { c.Handshake = app.Handshake{Header: "Client-Cert", Proxy: "x"} }, []string{"certificate-proxy", "listen-tls"}},
		{"a socket behind no address", func(c *app.Config) { c.Handshake = app.Handshake{Header: "Client-Cert", Socket: "x"} }, []string{"certificate-socket", "tls-base-url"}},
		{"a demo behind a proxy", func(c *app.Config) {
			c.Demo, c.ListenTLS, c.Handshake = true, "127.0.0.1:0", app.Handshake{Header: "Client-Cert", Proxy: "x"}
		}, []string{"not for a demo"}},
		{"other database", func(c *app.Config) { c.Database = "mysql://root:hunter2@db" }, []string{"postgres://"}},
		{"proxy", func(c *app.Config) { c.TrustedProxy = []string{"proxy.example.com"} }, []string{"trusted-proxy"}},
		{"two keys", func(c *app.Config) { c.KEK, c.KEKFile = "x", "y" }, []string{"use one of them"}},
		{"no metadata", func(c *app.Config) { c.Metadata.URL = "off" }, nil},
		{"metadata mirror", func(c *app.Config) { c.Metadata = app.Metadata{URL: "http://mds.corp.example/", Private: true} }, nil},
		{"metadata address", func(c *app.Config) { c.Metadata.URL = "mds" }, []string{"metadata-url"}},
		{"metadata over http", func(c *app.Config) { c.Metadata.URL = "http://mds.example.com/" }, []string{"metadata-url", "metadata-private"}},
		{"metadata of a file system", func(c *app.Config) { c.Metadata.URL = "file:///etc/passwd" }, []string{"metadata-url"}},
		{"notifications", func(c *app.Config) {
			c.Push = app.Push{Subject: "mailto:help@example.com", Hosts: []string{"push.example.com", "10.0.0.7:8443/private"}, CA: "x", Proxy: "http://proxy.corp:3128",
				APNsKey: "x", APNsKeyID: "x", APNsTeam: "x", APNsTopic: []string{"x"}}
			c.Places = app.Places{Table: "x", Hosting: "y"}
		}, nil},
		{"subject of this machine", func(c *app.Config) { c.Push.Subject = "mailto:help@localhost" }, []string{"push-subject", "mailto:help@example.com"}},
		{"push host", func(c *app.Config) { c.Push.Hosts = []string{"https://push.example.com/", "good.example.com"} }, []string{"push-host", "push.internal:8443/private"}},
		{"push proxy", func(c *app.Config) { c.Push.Proxy = "socks://root:hunter2@proxy" }, []string{"push-proxy"}},
		{"authorities of nobody", func(c *app.Config) { c.Push.CA = "ca.pem" }, []string{"push-ca", "push-host"}},
		{"half of Apple's", func(c *app.Config) { c.Push.APNsKey, c.Push.APNsTeam = "x", "y" }, []string{"apns-key-id", "go together"}},
		{"data centres of no table", func(c *app.Config) { c.Places.Hosting = "x" }, []string{"place-hosting", "place-table"}},
		{"related origin", func(c *app.Config) { c.RelatedOrigins = []string{"https://a.example/x"} }, []string{"related-origin"}},
		{"lists of one's own", func(c *app.Config) {
			c.CRL = app.CRL{Bytes: 45 << 20, Time: time.Minute, Private: []string{"crl.internal", "crl.internal:8080", "10.0.0.7", "[fd00::7]:80"}}
		}, nil},
		{"no list at all", func(c *app.Config) { c.CRL.Bytes = 1 }, []string{"crl-bytes is 1"}},
		{"lists that fill the machine", func(c *app.Config) { c.CRL.Bytes = 1 << 40 }, []string{"crl-bytes"}},
		{"lists in no time", func(c *app.Config) { c.CRL.Time = time.Millisecond }, []string{"crl-time"}},
		{"lists for ever", func(c *app.Config) { c.CRL.Time = time.Hour }, []string{"crl-time"}},
		{"list host", func(c *app.Config) {
			c.CRL.Private = []string{"http://crl.internal/", "*.internal", "crl.internal:", "crl.internal:0"}
		},
			[]string{`"http://crl.internal/"`, `"*.internal"`, `"crl.internal:"`, `"crl.internal:0"`}},
		{"programs for Macs", func(c *app.Config) {
			c.Macs = app.Macs{App: "ABCDE12345.com.example.mac", Extension: "ABCDE12345.com.example.mac.sso", Roots: "x"}
		}, nil},
		{"half of a Mac's programs", func(c *app.Config) { c.Macs.App = "ABCDE12345.com.example.mac" }, []string{"mac-extension and mac-app go together"}},
		{"programs of no team", func(c *app.Config) { c.Macs = app.Macs{App: "com.example.mac", Extension: "com.example.mac.sso"} },
			[]string{`mac-extension is "com.example.mac.sso"`, "ABCDE12345.com.example.mac.sso", `mac-app is "com.example.mac"`}},
		{"an extension of another app", func(c *app.Config) {
			c.Macs = app.Macs{App: "ABCDE12345.com.example.mac", Extension: "ABCDE12345.com.example.mac2.sso"}
		}, []string{"write it as ABCDE12345.com.example.mac.sso"}},
		{"an app as its own extension", func(c *app.Config) {
			c.Macs = app.Macs{App: "ABCDE12345.com.example.mac", Extension: "ABCDE12345.com.example.mac"}
		}, []string{"with another part after it"}},
		{"forgetful audit", func(c *app.Config) { c.AuditKeep = time.Hour }, []string{"audit-keep"}},
		{"everything at once", func(c *app.Config) { c.Listen, c.BaseURL, c.TLSCert, c.LogLevel, c.Drain = "x", "y", "z", "loud", -1 },
			[]string{"listen is", "base-url is", "go together", "log-level is", "drain is"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := app.Default()
			c.change(&cfg)
			err := cfg.Validate()
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("a password is in the error")
			}
		})
	}
}
