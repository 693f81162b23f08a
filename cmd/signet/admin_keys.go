package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// heldKey is one row of a list of keys, as far as it is read here.
type heldKey struct {
	UserName string `json:"userPrincipalName"`
	ID       string `json:"id"`
	Usage    string `json:"usage"`
	Orphaned bool   `json:"orphaned"`
	Roca     bool   `json:"rocaVulnerable"`
	Say      string `json:"message"`
}

// keyPart is a part of a list of keys.
type keyPart struct {
	Keys   []json.RawMessage `json:"keys"`
	CSV    string            `json:"csv"`
	People int               `json:"people"`
	After  string            `json:"after"`
	Many   []struct {
		Name   string `json:"userPrincipalName"`
		Method string `json:"method"`
		Held   int    `json:"keys"`
		Limit  int    `json:"limit"`
	} `json:"many"`
}

// peopleAtOnce is how many people one part looks at: few enough that a line
// tells how far it is.
const peopleAtOnce = 200

// tally counts while parts go by.
type tally struct {
	people, holders, keys, orphaned, roca int
	last                                  string
	many                                  []string
}

func (t *tally) add(p keyPart) error {
	t.people += p.People
	for _, raw := range p.Keys {
		k, err := decode[heldKey](raw)
		if err != nil {
			return err
		}
		t.keys++
		if k.UserName != t.last {
			t.holders, t.last = t.holders+1, k.UserName
		}
		if k.Orphaned {
			t.orphaned++
		}
		if k.Roca {
			t.roca++
		}
	}
	for _, h := range p.Many {
		kind := "Hello keys"
		if h.Method == "platform" {
			kind = "keys of Macs"
		}
		t.many = append(t.many, fmt.Sprintf("%s holds %d %s, and %d are allowed", printable(h.Name), h.Held, kind, h.Limit))
	}
	return nil
}

// tell ends a list with what was seen, on standard error, so that a file or a
// program gets only keys.
func (t *tally) tell(w io.Writer) {
	for _, line := range t.many {
		fmt.Fprintln(w, "warning: "+line)
	}
	fmt.Fprintf(w, "people looked at: %d, with keys: %d; keys: %d, orphaned: %d, weak (ROCA): %d\n", t.people, t.holders, t.keys, t.orphaned, t.roca)
}

// parts asks for all parts of a list by one door.
func (a *administrator) parts(ctx context.Context, w io.Writer, op string, in fields, each func(keyPart) error) (err error) {
	if a.tenant != "" {
		in["tenant"] = a.tenant
	}
	door, err := a.door(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, door.Close()) }()
	tell, done := progress(w, "looking for keys: %d people", longWork)
	defer done()
	people := 0
	for {
		in["limit"] = peopleAtOnce
		raw, err := door.Do(ctx, op, in, nil)
		if err != nil {
			return err
		}
		part, err := decode[keyPart](raw)
		if err != nil {
			return err
		}
		if err := each(part); err != nil {
			return err
		}
		people += part.People
		tell(people)
		if part.After == "" {
			return nil
		}
		in["after"] = part.After
	}
}

var heldColumns = []string{
	"userPrincipalName=user", "usage", "id", "displayName=name", "deviceId=device", "creationTime=created", "lastUsed=last used", "orphaned", "rocaVulnerable=roca",
}

func (a *administrator) keyList() *cobra.Command {
	return a.keyLister("list [USER]", "List the keys of somebody, or of everybody: those on devices and passkeys",
		"  signet admin key list ada@example.com\n  signet admin key list -o json", fields{})
}

func (a *administrator) keyOrphans() *cobra.Command {
	return a.keyLister("orphans [USER]", "List the keys whose device is gone: they sign nobody in, and are always safe to remove",
		"  signet admin key orphans", fields{"orphaned": true})
}

func (a *administrator) keyLister(use, short, example string, ask fields) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: atMost(1, nil), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{}
			for k, v := range ask {
				in[k] = v
			}
			if len(args) == 1 {
				in["user"] = args[0]
			}
			return a.showKeys(cmd, in)
		},
	}
}

// showKeys prints keys while they come, as JSON, or in the end, as a table.
func (a *administrator) showKeys(cmd *cobra.Command, in fields) error {
	var seen tally
	all := []json.RawMessage{}
	out := bufio.NewWriter(cmd.OutOrStdout())
	err := a.parts(cmd.Context(), cmd.ErrOrStderr(), "key.list", in, func(p keyPart) error {
		if a.format != "json" {
			all = append(all, p.Keys...)
			return seen.add(p)
		}
		for i, raw := range p.Keys {
			lead := ",\n  "
			if seen.keys+i == 0 {
				lead = "[\n  "
			}
			fmt.Fprintf(out, "%s%s", lead, raw)
		}
		return seen.add(p)
	})
	if err != nil {
		return err
	}
	if a.format != "json" {
		text, err := json.Marshal(all)
		if err == nil {
			err = show(cmd.OutOrStdout(), a.format, text, columns(heldColumns...))
		}
		if err != nil {
			return err
		}
	} else {
		end := "\n]\n"
		if seen.keys == 0 {
			end = "[]\n"
		}
		fmt.Fprint(out, end)
		if err := out.Flush(); err != nil {
			return err
		}
	}
	seen.tell(cmd.ErrOrStderr())
	return nil
}

