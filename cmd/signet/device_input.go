package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/securitykey"
)

// ctx is short for a signature that would not fit.
type ctx = context.Context

// lines reads what a person types, or a script gives on standard input.
type lines struct {
	in     *bufio.Reader
	file   *os.File // in, when it may be a terminal
	prompt io.Writer
}

func newLines(cmd *cobra.Command) *lines {
	l := &lines{in: bufio.NewReader(cmd.InOrStdin()), prompt: cmd.ErrOrStderr()}
	l.file, _ = cmd.InOrStdin().(*os.File)
	return l
}

// longestLine is more than any PIN or pass has.
const longestLine = 1024

// next reads one line.
func (l *lines) next(what string) (string, error) {
	text, err := l.in.ReadString('\n')
	if err != nil && (text == "" || !errors.Is(err, io.EOF)) {
		if errors.Is(err, io.EOF) {
			err = errNoInput
		}
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	if len(text) > longestLine {
		return "", fmt.Errorf("read %s: the line is too long", what)
	}
	return strings.TrimRight(text, "\r\n"), nil
}

// pin asks for a PIN on the terminal, without showing it, or reads it.
func (l *lines) pin(stdin bool, ask string) (string, error) {
	if stdin {
		return l.next("the PIN")
	}
	if l.file == nil {
		return "", errNoTerminal
	}
	restore, err := hush(l.file)
	if err != nil {
		return "", errNoTerminal
	}
	defer restore()
	fmt.Fprint(l.prompt, ask)
	defer fmt.Fprintln(l.prompt)
	return l.next("the PIN")
}

var errNoTerminal = &usageError{errors.New("there is no terminal to ask for the PIN on: use --pin-stdin")}

// newPIN asks for a new PIN, twice on a terminal.
func (l *lines) newPIN(stdin bool) (string, error) {
	pin, err := l.pin(stdin, "New PIN: ")
	if err != nil || stdin {
		return pin, err
	}
	again, err := l.pin(false, "New PIN, once more: ")
	if err == nil && again != pin {
		err = errPINsDiffer
	}
	return pin, err
}

// terminal says whether somebody can be asked.
func (l *lines) terminal() bool {
	if l.file == nil {
		return false
	}
	restore, err := hush(l.file)
	if err != nil {
		return false
	}
	restore()
	return true
}

// choose asks which of several passkeys is meant.
func (l *lines) choose(all []securitykey.Passkey) (int, error) {
	fmt.Fprintln(l.prompt, "The key has several passkeys for this server:")
	for i, p := range all {
		name := printable(p.Name)
		if name == "" {
			name = "without a name"
		}
		fmt.Fprintf(l.prompt, "  %d  %s (%.12x)\n", i+1, name, p.ID)
	}
	fmt.Fprintf(l.prompt, "Which one (1 to %d)? ", len(all))
	text, err := l.next("the number of the passkey")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%q is no number: run this again", text)
	}
	return n - 1, nil
}
