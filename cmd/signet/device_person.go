package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/agent"
)

func (d *desktop) enrolCommand() *cobra.Command {
	return d.keyCommand("enrol", "Make your key on this device, behind a PIN",
		`Make your key on this device, in its TPM, and choose the PIN that opens it. The
PIN stays here: the server never sees it. After too many wrong ones the TPM stops
answering for a while.

It takes a sign-in of at most ten minutes ago; if there is none, you sign in,
with a browser, on another device, or with an access pass. What is left of a join
by access pass does, too.`,
		"  signet device hello enrol\n  signet device hello enrol --user ada@example.com\n  signet device hello enrol --user ada@example.com --access-pass-file ./pass", (*agent.Agent).Enrol)
}

func (d *desktop) resetCommand() *cobra.Command {
	return d.keyCommand("reset", "Make a new key in the place of yours, with a new PIN",
		`Make a new key in the place of yours, with a new PIN: for when the PIN is
forgotten, or the server does not take the key any more. You sign in for it, by
an access pass if you have nothing else, and the old key is worth nothing
afterwards.`,
		"  signet device hello reset", (*agent.Agent).Reset)
}

func (d *desktop) keyCommand(use, short, long, example string, do func(*agent.Agent, ctx, agent.EnrolOptions) (agent.EnrolResult, error)) *cobra.Command {
	var way ways
	var stdin bool
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			if err := a.MayEnrol(); err != nil {
				return err
			}
			in := newLines(cmd)
			pin, err := in.newPIN(stdin)
			if err != nil {
				return err
			}
			signIn, err := way.signIn(cmd, d.user, in)
			if err != nil {
				return err
			}
			got, err := do(a, cmd.Context(), agent.EnrolOptions{User: d.user, PIN: pin, SignIn: signIn})
			if err != nil {
				return err
			}
			return d.print(cmd, got, "userPrincipalName=key of", "kid", "keys=in")
		},
	}
	pinFlag(cmd, &stdin, "read the new PIN as a line of standard input")
	way.flags(cmd)
	return cmd
}

func (d *desktop) changePINCommand() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use: "change-pin", Short: "Choose another PIN for your key",
		Long:    "Choose another PIN for your key. The key stays the same, and the server is not asked.",
		Example: "  signet device hello change-pin\n  signet device hello change-pin --pin-stdin",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			who, err := a.Keyholder(d.user)
			if err != nil {
				return err
			}
			in := newLines(cmd)
			old, err := in.pin(stdin, "Old PIN of "+printable(who)+": ")
			if err != nil {
				return err
			}
			next, err := in.newPIN(stdin)
			if err != nil {
				return err
			}
			if err := a.ChangePIN(cmd.Context(), d.user, old, next); err != nil {
				return err
			}
			return d.print(cmd, map[string]bool{"changed": true}, "changed")
		},
	}
	pinFlag(cmd, &stdin, "read the old and the new PIN as two lines of standard input")
	return cmd
}

func (d *desktop) signInCommand() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use: "sign-in", Short: "Sign in on this device with your PIN",
		Long: `Sign in on this device: the PIN opens your key in the TPM, the key signs, and
the server answers with a primary refresh token whose session key only this TPM
can use.`,
		Example: "  signet device sign-in\n  signet device sign-in --user ada@example.com --pin-stdin",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			who, err := a.Keyholder(d.user)
			if err != nil {
				return err
			}
			pin, err := newLines(cmd).pin(stdin, "PIN of "+printable(who)+": ")
			if err != nil {
				return err
			}
			got, err := a.SignIn(cmd.Context(), d.user, pin)
			if err != nil {
				return err
			}
			return d.print(cmd, got, prtFields...)
		},
	}
	pinFlag(cmd, &stdin, "read the PIN as a line of standard input")
	return cmd
}

var prtFields = []string{"userPrincipalName=signed in", "method=by", "issued", "updated", "expires"}

func pinFlag(cmd *cobra.Command, stdin *bool, usage string) {
	cmd.Flags().BoolVar(stdin, "pin-stdin", false, usage)
}

func (d *desktop) renewCommand() *cobra.Command {
	return &cobra.Command{
		Use: "renew", Short: "Renew the primary refresh token",
		Long:    "Renew the primary refresh token, which is due when it is four hours old. Nobody is asked for anything.",
		Example: "  signet device renew",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			got, err := a.Renew(cmd.Context(), d.user)
			if err != nil {
				return err
			}
			return d.print(cmd, got, prtFields...)
		},
	}
}

func (d *desktop) tokenCommand() *cobra.Command {
	var o agent.TokenOptions
	cmd := &cobra.Command{
		Use: "token", Short: "Print an access token for an API",
		Long: `Print an access token for an API, got with the primary refresh token: nobody is
asked for anything. With --json its expiry and scopes are there, too.

The token is for the application that --client names, and for what that
application may have at the API.`,
		Example: `  signet device token --resource https://graph.microsoft.com --client 29d9ed98-a469-4536-ade2-f981bc1d605e
  signet device token --scope "openid profile" --client 7c1b9c3e-5d6a-4a4e-9a5b-1f2e3d4c5b6a --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.Resource == "") == (o.Scope == "") {
				return usagef("say what the token is for, by one of --resource and --scope")
			}
			a, err := d.open()
			if err != nil {
				return err
			}
			o.User = d.user
			got, err := a.Token(cmd.Context(), o)
			if err != nil {
				return err
			}
			if d.json {
				return d.print(cmd, got)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), got.AccessToken)
			return err
		},
	}
	cmd.Flags().StringVar(&o.Resource, "resource", "", "the API, for all that the application may have there")
	cmd.Flags().StringVar(&o.Scope, "scope", "", "these scopes instead")
	cmd.Flags().StringVar(&o.Client, "client", "", "id of the application to act for (default: this agent)")
	return cmd
}

func (d *desktop) headerCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "browser-header", Short: "Print the header that signs a browser in",
		Long: `Print the header with which a browser is signed in at one address of the
server, once. An address of anybody else gets none.`,
		Example: `  signet device browser-header --url 'https://id.example.com/example.com/oauth2/v2.0/authorize?client_id=…'`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			got, err := a.BrowserHeader(cmd.Context(), d.user, address)
			if err != nil {
				return err
			}
			if d.json {
				return d.print(cmd, got)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", got.Name, got.Value)
			return err
		},
	}
	cmd.Flags().StringVar(&address, "url", "", "the address that the browser goes to")
	cmd.MarkFlagRequired("url")
	return cmd
}

var errPINsDiffer = errors.New("the two PINs differ: run this again")
