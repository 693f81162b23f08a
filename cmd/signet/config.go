package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/signetid/signet/internal/app"
)

const (
	envPrefix = "SIGNET_"
	// kekVariable holds the key-encryption key itself. It is the one value
	// that has no flag and no line in the file: both are too easy to read.
	kekVariable = "SIGNET_KEK"
)

// foreignVariables share our prefix and are no settings: those of the tests,
// and those that an orchestrator makes for a service called signet.
var foreignVariables = []string{"SIGNET_TEST_", "SIGNET_CORPORA", "SIGNET_SCREENSHOTS", "SIGNET_SERVICE_", "SIGNET_PORT", "SIGNET_TOKEN", "SIGNET_SERVER"}

// addSettings defines the settings that a command takes. The flags are also
// the keys of the configuration file and, in capitals with SIGNET_ before
// them, the names of the variables: one list, no second place to forget.
func addSettings(fs *pflag.FlagSet, c *app.Config) {
	fs.StringVar(&c.Data, "data", c.Data, "folder for the SQLite file, the keys and admin.sock")
	fs.StringVar(&c.Database, "database", c.Database, "postgres://… to use PostgreSQL instead of SQLite")
	fs.StringVar(&c.KEKFile, "kek-file", c.KEKFile, "file with the key-encryption key (default: kek in the data folder)")
}

func addServerSettings(fs *pflag.FlagSet, c *app.Config) {
	fs.StringVar(&c.Listen, "listen", c.Listen, "address for pages and APIs")
	fs.StringVar(&c.ListenTLS, "listen-tls", listenTLS, "address for device registration and sign-in with certificates, over TLS and with client certificates asked for; off: none")
	fs.StringVar(&c.TLSBaseURL, "tls-base-url", c.TLSBaseURL, "address of listen-tls as devices and people with certificates reach it (default: the host of base-url, the port of listen-tls)")
	fs.StringVar(&c.ListenMetrics, "listen-metrics", c.ListenMetrics, "address for /metrics alone (default: with the pages, for this machine only)")
	fs.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	fs.DurationVar(&c.Drain, "drain", c.Drain, "time between not ready and closed, for the proxy in front to notice")
}

