module github.com/signetid/signet

go 1.26.0

require (
	filippo.io/age v1.3.2 // encrypted backups
	github.com/SherClockHolmes/webpush-go v1.4.0 // Web Push: RFC 8291 and 8292 are not ours to write
	github.com/coreos/go-oidc/v3 v3.21.0 // the demo app is a stock relying party
	github.com/fxamacker/cbor/v2 v2.9.6 // CBOR: payloads of sealed values
	github.com/go-jose/go-jose/v4 v4.1.8 // JWS, JWK: not ours to write
	github.com/go-webauthn/webauthn v0.18.2 // WebAuthn; only method/passkey imports it
	github.com/google/go-attestation v0.6.1 // what TPMs say of keys, verified; credential activation
	github.com/google/go-cmp v0.7.0 // readable differences in tests
	github.com/google/go-tpm v0.9.8 // TPM 2.0 structures
	github.com/google/uuid v1.6.0 // UUIDv4 and v7
	github.com/jackc/pgx/v5 v5.12.0 // PostgreSQL
	github.com/knadh/koanf/parsers/yaml v1.1.1 // configuration file
	github.com/knadh/koanf/providers/env/v2 v2.0.2 // SIGNET_* variables
	github.com/knadh/koanf/v2 v2.4.1 // configuration from file, environment and flags
	github.com/pressly/goose/v3 v3.29.0 // migrations, as a library
	github.com/prometheus/client_golang v1.25.0 // /metrics
	github.com/spf13/cobra v1.10.2 // commands, help, completion
	github.com/spf13/pflag v1.0.9 // flags that win over environment and file
	go.yaml.in/yaml/v3 v3.0.5 // lines of a policy file
	golang.org/x/crypto v0.58.0 // cryptobyte: DER of extensions that crypto/x509 does not read; OCSP
	golang.org/x/net v0.62.0 // HTML parser, for tests of pages
	golang.org/x/oauth2 v0.37.0 // the demo app is a stock relying party
	golang.org/x/sync v0.24.0 // errgroup: start and stop together
	golang.org/x/sys v0.49.0 // file locks and peer credentials
	golang.org/x/text v0.43.0 // languages and case folding
	modernc.org/sqlite v1.60.1 // SQLite without cgo; v1.61.1 does not tidy
	pgregory.net/rapid v1.3.0 // property tests
	rsc.io/qr v0.2.0 // QR codes, drawn as SVG
)

require (
	filippo.io/hpke v0.4.0 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/go-viper/mapstructure/v2 v2.5.0 // indirect
	github.com/go-webauthn/x v0.3.1 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/knadh/koanf/maps v0.1.2 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mfridman/interpolate v0.0.2 // indirect
	github.com/mitchellh/copystructure v1.2.0 // indirect
	github.com/mitchellh/reflectwalk v1.0.2 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/sethvargo/go-retry v0.5.0 // indirect
	github.com/tinylib/msgp v1.6.4 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	modernc.org/libc v1.78.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)