func (a *administrator) keyExport() *cobra.Command {
	var orphaned bool
	cmd := &cobra.Command{
		Use: "export [USER]", Short: "Write the keys of somebody, or of everybody, as CSV",
		Long: `Write the keys of somebody, or of everybody, as CSV to standard output, while
they are read. The columns are userPrincipalName, Tenant, DeviceId, Usage, Id,
CreationTime, RocaVulnerable, Orphaned and LastUsed. Usage is NGC for a key on a
device and FIDO for a passkey. What is left of the file, once the rows to keep
were taken out, is what "signet admin key clean --csv" takes. With -o json the
lines are a JSON array, as of "key list".`,
		Example: "  signet admin key export > keys.csv\n  signet admin key export --orphaned > orphans.csv",
		Args:    atMost(1, nil), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{"orphaned": orphaned}
			if len(args) == 1 {
				in["user"] = args[0]
			}
			if a.format == "json" {
				return a.showKeys(cmd, in)
			}
			return a.parts(cmd.Context(), cmd.ErrOrStderr(), "key.export", in, func(p keyPart) error {
				_, err := io.WriteString(cmd.OutOrStdout(), p.CSV)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&orphaned, "orphaned", false, "only keys whose device is gone")
	return cmd
}

// ages are the flags of a rule.
type ages struct {
	file                   string
	orphaned, apply        bool
	olderThan, unusedSince days
}

func (a *administrator) keyClean() *cobra.Command {
	var f ages
	cmd := &cobra.Command{
		Use: "clean [USER]", Short: "Remove Hello keys, by a file or by a rule; first tried, and only then done",
		Long: `Remove Hello keys: those of a file, or those for which every rule holds that is
given. Nothing is removed unless --apply is given; without it the command says what
would go and what would stay.

The file is what "signet admin key export" writes, without the rows to keep. Columns
that are not known are passed over. With one bad row nothing is removed, and every bad
row is reported with its line.

A key that is somebody's only way in stays. Whoever is signed in by a key that goes
is signed out. For 30 days "signet admin key restore" brings a key back. At most
10,000 keys go at once.`,
		Example: `  signet admin key clean --orphaned
  signet admin key clean --orphaned --unused-since 90d --apply
  signet admin key clean --csv keys.csv --apply`,
		Args: atMost(1, nil), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := f.ask(args)
			if err != nil {
				return err
			}
			return a.clean(cmd, "key.clean", in, "removed")
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.file, "csv", "", "file of keys to remove")
	fs.BoolVar(&f.orphaned, "orphaned", false, "keys whose device is gone")
	fs.Var(&f.olderThan, "older-than", "keys made so long ago, like 365d")
	fs.Var(&f.unusedSince, "unused-since", "keys not used for so long, like 90d")
	fs.BoolVar(&f.apply, "apply", false, "do it")
	markFiles(cmd, "csv")
	return cmd
}

// ask makes the parameters of the operation.
func (f *ages) ask(args []string) (fields, error) {
	in := fields{"apply": f.apply, "orphaned": f.orphaned, "olderThanDays": int(f.olderThan), "unusedSinceDays": int(f.unusedSince)}
	if len(args) == 1 {
		in["user"] = args[0]
	}
	rule := f.orphaned || f.olderThan > 0 || f.unusedSince > 0
	switch {
	case f.file != "" && (rule || len(args) == 1):
		return nil, usagef("name a file with --csv, or a rule; not both")
	case f.file == "" && !rule:
		return nil, usagef("say which keys: --orphaned, --older-than, --unused-since or --csv FILE")
	case f.file != "":
		text, err := os.ReadFile(f.file)
		if err != nil {
			return nil, fmt.Errorf("the file cannot be read: %w", err)
		}
		if in["csv"] = string(text); len(text) == 0 {
			return nil, fmt.Errorf("%s is empty", f.file)
		}
	}
	return in, nil
}

func (a *administrator) keyRestore() *cobra.Command {
	var file string
	var apply bool
	cmd := &cobra.Command{
		Use: "restore [USER [KEY]]", Short: "Bring back removed keys; without a KEY, list those that can be",
		Long: `Bring back a key that was removed in the last 30 days, or those of a file as
"signet admin key export" writes one; of a file only with --apply. Without a KEY it
lists what can be brought back. Whoever was signed out stays so. A key whose
device keeps a newer one for that person cannot come back.`,
		Example: `  signet admin key restore
  signet admin key restore ada@example.com 0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e
  signet admin key restore --csv removed.csv --apply`,
		Args: atMost(2, nil), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case file != "" && len(args) > 0:
				return usagef("name a file with --csv, or a USER and a KEY; not both")
			case file != "":
				text, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("the file cannot be read: %w", err)
				}
				return a.clean(cmd, "key.restore", fields{"csv": string(text), "apply": apply}, "brought back")
			case len(args) == 2:
				return a.clean(cmd, "key.restore", fields{"user": args[0], "id": args[1]}, "brought back")
			}
			in := fields{}
			if len(args) == 1 {
				in["user"] = args[0]
			}
			return a.do(cmd, "key.removed", in, "userPrincipalName=user", "id", "displayName=name", "deviceId=device", "creationTime=created", "removedTime=removed", "orphaned")
		},
	}
	cmd.Flags().StringVar(&file, "csv", "", "file of keys to bring back")
	cmd.Flags().BoolVar(&apply, "apply", false, "do it, with --csv")
	markFiles(cmd, "csv")
	return cmd
}

