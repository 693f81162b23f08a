package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/macagent"
)

// one is a command that does one step.
func (s *standIn) one(use, short, long, example string, do func(context.Context, *macagent.Mac) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: "  signet device psso-simulate " + example, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.with(cmd, do) },
	}
}

func (s *standIn) registerCommand() *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use: "register", Short: "Register the stand-in, and the person who signs in",
		Long: `Register the stand-in, and the person who signs in. With a registration token
(--registration-token-file) only the device is registered; signet device
psso-simulate user registers its person.`,
		Example: `  signet device psso-simulate register --server https://id.example.com --tenant example.com
  signet device psso-simulate register --server https://id.example.com --tenant example.com --registration-token-file ./token`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.with(cmd, func(ctx context.Context, m *macagent.Mac) error {
				token, err := s.register(ctx, cmd, m, &w, newLines(cmd))
				if err != nil || token == "" {
					return err
				}
				return s.registerUser(ctx, m, token)
			})
		},
	}
	w.flags(cmd)
	cmd.MarkFlagRequired("server")
	cmd.MarkFlagRequired("tenant")
	return cmd
}

func (s *standIn) userCommand() *cobra.Command {
	var way ways
	cmd := &cobra.Command{
		Use: "user", Short: "Register a person on the stand-in",
		Long: `Register a person on the stand-in: they sign in, and a key is made for them, or
their card is shown. Whoever was registered before is forgotten here.`,
		Example: "  signet device psso-simulate user\n  signet device psso-simulate user --user ada@example.com --access-pass-file ./pass",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.with(cmd, func(ctx context.Context, m *macagent.Mac) error {
				token, err := s.signIn(ctx, cmd, m, &way, newLines(cmd))
				if err != nil {
					return err
				}
				return s.registerUser(ctx, m, token)
			})
		},
	}
	way.flags(cmd)
	return cmd
}

func (s *standIn) loginCommand() *cobra.Command {
	var groups []string
	cmd := &cobra.Command{
		Use: "login", Short: "Sign the person in, as at the login window",
		Long:    "Sign the person in with their key or card, as a Mac does at the login window and whenever its tokens are old.",
		Example: "  signet device psso-simulate login\n  signet device psso-simulate login --group Administrators --x5c string --text-times",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.with(cmd, s.login(groups)) },
	}
	cmd.Flags().StringSliceVar(&groups, "group", nil, "name of a group whose membership is asked for; may be given again")
	return cmd
}

func (s *standIn) refreshCommand() *cobra.Command {
	return s.one("refresh", "Refresh the person's tokens",
		"Refresh the person's tokens. A Mac does so with a smart card; with a key in the Secure Enclave it signs in again instead.", "refresh", s.refresh)
}

func (s *standIn) keyCommand() *cobra.Command {
	return s.one("key", "Ask for an unlock key",
		"Ask for an unlock key. Asked for again it is the same. Macs do so with passwords and web sign-in, not with keys and cards.", "key", s.key)
}

func (s *standIn) exchangeCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use: "exchange", Short: "Exchange keys with the unlock key",
		Long:    "Exchange keys with the unlock key, several times at once as a Mac does, and compare each secret with the one computed here.",
		Example: "  signet device psso-simulate exchange --count 3",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 1 || count > 20 {
				return usagef("--count is from 1 to 20")
			}
			return s.with(cmd, s.exchange(count))
		},
	}
	cmd.Flags().IntVar(&count, "count", 3, "how many at the same time")
	return cmd
}

func (s *standIn) openCommand() *cobra.Command {
	return &cobra.Command{
		Use: "open URL", Short: "Open an app in a browser without a session, by single sign-on",
		Long: `Open an address as a browser without a session does on a Mac: where it leads to
the server's authorize address, the extension answers for the person.`,
		Example: "  signet device psso-simulate open http://127.0.0.1:8090/login",
		Args:    exactly("a URL"),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.with(cmd, s.open(args[0])) },
	}
}

func (s *standIn) rotateCommand() *cobra.Command {
	var o macagent.RotateOptions
	cmd := &cobra.Command{
		Use: "rotate", Short: "Exchange the device's keys for new ones",
		Long: `Exchange the device's keys for new ones: both, unless you say one. The old ones
stay good until the next login, or for a day.`,
		Example: "  signet device psso-simulate rotate\n  signet device psso-simulate rotate --encryption",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.Signing && !o.Encryption {
				o = macagent.RotateOptions{Signing: true, Encryption: true}
			}
			return s.with(cmd, s.rotate(o))
		},
	}
	cmd.Flags().BoolVar(&o.Signing, "signing", false, "the signing key")
	cmd.Flags().BoolVar(&o.Encryption, "encryption", false, "the encryption key")
	return cmd
}

func (s *standIn) rotateUserCommand() *cobra.Command {
	return s.one("rotate-user", "Exchange the person's key for a new one",
		"Exchange the person's key for a new one, for which the old one vouches. The person signs in with it next.", "rotate-user", s.rotateUser)
}

func (s *standIn) statusCommand() *cobra.Command {
	return s.one("status", "Show what this stand-in is", "Show what this stand-in is. No server is asked.", "status", func(_ context.Context, m *macagent.Mac) error {
		s.out.step("status")
		got, err := m.Status()
		if err != nil {
			return err
		}
		if got.Device == "" && !s.out.json {
			fmt.Fprintln(s.out.w, "   Not registered. To do so: signet device psso-simulate register --server https://id.example.com --tenant example.com")
			return nil
		}
		return s.out.result(got, "server", "tenant", "deviceId=device", "name", "signingKid=signing key", "encryptionKid=encryption key", "rotatesUntil=keys before are good until",
			"loginUserName=login user name", "method", "userKid=user key", "signedIn=signed in", "refreshTokenExpires=until", "unlockKey=unlock key")
	})
}

func (s *standIn) removeCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "remove", Short: "Remove the stand-in from the organisation, and forget its keys",
		Long: `Remove the stand-in from the organisation, and forget its keys. With --force they
are forgotten even when the server cannot be asked.`,
		Example: "  signet device psso-simulate remove\n  signet device psso-simulate remove --force",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.with(cmd, s.remove(force)) },
	}
	cmd.Flags().BoolVar(&force, "force", false, "forget the keys whatever the server says")
	return cmd
}
