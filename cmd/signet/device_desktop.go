package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

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
			if socket == "" {
				socket = brokerSocket()
			}
			l, err := desk.Listen(socket, os.Geteuid() == 0)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			b := &desk.Broker{Device: a, Who: d.who(accounts), Log: log}
			fmt.Fprintf(cmd.OutOrStdout(), "ready %s\n", socket)
			return b.Run(cmd.Context(), l)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "where to listen (default: "+machineSocket+" for root, else $XDG_RUNTIME_DIR/signet/broker.sock)")
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
	got, err := askBroker(ctx, socket, desk.Request{Do: "header", URL: address})
	if err == nil && got.Header != nil {
		return *got.Header, nil
	}
	if err != nil && !errors.Is(err, idp.Unavailable) {
		return agent.HeaderResult{}, err
	}
	a, err := d.open()
	if err != nil {
		return agent.HeaderResult{}, err
	}
	return a.BrowserHeader(ctx, d.user, address)
}

// askBroker asks the broker at a socket; without one that of this account, else
// that of the machine.
func askBroker(ctx context.Context, socket string, r desk.Request) (desk.Response, error) {
	sockets := []string{socket}
	if socket == "" {
		sockets = []string{brokerSocket(), machineSocket}
	}
	var got desk.Response
	var err error
	for _, one := range slices.Compact(sockets) {
		if got, err = desk.Ask(ctx, one, r); !errors.Is(err, idp.Unavailable) {
			return got, err
		}
	}
	return got, err
}

// viaBroker are the flags of commands that a broker can answer as well.
type viaBroker struct {
	on     bool
	socket string
}

func (v *viaBroker) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&v.on, "broker", false, "ask the broker that runs, as an account without a device of its own does")
	cmd.Flags().StringVar(&v.socket, "socket", "", "the broker's socket (default: that of this account, else that of the machine)")
	markFiles(cmd, "socket")
}

// ask sends r when the flags say so. The broker knows itself who asks.
func (v *viaBroker) ask(cmd *cobra.Command, d *desktop, r desk.Request) (desk.Response, error) {
	if d.user != "" {
		return desk.Response{}, usagef("--user is not for --broker: it answers for the person that this account is")
	}
	return askBroker(cmd.Context(), v.socket, r)
}

// extension are the flags of browser-extension.
type extension struct {
	family, id      string
	machine, remove bool
}

func (d *desktop) browserExtensionCommand() *cobra.Command {
	var x extension
	cmd := &cobra.Command{
		Use: "browser-extension [FOLDER]", Short: "Write the browser extension, and tell browsers about this device",
		Long: `Write the browser extension for the server that this device joined into a new
folder, and the files by which browsers find its host: signet device
browser-host. Load the folder as an extension (chrome://extensions, "Load
unpacked"), or let your organisation's browser policy install it; without FOLDER
only the files are written, for browsers that have it already.

The extension acts on the server's address and on no other. To be rid of it,
remove it in the browser, then run this with --remove.`,
		Example: `  signet device browser-extension ~/signet-extension
  signet device browser-extension --browser firefox ~/signet-extension
  signet device browser-extension --machine --extension-id abcdefghijklmnopabcdefghijklmnop
  signet device browser-extension --remove`,
		Args: atMost(1, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			if x.remove {
				if len(args) > 0 {
					return usagef("--remove takes no FOLDER: remove that yourself, after the browser has let go of it")
				}
				files, err := x.uninstall()
				if err != nil {
					return err
				}
				return d.print(cmd, map[string]any{"removed": files}, "removed")
			}
			return d.writeExtension(cmd, x, args)
		},
	}
	cmd.Flags().StringVar(&x.family, "browser", string(desk.Chromium), "chromium or firefox")
	cmd.Flags().StringVar(&x.id, "extension-id", "", "what the browser calls an extension that your organisation packed (default: the one written here)")
	cmd.Flags().BoolVar(&x.machine, "machine", false, "tell the browsers of all accounts, as root")
	cmd.Flags().BoolVar(&x.remove, "remove", false, "take back what tells browsers about this device")
	return cmd
}

