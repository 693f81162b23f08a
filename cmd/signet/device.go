package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/agent"
)

// desktop has the flags that all commands of a device have.
type desktop struct {
	state string
	tpm   string
	user  string
	json  bool
}

func newDevice() *cobra.Command {
	d := &desktop{}
	cmd := &cobra.Command{
		Use:   "device",
		Short: "Make this machine a device: join, keys, sign-in",
		Long: `Make this machine a device of your organisation, and sign in on it.

A device keeps its keys in the TPM of the machine. A person opens their own key
there with a PIN and is signed in from then on: apps get tokens and browsers a
header without asking again.

The state is kept in a folder for this account alone; what is secret in it is
of no use without the TPM.`,
		Example: `  signet device join --server https://id.example.com
  signet device hello enrol
  signet device sign-in
  signet device status`,
		Args: noArgs,
		RunE: needCommand,
	}
	fs := cmd.PersistentFlags()
	fs.StringVar(&d.state, "state", "", "folder of the state (default: /var/lib/signet for root, else $XDG_STATE_HOME/signet)")
	fs.StringVar(&d.tpm, "tpm", "", "the TPM, or the socket of an emulator (default: the one joined with, or "+agent.DefaultTPM+")")
	fs.StringVar(&d.user, "user", "", "who, by user principal name (default: whoever is alone here)")
	fs.BoolVar(&d.json, "json", false, "print JSON")
	cmd.MarkPersistentFlagDirname("state")
	cmd.MarkPersistentFlagFilename("tpm")
	cmd.AddCommand(
		d.joinCommand(), d.statusCommand(),
		group("hello", "The key of a person on this device", "  signet device hello enrol", d.enrolCommand(), d.changePINCommand(), d.resetCommand()),
		d.signInCommand(), d.tokenCommand(), d.headerCommand(), d.renewCommand(), d.leaveCommand(), unwrapCommand(),
		d.brokerCommand(), d.browserExtensionCommand(), d.browserHostCommand(), d.pamCommand(), d.pssoCommand(),
	)
	return cmd
}

// unwrapCommand is the short-lived child that hands a session key to the TPM.
// Nobody types it.
func unwrapCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unwrap-session-key", Short: "Hand a session key to the TPM", Example: "  signet device unwrap-session-key", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return agent.UnwrapSessionKey(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// unwrapChild starts this same program, even when its file was replaced since.
func unwrapChild(ctx context.Context) *exec.Cmd {
	return exec.CommandContext(ctx, "/proc/self/exe", "device", "unwrap-session-key")
}

// open gives the device of this machine.
func (d *desktop) open() (*agent.Agent, error) {
	folder := d.state
	if folder == "" {
		var err error
		if folder, err = stateFolder(); err != nil {
			return nil, err
		}
	}
	return agent.New(agent.Config{Folder: folder, TPM: d.tpm, Now: time.Now, Child: unwrapChild})
}

func stateFolder() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/signet", nil
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "signet"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home folder: %w; name a folder with --state", err)
	}
	return filepath.Join(home, ".local", "state", "signet"), nil
}

// print shows a result: JSON as it is, or the fields of columns as lines.
func (d *desktop) print(cmd *cobra.Command, result any, fields ...string) error {
	raw, err := json.Marshal(result)
	if err != nil {
		return err
	}
	format := "table"
	if d.json {
		format = "json"
	}
	return show(cmd.OutOrStdout(), format, raw, columns(fields...))
}

// ways are the flags for how a person signs in afresh.
type ways struct {
	deviceCode bool
	passFile   string
}

func (w *ways) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.deviceCode, "device-code", false, "sign in on another device instead of with a browser here")
	cmd.Flags().StringVar(&w.passFile, "access-pass-file", "", "file with an access pass for --user, - for standard input, instead of a browser")
	markFiles(cmd, "access-pass-file")
}

