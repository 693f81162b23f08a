package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

var appColumns = []string{
	"id", "displayName=name", "kind", "auth=authentication", "grants", "redirectUris=redirect URIs",
	"postLogoutRedirectUris=post-logout URIs", "responseModes=response modes", "alg=signed with", "subject", "firstParty=first party", "scopes", "acr", "enabled", "created",
}

func (a *administrator) appCommands() *cobra.Command {
	apps := first(a.complete("app.list", "displayName"))
	one := func(use, op, short string, cols ...string) *cobra.Command {
		return &cobra.Command{
			Use: use + " APP", Short: short, Example: "  signet admin app " + use + " Wiki",
			Args: exactly("an APP (name or client id)"), ValidArgsFunction: apps,
			RunE: func(cmd *cobra.Command, args []string) error { return a.do(cmd, op, fields{"app": args[0]}, cols...) },
		}
	}
	list := &cobra.Command{
		Use: "list", Short: "List apps", Example: "  signet admin app list", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.list(cmd, "app.list", fields{}, "id", "displayName=name", "kind", "auth=authentication", "redirectUris=redirect URIs", "enabled")
		},
	}
	return group("app", "Applications that people sign in to", "  signet admin app list",
		a.appCreate(), list,
		one("show", "app.show", "Show an app", appColumns...),
		a.appUpdate(apps),
		one("drop-old-secrets", "app.dropSecret", "Remove all secrets of an app but the newest", "id", "displayName=name", "secrets"),
		one("add-secret", "app.addSecret", "Give an app one more secret, shown once", "id", "displayName=name", "secret"),
		one("disable", "app.disable", "Switch an app off", appColumns...),
		one("enable", "app.enable", "Switch an app on again", appColumns...),
		one("delete", "app.delete", "Delete an app", "id", "displayName=name"),
	)
}

// appSettings are the flags that say what an app is.
type appSettings struct {
	kind, auth, jwks, alg, acr string
	redirect, logout, modes    []string
	grants, scopes             []string
	pairwise, firstParty       bool
}

func (in *appSettings) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringArrayVar(&in.redirect, "redirect-uri", nil, "where people come back to, to the letter (repeatable)")
	fs.StringArrayVar(&in.logout, "post-logout-uri", nil, "where people go after signing out (repeatable)")
	fs.StringSliceVar(&in.modes, "response-mode", nil, "how answers may travel: query, form_post (both by default), fragment (repeatable)")
	fs.StringVar(&in.kind, "kind", "web", "web or native")
	fs.StringVar(&in.auth, "auth", "", "none, secret or private_key_jwt")
	fs.StringVar(&in.jwks, "jwks", "", "file with the app's public keys, for private_key_jwt")
	fs.StringSliceVar(&in.grants, "grant", nil, "authorization_code, refresh_token, client_credentials, device_code (repeatable)")
	fs.StringSliceVar(&in.scopes, "scope", nil, "scopes it may ask for (repeatable)")
	fs.StringVar(&in.alg, "alg", "", "ES256 (default) or RS256, for its ID tokens")
	fs.StringVar(&in.acr, "acr", "", "least strength asked of people, whatever the app asks: phr, phrh")
	fs.BoolVar(&in.pairwise, "pairwise", false, "a different subject for each app")
	fs.BoolVar(&in.firstParty, "first-party", false, "yours: people are not asked for consent")
	for flag, values := range map[string][]string{
		"kind": {"web", "native"}, "auth": {"none", "secret", "private_key_jwt"}, "alg": {"ES256", "RS256"}, "acr": {"phr", "phrh"},
		"grant": {"authorization_code", "refresh_token", "client_credentials", "device_code"}, "response-mode": {"query", "form_post", "fragment"},
	} {
		cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	markFiles(cmd, "jwks")
}

// said gives the flags that were on the command line as parameters; what was
// not said keeps its value, or its default.
func (in *appSettings) said(cmd *cobra.Command) (fields, error) {
	all := fields{
		"redirect-uri": in.redirect, "post-logout-uri": in.logout, "response-mode": in.modes, "kind": in.kind, "auth": in.auth, "grant": in.grants,
		"scope": in.scopes, "alg": in.alg, "acr": in.acr, "first-party": in.firstParty,
	}
	names := map[string]string{
		"redirect-uri": "redirectUris", "post-logout-uri": "postLogoutRedirectUris", "response-mode": "responseModes", "grant": "grants", "scope": "scopes", "first-party": "firstParty",
	}
	ask := fields{}
	for flag, value := range all {
		if !cmd.Flags().Changed(flag) {
			continue
		}
		if name, ok := names[flag]; ok {
			flag = name
		}
		ask[flag] = value
	}
	if cmd.Flags().Changed("pairwise") {
		ask["subject"] = map[bool]string{true: "pairwise", false: "public"}[in.pairwise]
	}
	if in.jwks == "" {
		return ask, nil
	}
	keys, err := os.ReadFile(in.jwks)
	if err != nil {
		return nil, fmt.Errorf("the key file cannot be read: %w", err)
	}
	if !json.Valid(keys) {
		return nil, fmt.Errorf("%s is not JSON: give a JWK set with public keys", in.jwks)
	}
	ask["jwks"] = json.RawMessage(keys)
	return ask, nil
}

