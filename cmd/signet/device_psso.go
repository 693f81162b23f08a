package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/macagent"
)

// standIn has the flags of all commands of a stand-in for a Mac.
type standIn struct {
	*desktop
	form     macagent.Form
	cardCert string
	cardKey  string
	cardAlg  string
	full     bool
	out      *script
}

func (d *desktop) pssoCommand() *cobra.Command {
	s := &standIn{desktop: d}
	var l life
	cmd := &cobra.Command{
		Use:   "psso-simulate",
		Short: "Stand in for a Mac with Platform SSO, for demos and tests",
		Long: `Stand in for a Mac with Platform SSO, for demos and tests.

This is no Mac. It sends what macOS and a sign-in extension send, byte for byte,
with keys in a file where a Mac has the Secure Enclave; it judges every answer as
macOS does; and it shows the claims of each message. It cannot show what only a
Mac can: the login window, unlocking, attestation.

Alone it goes through a whole life: it is registered with a person, signs in,
refreshes, gets an unlock key and uses it, opens an app, exchanges its keys and
is removed. Its commands do one of these.

The person signs in with a browser, or with an access pass (--user and
--access-pass-file). The state folder is mac-stand-in in that of devices.`,
		Example: `  signet device psso-simulate --server http://localhost:8080 --tenant nordhafen.example --user bela@nordhafen.example --access-pass-file - --app http://127.0.0.1:8090/login
  signet device psso-simulate register --server https://id.example.com --tenant example.com
  signet device psso-simulate login --old-types --text-times
  signet device psso-simulate open https://app.example.com`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.server == "" || l.tenant == "" {
				return usagef("say whose Mac it stands in for, with --server and --tenant; see %s --help", cmd.CommandPath())
			}
			return s.with(cmd, func(ctx context.Context, m *macagent.Mac) error { return s.live(ctx, cmd, m, &l) })
		},
	}
	s.formFlags(cmd)
	l.flags(cmd)
	l.lifeFlags(cmd)
	cmd.AddCommand(
		s.registerCommand(), s.userCommand(), s.loginCommand(), s.refreshCommand(), s.keyCommand(), s.exchangeCommand(),
		s.openCommand(), s.rotateCommand(), s.rotateUserCommand(), s.statusCommand(), s.removeCommand(),
	)
	return cmd
}

// formFlags are the forms that messages of Macs have been seen in.
func (s *standIn) formFlags(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.BoolVar(&s.form.Old, "old-types", false, "typ JWT in every message, as of an extension built for macOS 13")
	fs.StringVar(&s.form.Field, "field", "", "form field of messages: assertion or request (default: as --old-types says)")
	fs.BoolVar(&s.form.TextTime, "text-times", false, "times as digits in strings, as macOS 13 writes them")
	fs.StringVar(&s.form.X5C, "x5c", "", "a certificate in the header: none, string or array (default: none; a card's: array)")
	fs.StringVar(&s.form.KeyID, "kid", "", "key ids in base64: padded, bare or url (default: padded)")
	fs.StringVar(&s.form.Version, "protocol-version", "", "platform_sso_version of logins: 1.0, 1 or 2.0 (default: 1.0)")
	fs.BoolVar(&s.form.Audience, "key-audience", false, "key requests with an aud, as Apple's table has them and no Mac")
	fs.DurationVar(&s.form.Skew, "clock-off", 0, "how much this Mac's clock is ahead, such as 1m or -1m")
	fs.StringVar(&s.cardCert, "card-certificate", "", "certificates (PEM) of a smart card, its own first")
	fs.StringVar(&s.cardKey, "card-key", "", "file with the key (PEM) of that card")
	fs.StringVar(&s.cardAlg, "card-alg", "", "what the card signs by: RS256, RS384, RS512 or ES256")
	fs.BoolVar(&s.full, "full", false, "print long values whole, tokens among them")
	markFiles(cmd, "card-certificate", "card-key")
	for name, words := range map[string][]string{"field": macagent.Fields, "x5c": macagent.X5CForms, "kid": macagent.KidForms, "protocol-version": macagent.Versions} {
		cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// with opens the stand-in for one command, and prints what that has to say.
func (s *standIn) with(cmd *cobra.Command, do func(context.Context, *macagent.Mac) error) error {
	folder := s.state
	if folder == "" {
		base, err := stateFolder()
		if err != nil {
			return err
		}
		folder = filepath.Join(base, "mac-stand-in")
	}
	card, err := s.card()
	if err != nil {
		return err
	}
	s.out = &script{w: cmd.OutOrStdout(), json: s.json, full: s.full}
	m, err := macagent.New(macagent.Config{Folder: folder, Now: time.Now, Form: s.form, Card: card, Tell: s.out.message})
	if err != nil {
		return err
	}
	defer m.Close()
	s.out.begin(folder)
	err = do(cmd.Context(), m)
	return errors.Join(err, s.out.end()) // of a refusal the messages are wanted most
}

// card is what the flags put into the reader; nil: nothing.
func (s *standIn) card() (*macagent.Card, error) {
	if s.cardCert == "" && s.cardKey == "" && s.cardAlg == "" {
		return nil, nil
	}
	if s.cardCert == "" || s.cardKey == "" {
		return nil, usagef("a card takes both --card-certificate and --card-key")
	}
	pair, err := tls.LoadX509KeyPair(s.cardCert, s.cardKey)
	if err != nil {
		return nil, fmt.Errorf("the card cannot be read: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the card's key is a %T, which signs nothing", pair.PrivateKey)
	}
	c := &macagent.Card{Key: key, Alg: s.cardAlg}
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("the card cannot be read: %w", err)
		}
		c.Chain = append(c.Chain, cert)
	}
	return c, nil
}