func (d *desktop) writeExtension(cmd *cobra.Command, x extension, args []string) error {
	result := map[string]any{}
	fields := []string{"hostFiles=host files"}
	if len(args) > 0 {
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
		result["extension"], result["server"] = args[0], st.Server
		fields = append([]string{"extension", "server"}, fields...)
	}
	files, err := x.install(d.state)
	if err != nil {
		return err
	}
	result["hostFiles"] = files
	return d.print(cmd, result, fields...)
}

// places are the starter and the files that tell browsers of it.
func (x extension) places() (starter string, files []string, err error) {
	home := ""
	starter = "/usr/lib/signet/browser-host"
	if !x.machine {
		if home, err = os.UserHomeDir(); err != nil {
			return "", nil, fmt.Errorf("find the home folder: %w", err)
		}
		starter = filepath.Join(home, ".local", "lib", "signet", "browser-host")
	}
	for _, folder := range desk.HostFolders(desk.Family(x.family), home) {
		files = append(files, filepath.Join(folder, desk.HostName+".json"))
	}
	return starter, files, nil
}

// install writes a starter next to the state, since browsers pass no
// arguments of ours, and the files that name it.
func (x extension) install(state string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	starter, files, err := x.places()
	if err != nil {
		return nil, err
	}
	text, err := desk.HostFile(desk.Family(x.family), starter, x.id)
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
	for _, file := range files {
		if err := place(file, append(text, '\n'), 0o644); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// uninstall removes what install wrote for one family of browsers. The starter
// goes with the last of them.
func (x extension) uninstall() ([]string, error) {
	removed := []string{}
	remove := func(file string) error {
		err := os.Remove(file)
		if err == nil {
			removed = append(removed, file)
		} else if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return err
	}
	starter, files, err := x.places()
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := remove(file); err != nil {
			return nil, fmt.Errorf("remove what browsers know: %w", err)
		}
	}
	for _, family := range []desk.Family{desk.Chromium, desk.Firefox} {
		_, others, err := extension{family: string(family), machine: x.machine}.places()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(others, func(file string) bool { _, err := os.Lstat(file); return err == nil }) {
			return removed, nil
		}
	}
	return removed, remove(starter)
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
	var seats []string
	var distant bool
	cmd := &cobra.Command{
		Use: "pam", Short: "Let people in at this machine by their PIN; for pam_exec",
		Long: `Decide for pam_exec(8) whether somebody comes in: the PIN on standard input opens
their key in the TPM, and the server takes its signature. Without the server the
key alone lets them in, for as many days as the organisation allows.

Only at the machine itself: over a network strangers could make the TPM stop
answering. Consoles, login managers, screen lockers, sudo, su and polkit are
known; --service adds one. An account is a person by a line of
/etc/signet/accounts, which must be root's, and so must its folder; uid 0 never
is one.

In /etc/pam.d, before the line that asks for a password:
  auth sufficient pam_exec.so quiet seteuid expose_authtok /usr/bin/signet device pam

It ends with 0 to let in; 1 refused, 2 not run by pam_exec, 10 wrong PIN, 11 the
TPM is locked, 12 nobody's account, 13 over a network or by a service that is
not known, 14 no key here, 15 no server and not allowed without.`,
		Example: "  signet device pam --accounts /etc/signet/accounts",
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
			gate := desk.Gate{Device: a, Accounts: desk.Accounts{File: accounts, Lookup: user.Lookup}, Seats: seats, Distant: distant}
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
	cmd.Flags().StringSliceVar(&seats, "service", nil, "a service of PAM that is only ever used at the machine itself, beside the known ones")
	cmd.Flags().BoolVar(&distant, "allow-remote", false, "let people in over a network, too: strangers can then lock the TPM")
	markFiles(cmd, "accounts")
	return cmd
}
