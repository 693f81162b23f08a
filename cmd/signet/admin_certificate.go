package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *administrator) certificateCommands() *cobra.Command {
	return group("certificate", "Certificates that sign people in", "  signet admin certificate explain ada.pem", a.certificateExplain())
}

func (a *administrator) certificateExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain FILE", Short: "Say whom a certificate would sign in, and why or why not, step by step",
		Long: `Say whom a certificate would sign in, and why or why not, step by step: its path to
an authority, its time, whether it was revoked, what it counts for, whose it is,
and what the policy says of that person. After a step that fails it goes on as far
as anything is known. Nothing is stored, and nobody is signed in.

The file is PEM, DER or PKCS#7 (.p7b); - is standard input. Other certificates in
it help to build the path. It ends with 0 when the certificate would sign somebody
in, and with 1 otherwise.`,
		Example: "  signet admin certificate explain ada.pem\n  signet admin certificate explain badge.p7b -o json",
		Args:    exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readUpload(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			raw, err := a.call(cmd.Context(), "certificate.explain", fields{"file": file}, nil)
			if err != nil {
				return err
			}
			x, err := decode[explained](raw)
			if err != nil {
				return err
			}
			if a.format == "json" {
				err = show(cmd.OutOrStdout(), a.format, raw, nil)
			} else {
				err = x.show(cmd, a.format)
			}
			if err == nil && !x.Good {
				err = errors.New("the certificate would sign nobody in: " + plainWord(x.Reason))
			}
			return err
		},
	}
}

// explained is the answer as far as it is shown.
type explained struct {
	Certificate struct {
		Subject    string `json:"subject"`
		Issuer     string `json:"issuer"`
		Serial     string `json:"serial"`
		Thumbprint string `json:"thumbprint"`
		SHA256     string `json:"sha256"`
		NotBefore  string `json:"notBefore"`
		NotAfter   string `json:"notAfter"`
		Names      []struct {
			Key  string `json:"key"`
			Text string `json:"text"`
		} `json:"names"`
	} `json:"certificate"`
	Steps []struct {
		Key     string `json:"key"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
		Values  []struct {
			Key  string `json:"key"`
			Text string `json:"text"`
		} `json:"values"`
	} `json:"steps"`
	Good   bool   `json:"good"`
	Reason string `json:"reason"`
	Mode   string `json:"mode"`
	Rule   string `json:"rule"`
	User   string `json:"userPrincipalName"`
	// UserIDs are values that a person could have, so that a binding finds them.
	UserIDs []string `json:"certificateUserIds"`
}

// wordsOf say what the answer's own words mean, where that is not plain.
var wordsOf = map[string]string{
	"bar": "taken away?", "revocation": "revoked?", "chain": "", "by": "checked by", "value": "looked for", "detail": "because",
	"thisUpdate": "list from", "nextUpdate": "list until", "notBefore": "from", "notAfter": "until", "mode": "counts as",
	"x509CertificateSingleFactor": "single factor", "x509CertificateMultiFactor": "multifactor",
	"userPrincipalName": "user name", "displayName": "name",
	"certificate_no_user": "it belongs to nobody", "certificate_ambiguous": "it belongs to several people", "certificate_barred": "it was taken away from this person",
	"certificate_unknown_issuer": "no path leads to an authority that is trusted", "certificate_list_unavailable": "nothing says that it was not revoked",
	"certificate_usage": "it is not made for signing in", "certificate_affinity": "it is not tied to anybody firmly enough",
	"authorityName": "authority", "stale": "believed after its end", "crl": "a list", "ocsp": "a responder", "unchecked": "nobody: the rules let it pass",
	"principalName": "principal name", "rfc822Name": "mail address", "dnsName": "host name", "uri": "address",
	"method_off": "sign-in with certificates is switched off (method.certificate)", "not_included": "sign-in with certificates is not for this person",
	"excluded":               "this person is excepted from sign-in with certificates",
	"certificate_not_scoped": "its authority is for other people", "user_disabled": "the person is switched off",
}

func plainWord(word string) string {
	if plain, ok := wordsOf[word]; ok {
		return plain
	}
	return strings.ReplaceAll(strings.TrimPrefix(word, "certificate_"), "_", " ")
}

// show writes the certificate, a table of the steps, and what comes of them.
func (x explained) show(cmd *cobra.Command, format string) error {
	out := cmd.OutOrStdout()
	c := x.Certificate
	var names []string
	for _, n := range c.Names {
		names = append(names, plainWord(n.Key)+": "+n.Text)
	}
	head, err := json.Marshal(map[string]string{"subject": c.Subject, "issuer": c.Issuer, "names": strings.Join(names, "; "), "serial": c.Serial,
		"thumbprint": c.Thumbprint, "sha256": c.SHA256, "notBefore": c.NotBefore, "notAfter": c.NotAfter})
	if err != nil {
		return err
	}
	err = show(out, format, head, columns("subject", "issuer", "names", "serial=serial number", "thumbprint=SHA-1", "sha256=SHA-256", "notBefore=valid from", "notAfter=until"))
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	rows := []map[string]string{}
	for _, s := range x.Steps {
		var what []string
		if s.Reason != "" {
			what = append(what, plainWord(s.Reason))
		}
		for _, v := range s.Values {
			if v.Key == "authority" && s.Key == "revocation" {
				continue // its name stands beside the id
			}
			what = append(what, strings.TrimPrefix(plainWord(v.Key)+": ", ": ")+plainText(v.Key, v.Text))
		}
		rows = append(rows, map[string]string{"step": plainWord(s.Key), "outcome": s.Outcome, "what": strings.Join(what, "; ")})
	}
	table, err := json.Marshal(rows)
	if err == nil {
		err = show(out, format, table, columns("step", "outcome", "what=what is known"))
	}
	if err == nil && len(x.UserIDs) > 0 {
		fmt.Fprintln(out, "\nAs certificateUserIds of whoever has it, for a binding that reads one of these:")
		for _, id := range x.UserIDs {
			fmt.Fprintln(out, "  "+printable(id))
		}
	}
	if err == nil && x.Good {
		_, err = fmt.Fprintf(out, "\nIt would sign in %s, and count as %s (%s).\n", printable(x.User), plainWord(x.Mode), printable(x.Rule))
	}
	return err
}

// plainText is a value; those that are words of ours are told plainly.
func plainText(key, text string) string {
	switch {
	case strings.HasPrefix(text, "x509Certificate"), key == "by":
		return plainWord(text)
	case key == "detail": // behind the reason's own word, which is told already
		if word, rest, ok := strings.Cut(strings.TrimPrefix(text, "path: "), ": "); ok && !strings.Contains(word, " ") {
			return rest
		}
	}
	return text
}
