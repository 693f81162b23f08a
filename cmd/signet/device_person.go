package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/agent"
	desk "github.com/signetid/signet/internal/desktop"
	"github.com/signetid/signet/internal/securitykey"
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
	var stdin, securityKey bool
	cmd := &cobra.Command{
		Use: "sign-in [--security-key [DEVICE]]", Short: "Sign in on this device with your PIN, or a security key",
		Long: `Sign in on this device: the PIN opens your key in the TPM, the key signs, and
the server answers with a primary refresh token whose session key only this TPM
can use.

With --security-key a passkey on the security key that is plugged in signs, which
you registered with the server before: nothing of yours has to be on this device.
It takes the tools of libfido2, which Debian has as fido2-tools; they ask for the
key's own PIN, twice the first time. DEVICE says which key, as fido2-token -L
lists it.`,
		Example: `  signet device sign-in
  signet device sign-in --user ada@example.com --pin-stdin
  signet device sign-in --security-key
  signet device sign-in --security-key /dev/hidraw5`,
		Args: func(cmd *cobra.Command, args []string) error {
			if securityKey && len(args) == 1 {
				return nil
			}
			return noArgs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			if securityKey {
				return d.bySecurityKey(cmd, a, args, stdin)
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
	cmd.Flags().BoolVar(&securityKey, "security-key", false, "sign in with a passkey on a security key, and its PIN")
	return cmd
}

// bySecurityKey signs in with the key that is plugged in, or the one at args[0].
func (d *desktop) bySecurityKey(cmd *cobra.Command, a *agent.Agent, args []string, stdin bool) error {
	if err := a.MayEnrol(); err != nil { // before a key is looked for
		return err
	}
	key, err := securitykey.Find(cmd.Context(), strings.Join(args, ""))
	if err != nil {
		return err
	}
	in := newLines(cmd)
	o := agent.PasskeyOptions{User: d.user, Key: key, Terminal: securitykey.Terminal{
		In: cmd.InOrStdin(), Say: func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) },
	}}
	if stdin {
		if o.Terminal.PIN, err = in.next("the PIN of the key"); err != nil {
			return err
		}
		if err := checkKeyPIN(o.Terminal.PIN); err != nil {
			return err
		}
	} else if in.terminal() {
		o.Choose = in.choose
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "With %s (%s).\n", printable(key.Name), printable(key.Path))
	got, err := a.SignInByPasskey(cmd.Context(), o)
	if err != nil {
		return err
	}
	return d.print(cmd, got, prtFields...)
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
	var via viaBroker
	cmd := &cobra.Command{
		Use: "token", Short: "Print an access token for an API",
		Long: `Print an access token for an API, got with the primary refresh token: nobody is
asked for anything. With --json its expiry and scopes are there, too.

The token is for the application that --client names, and for what that
application may have at the API. With --broker the broker that runs gets it, for
the person that this account is.`,
		Example: `  signet device token --resource https://graph.microsoft.com --client 29d9ed98-a469-4536-ade2-f981bc1d605e
  signet device token --scope "openid profile" --client 7c1b9c3e-5d6a-4a4e-9a5b-1f2e3d4c5b6a --json
  signet device token --broker --resource https://graph.microsoft.com`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.Resource == "") == (o.Scope == "") {
				return usagef("say what the token is for, by one of --resource and --scope")
			}
			got, err := d.token(cmd, &via, o)
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
	via.flags(cmd)
	return cmd
}

// token asks the broker, or the device itself.
func (d *desktop) token(cmd *cobra.Command, via *viaBroker, o agent.TokenOptions) (agent.TokenResult, error) {
	if via.on {
		got, err := via.ask(cmd, d, desk.Request{Do: "token", Resource: o.Resource, Scope: o.Scope, Client: o.Client})
		switch {
		case err != nil:
			return agent.TokenResult{}, err
		case got.Token == nil:
			return agent.TokenResult{}, errOtherAnswer
		}
		return *got.Token, nil
	}
	a, err := d.open()
	if err != nil {
		return agent.TokenResult{}, err
	}
	o.User = d.user
	return a.Token(cmd.Context(), o)
}

var errOtherAnswer = errors.New("the broker answered something else than it was asked: it is another version; start it again")

func (d *desktop) headerCommand() *cobra.Command {
	var address string
	var via viaBroker
	cmd := &cobra.Command{
		Use: "browser-header", Short: "Print the header that signs a browser in",
		Long: `Print the header with which a browser is signed in at one address of the
server, once. An address of anybody else gets none.`,
		Example: `  signet device browser-header --url 'https://id.example.com/example.com/oauth2/v2.0/authorize?client_id=…'`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := d.headerFor(cmd, &via, address)
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
	via.flags(cmd)
	return cmd
}

// headerFor asks the broker, or the device itself.
func (d *desktop) headerFor(cmd *cobra.Command, via *viaBroker, address string) (agent.HeaderResult, error) {
	if via.on {
		got, err := via.ask(cmd, d, desk.Request{Do: "header", URL: address})
		switch {
		case err != nil:
			return agent.HeaderResult{}, err
		case got.Header == nil:
			return agent.HeaderResult{}, errOtherAnswer
		}
		return *got.Header, nil
	}
	a, err := d.open()
	if err != nil {
		return agent.HeaderResult{}, err
	}
	return a.BrowserHeader(cmd.Context(), d.user, address)
}

var errPINsDiffer = errors.New("the two PINs differ: run this again")
