package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/phoneagent"
)

// askEvery is how often a phone that is looked at asks its server
// (docs/phone-protocol.md).
const askEvery = 3 * time.Second

// handset has the flags that all commands of a phone have.
type handset struct {
	state, user, format string
}

func newPhone() *cobra.Command {
	h := &handset{}
	cmd := &cobra.Command{
		Use:   "phone",
		Short: "Be a phone that approves sign-ins, for demos and tests",
		Long: `Be a phone that approves sign-ins, for demos and tests.

It does what the app at /phone does, from a terminal: it is added to an account
with the link or the code that the account page shows, and asks for the number
on the other screen when somebody signs in.

It keeps its keys in files, and takes a PIN or --yes for a finger: who has the
folder is the phone, so it is no phone for every day.`,
		Example: `  signet phone add 'https://id.example.com/phone/add#iEmKo-Xvj6l_t9E5e1RBBA'
  signet phone watch
  signet phone approve 47`,
		Args: noArgs,
		RunE: needCommand,
	}
	fs := cmd.PersistentFlags()
	fs.StringVar(&h.state, "state", "", "folder of the phone (default: /var/lib/signet/phone for root, else $XDG_STATE_HOME/signet/phone)")
	fs.StringVar(&h.user, "user", "", "whose account, by user name (default: the only one)")
	addOutputFlag(cmd, &h.format)
	cmd.MarkPersistentFlagDirname("state")
	cmd.AddCommand(
		h.addCommand(), h.listCommand(), h.requestsCommand(), h.watchCommand(), h.approveCommand(), h.denyCommand(),
		h.historyCommand(), h.testCommand(), h.renameCommand(), h.removeCommand(),
	)
	return cmd
}

// open gives the phone in the folder.
func (h *handset) open() (*phoneagent.Phone, error) {
	folder := h.state
	if folder == "" {
		base, err := stateFolder()
		if err != nil {
			return nil, err
		}
		folder = filepath.Join(base, "phone")
	}
	return phoneagent.New(phoneagent.Config{Folder: folder, Now: time.Now})
}

func (h *handset) print(cmd *cobra.Command, result any, fields ...string) error {
	raw, err := json.Marshal(result)
	if err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), h.format, raw, columns(fields...))
}

// verified is how the user of a software passkey is verified.
type verified struct{ yes, stdin bool }

func (v *verified) flags(cmd *cobra.Command, yes string) {
	cmd.Flags().BoolVar(&v.yes, "yes", false, yes)
	cmd.Flags().BoolVar(&v.stdin, "pin-stdin", false, "read the PIN from standard input")
}

var errNobody = &usageError{errors.New("there is no terminal to ask on: use --yes, or --pin-stdin for a phone with a PIN")}

func (h *handset) addCommand() *cobra.Command {
	var o phoneagent.AddOptions
	var by verified
	var caFile string
	var leave bool
	cmd := &cobra.Command{
		Use: "add [LINK]", Short: "Add this phone to an account",
		Long: `Add this phone to an account, with the link behind the QR code of the account
page, or with its server and the eight characters below it.

Two words are shown here and on the page. Say there that they are the same; the
command waits for that. With --yes the keys lie in their file without a PIN.`,
		Example: `  signet phone add 'https://id.example.com/phone/add#iEmKo-Xvj6l_t9E5e1RBBA'
  signet phone add --server https://id.example.com --code K7QF-2M9X`,
		Args: atMost(1, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Link = args[0]
			}
			if (o.Link == "") == (o.Server == "") || (o.Server == "") != (o.Code == "") {
				return usagef("say either the LINK, or --server and --code; see %s --help", cmd.CommandPath())
			}
			p, err := h.open()
			if err != nil {
				return err
			}
			if caFile != "" {
				if o.CA, err = os.ReadFile(caFile); err != nil {
					return fmt.Errorf("the certificates cannot be read: %w", err)
				}
			}
			if o.Name == "" {
				if o.Name, err = os.Hostname(); err != nil {
					return fmt.Errorf("find this machine's name: %w; give one with --name", err)
				}
			}
			if o.PIN, err = by.newPIN(cmd); err != nil {
				return err
			}
			return h.add(cmd, p, o, leave)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.Server, "server", "", "address of the server, such as https://id.example.com")
	fs.StringVar(&o.Code, "code", "", "the eight characters of the page")
	fs.StringVar(&caFile, "ca-file", "", "certificates (PEM) to trust for this server beside the system's")
	fs.StringVar(&o.Name, "name", "", "what the phone is called (default: the host name)")
	fs.BoolVar(&leave, "no-wait", false, "do not wait until the words are compared")
	by.flags(cmd, "keep the keys without a PIN")
	markFiles(cmd, "ca-file")
	return cmd
}

