package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

func (a *administrator) tenantCommands() *cobra.Command {
	var domain string
	create := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a tenant",
		Example: `  signet admin tenant create "Example" --domain example.com`,
		Args:    exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "tenant.create", fields{"name": args[0], "domain": domain}, tenantColumns...)
		},
	}
	create.Flags().StringVar(&domain, "domain", "", "its first verified domain name")
	create.MarkFlagRequired("domain")
	list := &cobra.Command{
		Use: "list", Short: "List tenants", Example: "  signet admin tenant list -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, "tenant.list", fields{}, tenantColumns...)
		},
	}
	see := &cobra.Command{
		Use: "show [TENANT]", Short: "Show a tenant", Example: "  signet admin tenant show example.com", Args: atMost(1, nil),
		ValidArgsFunction: first(a.complete("tenant.list", "domain")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{}
			if len(args) == 1 {
				in["tenant"] = args[0]
			}
			return a.do(cmd, "tenant.show", in, append(tenantColumns, "domains")...)
		},
	}
	addDomain := &cobra.Command{
		Use: "add-domain DOMAIN", Short: "Give a tenant one more domain name",
		Example: "  signet admin tenant add-domain example.org --tenant example.com", Args: exactly("a DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "tenant.addDomain", fields{"domain": args[0]}, append(tenantColumns, "domains")...)
		},
	}
	return group("tenant", "Tenants: organisations with their domain names", "  signet admin tenant list", create, list, see, addDomain)
}

var tenantColumns = []string{"id", "name", "domain", "created"}

var userColumns = []string{"id", "userPrincipalName=name", "displayName=display name", "accountEnabled=enabled", "userType=type", "role", "created"}

func (a *administrator) userCommands() *cobra.Command {
	users := first(a.complete("user.list", "userPrincipalName"))
	one := func(use, op, short string) *cobra.Command {
		return &cobra.Command{
			Use: use + " USER", Short: short, Example: "  signet admin user " + use + " ada@example.com",
			Args: exactly("a USER (name or id)"), ValidArgsFunction: users,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.do(cmd, op, fields{"user": args[0]}, userColumns...)
			},
		}
	}
	return group("user", "People of a tenant", "  signet admin user list",
		a.userCreate(),
		a.userUpdate(),
		&cobra.Command{
			Use: "list", Short: "List people", Example: "  signet admin user list -o json", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.list(cmd, "user.list", fields{}, userColumns...) },
		},
		a.userShow(users),
		one("disable", "user.disable", "Stop somebody from signing in, and sign them out everywhere"),
		one("enable", "user.enable", "Let somebody sign in again"),
		one("sign-out", "session.revokeUser", "End somebody's sessions and refresh tokens"),
		one("delete", "user.delete", "Delete somebody with everything they registered"),
		a.userSetRole(),
		a.userConsents(),
		a.userRevokeConsent(),
		a.userImport(),
	)
}

func (a *administrator) userCreate() *cobra.Command {
	var name, role string
	var guest bool
	cmd := &cobra.Command{
		Use: "create USER", Short: "Make a person",
		Example: `  signet admin user create ada@example.com --name "Ada Lindqvist"
  signet admin user create root@example.com --role administrator`,
		Args: exactly("a USER (user principal name)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{"userPrincipalName": args[0], "displayName": name, "role": role}
			if guest {
				in["userType"] = "guest"
			}
			return a.do(cmd, "user.create", in, userColumns...)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "display name (default: the part before the @)")
	cmd.Flags().StringVar(&role, "role", "", "administrator or helpdesk (default: none)")
	cmd.Flags().BoolVar(&guest, "guest", false, "a guest, at home elsewhere; guests cannot sign in in this version")
	cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"administrator", "helpdesk"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *administrator) userShow(users cobra.CompletionFunc) *cobra.Command {
	return &cobra.Command{
		Use: "show USER", Short: "Show somebody", Example: "  signet admin user show ada@example.com",
		Args: exactly("a USER (name or id)"), ValidArgsFunction: users,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "user.show", fields{"user": args[0]}, oneUser...)
		},
	}
}

// oneUser are the columns where one person is shown.
var oneUser = append(slices.Clone(userColumns), "onPremisesUserPrincipalName=on premises", "certificateUserIds=certificates")

