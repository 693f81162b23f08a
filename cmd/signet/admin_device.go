package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

var deviceColumns = []string{
	"id", "displayName=name", "ownerUserPrincipalName=owner", "trustType=join", "operatingSystem=os", "accountEnabled=enabled", "assurance", "softwareKeys=software keys",
	"registrationDateTime=joined", "approximateLastSignInDateTime=last seen",
}

func (a *administrator) deviceCommands() *cobra.Command {
	return group("device", "Machines that joined, and what follows from switching one off", "  signet admin device list",
		a.deviceList(),
		a.deviceOne("show", "device.show", "Show a device and what stands on it", ""),
		a.deviceOne("disable", "device.disable", "Stop a device from being used; who is signed in by it is signed out",
			"Nobody signs in by it, and it gets no tokens, until: signet admin device enable %s. Sign-ins that it had have ended and do not come back."),
		a.deviceOne("enable", "device.enable", "Let a device be used again; its people sign in anew",
			"Its people sign in anew: what it had before does not come back."),
		a.deviceOne("remove", "device.remove", "Remove a device; its keys sign nobody in any more",
			"It is gone and has to join anew. Its Hello keys are orphaned: they sign nobody in, and are deleted in 30 days."),
		a.deviceRename(),
	)
}

func (a *administrator) devices() cobra.CompletionFunc {
	return first(a.complete("device.list", "displayName"))
}

func (a *administrator) deviceList() *cobra.Command {
	return &cobra.Command{
		Use: "list [USER]", Short: "List the devices of somebody, or all", Example: "  signet admin device list\n  signet admin device list ada@example.com -o json",
		Args: atMost(1, nil), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{}
			if len(args) == 1 {
				in["user"] = args[0]
			}
			return a.list(cmd, "device.list", in, deviceColumns...)
		},
	}
}

// deviceOne is a command on one device. follows is what it means, with the
// device's id in the place of %s.
func (a *administrator) deviceOne(use, op, short, follows string) *cobra.Command {
	return &cobra.Command{
		Use: use + " DEVICE", Short: short, Example: "  signet admin device " + use + " ws-17",
		Args: exactly("a DEVICE (id, or name when only one has it)"), ValidArgsFunction: a.devices(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onDevice(cmd, op, fields{"device": args[0]}, follows)
		},
	}
}

func (a *administrator) deviceRename() *cobra.Command {
	return &cobra.Command{
		Use: "rename DEVICE NAME", Short: "Give a device another name", Example: `  signet admin device rename ws-17 "Drawing office 2"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s needs a DEVICE and a NAME; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: a.devices(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onDevice(cmd, "device.rename", fields{"device": args[0], "displayName": args[1]}, "")
		},
	}
}

// onDevice does it, prints the device, and says on standard error what follows.
func (a *administrator) onDevice(cmd *cobra.Command, op string, in fields, follows string) error {
	raw, err := a.call(cmd.Context(), op, in, nil)
	if err != nil {
		return err
	}
	if err := show(cmd.OutOrStdout(), a.format, raw, columns(append(deviceColumns, "helloKeys=Hello keys", "platformKeys=keys of Macs", "primaryRefreshTokens=refresh tokens", "onlyWayInOf=only way in of")...)); err != nil {
		return err
	}
	if follows == "" {
		return nil
	}
	d, err := decode[struct {
		ID   string   `json:"id"`
		Only []string `json:"onlyWayInOf"`
	}](raw)
	if err != nil {
		return err
	}
	w := cmd.ErrOrStderr()
	fmt.Fprintln(w, strings.ReplaceAll(follows, "%s", d.ID))
	if op == "device.enable" {
		return nil
	}
	for _, name := range d.Only {
		fmt.Fprintf(w, "%s has no other way in now. To give a pass: signet admin tap issue %s\n", printable(name), printable(name))
	}
	return nil
}