func addServeOnlySettings(fs *pflag.FlagSet, c *app.Config) {
	fs.StringVar(&c.BaseURL, "base-url", c.BaseURL, "address that people and apps use: https://id.example.com")
	fs.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "PEM file with the certificate; without one, let a proxy speak TLS")
	fs.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "PEM file with its key, of mode 0600")
	fs.StringSliceVar(&c.TrustedProxy, "trusted-proxy", c.TrustedProxy, "address or network whose X-Forwarded-For is believed (repeatable)")
	fs.StringVar(&c.Handshake.Header, "certificate-header", c.Handshake.Header, "header in which a proxy sends the certificates that it was shown: Client-Cert, or another with PEM in percent-encoding (default: none)")
	fs.StringVar(&c.Handshake.Proxy, "certificate-proxy", c.Handshake.Proxy, "PEM file with the client certificate of that proxy, by which it is known on listen-tls (default: none)")
	fs.StringVar(&c.Handshake.Socket, "certificate-socket", c.Handshake.Socket, "Unix socket on which that proxy may speak instead, of mode 0660 (default: none)")
	fs.StringSliceVar(&c.RelatedOrigins, "related-origin", c.RelatedOrigins, "another origin that may use these passkeys (repeatable)")
	fs.StringVar(&c.Metadata.URL, "metadata-url", c.Metadata.URL, "address of the FIDO metadata, what is known of models of security keys; off: none is fetched")
	fs.StringVar(&c.Metadata.File, "metadata-file", c.Metadata.File, "file with the FIDO metadata, for closed networks; read whenever it changes, and nothing is fetched")
	fs.BoolVar(&c.Metadata.Private, "metadata-private", c.Metadata.Private, "metadata-url is in a network of your own")
	addListSettings(fs, c)
	fs.IntVar(&c.Limits.Nonces, "limit-nonces", c.Limits.Nonces, "server nonces that one source may ask for in a minute")
	fs.IntVar(&c.Limits.Begins, "limit-sign-ins", c.Limits.Begins, "challenges of one method that one source may ask for in a minute; raise it for many people behind one address")
	fs.IntVar(&c.Limits.Failures, "limit-failures", c.Limits.Failures, "refused requests of apps that one source may make in a minute")
	fs.IntVar(&c.Limits.PassTries, "limit-pass-tries", c.Limits.PassTries, "access passes that one source may try for a user name in 15 minutes; for all names together 20 times as many")
	fs.IntVar(&c.Limits.Asks, "limit-phone-asks", c.Limits.Asks, "sign-ins by phone that one source may ask for in a minute; raise it for many people behind one address")
	fs.StringVar(&c.TPMRoots, "tpm-roots", c.TPMRoots, "PEM file, or folder of such, with the certificates of TPM makers that devices may be attested by (default: none)")
	fs.StringVar(&c.Macs.Extension, "mac-extension", c.Macs.Extension, "team and bundle identifier of your single sign-on extension for Macs: ABCDE12345.com.example.mac.sso (default: no profiles for Macs)")
	fs.StringVar(&c.Macs.App, "mac-app", c.Macs.App, "the same of the app that the extension comes in: ABCDE12345.com.example.mac")
	fs.StringVar(&c.Macs.Roots, "mac-roots", c.Macs.Roots, "PEM file with Apple's Enterprise Attestation Root CA, by which keys of Macs may be attested (default: none)")
	addPushSettings(fs, c)
	fs.StringVar(&c.Push.Proxy, "push-proxy", c.Push.Proxy, "http://… of the proxy by which push services are reached (default: directly; the environment's is not used)")
	fs.StringVar(&c.Push.APNsKey, "apns-key", c.Push.APNsKey, "the .p8 file by which an app of yours for iOS is sent notifications, of mode 0600")
	fs.StringVar(&c.Push.APNsKeyID, "apns-key-id", c.Push.APNsKeyID, "id of that key")
	fs.StringVar(&c.Push.APNsTeam, "apns-team", c.Push.APNsTeam, "id of the team that it belongs to")
	fs.StringSliceVar(&c.Push.APNsTopic, "apns-topic", c.Push.APNsTopic, "bundle id of the app (repeatable)")
	fs.StringVar(&c.Push.FCM, "fcm-credentials", c.Push.FCM, "JSON file of the service account by which an app of yours for Android is sent notifications, of mode 0600")
	fs.DurationVar(&c.AuditKeep, "audit-keep", c.AuditKeep, "how long audit records are kept")
}

// addListSettings defines what a demo takes, too, of revocation lists.
func addListSettings(fs *pflag.FlagSet, c *app.Config) {
	fs.Int64Var(&c.CRL.Bytes, "crl-bytes", c.CRL.Bytes, "largest revocation list that is fetched, in bytes")
	fs.DurationVar(&c.CRL.Time, "crl-time", c.CRL.Time, "longest that the download of one may take")
	fs.StringSliceVar(&c.CRL.Private, "crl-private-host", c.CRL.Private, "host in a network of your own that lists are fetched from and responders asked at: crl.internal, or crl.internal:8080 (repeatable)")
}

// addPushSettings defines what a demo takes, too, of notifications and places.
func addPushSettings(fs *pflag.FlagSet, c *app.Config) {
	fs.StringVar(&c.Push.Subject, "push-subject", c.Push.Subject, "whom push services may ask about this server: mailto:help@example.com (default: base-url, where it is public)")
	fs.StringSliceVar(&c.Push.Hosts, "push-host", c.Push.Hosts, "another push service that phones may use: push.example.com, or push.internal:8443/private in a network of your own (repeatable)")
	fs.StringVar(&c.Push.CA, "push-ca", c.Push.CA, "PEM file with the authorities of these (default: the system's)")
	fs.StringVar(&c.Places.Table, "place-table", c.Places.Table, "file that says where networks are, read again when it changes (default: none)")
	fs.StringVar(&c.Places.Hosting, "place-hosting", c.Places.Hosting, "file with the AS numbers of data centres (default: none)")
}