func (a *administrator) userUpdate() *cobra.Command {
	var display, rename, onPremises string
	var ids []string
	var none bool
	cmd := &cobra.Command{
		Use: "update USER", Short: "Change somebody's names, or what says that a certificate is theirs",
		Long: `Change somebody's names, or what says that a certificate is theirs. What is not
given stays as it is. --certificate-user-id stands once for each value, and all of
them together replace what there was. docs/certificates.md has the formats.`,
		Example: `  signet admin user update ada@example.com --name "Ada Lindqvist"
  signet admin user update ada@example.com --certificate-user-id 'X509:<SKI>1f8b…' --certificate-user-id 'X509:<PN>ada@corp.local'
  signet admin user update ada@example.com --no-certificate-user-ids`,
		Args: exactly("a USER (name or id)"), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{"user": args[0]}
			for flag, field := range map[string]string{"name": "displayName", "rename": "userPrincipalName", "on-premises-name": "onPremisesUserPrincipalName"} {
				if f := cmd.Flags().Lookup(flag); f.Changed {
					in[field] = f.Value.String()
				}
			}
			switch {
			case none && len(ids) > 0:
				return usagef("--certificate-user-id and --no-certificate-user-ids contradict each other")
			case none:
				in["certificateUserIds"] = []string{}
			case len(ids) > 0:
				in["certificateUserIds"] = ids
			}
			if len(in) == 1 {
				return usagef("%s needs something to change; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return a.do(cmd, "user.update", in, oneUser...)
		},
	}
	cmd.Flags().StringVar(&display, "name", "", "display name")
	cmd.Flags().StringVar(&rename, "rename", "", "user principal name")
	cmd.Flags().StringVar(&onPremises, "on-premises-name", "", `user principal name in a directory of their own premises; "" takes it away`)
	// An array and no slice: distinguished names have commas.
	cmd.Flags().StringArrayVar(&ids, "certificate-user-id", nil, "value of certificateUserIds, as X509:<PN>ada@corp.local; up to 10 times")
	cmd.Flags().BoolVar(&none, "no-certificate-user-ids", false, "take all values of certificateUserIds away")
	return cmd
}

func (a *administrator) userSetRole() *cobra.Command {
	return &cobra.Command{
		Use: "set-role USER [ROLE]", Short: "Give somebody a role: administrator or helpdesk; no ROLE takes it away",
		Example: "  signet admin user set-role ada@example.com helpdesk",
		Args:    atMost(2, exactly("a USER (name or id)")),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"administrator", "helpdesk"}, cobra.ShellCompDirectiveNoFileComp
			}
			return first(a.complete("user.list", "userPrincipalName"))(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{"user": args[0], "role": ""}
			if len(args) == 2 {
				in["role"] = args[1]
			}
			return a.do(cmd, "user.setRole", in, userColumns...)
		},
	}
}

var consentColumns = []string{"appId=app id", "appDisplayName=app", "scopes=allowed", "since"}

func (a *administrator) userConsents() *cobra.Command {
	return &cobra.Command{
		Use: "consents USER", Short: "List what somebody allowed which apps",
		Example: "  signet admin user consents ada@example.com",
		Args:    exactly("a USER (name or id)"), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "user.consents", fields{"user": args[0]}, consentColumns...)
		},
	}
}

