package desktop

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
)

// Door is what pam_exec(8) says of who wants in, in the environment.
type Door struct {
	Account  string // PAM_USER
	Kind     string // PAM_TYPE: auth, account, …
	Service  string // PAM_SERVICE: sudo, sshd, …
	Remote   string // PAM_RHOST
	Terminal string // PAM_TTY
}

// DoorOf reads the environment.
func DoorOf(getenv func(string) string) Door {
	return Door{getenv("PAM_USER"), getenv("PAM_TYPE"), getenv("PAM_SERVICE"), getenv("PAM_RHOST"), getenv("PAM_TTY")}
}

// remoteServices serve people who are elsewhere, whatever they say of it.
var remoteServices = map[string]bool{"sshd": true, "telnet": true, "rsh": true, "rlogin": true, "vsftpd": true, "xrdp-sesman": true, "cockpit": true}

// Distant says whether somebody comes over a network. sudo says the name of
// this machine where others say where a person is.
func (d Door) Distant() bool {
	if remoteServices[d.Service] {
		return true
	}
	host, err := os.Hostname()
	switch d.Remote {
	case "", "localhost", "127.0.0.1", "::1":
		return false
	}
	return err != nil || !strings.EqualFold(d.Remote, host)
}

// Codes with which the PAM helper ends; 0 lets in. pam_exec refuses on any
// other, and a log says which it was.
const (
	ExitRefused  = 1  // the server, or a fault of ours
	ExitUsage    = 2  // not called by pam_exec
	ExitPIN      = 10 // the PIN is wrong
	ExitLocked   = 11 // the TPM takes no PIN now
	ExitUnmapped = 12 // the account is nobody's, or root's
	ExitDistant  = 13 // over a network
	ExitNoKey    = 14 // no device, or no key of this person on it
	ExitOffline  = 15 // no server, and not allowed without
)

// Unlocker is what the judgement needs of the agent.
type Unlocker interface {
	SignIn(ctx context.Context, user, pin string) (agent.PRTResult, error)
	Unlock(ctx context.Context, user, pin string) (agent.UnlockResult, error)
}

var _ Unlocker = (*agent.Agent)(nil)

// Gate decides who comes in at this machine.
type Gate struct {
	Device   Unlocker
	Accounts Accounts
	// Distant lets people in over a network, too. A PIN is short because a
	// TPM stops guessing; over a network strangers can make it stop.
	Distant bool
}

// maxPAMSecret is the most that pam_exec hands over (PAM_MAX_RESP_SIZE).
const maxPAMSecret = 512

// ReadPIN reads what pam_exec with expose_authtok writes: the PIN, and perhaps a
// zero byte.
func ReadPIN(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxPAMSecret+2))
	if err != nil {
		return "", err
	}
	pin, _, _ := strings.Cut(string(text), "\x00")
	pin = strings.TrimRight(pin, "\r\n")
	if pin == "" {
		return "", idp.Invalidf("no_pin", "nothing on standard input").Say("there is no PIN on standard input: pam_exec needs expose_authtok")
	}
	return pin, nil
}

// Admit says whether the PIN lets somebody in, and by which code the helper
// ends. The person at the door is told nothing but yes or no; err is for the log.
// Whether the account is let in at all is found out before the PIN is tried.
func (g Gate) Admit(ctx context.Context, d Door, pin string) (offline bool, code int, err error) {
	if d.Kind != "auth" {
		return false, ExitUsage, idp.Invalidf("pam_type", "PAM_TYPE %q", d.Kind).Say("this is for the auth lines of PAM: it is run by pam_exec")
	}
	if d.Distant() && !g.Distant {
		return false, ExitDistant, idp.Deniedf("distant", "service %q from %q", d.Service, d.Remote).
			Say("a device's PIN lets people in at the machine itself, not over a network")
	}
	user, err := g.Accounts.Person(d.Account)
	if err != nil {
		return false, ExitUnmapped, err
	}
	_, err = g.Device.SignIn(ctx, user, pin)
	if err == nil {
		return false, 0, nil
	}
	if !errors.Is(err, idp.Unavailable) {
		return false, exitOf(err), err
	}
	if _, err := g.Device.Unlock(ctx, user, pin); err != nil {
		return true, exitOf(err), err
	}
	return true, 0, nil
}

func exitOf(err error) int {
	switch idp.AsError(err).Reason {
	case "pin_wrong":
		return ExitPIN
	case "pin_locked":
		return ExitLocked
	case "not_joined", "no_hello", "nobody", "leaving":
		return ExitNoKey
	case "offline_over", "offline_off", "offline_refused", "offline_clock":
		return ExitOffline
	}
	return ExitRefused
}
