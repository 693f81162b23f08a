package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/app"
)

func (a *administrator) kekCommands() *cobra.Command {
	return group("kek", "The key-encryption key, which seals all others",
		"  signet admin kek status\n  signet admin kek add\n  signet admin kek rewrap\n  signet admin kek finish",
		here(a.kekStatus()), here(a.kekAdd()), here(a.kekRewrap()), here(a.kekFinish()))
}

// kekState is what all of these commands answer with.
type kekState struct {
	Say   string `json:"say"`
	Now   string `json:"inUse"`
	Next  string `json:"takingOver"`
	Since string `json:"since"`
	Needs []struct {
		Key  string      `json:"key"`
		Keys json.Number `json:"keys"`
	} `json:"needs"`
	Here struct {
		File    string `json:"keyFile"`
		Key     string `json:"key"`
		NewFile string `json:"newKeyFile"`
		New     string `json:"newKey"`
	} `json:"here"`
	Servers []struct {
		Server string   `json:"server"`
		Keys   []string `json:"keys"`
		Seen   string   `json:"seen"`
	} `json:"servers"`
	// Of one command each.
	Made bool        `json:"madeNewKey"`
	Keys json.Number `json:"keys"`
	Old  string      `json:"oldKeyFile"`
}

// kek does an operation and, unless JSON is wanted, lets say tell of it.
func (a *administrator) kek(cmd *cobra.Command, op string, in fields, say func(kekState)) error {
	tell, done := progress(cmd.ErrOrStderr(), "sealed anew: %d", longWork)
	raw, err := a.call(cmd.Context(), op, in, tell)
	done()
	if err != nil {
		return err
	}
	if a.format == "json" {
		return show(cmd.OutOrStdout(), a.format, raw, nil)
	}
	s, err := decode[kekState](raw)
	if err != nil {
		return err
	}
	say(s)
	_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(s.Say))
	return err
}

func (a *administrator) kekStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say which keys need which key-encryption key, and how far its replacement is",
		Long: `Say which key-encryption key is in use, how many keys are sealed under which one,
which ones this server has and each other server that runs, and what to do next.
A key-encryption key is named by 16 digits that tell nothing of it.`,
		Example: "  signet admin kek status", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.kek(cmd, "kek.status", fields{}, func(s kekState) { s.tell(cmd) })
		},
	}
}

// tell prints everything that is known.
func (s kekState) tell(cmd *cobra.Command) {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "in use: %s\n", s.Now)
	if s.Since != "" {
		fmt.Fprintf(w, "since: %s\n", s.Since)
	}
	if s.Next != "" {
		fmt.Fprintf(w, "taking over: %s\n", s.Next)
	}
	for _, n := range s.Needs {
		fmt.Fprintf(w, "sealed under %s: %s\n", orUnknown(n.Key), n.Keys)
	}
	fmt.Fprintf(w, "here: %s has %s\n", printable(s.Here.File), s.Here.Key)
	if s.Here.New != "" {
		fmt.Fprintf(w, "here: %s has %s\n", printable(s.Here.NewFile), s.Here.New)
	}
	for _, n := range s.Servers {
		fmt.Fprintf(w, "server %s has %s (seen %s)\n", printable(n.Server), strings.Join(n.Keys, ", "), n.Seen)
	}
}

func orUnknown(id string) string {
	if id == "" {
		return "a key that is not known"
	}
	return id
}

