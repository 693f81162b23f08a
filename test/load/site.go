package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/signetid/signet/test/person"
)

// site is a server of the built binary in a folder of its own, with one
// organisation and one app.
type site struct {
	binary, dir, addr, base string
	addrTLS                 string // where certificates are asked for
	cmd                     *exec.Cmd
	tenant                  string
	app                     person.App
	tool                    string // id of an app that keeps no secret
	postgres                string // database; empty: SQLite
	folder, kek             string // of a further node: its data, and the key that it shares
}

func newSite(ctx context.Context, binary string) (*site, error) {
	return newSiteOn(ctx, binary, "")
}

// newSiteOn is newSite on a PostgreSQL database, or on SQLite.
func newSiteOn(ctx context.Context, binary, postgres string) (*site, error) {
	dir, err := os.MkdirTemp("", "signet-load")
	if err != nil {
		return nil, err
	}
	s := &site{binary: binary, dir: dir, postgres: postgres, folder: "data"}
	if err := s.addresses(); err != nil {
		return nil, err
	}
	s.base = "http://localhost" + s.addr[strings.LastIndexByte(s.addr, ':'):]
	if _, err := s.start(ctx); err != nil {
		return nil, err
	}
	var tenant struct{ ID string }
	if err := s.admin(ctx, &tenant, "tenant", "create", "Nordhafen", "--domain", "nordhafen.example"); err != nil {
		return nil, err
	}
	for _, setting := range []string{"devices.on", "method.hello", "method.phone", "method.platform"} {
		if err := s.admin(ctx, nil, "policy", "set", setting, "true"); err != nil {
			return nil, err
		}
	}
	var app struct{ ID, Secret string }
	err = s.admin(ctx, &app, "app", "create", "Wiki", "--redirect-uri", "https://wiki.example/cb", "--first-party",
		"--grant", "authorization_code,refresh_token,client_credentials")
	if err != nil {
		return nil, err
	}
	var tool struct{ ID string }
	err = s.admin(ctx, &tool, "app", "create", "Tool", "--kind", "native", "--redirect-uri", "http://127.0.0.1/callback", "--first-party",
		"--grant", "authorization_code,refresh_token")
	if err != nil {
		return nil, err
	}
	s.tenant, s.tool = tenant.ID, tool.ID
	s.app = person.App{Issuer: s.base + "/" + tenant.ID + "/v2.0", ID: app.ID, Secret: app.Secret,
		Redirect: "https://wiki.example/cb", Scope: "openid profile offline_access"}
	return s, nil
}

// addresses are two that nobody listens on.
func (s *site) addresses() error {
	one, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer one.Close()
	two, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer two.Close()
	s.addr, s.addrTLS = one.Addr().String(), two.Addr().String()
	return nil
}

// start starts the server and says how long it took from exec to the first
// 200 of /readyz, as an operator's probe sees it.
func (s *site) start(ctx context.Context) (time.Duration, error) {
	const free = "1000000000"
	args := []string{"serve", "--data", s.data(), "--listen", s.addr, "--listen-tls", s.addrTLS, "--base-url", s.base, "--drain", "0s", "--metadata-url", "off",
		"--log-level", "error", "--limit-sign-ins", free, "--limit-failures", free, "--limit-nonces", free, "--limit-pass-tries", free, "--limit-phone-asks", free, "--crl-private-host", "127.0.0.1"}
	if s.postgres != "" {
		args = append(args, "--database", s.postgres)
	}
	if s.kek != "" {
		args = append(args, "--kek-file", s.kek)
	}
	s.cmd = exec.CommandContext(ctx, s.binary, args...)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return 0, fmt.Errorf("signet ended before it was ready: %w", err)
	}
	return time.Since(start), nil
}

func (s *site) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	s.cmd.Wait()
	return nil
}

func (s *site) data() string { return filepath.Join(s.dir, s.folder) }

func (s *site) admin(ctx context.Context, into any, args ...string) error {
	args = append(append([]string{"admin"}, args...), "--data", s.data(), "-o", "json")
	if s.postgres != "" {
		args = append(args, "--database", s.postgres)
	}
	cmd := exec.CommandContext(ctx, s.binary, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("signet %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(out, into)
}

// newcomer is a person with a passkey and the tokens of a first sign-in.
func (s *site) newcomer(ctx context.Context, name string) (*person.Person, person.Tokens, error) {
	name += "@nordhafen.example"
	if err := s.admin(ctx, nil, "user", "create", name, "--name", name); err != nil {
		return nil, person.Tokens{}, err
	}
	var tap struct{ TemporaryAccessPass string }
	if err := s.admin(ctx, &tap, "tap", "issue", name); err != nil {
		return nil, person.Tokens{}, err
	}
	p, err := person.New(s.base, person.At(s.addr))
	if err != nil {
		return nil, person.Tokens{}, err
	}
	page, verifier, err := p.FirstDay(ctx, s.app, name, tap.TemporaryAccessPass)
	if err != nil {
		return nil, person.Tokens{}, err
	}
	code, err := page.Code()
	if err != nil {
		return nil, person.Tokens{}, err
	}
	tokens, err := s.app.Redeem(ctx, p.HTTP, code, verifier)
	return p, tokens, err
}
