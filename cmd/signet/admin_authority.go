package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/trust"
)

var authorityColumns = []string{
	"id", "displayName=name", "certificateAuthorityType=type", "isEnabled=enabled", "expirationDateTime=expires", "listState=list", "certificateRevocationListUrl=fetched from", "ocspUrl=responder",
}

var authorityLines = []string{
	"id", "displayName=name", "certificateAuthorityType=type", "isEnabled=enabled", "subject", "issuer", "subjectKeyIdentifier=key identifier",
	"thumbprint=SHA-1", "thumbprintSha256=SHA-256", "startDateTime=valid from", "expirationDateTime=expires", "certificateRevocationListUrl=revocation list",
	"deltaCertificateRevocationListUrl=delta list", "ocspUrl=responder", "isIssuerHintEnabled=told to browsers", "createdDateTime=added", "deletedDateTime=removed",
}

func (a *administrator) authorityCommands() *cobra.Command {
	return group("cert-authority", "Certificate authorities whose certificates sign people in", "  signet admin cert-authority add nordhafen-root.pem",
		a.authorityAdd(), a.authorityList(), a.authorityUpdate(),
		a.authorityOne("show", "cert-authority.show", "Show a certificate authority", "", ""),
		a.authorityOne("refresh", "cert-authority.refresh", "Fetch a certificate authority's revocation lists now",
			`Fetch a certificate authority's revocation lists now. They are fetched ahead of
their end without being asked; this is for when one was published early. It ends
with 1 and what is wrong when a list could not be had, and the one in use stays.`, ""),
		a.authorityOne("disable", "cert-authority.disable", "Stop believing a certificate authority, for a while",
			`Stop believing a certificate authority, for a while: what it stands above signs
nobody in, from the next sign-in on. Who is signed in stays so.`,
			"What it stands above signs nobody in, until: signet admin cert-authority enable %s"),
		a.authorityEnd(),
		a.authorityOne("enable", "cert-authority.enable", "Believe a certificate authority again", "", ""),
		a.authorityOne("remove", "cert-authority.remove", "Remove a certificate authority; it can be restored for 30 days",
			`Remove a certificate authority: what it stands above signs nobody in, from the
next sign-in on. Who is signed in stays so. It can be restored for 30 days.`,
			"To bring it back within 30 days: signet admin cert-authority restore %s"),
		a.authorityOne("restore", "cert-authority.restore", "Bring back a certificate authority that was removed", "", ""),
	)
}

func (a *administrator) authorityAdd() *cobra.Command {
	var name, kind, crl, delta, ocsp string
	var hint, dry bool
	cmd := &cobra.Command{
		Use: "add FILE", Short: "Add the certificate authorities in a file: all of them, or none",
		Long: `Add the certificate authorities in a file: all of them, or none. The file is PEM,
DER or PKCS#7 (.p7b); - is standard input. Roots are those that signed themselves,
unless it is said otherwise.

Where the address of a revocation list is not given it is taken from the
certificates in the file, and those that are there, which the authority has
issued. A certificate of an authority that has neither a list nor a responder
signs nobody in, unless the policy setting certificate.unchecked names its key.`,
		Example: `  signet admin cert-authority add nordhafen.p7b --dry-run
  signet admin cert-authority add nordhafen-root.pem
  signet admin cert-authority add people-ca.crt --crl http://crl.nordhafen.example/people.crl`,
		Args: exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readUpload(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			in := fields{"file": file, "displayName": name, "deltaCertificateRevocationListUrl": delta, "ocspUrl": ocsp, "isIssuerHintEnabled": hint, "dryRun": dry, "certificateAuthorityType": kind}
			if cmd.Flags().Changed("crl") {
				in["certificateRevocationListUrl"] = crl
			}
			raw, err := a.call(cmd.Context(), "cert-authority.add", in, nil)
			if err != nil {
				return err
			}
			if err := show(cmd.OutOrStdout(), a.format, raw, columns(authorityColumns...)); err != nil {
				return err
			}
			return sayUnchecked(cmd, raw, dry)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "what it is called here (default: the common name in its certificate)")
	f.StringVar(&kind, "type", "", "root, an anchor of trust, or intermediate, trusted only through another (default: root for those that signed themselves)")
	f.StringVar(&crl, "crl", "", "http(s) address of its revocation list (default: as its certificates say)")
	f.StringVar(&delta, "delta-crl", "", "address of the list of what came since")
	f.StringVar(&ocsp, "ocsp", "", "address of its OCSP responder, asked at each sign-in")
	f.BoolVar(&hint, "hint", false, "tell browsers of it, where the tenant tells them anything")
	f.BoolVar(&dry, "dry-run", false, "only check and report")
	return cmd
}

// readUpload reads a file that is no larger than a server takes, and a byte
// more of one that is.
func readUpload(stdin io.Reader, path string) ([]byte, error) {
	from := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("the file cannot be read: %w", err)
		}
		defer f.Close()
		from = f
	}
	file, err := io.ReadAll(io.LimitReader(from, trust.MaxUpload+1))
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	return file, nil
}