func (a *administrator) kekAdd() *cobra.Command {
	return &cobra.Command{
		Use: "add [FILE]", Short: "Give the server a new key-encryption key, beside the one in use",
		Long: `Give the server a new key-encryption key, beside the one in use. Nothing is sealed
under it until "signet admin kek rewrap". It is read from FILE (32 bytes in base64
or hex, mode 0600) and kept as kek.next beside the key in use; without FILE the
one that is in kek.next already is taken, or a new one is made there.

On one of several servers make it without FILE; on each of the others give it a
copy of that kek.next. Keep a copy elsewhere before anything is sealed under it.`,
		Example: "  signet admin kek add\n  signet admin kek add ./kek-2027",
		Args:    atMost(1, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{}
			if len(args) == 1 {
				key, err := readKey(args[0])
				if err != nil {
					return err
				}
				in["key"] = key
			}
			return a.kek(cmd, "kek.add", in, func(s kekState) {
				verb := "taken in"
				if s.Made {
					verb = "made"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: the new key %s, in %s; keep a copy of that file elsewhere\n", verb, s.Here.New, printable(s.Here.NewFile))
			})
		},
	}
}

// readKey reads the file of a key, which nobody else may read. The server
// judges what is in it.
func readKey(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %s: without a FILE, a new key is made", path)
	}
	if err != nil {
		return "", fmt.Errorf("the key cannot be read: %w", err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return "", fmt.Errorf("the key %s can be read by others (mode %04o): run chmod 600 %s", path, perm, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the key cannot be read: %w", err)
	}
	if key := strings.TrimSpace(string(text)); key != "" {
		return key, nil
	}
	return "", fmt.Errorf("the key %s is empty", path)
}

func (a *administrator) kekRewrap() *cobra.Command {
	var file string
	var dry bool
	cmd := &cobra.Command{
		Use: "rewrap", Short: "Let the new key-encryption key take over, while servers run",
		Long: `Let the new key-encryption key take over, while servers run. From its beginning
whatever is new is sealed under the new key, then all that the old key sealed is
sealed anew in small parts, and in the end every key is opened with the new one
alone. It refuses to begin while a server runs that does not have the new key: give
it to each with "signet admin kek add". When it is interrupted, run it again, on
any server. With --dry-run it opens everything and changes nothing.

With --new-kek-file it does the whole replacement at once instead, with every
server stopped: the new key is read from that file, or made there when there is
none; everything is sealed anew in one transaction, and then the new key takes the
place of the old one, which is kept beside it under another name. When this is
interrupted, run it again with the same file: it goes on where it stopped. When the
key came in SIGNET_KEK, put the new one there yourself.`,
		Example: "  signet admin kek rewrap --dry-run\n  signet admin kek rewrap\n  signet admin kek rewrap --new-kek-file ./kek-2027 --kek-file /etc/signet/kek", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case file != "" && dry:
				return usagef("--dry-run is for a rewrap without --new-kek-file; see %s --help", cmd.CommandPath())
			case file != "":
				return a.rewrapStopped(cmd, file)
			}
			return a.kek(cmd, "kek.rewrap", fields{"dryRun": dry}, func(s kekState) {
				words := "sealed anew: %s\n"
				if dry {
					words = "would be sealed anew: %s; all of them open\n"
				}
				fmt.Fprintf(cmd.OutOrStdout(), words, s.Keys)
			})
		},
	}
	cmd.Flags().StringVar(&file, "new-kek-file", "", "with every server stopped: file with the new key; made when it is not there")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only look whether it can be done")
	markFiles(cmd, "new-kek-file")
	return cmd
}

// rewrapStopped replaces the key while no server runs.
func (a *administrator) rewrapStopped(cmd *cobra.Command, file string) error {
	done, err := app.RewrapKEK(cmd.Context(), a.cfg, file)
	if err != nil {
		return err
	}
	if a.format == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "sealed anew: %d; the new key is in %s: keep that file away from the server\n", done.Keys, done.NewFile)
	if done.InUse == "" {
		fmt.Fprintln(cmd.OutOrStdout(), "SIGNET_KEK has the old key: put the new one there before the next start")
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s holds the new key; the old one is %s, which backups from before need\n", done.InUse, done.OldFile)
	return nil
}

func (a *administrator) kekFinish() *cobra.Command {
	return &cobra.Command{
		Use: "finish", Short: "Put the new key-encryption key, which has taken over, in the place of the old one",
		Long: `Put the new key-encryption key, which has taken over, in the place of the old one
on this server: kek.next becomes kek, by one rename, and the old key is kept beside
it under another name, since backups from before need it. It refuses while anything
needs the old key. Run it on every server; none has to be started anew.

Where the key came in SIGNET_KEK, or its file cannot be replaced, put the new key
there yourself, and then run this.`,
		Example: "  signet admin kek finish", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.kek(cmd, "kek.finish", fields{}, func(s kekState) {
				fmt.Fprintf(cmd.OutOrStdout(), "%s holds the key in use, %s\n", printable(s.Here.File), s.Here.Key)
				if s.Old != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "the old one is %s, which backups from before need\n", printable(s.Old))
				}
			})
		},
	}
}
