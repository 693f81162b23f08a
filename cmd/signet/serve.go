package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/metadata"
)

func newServe() *cobra.Command {
	cfg := app.Default()
	cfg.Metadata.URL = metadata.PublishedURL
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server.

Every flag is also a key of the configuration file (--config, YAML) and a
variable: --base-url is base-url in the file and SIGNET_BASE_URL. A flag wins
over a variable, a variable over the file. An unknown key stops the start.

The key-encryption key is the file kek in the data folder, made at the first
start. Keep a copy elsewhere: without it neither database nor backup is of use.
Several servers on one PostgreSQL share the key: --kek-file, or the key itself
in SIGNET_KEK.

Devices need --listen-tls: it serves the same over TLS and asks clients for a
certificate, so that no proxy may end TLS before it. It shows --tls-cert; with a
base URL of localhost and no certificate it makes an authority of its own in the
data folder, local-ca.pem, which is good for localhost and 30 days.`,
		Example: `  signet serve --base-url https://id.example.com --trusted-proxy 127.0.0.1
  signet serve --config /etc/signet.yaml
  signet serve --database postgres://signet@db.example.com/signet --kek-file /run/secrets/kek`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configured(cmd.Flags(), &cfg); err != nil {
				return err
			}
			settleTLS(cmd.Flags(), &cfg)
			cfg.Log = newLogger(cmd.ErrOrStderr(), cfg.LogLevel)
			s, err := app.Start(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return s.Run(cmd.Context(), sayReady(cmd.OutOrStdout()))
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.String("config", "", "configuration file (YAML)")
	addServeOnlySettings(fs, &cfg)
	addServerSettings(fs, &cfg)
	addSettings(fs, &cfg)
	fs.BoolVar(&cfg.AcceptRollback, "accept-rollback", false, "start a database that lost what was written, and void everything handed out")
	markFiles(cmd, "config", "tls-cert", "tls-key", "kek-file", "metadata-file", "tpm-roots", "mac-roots",
		"push-ca", "apns-key", "fcm-credentials", "place-table", "place-hosting")
	cmd.MarkFlagDirname("data")
	return cmd
}

// sayReady prints the one line that scripts wait for.
func sayReady(out io.Writer) func(string) {
	return func(base string) { fmt.Fprintf(out, "ready %s\n", base) }
}

func newLogger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if level != "" {
		_ = l.UnmarshalText([]byte(level)) // judged with the configuration
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}))
}

func markFiles(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		cmd.MarkFlagFilename(f)
	}
}
