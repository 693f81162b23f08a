package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

var phoneColumns = []string{
	"id", "displayName=name", "operatingSystem=os", "phoneAppVersion=app", "push", "isUsable=usable", "createdDateTime=added",
	"lastUsedDateTime=last used", "lastSeenDateTime=last seen",
}

func (a *administrator) phoneCommands() *cobra.Command {
	return group("phone", "Phones that approve sign-ins, and what a report has closed", "  signet admin phone list ada@example.com",
		a.phoneList(), a.phoneShow(), a.phoneTest(), a.phoneRemove(), a.phoneUnblock())
}

func (a *administrator) phoneList() *cobra.Command {
	return &cobra.Command{
		Use: "list USER", Short: "List the phones of somebody", Example: "  signet admin phone list ada@example.com\n  signet admin phone list ada@example.com -o json",
		Args: exactly("a USER (name or id)"), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "phone.list", fields{"user": args[0]}, phoneColumns...)
		},
	}
}

// onPhone is a command on one phone of somebody.
func (a *administrator) onPhone(use, short, long, example string, run func(cmd *cobra.Command, in fields) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " USER [PHONE]", Short: short, Long: long, Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("%s needs a USER, and a PHONE (id or name) when they have several; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: a.usersAndPhones,
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{"user": args[0]}
			if len(args) == 2 {
				in["phone"] = args[1]
			}
			return run(cmd, in)
		},
	}
}

// usersAndPhones completes a person, and then a phone of theirs.
func (a *administrator) usersAndPhones(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.complete("user.list", "userPrincipalName")(cmd, args, typed)
	case 1:
		return a.completeOf("phone.list", "displayName", fields{"user": args[0]})(cmd, args, typed)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func (a *administrator) phoneShow() *cobra.Command {
	return a.onPhone("show", "Show a phone, and what reports have closed for its person", "",
		"  signet admin phone show ada@example.com\n  signet admin phone show ada@example.com \"Ada's phone\" -o json",
		func(cmd *cobra.Command, in fields) error {
			raw, err := a.call(cmd.Context(), "phone.show", in, nil)
			if err != nil {
				return err
			}
			if err := show(cmd.OutOrStdout(), a.format, raw, columns(append(phoneColumns, "lastSeenAddress=last seen at", "passkeyGone=passkey gone")...)); err != nil || a.format == "json" {
				return err
			}
			return phoneBlocks(cmd, raw)
		})
}

// phoneBlocks says in words what reports have closed.
func phoneBlocks(cmd *cobra.Command, raw json.RawMessage) error {
	p, err := decode[struct {
		User   string `json:"userPrincipalName"`
		Blocks []struct {
			Address string `json:"ipAddress"`
			Since   string `json:"since"`
			Until   string `json:"until"`
		} `json:"blocks"`
	}](raw)
	if err != nil {
		return err
	}
	for _, b := range p.Blocks {
		from, until := "anywhere", "until it is lifted: signet admin phone unblock "+printable(p.User)
		if b.Address != "" {
			from = printable(b.Address)
		}
		if b.Until != "" {
			until = "until " + printable(b.Until)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Reported on %s: no phone of theirs is asked from %s, %s\n", printable(b.Since), from, until)
	}
	return nil
}

func (a *administrator) phoneTest() *cobra.Command {
	return a.onPhone("test", "Send a phone a message, and say what became of it",
		`Send a phone a message that says only that it is a test, and say in words what
became of it. It ends with 0 when the message was handed over, and with 1 and
what is wrong otherwise.`,
		"  signet admin phone test ada@example.com",
		func(cmd *cobra.Command, in fields) error {
			raw, err := a.call(cmd.Context(), "phone.test", in, nil)
			if err != nil {
				return err
			}
			got, err := decode[struct{ Result, Text string }](raw)
			if err != nil {
				return err
			}
			if a.format == "json" {
				if err := show(cmd.OutOrStdout(), a.format, raw, nil); err != nil {
					return err
				}
			}
			if got.Result != "sent" {
				return errors.New(printable(got.Text))
			}
			if a.format != "json" {
				fmt.Fprintln(cmd.OutOrStdout(), printable(got.Text))
			}
			return nil
		})
}

func (a *administrator) phoneRemove() *cobra.Command {
	return a.onPhone("remove", "Take a phone away from somebody; it approves nothing any more",
		`Take a phone away from somebody. It approves nothing any more, and what waits for
it ends. The passkey on it stays registered: it may serve elsewhere, and "signet
admin key list" shows it. Nobody is left without a way in who is the only
administrator.`,
		"  signet admin phone remove ada@example.com \"Old phone\"",
		func(cmd *cobra.Command, in fields) error { return a.do(cmd, "phone.remove", in, phoneColumns...) })
}

func (a *administrator) phoneUnblock() *cobra.Command {
	return &cobra.Command{
		Use: "unblock USER", Short: "Let somebody sign in by phone again, who had reported a request",
		Long: `Lift all that reports have closed for a person: asking their phones at all, and
from the addresses that were reported. See first in "signet admin audit" from
where it came, and talk to the person.`,
		Example: "  signet admin phone unblock ada@example.com",
		Args:    exactly("a USER (name or id)"), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "phone.unblock", fields{"user": args[0]}, "userPrincipalName=user")
		},
	}
}