// fillIn gives every setting that was not on the command line its value from
// the environment or the file. All complaints come at once.
func fillIn(fs *pflag.FlagSet, c *app.Config, file string, environ []string) error {
	k := koanf.New("\x00") // no path separator: keys are flat
	var bad []error
	if file != "" {
		if err := loadFile(k, file); err != nil {
			return err
		}
	}
	for _, key := range k.Keys() {
		if !isSetting(key) {
			bad = append(bad, unknownKey("the configuration file "+file+" has an unknown key", strings.ReplaceAll(key, "\x00", ".")))
		}
	}
	if err := k.Load(env.Provider("\x00", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if name == kekVariable {
				c.KEK = value
				return "", nil
			}
			if foreign(name) {
				return "", nil
			}
			key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-")
			if !isSetting(key) {
				bad = append(bad, unknownKey("the environment has the variable "+name+" for an unknown key", key))
				return "", nil
			}
			return key, value
		},
	}), nil); err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	for _, key := range k.Keys() {
		flag := fs.Lookup(key)
		if flag == nil || flag.Changed {
			continue // unknown and reported, of another command, or on the command line
		}
		value := k.String(key)
		if list := k.Strings(key); len(list) > 0 {
			value = strings.Join(list, ",")
		}
		if err := fs.Set(key, value); err != nil {
			bad = append(bad, fmt.Errorf("%s cannot be %q: %w", key, value, err))
		}
	}
	return errors.Join(bad...)
}

// settings are all that may stand in a file or the environment, whichever
// command reads them: one file serves signet serve and signet admin. What a
// person must say each time (accept-rollback) is not among them.
var settings = sync.OnceValue(func() *pflag.FlagSet {
	fs := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	c := app.Default()
	addSettings(fs, &c)
	addServerSettings(fs, &c)
	addServeOnlySettings(fs, &c)
	fs.String("listen-app", "", "")
	return fs
})

func isSetting(key string) bool { return settings().Lookup(key) != nil }

func foreign(name string) bool {
	return slices.ContainsFunc(foreignVariables, func(p string) bool { return strings.HasPrefix(name, p) })
}

// mapProvider hands koanf a map that is already parsed.
type mapProvider map[string]any

func (m mapProvider) ReadBytes() ([]byte, error)    { return nil, errors.New("not bytes") }
func (m mapProvider) Read() (map[string]any, error) { return m, nil }

func loadFile(k *koanf.Koanf, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("the configuration file cannot be read: %w; check --config", err)
	}
	values, err := yaml.Parser().Unmarshal(text)
	if err != nil {
		return fmt.Errorf("the configuration file %s is not YAML: %w; write lines such as base-url: https://id.example.com", file, err)
	}
	return k.Load(mapProvider(values), nil)
}

// unknownKey names the nearest key there is: most unknown keys are misspelt.
func unknownKey(where, key string) error {
	best, distance := "", len(key)/2+2
	settings().VisitAll(func(f *pflag.Flag) {
		if d := editDistance(key, f.Name); d < distance {
			best, distance = f.Name, d
		}
	})
	if best == "" {
		return fmt.Errorf("%s %q: see signet serve --help for the keys", where, key)
	}
	return fmt.Errorf("%s %q: did you mean %q?", where, key, best)
}

// editDistance counts insertions, deletions and replacements (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// listenTLS is where the TLS listener is when nobody says (product.md §4).
const listenTLS = "127.0.0.1:8443"

// settleTLS leaves the TLS listener out where nobody asked for it and there is
// no certificate that it could show.
func settleTLS(fs *pflag.FlagSet, c *app.Config) {
	if !fs.Changed("listen-tls") && !c.CanListenTLS() {
		c.ListenTLS = "off"
	}
}

// configured reads file, environment and flags into c and judges the result.
func configured(fs *pflag.FlagSet, c *app.Config) error {
	file, _ := fs.GetString("config")
	if file == "" {
		file = os.Getenv(envPrefix + "CONFIG")
	}
	var environ []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envPrefix+"CONFIG=") {
			environ = append(environ, e)
		}
	}
	err := errors.Join(fillIn(fs, c, file, environ), c.Validate())
	// A child process or a dump of the environment should not show the key.
	os.Unsetenv(kekVariable)
	return err
}