func (a *administrator) userRevokeConsent() *cobra.Command {
	return &cobra.Command{
		Use: "revoke-consent USER APP", Short: "Take back what somebody allowed an app, with its tokens",
		Long: `Take back what somebody allowed an app. What the app holds of that person ends in
the same moment: its refresh tokens at once, access tokens where they are asked
about, others within the hour. The app must ask again. People can do the same
at /account.`,
		Example: `  signet admin user revoke-consent ada@example.com "Drawing office"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s needs a USER and an APP; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return a.complete("app.list", "displayName")(cmd, args, typed)
			}
			return first(a.complete("user.list", "userPrincipalName"))(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "user.revokeConsent", fields{"user": args[0], "app": args[1]}, consentColumns...)
		},
	}
}

// imported is what an import answers.
type imported struct {
	Rows    int      `json:"rows"`
	Created int      `json:"created"`
	Bad     []badRow `json:"bad"`
}

func (a *administrator) userImport() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "import FILE.csv", Short: "Make people from a CSV file: all of them, or none",
		Long: `Make people from a CSV file with the columns userPrincipalName and, as wanted,
displayName, accountEnabled, userType, onPremisesUserPrincipalName and
certificateUserIds (several values with semicolons between). With one bad row nothing
is imported, and every bad row is reported.`,
		Example: "  signet admin user import people.csv --dry-run\n  signet admin user import people.csv",
		Args:    exactly("a FILE"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("the file cannot be read: %w", err)
			}
			tell, done := progress(cmd.ErrOrStderr(), "importing: %d rows", 0)
			result, err := a.call(cmd.Context(), "user.import", fields{"csv": string(file), "dryRun": dry}, tell)
			done()
			if err != nil {
				return err
			}
			return a.reportImport(cmd, result, dry)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only check and report")
	return cmd
}

func (a *administrator) reportImport(cmd *cobra.Command, result json.RawMessage, dry bool) error {
	r, err := decode[imported](result)
	if err != nil {
		return err
	}
	if a.format == "json" {
		if err := show(cmd.OutOrStdout(), a.format, result, nil); err != nil {
			return err
		}
	}
	for _, b := range r.Bad {
		fmt.Fprintln(cmd.ErrOrStderr(), b)
	}
	switch {
	case len(r.Bad) > 0:
		return fmt.Errorf("nothing was imported: mend the %d bad rows and run the import again", len(r.Bad))
	case a.format == "json":
	case dry:
		fmt.Fprintf(cmd.OutOrStdout(), "%d people would be imported\n", r.Created)
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "%d people imported\n", r.Created)
	}
	return nil
}

// longWork is how long work may take before a line tells how far it is.
const longWork = 500 * time.Millisecond

// progress keeps one line on w up to date, which begins with words; the first
// comes once after is over. tell may be called from any goroutine; done ends the
// line.
func progress(w io.Writer, words string, after time.Duration) (tell func(int), done func()) {
	var mu sync.Mutex
	start, rows, shown := time.Now(), 0, after == 0
	line := func(end string) {
		fmt.Fprintf(w, "\r"+words+", %s%s", rows, time.Since(start).Round(100*time.Millisecond), end)
	}
	return func(n int) {
			mu.Lock()
			defer mu.Unlock()
			rows = n
			if shown = shown || time.Since(start) >= after; shown {
				line("")
			}
		}, func() {
			mu.Lock()
			defer mu.Unlock()
			if shown {
				line("\n")
			}
		}
}

func (a *administrator) groupCommands() *cobra.Command {
	groupColumns := []string{"id", "displayName=name", "created"}
	groups := first(a.complete("group.list", "displayName"))
	member := func(use, op, short string) *cobra.Command {
		return &cobra.Command{
			Use: use + " GROUP USER...", Short: short, Example: `  signet admin group ` + use + ` "Drawing office" ada@example.com`,
			Args: func(cmd *cobra.Command, args []string) error {
				if len(args) < 2 {
					return usagef("%s needs a GROUP and a USER; see %s --help", cmd.CommandPath(), cmd.CommandPath())
				}
				return nil
			},
			ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
				if len(args) == 0 {
					return groups(cmd, args, typed)
				}
				return a.complete("user.list", "userPrincipalName")(cmd, args, typed)
			},
			RunE: func(cmd *cobra.Command, args []string) error {
				var failed error
				for _, user := range args[1:] {
					if err := a.do(cmd, op, fields{"group": args[0], "user": user}, groupColumns...); err != nil {
						failed = errors.Join(failed, fmt.Errorf("%s: %s", user, sentence(err)))
					}
				}
				return failed
			},
		}
	}
	one := func(use, op, short string, cols ...string) *cobra.Command {
		return &cobra.Command{
			Use: use + " GROUP", Short: short, Example: `  signet admin group ` + use + ` "Drawing office"`,
			Args: exactly("a GROUP (name or id)"), ValidArgsFunction: groups,
			RunE: func(cmd *cobra.Command, args []string) error {
				if op == "group.members" {
					return a.list(cmd, op, fields{"group": args[0]}, cols...)
				}
				return a.do(cmd, op, fields{"group": args[0]}, cols...)
			},
		}
	}
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a group", Example: `  signet admin group create "Drawing office"`, Args: exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "group.create", fields{"displayName": args[0]}, groupColumns...)
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "List groups", Example: "  signet admin group list", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.list(cmd, "group.list", fields{}, groupColumns...)
		},
	}
	return group("group", "Named sets of people", "  signet admin group list", create, list,
		one("members", "group.members", "List the members of a group", userColumns...),
		one("delete", "group.delete", "Delete a group; its members stay", groupColumns...),
		member("add", "group.addMember", "Put people into a group"),
		member("remove", "group.removeMember", "Take people out of a group"),
	)
}
