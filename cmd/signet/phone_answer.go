package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phoneagent"
	"github.com/signetid/signet/internal/phonewire"
)

func (h *handset) requestsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "requests", Short: "Show the sign-ins that wait for this phone",
		Example: "  signet phone requests\n  signet phone requests -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			all, err := p.Requests(cmd.Context(), h.user)
			if err != nil {
				return err
			}
			if h.format == "json" {
				return h.print(cmd, all)
			}
			rows := make([]map[string]any, len(all))
			for i, q := range all {
				rows[i] = map[string]any{
					"id": q.ID, "account": q.User, "app": q.Context.App, "browser": q.Context.Browser, "place": placeOf(q.Context),
					"until": q.Expires.Local().Format(time.TimeOnly),
				}
			}
			return h.print(cmd, rows, "id", "account", "app", "browser", "place", "until")
		},
	}
}

// placeOf is where a request comes from, in words.
func placeOf(c phonewire.Context) string {
	var parts []string
	if p := c.Place; p != nil {
		switch p.Kind {
		case "country":
			parts = append(parts, p.Country)
		case "private":
			parts = append(parts, "a private network")
		case "this":
			parts = append(parts, "this machine")
		default:
			parts = append(parts, "unknown")
		}
		if p.IP != "" {
			parts = append(parts, p.IP)
		}
	}
	if c.Network != "" {
		parts = append(parts, c.Network)
	}
	return strings.Join(parts, ", ")
}

// warnings say what speaks against a request, in words.
func warnings(c phonewire.Context) []string {
	var out []string
	if !c.Known {
		out = append(out, "not a browser in which you are known")
	}
	for _, w := range c.Warn {
		switch w {
		case "country":
			out = append(out, "from a country in which none of your phones is")
		case "hosting":
			out = append(out, "from a data centre, where people seldom sit")
		default:
			out = append(out, w)
		}
	}
	return out
}

// describeRequest tells a person what they are asked.
func describeRequest(w io.Writer, q phoneagent.Request) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-8s %s\n", name, printable(value))
		}
	}
	fmt.Fprintln(w, "Someone is signing in. Is it you?")
	line("account", q.User)
	line("app", q.Context.App)
	line("browser", cmp.Or(q.Context.Browser, "unknown"))
	line("place", placeOf(q.Context))
	line("time", q.Context.Time.Local().Format(time.DateTime))
	for _, text := range warnings(q.Context) {
		line("careful", text)
	}
}

// verify has the person verified, and gives the PIN.
func (v verified) verify(in *lines, pin bool, w io.Writer) (string, error) {
	switch {
	case pin:
		if !v.stdin && !in.terminal() {
			return "", errNoTerminal
		}
		return in.pin(v.stdin, "PIN: ")
	case v.yes:
		return "", nil
	case v.stdin:
		return "", usagef("this phone has no PIN: use --yes")
	case !in.terminal():
		return "", errNobody
	}
	fmt.Fprint(w, "This phone has no PIN. Type yes to approve: ")
	said, err := in.next("the answer")
	if err == nil && !strings.EqualFold(strings.TrimSpace(said), "yes") {
		err = errors.New("not approved: the request still waits")
	}
	return "", err
}

func (h *handset) approveCommand() *cobra.Command {
	var id string
	var by verified
	cmd := &cobra.Command{
		Use: "approve NUMBER", Short: "Approve a sign-in, with the number on the other screen",
		Long: `Approve the sign-in that waits, with the two digits that the other screen shows.
There is one try: a wrong number ends the request. You are verified by the PIN
of this phone; for one without, type yes or use --yes.`,
		Example: `  signet phone approve 47
  signet phone approve 47 --yes
  signet phone approve 47 --request 0hTzYk0S5u1nqK0Zb2m9Bg`,
		Args: exactly("a NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := phoneagent.CheckNumber(args[0]); err != nil {
				return err
			}
			p, err := h.open()
			if err != nil {
				return err
			}
			q, err := p.Find(cmd.Context(), h.user, id)
			if err != nil {
				return err
			}
			in := newLines(cmd)
			if !by.yes && !by.stdin {
				if !in.terminal() {
					return errNobody
				}
				describeRequest(cmd.ErrOrStderr(), q)
			}
			pin, err := by.verify(in, q.PIN, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			result, err := p.Approve(cmd.Context(), q, args[0], pin)
			return h.answered(cmd, q, result, err)
		},
	}
	cmd.Flags().StringVar(&id, "request", "", "id of the request (default: the only one)")
	by.flags(cmd, "approve without asking, on a phone without a PIN")
	h.completeRequest(cmd)
	return cmd
}

