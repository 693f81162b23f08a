package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/demo"
)

func newDemo() *cobra.Command {
	cfg := app.Default()
	cfg.Demo = true
	cfg.Data = ""
	cfg.LogLevel = "warn"
	cfg.Drain = 0
	var listenApp string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try everything on this machine",
		Long: `Try everything on this machine: a server, an organisation with four people, a
web app to sign in to, and a one-time pass for each person. Nothing has to be
configured, and nothing is left behind unless you name a folder with --data.

demo.json in the data folder tells scripts what the terminal tells people.`,
		Example: "  signet demo\n  signet demo --data ./demo-data --listen 127.0.0.1:9080 --listen-app 127.0.0.1:9090",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configured(cmd.Flags(), &cfg); err != nil {
				return err
			}
			cfg.Log = demoLogger(cmd.ErrOrStderr(), cfg.LogLevel)
			if cfg.Data == "" {
				dir, err := os.MkdirTemp("", "signet-demo-")
				if err != nil {
					return fmt.Errorf("make a temporary folder: %w; name one with --data", err)
				}
				defer os.RemoveAll(dir)
				cfg.Data = dir
			}
			return runDemo(cmd.Context(), cfg, listenApp, cmd.OutOrStdout())
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.String("config", "", "configuration file (YAML)")
	fs.StringVar(&cfg.Data, "data", "", "folder to keep (default: a temporary one)")
	fs.StringVar(&cfg.Listen, "listen", cfg.Listen, "address for the pages; this machine only")
	fs.StringVar(&listenApp, "listen-app", "127.0.0.1:8090", "address for the demo app; this machine only")
	fs.StringVar(&cfg.ListenTLS, "listen-tls", listenTLS, "address for device registration and sign-in with certificates, over TLS and with client certificates asked for; this machine only; off: none")
	fs.StringVar(&cfg.TLSBaseURL, "tls-base-url", "", "address of listen-tls as devices reach it; localhost only")
	fs.StringVar(&cfg.Database, "database", "", "postgres://… to use an empty PostgreSQL instead of SQLite")
	fs.StringVar(&cfg.KEKFile, "kek-file", "", "file with the key-encryption key (default: kek in the data folder)")
	fs.StringVar(&cfg.BaseURL, "base-url", "", "address of the pages; localhost only")
	fs.StringVar(&cfg.ListenMetrics, "listen-metrics", "", "address for /metrics alone (default: with the pages, for this machine only)")
	fs.StringVar(&cfg.LogLevel, "log-level", cfg.LogLevel, "debug, info, warn or error")
	addListSettings(fs, &cfg)
	addPushSettings(fs, &cfg)
	markFiles(cmd, "config", "kek-file", "push-ca", "place-table", "place-hosting")
	cmd.MarkFlagDirname("data")
	return cmd
}

// demoLogger is for a person's terminal.
func demoLogger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // judged with the configuration
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
}

func runDemo(ctx context.Context, cfg app.Config, listenApp string, out io.Writer) error {
	if host, _, err := net.SplitHostPort(listenApp); err != nil || !app.Loopback(host) {
		return fmt.Errorf("listen-app is %q, but a demo listens on this machine only: use 127.0.0.1:8090", listenApp)
	}
	door, err := app.ListenOn(ctx, "listen-app", listenApp)
	if err != nil {
		return err
	}
	defer door.Close()
	s, err := app.Start(ctx, cfg)
	if err != nil {
		return err
	}
	made, err := demo.Maker{
		DB: s.DB, Directory: s.Directory, Clients: s.Clients, Passes: s.Passes, Policies: s.Policies, Audit: s.Audit, Now: cfg.Now,
		BaseURL: s.BaseURL(), AppURL: "http://" + door.Addr().String(), Issuer: s.Issuer, Keys: s.PassKeys, TLSBaseURL: s.TLSBaseURL(), CAFile: s.LocalCA(),
	}.Make(ctx)
	if err == nil {
		err = writeFacts(filepath.Join(cfg.Data, "demo.json"), made.Facts)
	}
	if err != nil {
		return errors.Join(err, s.Abandon())
	}
	party := demo.NewApp(demo.AppConfig{
		Issuer: made.Issuer, ClientID: made.ClientID, Secret: made.Secret, URL: made.AppURL, Name: demo.AppName, Now: cfg.Now,
	})
	return serveBoth(ctx, s, door, party.Handler(), func(base string) {
		demo.Print(out, made.Facts, cfg.Data)
		sayReady(out)(base)
	})
}

// serveBoth runs the server and the app until ctx ends or one of them fails.
func serveBoth(ctx context.Context, s *app.Server, door net.Listener, h http.Handler, ready func(string)) error {
	both, ctx := errgroup.WithContext(ctx)
	party := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	both.Go(func() error {
		if err := party.Serve(door); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the demo app: %w", err)
		}
		return nil
	})
	both.Go(func() error {
		defer party.Close()
		return s.Run(ctx, ready)
	})
	return both.Wait()
}

// writeFacts replaces demo.json; the passes in it are for its owner alone.
func writeFacts(path string, f demo.Facts) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write demo.json: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write demo.json: %w", err)
	}
	return nil
}
