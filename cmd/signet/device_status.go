package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/agent"
)

func (d *desktop) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what this machine is to its organisation",
		Long: `Show whether this machine has joined, where its keys are, who is signed in and
until when, and what went wrong last. No server is asked.`,
		Example: "  signet device status\n  signet device status --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := d.open()
			if err != nil {
				return err
			}
			s, err := a.Status(cmd.Context())
			if err != nil {
				return err
			}
			if d.json {
				return d.print(cmd, s)
			}
			return printStatus(cmd.OutOrStdout(), s, time.Now())
		},
	}
}

// sheet writes titles and lines of names and values.
type sheet struct {
	t     *tabwriter.Writer
	begun bool
}

func (s *sheet) title(text string) {
	if s.begun {
		fmt.Fprintln(s.t)
	}
	s.begun = true
	fmt.Fprintln(s.t, text)
}

func (s *sheet) line(name, value string) {
	if value != "" {
		fmt.Fprintf(s.t, "  %s\t%s\n", name, printable(value))
	}
}

func yes(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

func printStatus(w io.Writer, s agent.Status, now time.Time) error {
	out := &sheet{t: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	out.title("Device")
	out.line("Joined", yes(s.Joined))
	switch {
	case s.Leaving:
		out.line("Leaving", "YES (finish with signet device leave)")
	case s.Joining:
		out.line("Joining", "YES (finish with signet device join)")
	}
	if s.Joined {
		printDevice(out, s, now)
	}
	for _, p := range s.People {
		printPerson(out, p, now)
	}
	if s.Last != nil {
		out.title("Last error")
		out.line("When", moment(s.Last.At, now))
		out.line("Doing", s.Last.Doing)
		out.line("What", s.Last.Text)
		if s.Last.Code != 0 {
			out.line("Code", fmt.Sprint(s.Last.Code))
		}
	}
	return out.t.Flush()
}

func printDevice(out *sheet, s agent.Status, now time.Time) {
	out.line("Type", string(s.JoinType))
	out.line("Name", s.DeviceName)
	out.line("Device id", s.DeviceID)
	out.line("Organisation", s.TenantName)
	out.line("Domain", s.Domain)
	out.line("Tenant id", s.TenantID)
	out.line("Server", s.Server)
	out.line("Since", moment(s.JoinedAt, now))
	out.line("Certificate until", moment(s.Certificate, now))
	out.line("Thumbprint", s.Thumbprint)

	out.title("Keys")
	if s.Place == agent.InTPM {
		out.line("In TPM", "YES ("+s.TPM+")")
	} else {
		out.line("In TPM", "NO (software keys: files that can be copied)")
	}
	out.line("Usable", yes(s.KeysReady))
	out.line("Problem", s.KeysProblem)
	out.line("Attested", yes(s.Assurance == agent.Attested)+" ("+string(s.Assurance)+")")
	if l := s.Lockout; l != nil {
		state := fmt.Sprintf("%d wrong ones lock the TPM; one try comes back every %s", l.Left, l.Heals)
		if l.Locked {
			state = fmt.Sprintf("LOCKED; one try comes back after %s", l.Heals)
		}
		out.line("PIN", state)
	}
}

func printPerson(out *sheet, p agent.PersonStatus, now time.Time) {
	out.title("User " + printable(p.User))
	out.line("NgcSet", yes(p.NgcSet))
	out.line("Key made", moment(p.KeyCreated, now))
	out.line("PRT", yes(p.PRT))
	out.line("PRT by", p.Method)
	out.line("PRT issued", moment(p.Issued, now))
	out.line("PRT updated", moment(p.Renewed, now))
	out.line("PRT expires", moment(p.Expires, now))
	if p.Due {
		out.line("PRT renewal", "due (signet device renew)")
	}
	out.line("Last online", moment(p.Online, now))
}

// moment is a time, and how far away it is.
func moment(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	away := t.Sub(now)
	word := "in " + span(away)
	if away < 0 {
		word = span(-away) + " ago"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST") + " (" + word + ")"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 2*time.Hour:
		return plural(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour")
	}
	return plural(int(d/(24*time.Hour)), "day")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