func (h *handset) denyCommand() *cobra.Command {
	var id string
	var report bool
	cmd := &cobra.Command{
		Use: "deny", Short: "Deny a sign-in that is not yours, and report it",
		Long: `Deny the sign-in that waits. With --report it is reported as well: your
organisation is told that somebody tries to be you, and asks from there are
closed. What was denied or came too late may still be reported, by its id.`,
		Example: `  signet phone deny
  signet phone deny --report --request 0hTzYk0S5u1nqK0Zb2m9Bg`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			q, err := p.Find(cmd.Context(), h.user, id)
			if err != nil && report && id != "" && errors.Is(err, idp.NotFound) {
				result, err := p.Report(cmd.Context(), h.user, id)
				return h.answered(cmd, phoneagent.Request{ID: id}, result, err)
			}
			if err != nil {
				return err
			}
			result, err := p.Deny(cmd.Context(), q, report)
			return h.answered(cmd, q, result, err)
		},
	}
	cmd.Flags().StringVar(&id, "request", "", "id of the request (default: the only one)")
	cmd.Flags().BoolVar(&report, "report", false, "report it, too")
	h.completeRequest(cmd)
	return cmd
}

// completeRequest completes --request with what waits.
func (h *handset) completeRequest(cmd *cobra.Command) {
	cmd.RegisterFlagCompletionFunc("request", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		p, err := h.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _ := p.Requests(cmd.Context(), h.user)
		var ids []string
		for _, q := range all {
			ids = append(ids, q.ID+"\t"+printable(q.User+", "+q.Context.Browser))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	})
}

// answered prints what became of a request.
func (h *handset) answered(cmd *cobra.Command, q phoneagent.Request, result string, err error) error {
	if err != nil {
		return err
	}
	if result == phonewire.WrongNumber {
		return errors.New("that is not the number on the other screen: nobody was signed in, and the request is over. Ask for a new number there")
	}
	return h.print(cmd, struct {
		Request string `json:"request"`
		User    string `json:"userPrincipalName,omitempty"`
		Result  string `json:"result"`
	}{q.ID, q.User, result}, "request", "userPrincipalName=account", "result")
}

func (h *handset) watchCommand() *cobra.Command {
	var by verified
	cmd := &cobra.Command{
		Use: "watch", Short: "Wait for sign-ins, and ask for their numbers",
		Long: `Ask the server every three seconds what waits, show it, and ask for the number
on the other screen. Instead of a number, n denies, r reports, and nothing at
all leaves it. Stop with Ctrl-C.`,
		Example: "  signet phone watch\n  signet phone watch --yes",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := h.open()
			if err != nil {
				return err
			}
			in := newLines(cmd)
			fmt.Fprintln(cmd.ErrOrStderr(), "Waiting for sign-ins. Stop with Ctrl-C.")
			err = p.Watch(cmd.Context(), h.user, askEvery, func(q phoneagent.Request) error {
				return h.ask(cmd, p, in, by, q)
			}, func(err error) { notes(cmd, complaints(err)) })
			if errors.Is(err, context.Canceled) || errors.Is(err, errNoInput) {
				return nil
			}
			return err
		},
	}
	by.flags(cmd, "take the number for a yes, on a phone without a PIN")
	return cmd
}

// ask shows one request, and does what the person says. What was typed wrongly
// is asked for again; anything else that goes wrong with one sign-in is told,
// and the next one waited for.
func (h *handset) ask(cmd *cobra.Command, p *phoneagent.Phone, in *lines, by verified, q phoneagent.Request) error {
	describeRequest(cmd.ErrOrStderr(), q)
	for {
		fmt.Fprint(cmd.ErrOrStderr(), "Number (n: no, r: report, Enter: leave it): ")
		said, err := in.next("the number")
		if said = strings.ToLower(strings.TrimSpace(said)); err != nil || said == "" {
			return err
		}
		result, err := h.act(cmd, p, in, by, q, said)
		err = h.answered(cmd, q, result, err)
		if err == nil || errors.Is(err, errNoInput) || errors.As(err, new(*usageError)) || cmd.Context().Err() != nil {
			return err
		}
		notes(cmd, complaints(err))
		if e := idp.AsError(err); e.Reason != "number" && e.Reason != "pin_wrong" {
			return nil
		}
	}
}

func (h *handset) act(cmd *cobra.Command, p *phoneagent.Phone, in *lines, by verified, q phoneagent.Request, said string) (string, error) {
	if said == "n" || said == "r" {
		return p.Deny(cmd.Context(), q, said == "r")
	}
	// A number that is none is told before anybody is asked for a PIN.
	if err := phoneagent.CheckNumber(said); err != nil {
		return "", err
	}
	pin, err := by.verify(in, q.PIN, cmd.ErrOrStderr())
	if err != nil {
		return "", err
	}
	return p.Approve(cmd.Context(), q, said, pin)
}