// sayUnchecked says on standard error which authorities sign nobody in yet, and
// why.
func sayUnchecked(cmd *cobra.Command, raw json.RawMessage, dry bool) error {
	all, err := decode[[]struct {
		ID        string `json:"id"`
		Name      string `json:"displayName"`
		List      string `json:"certificateRevocationListUrl"`
		Responder string `json:"ocspUrl"`
		Issuer    string `json:"issuer"`
		NoIssuer  bool   `json:"issuerMissing"`
	}](raw)
	if err != nil {
		return err
	}
	w := cmd.ErrOrStderr()
	for _, one := range all {
		if one.NoIssuer {
			fmt.Fprintf(w, "%s was issued by %s, which is not here: nobody signs in below it until that one is added, too.\n", printable(one.Name), printable(one.Issuer))
		}
		if one.List == "" && one.Responder == "" {
			fmt.Fprintf(w, "%s has neither a revocation list nor a responder: what it issues signs nobody in. To give it one: signet admin cert-authority update %s --crl http://…\n",
				printable(one.Name), printable(cmp.Or(one.ID, one.Name)))
		}
	}
	if dry {
		fmt.Fprintln(w, "Nothing was added: this was a dry run.")
	}
	return nil
}

func (a *administrator) authorityList() *cobra.Command {
	var removed bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the certificate authorities of a tenant", Example: "  signet admin cert-authority list\n  signet admin cert-authority list --removed -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, "cert-authority.list", fields{"removed": removed}, authorityColumns...)
		},
	}
	cmd.Flags().BoolVar(&removed, "removed", false, "those that were removed in the last 30 days")
	return cmd
}

// authorityOne is a command on one authority. follows is what it means, with
// the authority's id in the place of %s.
func (a *administrator) authorityOne(use, op, short, long, follows string) *cobra.Command {
	in := fields{}
	if use == "restore" {
		in["removed"] = true
	}
	return &cobra.Command{
		Use: use + " AUTHORITY", Short: short, Long: long, Example: "  signet admin cert-authority " + use + ` "Nordhafen Root"`,
		Args:              exactly("an AUTHORITY (id, name, key identifier or thumbprint)"),
		ValidArgsFunction: first(a.completeOf("cert-authority.list", "displayName", in)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onAuthority(cmd, op, fields{"authority": args[0]}, follows)
		},
	}
}

func (a *administrator) onAuthority(cmd *cobra.Command, op string, in fields, follows string) error {
	raw, err := a.call(cmd.Context(), op, in, nil)
	if err != nil {
		return err
	}
	if err := show(cmd.OutOrStdout(), a.format, raw, columns(authorityLines...)); err != nil {
		return err
	}
	if a.format != "json" {
		if err := showLists(cmd, raw); err != nil {
			return err
		}
	}
	if follows == "" {
		return nil
	}
	one, err := decode[struct{ ID string }](raw)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), follows+"\n", one.ID)
	return nil
}

func (a *administrator) authorityEnd() *cobra.Command {
	cmd := a.authorityOne("end-sessions", "", "Sign out everybody who came by a certificate below a certificate authority",
		`Sign out everybody who came by a certificate below a certificate authority, also
one that was removed: their sessions and refresh tokens end, in browsers within a
minute. What they have by other methods stays. To keep them from coming back, disable
or remove the authority first.`, "")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.do(cmd, "cert-authority.endSessions", fields{"authority": args[0]}, "certificates", "sessions")
	}
	return cmd
}

var authorityLists = []string{"kind", "state", "number", "entries", "thisUpdate=made", "nextUpdate=over", "lastTry=last try", "failure"}

// showLists is the table of an authority's lists, behind its lines.
func showLists(cmd *cobra.Command, raw json.RawMessage) error {
	one, err := decode[struct{ Lists json.RawMessage }](raw)
	if err != nil || len(one.Lists) == 0 {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout())
	return show(cmd.OutOrStdout(), "table", one.Lists, columns(authorityLists...))
}

func (a *administrator) authorityUpdate() *cobra.Command {
	var name, kind, crl, delta, ocsp string
	var hint bool
	cmd := &cobra.Command{
		Use: "update AUTHORITY", Short: "Change a certificate authority's name, kind, or where its lists are",
		Example: `  signet admin cert-authority update "People CA" --crl http://crl.nordhafen.example/people.crl
  signet admin cert-authority update "People CA" --ocsp "" --hint=false`,
		Args:              exactly("an AUTHORITY (id, name, key identifier or thumbprint)"),
		ValidArgsFunction: first(a.complete("cert-authority.list", "displayName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{"authority": args[0]}
			for flag, field := range map[string]struct {
				name  string
				value any
			}{
				"name": {"displayName", name}, "type": {"certificateAuthorityType", kind}, "crl": {"certificateRevocationListUrl", crl},
				"delta-crl": {"deltaCertificateRevocationListUrl", delta}, "ocsp": {"ocspUrl", ocsp}, "hint": {"isIssuerHintEnabled", hint},
			} {
				if cmd.Flags().Changed(flag) {
					in[field.name] = field.value
				}
			}
			if len(in) == 1 {
				return usagef("%s needs something to change; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return a.onAuthority(cmd, "cert-authority.update", in, "")
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "what it is called here")
	f.StringVar(&kind, "type", "", "root or intermediate")
	f.StringVar(&crl, "crl", "", `http(s) address of its revocation list, "" for none`)
	f.StringVar(&delta, "delta-crl", "", `address of the list of what came since, "" for none`)
	f.StringVar(&ocsp, "ocsp", "", `address of its OCSP responder, "" for none`)
	f.BoolVar(&hint, "hint", false, "tell browsers of it, where the tenant tells them anything")
	return cmd
}
