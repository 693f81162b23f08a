package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/agent"
	desk "github.com/signetid/signet/internal/desktop" // desktop is what the commands have in common
	"github.com/signetid/signet/internal/idp"
)

// brokerSocket is where programs of this account find the broker: that of the
// machine for root, else one of their own.
func brokerSocket() string {
	if os.Geteuid() == 0 {
		return machineSocket
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "signet", "broker.sock")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("signet-%d", os.Geteuid()), "broker.sock")
}

const machineSocket = "/run/signet/broker.sock"

func (d *desktop) brokerCommand() *cobra.Command {
	var socket, accounts string
	cmd := &cobra.Command{
		Use: "broker", Short: "Keep sign-ins fresh, and serve tokens to programs of this machine",
		Long: `Keep the primary refresh tokens of this device fresh, and serve tokens and
browser headers over a Unix socket, until stopped. The kernel says which account
asks, and each gets what is its own person's.

Run by root it serves all accounts of the machine, and the file of --accounts
says which person each of them is. Run by anybody else it serves that account
alone.

A request is a line of JSON, and so is the answer:
  {"do":"token","resource":"https://graph.microsoft.com","client":"…"}
  {"do":"header","url":"https://id.example.com/…/oauth2/v2.0/authorize?…"}
  {"do":"status"}`,
		Example: "  signet device broker\n  signet device broker --socket /run/signet/broker.sock --accounts /etc/signet/accounts",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			l, err := listenBroker(socket)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			b := &desk.Broker{Device: a, Who: d.who(accounts), Log: log}
			fmt.Fprintf(cmd.OutOrStdout(), "ready %s\n", socket)
			return b.Run(cmd.Context(), l)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", brokerSocket(), "where to listen")
	cmd.Flags().StringVar(&accounts, "accounts", desk.DefaultAccounts, "which person each local account is; for root")
	markFiles(cmd, "socket", "accounts")
	return cmd
}

// who says which person an account is: for root by the file of the machine,
// for anybody else only themselves.
func (d *desktop) who(accounts string) func(uint32) (string, error) {
	if os.Geteuid() == 0 {
		return desk.Accounts{File: accounts}.ByUID
	}
	return func(uid uint32) (string, error) {
		if int(uid) != os.Geteuid() {
			return "", idp.Deniedf("other_account", "uid %d", uid).Say("this broker serves the account that runs it, and no other")
		}
		return d.user, nil
	}
}

// listenBroker takes the socket. One that a dead broker left is replaced, one
// that answers is not.
func listenBroker(socket string) (net.Listener, error) {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o755 // others must reach it; whom it serves it knows itself
	}
	if err := os.MkdirAll(filepath.Dir(socket), mode); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w; name another with --socket", err)
	}
	if c, err := net.Dial("unix", socket); err == nil {
		c.Close()
		return nil, fmt.Errorf("a broker listens on %s already: stop it first, or choose another with --socket", socket)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(socket); err != nil {
			return nil, fmt.Errorf("replace the socket of a broker that is gone: %w", err)
		}
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; name another with --socket", socket, err)
	}
	if os.Geteuid() == 0 {
		mode = 0o666
	} else {
		mode = 0o600
	}
	if err := os.Chmod(socket, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (d *desktop) browserHostCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "browser-host", Short: "Serve the browser extension; browsers start this themselves",
		Long: `Serve the browser extension over standard input and output, in the native
messaging protocol of browsers. It asks the broker for headers; where none runs,
the device itself. signet device browser-extension tells browsers about it.`,
		Example: "  signet device browser-host",
		// Browsers add arguments of their own: the extension that asks.
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return desk.Native(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), func(ctx context.Context, address string) (string, string, error) {
				got, err := d.header(ctx, socket, address)
				return got.Name, got.Value, err
			})
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "the broker's socket (default: that of this account, else that of the machine)")
	markFiles(cmd, "socket")
	return cmd
}

// header asks the broker, or where there is none the device.
func (d *desktop) header(ctx context.Context, socket, address string) (agent.HeaderResult, error) {
	sockets := []string{socket}
	if socket == "" {
		sockets = []string{brokerSocket(), machineSocket}
	}
	for _, one := range sockets {
		got, err := desk.Ask(ctx, one, desk.Request{Do: "header", URL: address})
		if err == nil && got.Header != nil {
			return *got.Header, nil
		}
		if err != nil && !errors.Is(err, idp.Unavailable) {
			return agent.HeaderResult{}, err
		}
	}
	a, err := d.open()
	if err != nil {
		return agent.HeaderResult{}, err
	}
	return a.BrowserHeader(ctx, d.user, address)
}