// where is where a stand-in is registered, and by whom.
type where struct {
	server, tenant, caFile, name, serial, tokenFile string
	way                                             ways
}

func (w *where) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&w.server, "server", "", "address of the server, such as https://id.example.com")
	fs.StringVar(&w.tenant, "tenant", "", "tenant id or domain")
	fs.StringVar(&w.caFile, "ca-file", "", "certificates (PEM) to trust for this server beside the system's")
	fs.StringVar(&w.name, "name", "Stand-in for a Mac", "what the device is called")
	fs.StringVar(&w.serial, "serial", "", "serial number to say (default: one that begins with STANDIN)")
	fs.StringVar(&w.tokenFile, "registration-token-file", "", "file with a registration token for the device, - for standard input")
	w.way.flags(cmd)
	markFiles(cmd, "ca-file", "registration-token-file")
}

// configure reads the server's configuration.
func (w *where) configure(ctx context.Context, m *macagent.Mac) error {
	var ca []byte
	if w.caFile != "" {
		var err error
		if ca, err = os.ReadFile(w.caFile); err != nil {
			return fmt.Errorf("the certificates cannot be read: %w", err)
		}
	}
	return m.Configure(ctx, w.server, w.tenant, ca)
}

// signIn signs the person in, for a token that registers.
func (s *standIn) signIn(ctx context.Context, cmd *cobra.Command, m *macagent.Mac, way *ways, in *lines) (string, error) {
	by, err := way.signIn(cmd, s.user, in)
	if err != nil {
		return "", err
	}
	s.out.step("sign-in of the person")
	got, err := m.SignIn(ctx, by, s.user)
	if err != nil {
		return "", err
	}
	return got.AccessToken, s.out.result(map[string]string{"userPrincipalName": got.User}, "userPrincipalName=signed in")
}

// register registers the device, and gives the access token that a person
// signed in for, if one did.
func (s *standIn) register(ctx context.Context, cmd *cobra.Command, m *macagent.Mac, w *where, in *lines) (string, error) {
	o := macagent.RegisterOptions{Name: w.name, OS: "no macOS: a stand-in", Serial: w.serial}
	s.out.step("configuration")
	if err := w.configure(ctx, m); err != nil {
		return "", err
	}
	var err error
	switch {
	case w.tokenFile == "-":
		o.RegistrationToken, err = in.next("the registration token")
	case w.tokenFile != "":
		var text []byte
		text, err = os.ReadFile(w.tokenFile)
		o.RegistrationToken = string(text)
	default:
		o.AccessToken, err = s.signIn(ctx, cmd, m, &w.way, in)
	}
	if err != nil {
		return "", err
	}
	o.RegistrationToken = strings.TrimSpace(o.RegistrationToken)
	s.out.step("registration of the device")
	d, err := m.Register(ctx, o)
	if err != nil {
		return "", err
	}
	return o.AccessToken, s.out.result(d, deviceFields...)
}

var deviceFields = []string{"deviceId=device", "pending", "assurance", "signingKid=signing key", "encryptionKid=encryption key", "pendingUntil=pending until", "rotatesUntil=keys before are good until"}

func (s *standIn) registerUser(ctx context.Context, m *macagent.Mac, token string) error {
	s.out.step("registration of the person")
	p, err := m.RegisterUser(ctx, token)
	if err != nil {
		return err
	}
	return s.out.result(p, personFields...)
}

var personFields = []string{"loginUserName=login user name", "method", "credentialId=credential", "userKid=user key", "pending=device is pending"}