// cleaned is what a clean or a restore answers.
type cleaned struct {
	Tried   bool      `json:"tried"`
	People  int       `json:"people"`
	Keys    []heldKey `json:"keys"`
	Refused []heldKey `json:"refused"`
	Bad     []badRow  `json:"bad"`
	More    bool      `json:"more"`
}

// clean does one of the two and says what became of it: keys on standard
// output, the rest on standard error.
func (a *administrator) clean(cmd *cobra.Command, op string, in fields, done string) error {
	tell, over := progress(cmd.ErrOrStderr(), "working: %d", longWork)
	raw, err := a.call(cmd.Context(), op, in, tell)
	over()
	if err != nil {
		return err
	}
	r, err := decode[cleaned](raw)
	if err != nil {
		return err
	}
	if err := a.showCleaned(cmd, raw, r); err != nil {
		return err
	}
	w := cmd.ErrOrStderr()
	for _, b := range r.Bad {
		fmt.Fprintln(w, b)
	}
	for _, k := range r.Refused {
		fmt.Fprintf(w, "stays: %s of %s: %s\n", printable(k.ID), printable(k.UserName), printable(k.Say))
	}
	switch {
	case len(r.Bad) > 0:
		return fmt.Errorf("nothing was %s: mend the bad rows (%d) and run it again", done, len(r.Bad))
	case r.Tried:
		fmt.Fprintf(w, "would be %s: %d, refused: %d; nothing was changed, --apply does it\n", done, len(r.Keys), len(r.Refused))
	default:
		fmt.Fprintf(w, "%s: %d, refused: %d\n", done, len(r.Keys), len(r.Refused))
	}
	if r.More {
		fmt.Fprintln(w, "there are more such keys: run it again")
	}
	if !r.Tried && len(r.Refused) > 0 {
		return fmt.Errorf("refused: %d of %d, as said above; the others are %s", len(r.Refused), len(r.Keys)+len(r.Refused), done)
	}
	return nil
}

func (a *administrator) showCleaned(cmd *cobra.Command, raw json.RawMessage, r cleaned) error {
	if a.format == "json" {
		return show(cmd.OutOrStdout(), a.format, raw, nil)
	}
	if len(r.Keys) == 0 {
		return nil
	}
	keys, err := decode[struct {
		Keys json.RawMessage `json:"keys"`
	}](raw)
	if err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), a.format, keys.Keys, columns(heldColumns...))
}

// badRow is one thing that is wrong with a file.
type badRow struct {
	Line   int    `json:"line"`
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

func (b badRow) String() string {
	where := fmt.Sprintf("line %d", b.Line)
	if b.Field != "" {
		where += ", " + b.Field
	}
	return where + ": " + printable(b.Reason)
}

// days is an age on the command line, like 90d.
type days int

func (d *days) String() string {
	if *d == 0 {
		return ""
	}
	return fmt.Sprintf("%dd", int(*d))
}
func (d *days) Type() string { return "DAYS" }
func (d *days) Set(s string) error {
	number, ok := strings.CutSuffix(s, "d")
	var n int
	if _, err := fmt.Sscanf(number, "%d", &n); !ok || err != nil || n < 1 || fmt.Sprint(n) != number {
		return errors.New("write days like 90d")
	}
	*d = days(n)
	return nil
}
