package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/mac"
)

var macColumns = []string{
	"id", "displayName=name", "serialNumber=serial", "hardwareProven=proven", "ownerUserPrincipalName=owner", "accountEnabled=enabled", "assurance",
	"registeredBy=by", "registrationDateTime=registered", "attestationDue=waits until", "approximateLastSignInDateTime=last seen",
}

var macTokenColumns = []string{
	"id", "serialNumber=serial", "userPrincipalName=for", "state", "used", "uses", "created", "expires", "openedBy=opened by", "note",
}

func (a *administrator) macCommands() *cobra.Command {
	return group("mac", "Macs that sign people in by Platform SSO: the profile that they are given, tokens to register them", "  signet admin mac list",
		a.macProfile(), a.macCheck(),
		&cobra.Command{
			Use: "list", Short: "List Macs; signet admin device disables and removes them", Example: "  signet admin mac list\n  signet admin mac list -o json", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.list(cmd, "mac.list", fields{}, macColumns...) },
		},
		group("token", "Tokens that register a Mac with nobody at its keyboard", "  signet admin mac token create --user ada@example.com",
			a.macTokenCreate(), a.macTokenList(), a.macTokenRevoke()))
}

func (a *administrator) macTokenCreate() *cobra.Command {
	var user, note, file string
	var serials []string
	var life time.Duration
	var uses int
	cmd := &cobra.Command{
		Use: "create", Short: "Make a registration token, or one for each of many Macs",
		Long: `Make a registration token, or one for each of many Macs. It goes into the profile
that the Mac gets, and registers it with nobody at its keyboard: as a device that
can do nothing until its first person signs in strongly on it, or until it attests
its keys. A token is for a person (--user), for a serial number, or for both; it is
shown once, and is good for one Mac and for a day.

--csv reads a file with the column serial and, as wanted, user: one token is made
for each row, or none at all. What is printed then is a CSV file, too, with the
columns serial, user, token and expires, for a device management to fill its
profiles from.`,
		Example: `  signet admin mac token create --user ada@example.com
  signet admin mac token create --serial C02XK1ABJG5J --serial C02XK2ABJG5J
  signet admin mac token create --csv macs.csv --lifetime 72h > tokens.csv`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" && len(serials) > 0 {
				return usagef("say either --serial or --csv")
			}
			if life < 0 || life%time.Minute != 0 {
				return usagef("--lifetime is whole minutes, up to %s", mac.MaxTokenLife)
			}
			in := fields{"user": user, "note": note, "uses": uses, "lifetimeInMinutes": int(life / time.Minute)}
			macs, err := macsToToken(serials, file)
			if err != nil {
				return err
			}
			if len(macs) > 0 {
				in["macs"] = macs
			}
			result, err := a.call(cmd.Context(), "mac.token.issue", in, nil)
			if err != nil {
				return err
			}
			if file != "" && a.format != "json" {
				return writeMacTokens(cmd.OutOrStdout(), result)
			}
			return show(cmd.OutOrStdout(), a.format, result, columns("serialNumber=serial", "userPrincipalName=for", "registrationToken=token", "expires", "id"))
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&user, "user", "", "whose the Mac will be, by name or id, and who alone may activate it (default: who signs in first)")
	fs.StringArrayVar(&serials, "serial", nil, "the one serial number with which it is good; again for more tokens")
	fs.StringVar(&file, "csv", "", "file with the serial numbers, - for standard input")
	fs.StringVar(&note, "note", "", "what it is for, in the list of tokens")
	fs.DurationVar(&life, "lifetime", mac.DefaultTokenLife, "1m to "+mac.MaxTokenLife.String())
	fs.IntVar(&uses, "uses", 1, "Macs that a token without a serial number may register, at most "+strconv.Itoa(mac.MaxTokenUses))
	markFiles(cmd, "csv")
	cmd.RegisterFlagCompletionFunc("user", a.complete("user.list", "userPrincipalName"))
	return cmd
}

// macsToToken are the Macs that tokens are asked for; none: it is one for a person.
func macsToToken(serials []string, file string) ([]fields, error) {
	var out []fields
	for _, s := range serials {
		if strings.TrimSpace(s) == "" {
			return nil, usagef("--serial is empty")
		}
		out = append(out, fields{"serialNumber": s})
	}
	if file == "" {
		return out, nil
	}
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("the file cannot be read: %w", err)
		}
		defer f.Close()
		in = f
	}
	return readMacs(in)
}

// mostMacsFile bounds a file of serial numbers, in bytes.
const mostMacsFile = 1 << 20

// readMacs reads the columns serial and user of a CSV file (RFC 4180).
func readMacs(in io.Reader) ([]fields, error) {
	r := csv.NewReader(io.LimitReader(in, mostMacsFile))
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the file is no CSV with the column serial: %w", err)
	}
	at := map[string]int{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))) // spreadsheets write one
		if _, twice := at[name]; twice || name != "serial" && name != "user" {
			return nil, fmt.Errorf("the file has the column %s: the columns are serial and user, each once", printable(name))
		}
		at[name] = i
	}
	serial, ok := at["serial"]
	if !ok {
		return nil, errors.New("the file lacks the column serial")
	}
	var out []fields
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the file cannot be read: %w", err)
		}
		line, _ := r.FieldPos(0)
		one := fields{"serialNumber": strings.TrimSpace(row[serial])}
		if one["serialNumber"] == "" {
			return nil, fmt.Errorf("line %d has no serial number", line)
		}
		if user, ok := at["user"]; ok {
			one["user"] = strings.TrimSpace(row[user])
		}
		out = append(out, one)
	}
	if len(out) == 0 {
		return nil, errors.New("the file has no rows")
	}
	return out, nil
}

func writeMacTokens(w io.Writer, result json.RawMessage) error {
	rows, err := decode[[]struct {
		Serial  string `json:"serialNumber"`
		User    string `json:"userPrincipalName"`
		Token   string `json:"registrationToken"`
		Expires string `json:"expires"`
	}](result)
	if err != nil {
		return err
	}
	out := csv.NewWriter(w)
	all := [][]string{{"serial", "user", "token", "expires"}}
	for _, r := range rows {
		all = append(all, []string{r.Serial, r.User, r.Token, r.Expires})
	}
	return out.WriteAll(all)
}

func (a *administrator) macTokenList() *cobra.Command {
	var good bool
	cmd := &cobra.Command{
		Use: "list", Short: "List registration tokens; those that are over stay for 30 days", Example: "  signet admin mac token list --good\n  signet admin mac token list -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.list(cmd, "mac.token.list", fields{"good": good}, macTokenColumns...)
		},
	}
	cmd.Flags().BoolVar(&good, "good", false, "only those that may still be used")
	return cmd
}

func (a *administrator) macTokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN", Short: "Take a registration token back; Macs that it has registered stay", Example: "  signet admin mac token revoke 7d2a0c55-8f1e-4f7b-9a53-0f4c3a2b1d66",
		Args: exactly("a TOKEN (its id: signet admin mac token list shows it)"), ValidArgsFunction: first(a.completeOf("mac.token.list", "id", fields{"good": true})),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "mac.token.revoke", fields{"id": args[0]}, macTokenColumns...)
		},
	}
}
