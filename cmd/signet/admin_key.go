package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/securitykey"
)

func (a *administrator) securityKeyCommands() *cobra.Command {
	return group("key", "Keys that people sign in with: list, clear away, put on security keys", "  signet admin key list ada@example.com",
		a.keyList(), a.keyOrphans(), a.keyExport(), a.keyClean(), a.keyRestore(), a.keyProvision())
}

func (a *administrator) keyProvision() *cobra.Command {
	var device, name, pinFile string
	cmd := &cobra.Command{
		Use: "provision USER", Short: "Put a passkey for somebody on the security key that is plugged in",
		Long: `Put a passkey for somebody on the security key that is plugged into this machine,
so that the key can be handed over ready for use. It takes the tools of libfido2,
which Debian has as fido2-tools, and a running server on the data folder.

The tools ask for the key's PIN on the terminal; then the key blinks and wants to
be touched. The policies of the tenant hold as they do everywhere: a model that
they do not allow is refused. It is on record under your name.`,
		Example: `  signet admin key provision ada@example.com
  signet admin key provision ada@example.com --device /dev/hidraw5 --name "Blue key"
  signet admin key provision ada@example.com --pin-file ./pin`,
		Args: exactly("a USER (name or id)"), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			pin, err := readPIN(pinFile)
			if err != nil {
				return err
			}
			return a.provision(cmd, args[0], device, name, pin)
		},
	}
	cmd.Flags().StringVar(&device, "device", "", "the key, as fido2-token -L lists it (default: the only one)")
	cmd.Flags().StringVar(&name, "name", "", "what the passkey is called (default: its model)")
	cmd.Flags().StringVar(&pinFile, "pin-file", "", "file with the key's PIN, instead of being asked")
	markFiles(cmd, "device", "pin-file")
	return cmd
}

var passkeyColumns = []string{"id", "displayName=name", "model", "attestationLevel=attestation", "userPrincipalName=for", "createdDateTime=created"}

func (a *administrator) provision(cmd *cobra.Command, user, device, name, pin string) error {
	ctx := cmd.Context()
	// The key first: what is missing there is found before the server is asked.
	key, err := securitykey.Find(ctx, device)
	if err != nil {
		return err
	}
	raw, err := a.call(ctx, "key.beginProvision", fields{"user": user}, nil)
	if err != nil {
		return err
	}
	var begun struct {
		Origin    string               `json:"origin"`
		PublicKey securitykey.Creation `json:"publicKey"`
	}
	if err := json.Unmarshal(raw, &begun); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "A passkey for %s on %s (%s).\n", printable(begun.PublicKey.User.Name), printable(key.Name), printable(key.Path))
	terminal := securitykey.Terminal{In: cmd.InOrStdin(), PIN: pin, Say: func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) }}
	made, err := securitykey.Make(ctx, terminal, key, begun.Origin, begun.PublicKey)
	if err != nil {
		return err
	}
	result, err := a.call(ctx, "key.finishProvision", fields{"user": user, "displayName": name, "publicKeyCredential": made}, nil)
	if err != nil {
		if e := idp.AsError(err); e.Kind == idp.Internal || e.Kind == idp.Unavailable {
			return err // it may have been done
		}
		// The key has it, and nobody will ever ask for it.
		return fmt.Errorf("%s. The passkey on the key is of no use now: fido2-token -L -k %s %s lists it, fido2-token -D -i ID %s removes it",
			strings.TrimRight(sentence(err), "."), begun.PublicKey.RP.ID, key.Path, key.Path)
	}
	return show(cmd.OutOrStdout(), a.format, result, columns(passkeyColumns...))
}

// readPIN reads a PIN as the tools take one: 4 to 63 bytes on a line (CTAP 2.1,
// §6.5.1).
func readPIN(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the PIN file cannot be read: %w", err)
	}
	pin := strings.TrimRight(string(text), "\r\n")
	if checkKeyPIN(pin) != nil {
		return "", errors.New("the PIN file must have a PIN of 4 to 63 bytes on one line")
	}
	return pin, nil
}

// checkKeyPIN says whether a security key could have this PIN (CTAP 2.1,
// §6.5.1).
func checkKeyPIN(pin string) error {
	if len(pin) < 4 || len(pin) > 63 || strings.ContainsAny(pin, "\r\n\x00") {
		return errors.New("the PIN of a security key has 4 to 63 bytes")
	}
	return nil
}