func (d *desktop) browserExtensionCommand() *cobra.Command {
	var family string
	var machine bool
	cmd := &cobra.Command{
		Use: "browser-extension FOLDER", Short: "Write the browser extension, and tell browsers about this device",
		Long: `Write the browser extension for the server that this device joined into a new
folder, and the files by which browsers find its host: signet device
browser-host. Load the folder as an extension (chrome://extensions, "Load
unpacked"), or let your organisation's browser policy install it.

The extension acts on the server's address and on no other.`,
		Example: "  signet device browser-extension ~/signet-extension\n  signet device browser-extension --browser firefox ~/signet-extension",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			st, err := a.Status(cmd.Context())
			if err != nil {
				return err
			}
			if !st.Joined {
				return idp.NotFoundf("not_joined", "no device").Say("this machine has not joined: signet device join --server https://id.example.com")
			}
			if err := desk.WriteExtension(args[0], st.Server); err != nil {
				return err
			}
			files, err := installHost(desk.Family(family), machine, d.state)
			if err != nil {
				return err
			}
			return d.print(cmd, map[string]any{"extension": args[0], "server": st.Server, "hostFiles": files}, "extension", "server", "hostFiles=host files")
		},
	}
	cmd.Flags().StringVar(&family, "browser", string(desk.Chromium), "chromium or firefox")
	cmd.Flags().BoolVar(&machine, "machine", false, "tell the browsers of all accounts, as root")
	return cmd
}

// installHost writes a starter next to the state, since browsers pass no
// arguments of ours, and the files that name it.
func installHost(family desk.Family, machine bool, state string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	home, starter := "", "/usr/lib/signet/browser-host"
	if !machine {
		if home, err = os.UserHomeDir(); err != nil {
			return nil, fmt.Errorf("find the home folder: %w", err)
		}
		starter = filepath.Join(home, ".local", "lib", "signet", "browser-host")
	}
	text, err := desk.HostFile(family, starter)
	if err != nil {
		return nil, err
	}
	script := "#!/bin/sh\nexec " + quoted(self) + " device browser-host"
	if state != "" {
		script += " --state " + quoted(state)
	}
	if err := place(starter, []byte(script+"\n"), 0o755); err != nil {
		return nil, err
	}
	var files []string
	for _, folder := range desk.HostFolders(family, home) {
		file := filepath.Join(folder, desk.HostName+".json")
		if err := place(file, append(text, '\n'), 0o644); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// quoted is a word for the shell.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// place writes a file that browsers of other accounts may have to read.
func place(file string, text []byte, mode os.FileMode) error {
	folder := filepath.Dir(file)
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("make the folder of %s: %w", file, err)
		}
		if err := os.Chmod(folder, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(file, text, mode); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.Chmod(file, mode)
}

func (d *desktop) pamCommand() *cobra.Command {
	var accounts string
	var distant bool
	cmd := &cobra.Command{
		Use: "pam", Short: "Let people in at this machine by their PIN; for pam_exec",
		Long: `Decide for pam_exec(8) whether somebody comes in: the PIN on standard input opens
their key in the TPM, and the server takes its signature. Without the server the
key alone lets them in, for as many days as the organisation allows.

Only at the machine itself: over a network strangers could make the TPM stop
answering. An account is a person by a line of /etc/signet/accounts, which must
be root's; uid 0 never is one.

In /etc/pam.d, before the line that asks for a password:
  auth sufficient pam_exec.so quiet expose_authtok /usr/bin/signet device pam

It ends with 0 to let in; 1 refused, 2 not run by pam_exec, 10 wrong PIN, 11 the
TPM is locked, 12 nobody's account, 13 over a network, 14 no key here, 15 no
server and not allowed without.`,
		Example: "  auth sufficient pam_exec.so quiet expose_authtok /usr/bin/signet device pam",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			door := desk.DoorOf(os.Getenv)
			pin, err := desk.ReadPIN(cmd.InOrStdin())
			if err != nil {
				return &exitError{desk.ExitUsage, err}
			}
			a, err := d.open()
			if err != nil {
				return &exitError{desk.ExitRefused, err}
			}
			gate := desk.Gate{Device: a, Accounts: desk.Accounts{File: accounts, Lookup: user.Lookup}, Distant: distant}
			offline, code, err := gate.Admit(cmd.Context(), door, pin)
			if err != nil {
				return &exitError{code, err}
			}
			if offline {
				fmt.Fprintln(cmd.ErrOrStderr(), "signet: let in without the server")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&accounts, "accounts", desk.DefaultAccounts, "which person each local account is")
	cmd.Flags().BoolVar(&distant, "allow-remote", false, "let people in over a network, too: strangers can then lock the TPM")
	markFiles(cmd, "accounts")
	return cmd
}
