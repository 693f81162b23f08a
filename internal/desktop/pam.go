package desktop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
)

// Door is what pam_exec(8) says of who wants in, in the environment.
type Door struct {
	Account string // PAM_USER
	Kind    string // PAM_TYPE: auth, account, …
	Service string // PAM_SERVICE: sudo, sshd, …
	Remote  string // PAM_RHOST
}

// DoorOf reads the environment.
func DoorOf(getenv func(string) string) Door {
	return Door{getenv("PAM_USER"), getenv("PAM_TYPE"), getenv("PAM_SERVICE"), getenv("PAM_RHOST")}
}

// seats are the services of PAM behind which somebody sits at the machine
// itself: consoles, login managers, lockers of screens, and what asks somebody
// who is in already. A service that is not here may serve a network, whether
// it says from where or not: sshd, cockpit, mail and web servers mostly say
// nothing. PAM_TTY is no help, as network services fill it in as they like.
var seats = map[string]bool{
	"login": true,
	"gdm":   true, "gdm3": true, "gdm-password": true, "sddm": true, "lightdm": true, "lxdm": true, "xdm": true, "slim": true, "nodm": true,
	"greetd": true, "ly": true, "kde": true,
	"sudo": true, "sudo-i": true, "su": true, "su-l": true, "doas": true, "polkit-1": true,
	"swaylock": true, "waylock": true, "gtklock": true, "hyprlock": true, "i3lock": true, "vlock": true, "physlock": true, "xsecurelock": true,
	"xscreensaver": true, "gnome-screensaver": true, "mate-screensaver": true, "cinnamon-screensaver": true, "xfce4-screensaver": true,
}

// Distant says whether somebody comes over a network, or may. more are services
// that count as seats beside those that are known. sudo says the name of this
// machine where others say where a person is.
func (d Door) Distant(more ...string) bool {
	if !seats[d.Service] && !slices.Contains(more, d.Service) {
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
	ExitDistant  = 13 // over a network, or by a service that may be one
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
	// Seats are services of PAM at the machine itself, beside the known ones.
	Seats []string
	// Distant lets people in over a network, too. A PIN is short because a
	// TPM stops guessing; over a network strangers can make it stop.
	Distant bool
}

// patience is how long the server may take before the TPM decides alone. A
// network that swallows everything would take minutes to say so, and login
// managers wait for less.
const patience = 12 * time.Second

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
	if d.Distant(g.Seats...) && !g.Distant {
		return false, ExitDistant, idp.Deniedf("distant", "service %q from %q", d.Service, d.Remote).
			Say(fmt.Sprintf("a device's PIN lets people in at the machine itself, not over a network. If %.40q is only ever used at the machine, add --service", d.Service))
	}
	user, err := g.Accounts.Person(d.Account)
	if err != nil {
		return false, ExitUnmapped, err
	}
	online, stop := context.WithTimeout(ctx, patience)
	defer stop()
	_, err = g.Device.SignIn(online, user, pin)
	if err == nil {
		return false, 0, nil
	}
	// What was cut off by the time that is over has refused nobody.
	cutOff := online.Err() != nil && idp.AsError(err).Kind == idp.Internal
	if !errors.Is(err, idp.Unavailable) && !cutOff {
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
	case "offline_over", "offline_off", "offline_refused", "offline_clock", "offline_software":
		return ExitOffline
	}
	return ExitRefused
}
