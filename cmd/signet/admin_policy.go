package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/idp"
)

func (a *administrator) policyCommands() *cobra.Command {
	see := &cobra.Command{
		Use: "show", Short: "Show the settings of a tenant", Example: "  signet admin policy show", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, "policy.show", fields{}, "name", "value")
		},
	}
	set := &cobra.Command{
		Use: "set NAME VALUE", Short: "Change a setting of a tenant",
		Example: "  signet admin policy set passkey.limit 30\n  signet admin policy set method.accessPass false",
		Args:    exactly("a NAME", "a VALUE"), ValidArgsFunction: first(a.complete("policy.show", "name")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "policy.set", fields{"name": args[0], "value": args[1]}, "name", "value")
		},
	}
	return group("policy", "Which methods, keys and limits a tenant has", "  signet admin policy show", see, set,
		a.policyExport(), a.policyPlan(), a.policyApply())
}

func (a *administrator) policyExport() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write all policies of a tenant as one YAML file",
		Long: `Write all policies of a tenant as one YAML file: methods and who may use them,
passkey profiles, strengths, passes, sessions. Change it, look at what the change
would do with policy plan, and save it with policy apply.

The file notes the version that it was exported at, so that apply does not undo
what somebody else saved meanwhile.`,
		Example: "  signet admin policy export > policy.yaml\n  signet admin policy export --tenant example.com -f policy.yaml", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := a.call(cmd.Context(), "policy.export", fields{}, nil)
			if err != nil {
				return err
			}
			if file == "" && a.format == "json" {
				return show(cmd.OutOrStdout(), a.format, result, nil)
			}
			out, err := decode[struct {
				Version json.Number `json:"version"`
				Policy  string      `json:"policy"`
			}](result)
			if err != nil {
				return err
			}
			if file == "" {
				_, err = io.WriteString(cmd.OutOrStdout(), out.Policy)
				return err
			}
			if err := writeWhole(file, out.Policy); err != nil {
				return err
			}
			return a.say(cmd, map[string]any{"file": file, "version": out.Version}, "policies of version %s written to %s", out.Version, file)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "where to write it; what is there is replaced (default: standard output)")
	markFiles(cmd, "file")
	return cmd
}

// writeWhole puts text in the place of a file, whole or not at all.
func writeWhole(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".signet-policy-*")
	if err != nil {
		return fmt.Errorf("the file cannot be written: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = io.WriteString(f, text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("the file cannot be written: %w", err)
	}
	return nil
}

// fileFlags are what plan and apply share.
type fileFlags struct {
	ifVersion int64
	names     int
}

func (f *fileFlags) add(cmd *cobra.Command) {
	cmd.Flags().Int64Var(&f.ifVersion, "if-version", 0, "the version that the file is for (default: the one its header notes)")
	cmd.Flags().IntVar(&f.names, "names", 10, "how many people to name, at most 1000")
	cmd.ValidArgsFunction = first(func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
	})
}

// ask is what an operation on a file is asked with.
func (f *fileFlags) ask(cmd *cobra.Command, form string) fields {
	in := fields{"policy": form}
	if cmd.Flags().Changed("if-version") {
		in["ifVersion"] = f.ifVersion
	}
	return in
}

func (a *administrator) policyPlan() *cobra.Command {
	var in fileFlags
	cmd := &cobra.Command{
		Use: "plan FILE", Short: "Show what a policy file would change, and whom it would hit",
		Long: `Show what a policy file would change, place by place, and what that would do to
the people and keys there are: which keys would stop working and why, and who
would have no way in. Nothing is saved. FILE - is standard input.

Exit codes: 0 nothing changes, 2 there are changes, 1 anything else: a file with
mistakes, or one that apply would refuse.`,
		Example:     "  signet admin policy plan policy.yaml\n  signet admin policy plan policy.yaml -o json",
		Args:        exactly("a FILE"),
		Annotations: map[string]string{planned: "yes"},
		RunE: func(cmd *cobra.Command, args []string) error {
			form, err := readForm(cmd, args[0])
			if err != nil {
				return err
			}
			raw, p, err := a.plan(cmd, args[0], form, &in)
			if err != nil {
				return err
			}
			if a.format == "json" {
				err = show(cmd.OutOrStdout(), a.format, raw, nil)
			} else {
				err = p.print(cmd.OutOrStdout())
			}
			switch {
			case err != nil:
				return err
			case p.Refusal != nil:
				return errors.New(p.Refusal.Sentence)
			case len(p.Changes) > 0:
				return errChanges
			}
			return nil
		},
	}
	in.add(cmd)
	return cmd
}