// signIn is the way that the flags say; a browser, if they say none.
func (w *ways) signIn(cmd *cobra.Command, user string, in *lines) (agent.SignIn, error) {
	say := func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format, args...) }
	switch {
	case w.deviceCode && w.passFile != "":
		return nil, usagef("say either --device-code or --access-pass-file")
	case w.passFile != "" && user == "":
		return nil, usagef("--access-pass-file needs --user: a pass is somebody's")
	case w.passFile == "-":
		pass, err := in.next("the access pass")
		return agent.AccessPass{User: user, Pass: pass}, err
	case w.passFile != "":
		text, err := os.ReadFile(w.passFile)
		if err != nil {
			return nil, fmt.Errorf("the access pass cannot be read: %w", err)
		}
		return agent.AccessPass{User: user, Pass: strings.TrimSpace(string(text))}, nil
	case w.deviceCode:
		return agent.DeviceCode{Show: func(address, code string) {
			say("On another device, open %s and type %s\n", printable(address), printable(code))
		}}, nil
	}
	return agent.Browser{Open: func(address string) error {
		say("Sign in with a browser on this machine. If none opens, go to:\n  %s\n", printable(address))
		if os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "" {
			// A browser that does not open is no failure: the address is there.
			_ = exec.Command("xdg-open", address).Start()
		}
		return nil
	}}, nil
}

func (d *desktop) joinCommand() *cobra.Command {
	var o agent.JoinOptions
	var way ways
	var caFile string
	var personal bool
	cmd := &cobra.Command{
		Use: "join", Short: "Register this machine with your organisation",
		Long: `Register this machine with your organisation.

Two keys are made in the TPM, you sign in, and the server certifies the machine.
You sign in with a browser on this machine, on another device (--device-code) or
with an access pass. A join that was cut off can be run again.

An access pass signs nobody in: it joins the machine and lets you make your own
key on it, with signet device hello enrol within ten minutes. A pass for one use
is spent with that.

--insecure-software-keys is for trials on machines without a TPM: the keys are
then files that can be copied, and the organisation's list of devices says so.`,
		Example: `  signet device join --server https://id.example.com
  signet device join --server https://id.example.com --device-code
  signet device join --server https://id.example.com --user ada@example.com --access-pass-file ./pass`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			if caFile != "" {
				if o.CA, err = os.ReadFile(caFile); err != nil {
					return fmt.Errorf("the certificates cannot be read: %w", err)
				}
			}
			if o.Type = agent.Joined; personal {
				o.Type = agent.Registered
			}
			if o.Name == "" {
				if o.Name, err = os.Hostname(); err != nil {
					return fmt.Errorf("find this machine's name: %w; give one with --name", err)
				}
			}
			o.OS = systemName()
			if o.SignIn, err = way.signIn(cmd, d.user, newLines(cmd)); err != nil {
				return err
			}
			got, err := a.Join(cmd.Context(), o)
			if err != nil {
				return err
			}
			notes(cmd, got.Notes)
			return d.print(cmd, got, "deviceId=device", "tenantDomain=organisation", "userPrincipalName=joined by", "keys", "assurance", "signedIn=signed in")
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.Server, "server", "", "address of the server, such as https://id.example.com")
	fs.StringVar(&o.Tenant, "tenant", "", "tenant id or domain (default: that of whoever signs in)")
	fs.StringVar(&o.Name, "name", "", "what the device is called (default: the host name)")
	fs.BoolVar(&personal, "personal", false, "register a machine of your own, instead of the organisation's")
	fs.StringVar(&caFile, "ca-file", "", "certificates (PEM) to trust for this server beside the system's")
	fs.BoolVar(&o.Software, "insecure-software-keys", false, "keep keys in files, for trials without a TPM")
	way.flags(cmd)
	cmd.MarkFlagRequired("server")
	markFiles(cmd, "ca-file")
	return cmd
}

// notes prints what did not work and need not stop anybody.
func notes(cmd *cobra.Command, all []string) {
	for _, n := range all {
		fmt.Fprintln(cmd.ErrOrStderr(), "signet: note: "+oneLine(n))
	}
}

// systemName is what the machine runs, as os-release(5) has it.
func systemName() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return "Linux"
}

func (d *desktop) leaveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "leave", Short: "End the registration, and forget all keys",
		Long: `End the registration of this machine: the server forgets it, then its keys and
everybody's sign-in on it are forgotten here. With --force they are forgotten
even when the server cannot be asked or does not know the device any more.`,
		Example: "  signet device leave\n  signet device leave --force",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			got, err := a.Leave(cmd.Context(), force)
			if err != nil {
				return err
			}
			notes(cmd, got.Notes)
			return d.print(cmd, got, "deviceId=device", "forgottenByServer=forgotten by the server")
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "forget the keys whatever the server says")
	return cmd
}

// errNoInput says that there is nobody to ask.
var errNoInput = errors.New("standard input has ended")
