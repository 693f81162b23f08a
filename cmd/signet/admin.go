package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/app"
)

// administrator is what all admin commands share: where the data is, which
// tenant is meant, how to print.
type administrator struct {
	cfg    app.Config
	tenant string
	format string

	server    string // a running server, instead of the data folder
	tokenFile string // where its token is; empty: SIGNET_TOKEN
}

func newAdmin() *cobra.Command {
	a := &administrator{cfg: app.Default()}
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Look after tenants, people, apps, keys and backups",
		Long: `Look after tenants, people, apps, keys and backups.

While a server runs on the data folder, commands go through its admin.sock;
otherwise they open the database themselves, under a lock. With --server they go
to a running server anywhere, by a token of "signet admin token", which is read
from SIGNET_TOKEN or --token-file and never from the command line. Where a
tenant is meant and there is only one, it need not be named.`,
		Example: `  signet admin tenant create "Example" --domain example.com
  signet admin user create ada@example.com --name "Ada Lindqvist" --role administrator
  signet admin tap issue ada@example.com`,
		Args: noArgs,
		RunE: needCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := configured(cmd.Flags(), &a.cfg); err != nil {
				return err
			}
			return a.reachable(cmd)
		},
	}
	fs := cmd.PersistentFlags()
	fs.String("config", "", "configuration file (YAML)")
	addSettings(fs, &a.cfg)
	fs.StringVar(&a.tenant, "tenant", "", "tenant id or domain (default: the only one)")
	fs.StringVar(&a.server, "server", "", "address of a running server, such as https://id.example.com (SIGNET_SERVER)")
	fs.StringVar(&a.tokenFile, "token-file", "", "file with a token for --server, - for standard input (default: SIGNET_TOKEN)")
	addOutputFlag(cmd, &a.format)
	markFiles(cmd, "config", "kek-file", "token-file")
	cmd.RegisterFlagCompletionFunc("tenant", a.complete("tenant.list", "domain"))
	cmd.AddCommand(
		a.tenantCommands(), a.userCommands(), a.groupCommands(), a.appCommands(), a.tapCommands(),
		a.policyCommands(), a.auditCommand(), a.tokenCommand(), a.keyCommands(), a.securityKeyCommands(), a.deviceCommands(), a.macCommands(), a.phoneCommands(), a.authorityCommands(), a.certificateCommands(), a.kekCommands(), a.metadataCommands(),
		here(a.migrateCommand()), here(a.backupCommand()), here(a.backupKeyCommand()), here(a.restoreCommand()),
	)
	return cmd
}

// fields are what an operation is asked with.
type fields map[string]any

// call does one operation, over admin.sock or directly. progress may be nil.
func (a *administrator) call(ctx context.Context, op string, in fields, progress func(int)) (_ json.RawMessage, err error) {
	if a.tenant != "" {
		in["tenant"] = a.tenant
	}
	door, err := a.door(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, door.Close()) }()
	return door.Do(ctx, op, in, progress)
}

// door is the way to the operations.
func (a *administrator) door(ctx context.Context) (*app.Administrator, error) {
	if a.server == "" {
		return app.Administer(ctx, a.cfg)
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	return app.AdministerRemote(a.server, token)
}

// mostToken is more than any token has.
const mostToken = 16 << 10

func (a *administrator) token() (string, error) {
	var from io.Reader
	switch a.tokenFile {
	case "":
		return strings.TrimSpace(os.Getenv("SIGNET_TOKEN")), nil
	case "-":
		from = os.Stdin
	default:
		f, err := os.Open(a.tokenFile)
		if err != nil {
			return "", fmt.Errorf("the token cannot be read: %w", err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, mostToken))
	return strings.TrimSpace(string(text)), err
}

// hereOnly marks commands that work on the data folder and have no operation
// that a server would do.
const hereOnly = "signet.here"

func here(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{hereOnly: "yes"}
	return cmd
}

// reachable settles which server is meant, and refuses commands that cannot
// be done from afar.
func (a *administrator) reachable(cmd *cobra.Command) error {
	if a.server == "" && cmd.Annotations[hereOnly] == "" {
		a.server = os.Getenv("SIGNET_SERVER")
	}
	if a.server != "" && cmd.Annotations[hereOnly] != "" {
		return &usageError{fmt.Errorf("%s works on the data folder itself: run it on the server's machine, without --server", cmd.CommandPath())}
	}
	return nil
}

// do calls and prints.
func (a *administrator) do(cmd *cobra.Command, op string, in fields, cols ...string) error {
	result, err := a.call(cmd.Context(), op, in, nil)
	if err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), a.format, result, columns(cols...))
}

// pageSize is the longest part of a list that can be asked for.
const pageSize = 999

// list prints a whole list, which comes in parts.
func (a *administrator) list(cmd *cobra.Command, op string, in fields, cols ...string) error {
	all := []json.RawMessage{}
	for {
		in["limit"] = pageSize
		result, err := a.call(cmd.Context(), op, in, nil)
		if err != nil {
			return err
		}
		part, err := decode[[]json.RawMessage](result)
		if err != nil {
			return err
		}
		all = append(all, part...)
		if len(part) < pageSize {
			break
		}
		last, err := decode[struct {
			ID string `json:"id"`
		}](part[len(part)-1])
		if err != nil {
			return err
		}
		in["after"] = last.ID
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), a.format, text, columns(cols...))
}

// complete offers values of a field of a list, from a running server or the
// database; when neither is there it offers nothing.
func (a *administrator) complete(op, field string) cobra.CompletionFunc {
	return a.completeOf(op, field, fields{})
}

// completeOf is complete of a list that is asked for with in.
func (a *administrator) completeOf(op, field string, in fields) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if configured(cmd.Flags(), &a.cfg) != nil || a.reachable(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		result, err := a.call(cmd.Context(), op, maps.Clone(in), nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		rows, err := decode[[]map[string]any](result)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var all []string
		for _, row := range rows {
			if s, ok := row[field].(string); ok {
				all = append(all, s)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// first completes the first argument only.
func first(fn cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return fn(cmd, args, typed)
	}
}

// group makes a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: noArgs, RunE: needCommand}
	cmd.AddCommand(commands...)
	return cmd
}