// newPIN is the PIN of a new phone; empty: none.
func (v verified) newPIN(cmd *cobra.Command) (string, error) {
	in := newLines(cmd)
	switch {
	case v.yes && v.stdin:
		return "", usagef("say either --yes or --pin-stdin")
	case v.yes:
		return "", nil
	case !v.stdin && !in.terminal():
		return "", errNobody
	}
	pin, err := in.newPIN(v.stdin)
	if err == nil && pin == "" {
		err = usagef("the PIN is empty: choose one, or use --yes to do without")
	}
	return pin, err
}

func (h *handset) add(cmd *cobra.Command, p *phoneagent.Phone, o phoneagent.AddOptions, leave bool) error {
	added, err := p.Add(cmd.Context(), o)
	if err != nil {
		return err
	}
	if leave {
		return h.print(cmd, added, "id=phone", "userPrincipalName=account", "organisation", "name", "words", "until=compare until")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "A phone of %s at %s.\nThis phone shows:  %s\nCompare with the page, and say there that the words are the same.\n",
		printable(added.User), printable(added.Organisation), printable(fmt.Sprint(added.Words)))
	got, err := p.Await(cmd.Context(), added, askEvery)
	if err != nil {
		return err
	}
	return h.print(cmd, got, accountFields...)
}

var accountFields = []string{"id=phone", "userPrincipalName=account", "organisation", "server", "name", "pin=PIN", "state"}

func (h *handset) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the accounts of this phone, with their states",
		Long: `List the accounts of this phone. Each server is asked for the state: active,
waiting (the words were not compared), unusable (its approvals do not count at
present), gone (removed there), or unknown when the server does not answer.`,
		Example: "  signet phone list\n  signet phone list -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			all, err := p.List(cmd.Context())
			if err != nil {
				return err
			}
			return h.print(cmd, all, "userPrincipalName=account", "organisation", "name", "pin", "state", "server")
		},
	}
}

func (h *handset) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "Show what became of the last requests",
		Example: "  signet phone history\n  signet phone history --user ada@example.com -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			all, err := p.History(cmd.Context(), h.user)
			if err != nil {
				return err
			}
			if h.format == "json" {
				return h.print(cmd, all)
			}
			rows := make([]map[string]any, len(all))
			for i, e := range all {
				rows[i] = map[string]any{
					"time": e.Time.Local().Format(time.DateTime), "result": e.Result, "app": e.Context.App, "browser": e.Context.Browser,
					"place": placeOf(e.Context), "by": e.Phone, "id": e.ID,
				}
			}
			return h.print(cmd, rows, "time", "result", "app", "browser", "place", "by", "id")
		},
	}
}

func (h *handset) testCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test", Short: "Have the server send a message, and see what becomes of it",
		Long: `Have the server send a message to this phone, and see what becomes of it. This
phone takes no messages, so the answer says that there is no road; it shows that
the phone is known and its clock right.`,
		Example: "  signet phone test",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			got, err := p.Test(cmd.Context(), h.user)
			if err != nil {
				return err
			}
			return h.print(cmd, got, "result", "text")
		},
	}
}

func (h *handset) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rename NAME", Short: "Give this phone another name",
		Example: "  signet phone rename \"Ada's terminal\"",
		Args:    exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			got, err := p.Rename(cmd.Context(), h.user, args[0])
			if err != nil {
				return err
			}
			return h.print(cmd, got, accountFields...)
		},
	}
}

func (h *handset) removeCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "remove", Short: "Take this phone out of the account, and forget its keys",
		Long: `Take this phone out of the account, and forget its keys. With --force they are
forgotten even when the server cannot be asked or does not know the phone.

The passkey that it made may still be on the account page: remove it there.`,
		Example: "  signet phone remove\n  signet phone remove --user ada@example.com --force",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			got, err := p.Remove(cmd.Context(), h.user, force)
			if err != nil {
				return err
			}
			return h.print(cmd, got, "id=phone", "userPrincipalName=account", "organisation", "server", "name")
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "forget the keys whatever the server says")
	return cmd
}