func (a *administrator) policyApply() *cobra.Command {
	var in fileFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Save a policy file: all of it, or nothing",
		Long: `Save a policy file: all of it, or nothing. First it shows what policy plan shows,
and asks. Where nobody can be asked, --yes is needed. FILE - is standard input.

It is refused when the policies were changed since the file was exported, and
when no administrator would have a way in. A file without the header of an export
is compared with no version, unless --if-version names one.`,
		Example: "  signet admin policy apply policy.yaml\n  signet admin policy apply policy.yaml --yes\n  signet admin policy apply policy.yaml --if-version 14",
		Args:    exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			form, err := readForm(cmd, args[0])
			if err != nil {
				return err
			}
			return a.apply(cmd, args[0], form, &in, yes)
		},
	}
	in.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *administrator) apply(cmd *cobra.Command, file, form string, in *fileFlags, yes bool) error {
	_, p, err := a.plan(cmd, file, form, in)
	if err != nil {
		return err
	}
	told := cmd.OutOrStdout()
	if a.format == "json" {
		told = cmd.ErrOrStderr() // the result alone goes to standard output
	}
	if err := p.print(told); err != nil {
		return err
	}
	if p.Refusal != nil {
		return errors.New(p.Refusal.Sentence + " Nothing was saved.")
	}
	if len(p.Changes) > 0 && !yes {
		if err := confirm(cmd, "\nSave this? [y/N] "); err != nil {
			return err
		}
	}
	ask := in.ask(cmd, form)
	ask["ifVersion"] = p.Version // what was shown is what is saved
	result, err := a.call(cmd.Context(), "policy.apply", ask, nil)
	if err != nil {
		return inFile(file, err)
	}
	if a.format == "json" {
		return show(cmd.OutOrStdout(), a.format, result, nil)
	}
	done, err := decode[struct {
		Version json.Number `json:"version"`
	}](result)
	if err == nil && len(p.Changes) > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "\nSaved. The policies are of version %s now.\n", done.Version)
	}
	return err
}

// confirm asks the person at the terminal.
func confirm(cmd *cobra.Command, question string) error {
	f, ok := cmd.InOrStdin().(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	nobody := errors.New("nothing was saved: nobody is there to ask, so add --yes when the plan is what you want")
	if !ok {
		return nobody
	}
	fmt.Fprint(cmd.ErrOrStderr(), question)
	answer, err := readLine(cmd.Context(), f)
	if err != nil {
		return nobody // the end of input, as of /dev/null
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was saved, as you said")
	}
	return nil
}

// readLine gives up when ctx ends, as by an interrupt: a read of a terminal
// does not end by itself.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := bufio.NewReader(r).ReadString('\n')
		done <- read{line, err}
	}()
	select {
	case got := <-done:
		return got.line, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// readForm reads a policy file.
func readForm(cmd *cobra.Command, path string) (string, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(cmd.InOrStdin())
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", err)
	}
	return string(text), nil
}

// plan asks for one, with progress when it takes long.
func (a *administrator) plan(cmd *cobra.Command, file, form string, in *fileFlags) (json.RawMessage, policyPlan, error) {
	ask := in.ask(cmd, form)
	ask["names"] = in.names
	tell, done := progress(cmd.ErrOrStderr(), "judging: %d people", longWork)
	raw, err := a.call(cmd.Context(), "policy.plan", ask, tell)
	done()
	if err != nil {
		return nil, policyPlan{}, inFile(file, err)
	}
	p, err := decode[policyPlan](raw)
	return raw, p, err
}

// inFile says of each complaint about a file which one is meant.
func inFile(file string, err error) error {
	e := (*idp.Error)(nil)
	if !errors.As(err, &e) || e.Kind != idp.Invalid || e.Public == "" || e.Field == "names" || e.Field == "tenant" {
		return err
	}
	var all []error
	for line := range strings.Lines(e.Public) {
		all = append(all, fmt.Errorf("%s: %s", file, strings.TrimSpace(line)))
	}
	return errors.Join(all...)
}
