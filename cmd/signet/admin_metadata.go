package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

var metadataColumns = []string{"condition", "number", "models", "nextUpdate=next update", "from", "lastTry=last try", "result", "detail"}

func (a *administrator) metadataCommands() *cobra.Command {
	status := &cobra.Command{
		Use: "status", Short: "Show which list of key models is in use, and how the last try to get a newer one went",
		Example: "  signet admin metadata status", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, "metadata.status", fields{}, metadataColumns...)
		},
	}
	load := &cobra.Command{
		Use: "load FILE", Short: "Take a list of key models from a file, for networks that cannot fetch it",
		Long: `Take a list of key models from a file, for networks that cannot fetch it.

The file is what the FIDO Alliance publishes at https://mds3.fidoalliance.org/,
unchanged. It is verified as if it had been fetched: signed up to the pinned
root, and never older than the one in use.`,
		Example: "  signet admin metadata load blob.jwt", Args: exactly("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			return a.do(cmd, "metadata.load", fields{"file": path}, metadataColumns...)
		},
	}
	refresh := &cobra.Command{
		Use: "refresh", Short: "Get a newer list of key models now", Example: "  signet admin metadata refresh", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, "metadata.refresh", fields{}, metadataColumns...)
		},
	}
	search := &cobra.Command{
		Use: "search [TEXT...]", Short: "Find key models by name, maker or AAGUID", Example: "  signet admin metadata search yubikey nfc",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, "metadata.search", fields{"text": strings.Join(args, " "), "limit": 100},
				"aaguid", "name", "vendor", "certification", "status", "reason")
		},
	}
	return group("metadata", "Key models: names, certification, status and roots from the FIDO metadata",
		"  signet admin metadata status", status, load, refresh, search)
}