func (a *administrator) appCreate() *cobra.Command {
	var in appSettings
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Register an app",
		Long: `Register an app. A secret is printed once and kept only as a hash.

--auth is how the app proves itself: secret (the default of web apps), none (the
default of native apps, which cannot keep one) or private_key_jwt with --jwks.`,
		Example: `  signet admin app create "Wiki" --redirect-uri https://wiki.example.com/callback
  signet admin app create "Field tool" --kind native --redirect-uri http://127.0.0.1/callback
  signet admin app create "Reports" --auth private_key_jwt --jwks keys.json --redirect-uri https://reports.example.com/cb
  signet admin app create "Nightly job" --grant client_credentials
  signet admin app create "Television" --kind native --grant device_code --grant refresh_token`,
		Args: exactly("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask, err := in.said(cmd)
			if err != nil {
				return err
			}
			ask["displayName"] = args[0]
			return a.do(cmd, "app.create", ask, append(appColumns, "secret")...)
		},
	}
	in.flags(cmd)
	return cmd
}

func (a *administrator) appUpdate(apps cobra.CompletionFunc) *cobra.Command {
	var in appSettings
	var name string
	cmd := &cobra.Command{
		Use: "update APP", Short: "Change an app; what is not named stays",
		Example: "  signet admin app update Wiki --redirect-uri https://wiki.example.com/cb --redirect-uri https://wiki2.example.com/cb",
		Args:    exactly("an APP (name or client id)"), ValidArgsFunction: apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			ask, err := in.said(cmd)
			if err != nil {
				return err
			}
			if name != "" {
				ask["displayName"] = name
			}
			ask["app"] = args[0]
			return a.do(cmd, "app.update", ask, append(appColumns, "secret")...)
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "a new name")
	return cmd
}

func (a *administrator) tapCommands() *cobra.Command {
	var life time.Duration
	var many bool
	var length int
	issue := &cobra.Command{
		Use: "issue USER", Short: "Give somebody a Temporary Access Pass, shown once",
		Example: `  signet admin tap issue ada@example.com
  signet admin tap issue ada@example.com --lifetime 8h --multi-use`,
		Args: exactly("a USER (name or id)"), ValidArgsFunction: first(a.complete("user.list", "userPrincipalName")),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := fields{"user": args[0]}
			if life != 0 {
				in["lifetimeInMinutes"] = int(life / time.Minute)
			}
			if cmd.Flags().Changed("multi-use") {
				in["isUsableOnce"] = !many
			}
			if length != 0 {
				in["length"] = length
			}
			return a.do(cmd, "tap.issue", in, "temporaryAccessPass=access pass", "userPrincipalName=for", "expires=until", "isUsableOnce=one use")
		},
	}
	issue.Flags().DurationVar(&life, "lifetime", 0, "10m to 720h (default: the tenant's, 1h)")
	issue.Flags().BoolVar(&many, "multi-use", false, "good until it ends, not for one sign-in only")
	issue.Flags().IntVar(&length, "length", 0, "characters (default: the tenant's, 12)")
	return group("tap", "Temporary Access Passes", "  signet admin tap issue ada@example.com", issue)
}

func (a *administrator) auditCommand() *cobra.Command {
	var user, category, before string
	var limit int
	cmd := &cobra.Command{
		Use: "audit", Short: "Show the latest sign-ins and changes",
		Example: "  signet admin audit --user ada@example.com --limit 20", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := fields{"user": user, "category": category, "before": before, "limit": limit}
			return a.do(cmd, "audit.list", in, "at", "activity", "outcome", "userName=user", "method", "rule", "reason", "code", "trace")
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&user, "user", "", "only this person's (name or id)")
	fs.StringVar(&category, "category", "", "signin, change, token or system")
	fs.StringVar(&before, "before", "", "only older ones than this event id")
	fs.IntVar(&limit, "limit", 100, "how many, at most 999")
	cmd.RegisterFlagCompletionFunc("user", a.complete("user.list", "userPrincipalName"))
	cmd.RegisterFlagCompletionFunc("category", cobra.FixedCompletions([]string{"signin", "change", "token", "system"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *administrator) tokenCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "token", Short: "Print a short-lived bearer token for the administration API",
		Long:    "Print a bearer token for the administration API: read-only unless a role is named, 10 minutes at most, not refreshable, on record under your name.",
		Example: "  signet admin token --tenant example.com", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := a.call(cmd.Context(), "token", fields{"role": role}, nil)
			if err != nil || a.format == "json" {
				if err == nil {
					err = show(cmd.OutOrStdout(), a.format, result, nil)
				}
				return err
			}
			token, err := decode[struct {
				Token string `json:"token"`
			}](result)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), token.Token)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "role of the token (default: reader)")
	return cmd
}

var keyColumns = []string{"id", "alg", "state", "created", "activeFrom=signs from", "goneAt=gone"}

func (a *administrator) keyCommands() *cobra.Command {
	var now bool
	var alg string
	rotate := &cobra.Command{
		Use: "rotate", Short: "Begin using a new signing key",
		Long: `Begin using a new signing key. It is published first and used once caches have
seen it; the old one stays until the last token that it signed has run out.

--now is for a key that leaked: the old one is gone at once.`,
		Example: "  signet admin signing-key rotate\n  signet admin signing-key rotate --now", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, "signing-key.rotate", fields{"alg": alg, "now": now}, keyColumns...)
		},
	}
	rotate.Flags().BoolVar(&now, "now", false, "the old key is gone at once, and all tokens it signed")
	rotate.Flags().StringVar(&alg, "alg", "", "only keys of this algorithm: ES256 or RS256 (default: all there are)")
	list := &cobra.Command{
		Use: "list", Short: "List signing keys", Example: "  signet admin signing-key list", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, "signing-key.list", fields{}, keyColumns...)
		},
	}
	return group("signing-key", "Keys that tokens are signed with", "  signet admin signing-key rotate", rotate, list)
}
