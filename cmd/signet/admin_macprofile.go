package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/macprofile"
)

// macMethods are the methods of Macs, as people type them.
var macMethods = map[string]macprofile.Method{
	"secure-enclave": macprofile.SecureEnclave, "smart-card": macprofile.SmartCard,
	// As the policy has them.
	string(macprofile.SecureEnclave): macprofile.SecureEnclave, string(macprofile.SmartCard): macprofile.SmartCard,
}

func (a *administrator) macProfile() *cobra.Command {
	var method, variable, tokenFile string
	var direct bool
	cmd := &cobra.Command{
		Use: "profile", Short: "Write the configuration profile that an MDM gives to Macs",
		Long: `Write the configuration profile that an MDM gives to Macs, to standard output: how
people sign in, by which extension, and at which addresses. It is not signed; your
MDM does that. Nothing is stored, and the same settings give the same profile.

A registration token lets a Mac register before anybody signs in to it. Put one
into the profile from a file, or name the variable in whose place your MDM puts
each Mac's own. Without either, people register the Mac by signing in. With -o json
there is beside the profile what each key in it means.`,
		Example: "  signet admin mac profile > signet.mobileconfig\n  signet admin mac profile --method smart-card --variable '{{registrationToken}}' > signet.mobileconfig",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := fields{"direct": direct}
			if method != "" {
				m, ok := macMethods[method]
				if !ok {
					return usagef("--method is %q: use secure-enclave or smart-card", method)
				}
				in["method"] = m
			}
			if tokenFile != "" {
				token, err := readToken(cmd.InOrStdin(), tokenFile)
				if err != nil {
					return err
				}
				in["token"] = token
			} else if variable != "" {
				if !macprofile.IsVariable(variable) {
					return usagef("--variable is the name of a variable as your MDM writes it, such as $NAME, ${NAME}, {{name}}, {name} or %%NAME%%; a token itself goes into a file, for --registration-token-file")
				}
				in["token"] = variable
			}
			raw, err := a.call(cmd.Context(), "mac.profile", in, nil)
			if err != nil {
				return err
			}
			if a.format == "json" {
				return show(cmd.OutOrStdout(), a.format, raw, nil)
			}
			made, err := decode[struct {
				Profile string `json:"profile"`
			}](raw)
			if err == nil {
				_, err = io.WriteString(cmd.OutOrStdout(), made.Profile)
			}
			return err
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&method, "method", "", "secure-enclave or smart-card (default: what the policy says)")
	fs.StringVar(&variable, "variable", "", "name of your MDM's variable for each Mac's registration token: {{registrationToken}}")
	fs.StringVar(&tokenFile, "registration-token-file", "", "file with a registration token; - is standard input")
	fs.BoolVar(&direct, "direct", false, "let Macs fetch the association file from this server, which the Internet cannot reach")
	cmd.MarkFlagsMutuallyExclusive("variable", "registration-token-file")
	markFiles(cmd, "registration-token-file")
	return cmd
}

// readToken reads one line that is a secret, and therefore no argument.
func readToken(stdin io.Reader, file string) (string, error) {
	text, err := readUpload(stdin, file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \n") {
		return "", errors.New("the file has no registration token: it is one line, as signet admin mac token create writes it")
	}
	return token, nil
}

func (a *administrator) macCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Say what is wrong with a configuration profile for Platform SSO",
		Long: `Say what is wrong with a configuration profile for Platform SSO, perhaps one that
somebody has changed since: keys that Apple does not know, values that it does not
take, and what does not go together. The file is XML, as it was before an MDM signed
it; - is standard input. It ends with 0 when nothing was found, and with 1
otherwise. No server is asked.`,
		Example: "  signet admin mac check signet.mobileconfig",
		Args:    exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readUpload(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			found := macprofile.Lint(text)
			for _, f := range found {
				fmt.Fprintln(cmd.OutOrStdout(), printable(f.String()))
			}
			if len(found) > 0 {
				are := "are"
				if len(found) == 1 {
					are = "is"
				}
				return fmt.Errorf("%s %s wrong with the profile", plural(len(found), "thing"), are)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "Nothing is wrong with the profile.")
			return nil
		},
	}
}
