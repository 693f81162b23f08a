package securitykey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
)

// Device is a security key that is plugged in.
type Device struct {
	Path string // "/dev/hidraw5"
	Name string // "Yubico YubiKey FIDO+CCID", as the key itself says
}

// Terminal is how the tools reach the person who has the key.
type Terminal struct {
	// In is where a tool reads when there is no terminal to ask on.
	In io.Reader
	// PIN is given to the tools instead of asking; empty: they ask.
	PIN string
	// Say tells the person what to do now.
	Say func(string)
}

// pin is where a tool reads the PIN: from us, or from the person.
func (t Terminal) pin() (io.Reader, company) {
	if t.PIN != "" {
		return strings.NewReader(t.PIN + "\n"), alone
	}
	return t.In, attended
}

// The tools, and the package that Debian has them in.
const (
	tokenTool  = "fido2-token"
	credTool   = "fido2-cred"
	assertTool = "fido2-assert"
)

// errNoTools says how to get them, in one command.
var errNoTools = errors.New("libfido2's tools are not installed here: sudo apt-get install fido2-tools")

// errNoKey says that there is no key.
var errNoKey = errors.New("no security key is plugged in: plug one in and run this again")

// Find gives the security key that is plugged in, or the one at path. It is an
// error, in words for the person, when there is none, when there are several
// and none was named, and when the tools are missing.
func Find(ctx context.Context, path string) (Device, error) {
	for _, tool := range []string{tokenTool, credTool, assertTool} {
		if _, err := exec.LookPath(tool); err != nil {
			return Device{}, errNoTools
		}
	}
	out, err := run(ctx, nil, alone, tokenTool, "-L")
	if err != nil {
		return Device{}, err
	}
	all := parseDevices(out)
	switch {
	case len(all) == 0:
		return Device{}, errNoKey
	case path == "" && len(all) == 1:
		return all[0], nil
	}
	var there []string
	for _, d := range all {
		if d.Path == path {
			return d, nil
		}
		there = append(there, d.Path+" ("+d.Name+")")
	}
	if path != "" {
		return Device{}, fmt.Errorf("no security key is at %s; there are %s", path, strings.Join(there, ", "))
	}
	return Device{}, fmt.Errorf("%d security keys are plugged in: say which, or leave only one in; there are %s", len(all), strings.Join(there, ", "))
}

// listed is a line of fido2-token -L: "/dev/hidraw5: vendor=0x1050,
// product=0x0407 (Yubico YubiKey OTP+FIDO+CCID)".
var listed = regexp.MustCompile(`^(\S+): vendor=0x[0-9a-fA-F]{4}, product=0x[0-9a-fA-F]{4} \((.*)\)$`)

// parseDevices reads what fido2-token -L prints; other lines are passed over.
func parseDevices(out []byte) []Device {
	var all []Device
	for line := range strings.Lines(string(out)) {
		if m := listed.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil && !strings.HasPrefix(m[1], "-") {
			all = append(all, Device{Path: m[1], Name: strings.ToValidUTF8(m[2], "?")})
		}
	}
	return all
}

// toolError is a tool that failed, with the last thing it said.
type toolError struct {
	tool, said string
	err        error
}

func (e *toolError) Unwrap() error { return e.err }

func (e *toolError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("%s failed: %v", e.tool, e.err)
	}
	if help := helpFor(e.said); help != "" {
		return e.tool + " says " + e.said + ": " + help
	}
	return e.tool + " failed: " + e.said
}

// helpFor says what the errors of fido_strerr(3) mean to a person with a key in
// hand; "" for the rare ones.
func helpFor(said string) string {
	for _, e := range []struct{ word, help string }{
		{"FIDO_ERR_PIN_INVALID", "that PIN is wrong; after eight wrong ones in a row the key locks itself"},
		{"FIDO_ERR_PIN_AUTH_BLOCKED", "three wrong PINs in a row; pull the key out, plug it in and try again"},
		{"FIDO_ERR_PIN_BLOCKED", "the key has locked itself after too many wrong PINs; only a reset, which takes everything off it, helps: fido2-token -R"},
		{"FIDO_ERR_PIN_NOT_SET", "the key has no PIN yet; set one with fido2-token -S, then try again"},
		{"FIDO_ERR_PIN_REQUIRED", "the key wants its PIN, and none was given"},
		{"FIDO_ERR_PIN_POLICY_VIOLATION", "the key wants another PIN first; set one with fido2-token -C"},
		{"FIDO_ERR_UV_BLOCKED", "the key no longer takes fingers after too many wrong ones; use its PIN"},
		{"FIDO_ERR_UNSUPPORTED_OPTION", "the key keeps no passkeys, or has no PIN; set one with fido2-token -S, or take another key"},
		{"FIDO_ERR_UNSUPPORTED_ALGORITHM", "the key does not know the algorithm"},
		{"FIDO_ERR_KEY_STORE_FULL", "the key is full"},
		{"FIDO_ERR_ACTION_TIMEOUT", "nobody touched the key in time"},
		{"FIDO_ERR_USER_ACTION_TIMEOUT", "nobody touched the key in time"},
		{"FIDO_ERR_OPERATION_DENIED", "the key refused, or nobody touched it"},
		{"fido_dev_open", "the key cannot be opened: another program has it, or you may not use it"},
	} {
		if strings.Contains(said, e.word) {
			return e.help
		}
	}
	return ""
}

// maxOutput is more than any of the tools has to say.
const maxOutput = 1 << 20

// company says whether a tool may ask on the terminal. Alone it is given a
// session of its own, which has none: it reads a PIN from standard input then
// (fido2-cred(1)).
type company bool

const (
	attended company = true
	alone    company = false
)

// run runs a tool and gives what it printed.
func run(ctx context.Context, in io.Reader, who company, tool string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	out, errs := &limited{}, &limited{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	if who == alone {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &toolError{tool: tool, said: lastLine(errs.Bytes(), tool), err: err}
	}
	return out.Bytes(), nil
}

// limited keeps the first megabyte.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// lastLine is the last thing a tool said, without its name and what could move
// a cursor. Where there is no terminal, its prompt stands before it.
func lastLine(said []byte, tool string) string {
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	last := lines[len(lines)-1]
	if _, after, ok := strings.Cut(last, tool+": "); ok {
		last = after
	}
	last = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, last)
	return last[:min(len(last), 300)]
}
