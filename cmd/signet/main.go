// Command signet is the identity provider: the server, a demo of it, and the
// administrator's tools, in one file.
//
// Rules of its voice: results go to standard output, everything else to
// standard error; an error is one line and says what to do next; exit code 0
// is done, 1 failed, 2 wrong usage; plans say with 2 that there are changes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/idp"
)

// Exit codes (product.md §4).
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2

	exitChanges = 2 // of a plan: there are changes
)

// planned marks commands whose exit code 2 says that there are changes. Wrong
// usage of one is 1, or a script would take it for a plan.
const planned = "signet.planned"

// errChanges is no failure: a plan found changes, and has printed them.
var errChanges = errors.New("there are changes")

func main() {
	syscall.Umask(0o077) // what this program writes is for its own user
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks to stop, a second one kills
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for signals and exit.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errChanges):
		return exitChanges
	}
	for _, line := range complaints(err) {
		fmt.Fprintln(errs, "signet: "+line)
	}
	if e := (*exitError)(nil); errors.As(err, &e) {
		return e.code
	}
	// cobra has no type for a required flag that is missing.
	if u := (*usageError)(nil); cmd.Annotations[planned] == "" && (errors.As(err, &u) || strings.HasPrefix(err.Error(), "required flag(s) ")) {
		return exitUsage
	}
	return exitFailed
}

// exitError ends a command whose exit codes mean more than that it failed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// complaints gives one line for each error that was joined into err.
func complaints(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, e := range joined.Unwrap() {
			lines = append(lines, complaints(e)...)
		}
		return lines
	}
	return []string{oneLine(sentence(err))}
}

// sentence is what a person at a terminal should read of err. The reason of an
// idp.Error is a word for the log; its public text is a sentence, its cause
// says what was meant.
func sentence(err error) string {
	var e *idp.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	if e.Public != "" {
		return e.Public
	}
	cause := e.Reason
	if e.Err != nil {
		cause = strings.TrimPrefix(e.Err.Error(), e.Reason+": ")
	}
	switch e.Kind {
	case idp.NotFound:
		return "there is no such thing: " + cause + "; the list command shows what there is"
	case idp.Conflict:
		return "it exists already, or changed meanwhile: " + cause
	}
	return cause
}

// oneLine is text for a terminal, some of which may be a stranger's.
func oneLine(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "signet",
		Short: "Sign people in without passwords",
		Long: `Signet is a self-hosted identity provider in which nobody has a password.

Try it:      signet demo
Run it:      signet serve --base-url https://id.example.com
Look after:  signet admin --help
Be a device: signet device --help
Be a phone:  signet phone --help`,
		Example:       "  signet demo",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          needCommand,
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(newServe(), newDemo(), newAdmin(), newDevice(), newPhone(), newVersion())
	return root
}

// needCommand answers a group of commands that was called alone.
func needCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return usagef("%s has no command %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// noArgs, exactly and atMost are cobra's checks with words that help.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usagef("there is no %s %s; did you mean %s?", cmd.CommandPath(), args[0], near[0])
		}
		return usagef("there is no %s %s; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return usagef("%s takes no %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
}

func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(args) > len(names) && len(names) > 0 {
			return usagef("%s takes %s alone, and no %q; see %s --help", cmd.CommandPath(), strings.Join(names, " and "), args[len(names)], cmd.CommandPath())
		}
		return usagef("%s needs %s; see %s --help", cmd.CommandPath(), strings.Join(names, " and "), cmd.CommandPath())
	}
}

func atMost(n int, args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) > n {
			return usagef("%s takes no %q; see %s --help", cmd.CommandPath(), given[n], cmd.CommandPath())
		}
		if args == nil {
			return nil
		}
		return args(cmd, given[:min(1, len(given))])
	}
}
