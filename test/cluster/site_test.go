// Package cluster tests what only whole servers show: two on one PostgreSQL,
// many callers at once, and a server that is killed in the middle.
package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/test/person"
	"github.com/signetid/signet/test/running"
)

// site is one installation: its servers, one organisation and one app.
type site struct {
	t     *testing.T
	base  string
	db    string
	nodes []*node
	app   person.App
	id    string // of the organisation
	turn  atomic.Int64
	// ownKeys: each server has a key file of its own, which the test puts there.
	ownKeys bool
}

// node is one server.
type node struct {
	addr, data string
	cmd        *exec.Cmd
}

// newSite starts so many servers, on SQLite when db is empty.
func newSite(t *testing.T, servers int, db string) *site {
	t.Helper()
	s := &site{t: t, db: db, base: "http://localhost:" + port(running.FreeAddr(t))}
	dir := t.TempDir()
	for n := range servers {
		s.nodes = append(s.nodes, &node{addr: running.FreeAddr(t), data: filepath.Join(dir, fmt.Sprint("node", n))})
		s.start(n)
	}
	var tenant struct{ ID string }
	s.admin(&tenant, "tenant", "create", "Nordhafen", "--domain", "nordhafen.example")
	s.id = tenant.ID
	var app struct{ ID, Secret string }
	s.admin(&app, "app", "create", "Wiki", "--redirect-uri", "https://wiki.example/cb", "--first-party")
	s.app = person.App{Issuer: s.base + "/" + tenant.ID + "/v2.0", ID: app.ID, Secret: app.Secret, Redirect: "https://wiki.example/cb", Scope: "openid profile offline_access"}
	return s
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// start starts server n; the first makes the key that all share.
func (s *site) start(n int) {
	s.t.Helper()
	s.nodes[n].cmd = running.StartBinary(s.t, running.Binary(s.t), s.flags(n), nil)
}

// flags are what server n is started with.
func (s *site) flags(n int) []string {
	nd := s.nodes[n]
	args := []string{"serve", "--data", nd.data, "--listen", nd.addr, "--listen-tls", "off", "--base-url", s.base, "--drain", "0s", "--metadata-url", "off", "--log-level", "error",
		"--limit-sign-ins", "1000000", "--limit-failures", "1000000", "--limit-nonces", "1000000", "--limit-pass-tries", "1000000"}
	if s.db != "" {
		args = append(args, "--database", s.db)
	}
	if n > 0 && !s.ownKeys {
		args = append(args, "--kek-file", filepath.Join(s.nodes[0].data, "kek"))
	}
	return args
}

// kill ends server n as a power cut would.
func (s *site) kill(n int) {
	s.t.Helper()
	if err := s.nodes[n].cmd.Process.Signal(syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.nodes[n].cmd.Wait()
}

// admin runs a command at the first server.
func (s *site) admin(into any, args ...string) {
	s.t.Helper()
	args = append(append([]string{"admin"}, args...), "--data", s.nodes[0].data, "-o", "json")
	if s.db != "" {
		args = append(args, "--database", s.db)
	}
	cmd := exec.Command(running.Binary(s.t), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("signet %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if into != nil {
		if err := json.Unmarshal(out, into); err != nil {
			s.t.Fatalf("signet %s: %v in %s", strings.Join(args, " "), err, out)
		}
	}
}

// join creates a person with a pass.
func (s *site) join(name string) (pass string) {
	s.t.Helper()
	name += "@nordhafen.example"
	s.admin(nil, "user", "create", name, "--name", name)
	var tap struct{ TemporaryAccessPass string }
	s.admin(&tap, "tap", "issue", name)
	return tap.TemporaryAccessPass
}

// somebody is a person's browser whose connections go to server n.
func (s *site) somebody(n int) *person.Person {
	s.t.Helper()
	p, err := person.New(s.base, person.At(s.nodes[n].addr))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// everywhere is a person's browser whose connections take turns.
func (s *site) everywhere() *person.Person {
	s.t.Helper()
	p, err := person.New(s.base, func() string { return s.nodes[int(s.turn.Add(1))%len(s.nodes)].addr })
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// firstDay is a person with a passkey and the tokens of a first sign-in.
func (s *site) firstDay(p *person.Person, name string) person.Tokens {
	s.t.Helper()
	pass := s.join(name)
	page, verifier, err := p.FirstDay(context.Background(), s.app, name+"@nordhafen.example", pass)
	if err != nil {
		s.t.Fatalf("first day of %s: %v", name, err)
	}
	return s.redeem(p, page, verifier)
}

func (s *site) redeem(p *person.Person, page person.Page, verifier string) person.Tokens {
	s.t.Helper()
	code, err := page.Code()
	if err != nil {
		s.t.Fatal(err)
	}
	tokens, err := s.app.Redeem(context.Background(), p.HTTP, code, verifier)
	if err != nil || tokens.Access == "" {
		s.t.Fatalf("redeem: %+v, %v", tokens, err)
	}
	return tokens
}

// onPostgres runs a test of several servers where there is a PostgreSQL.
func onPostgres(t *testing.T, servers int, test func(*testing.T, *site)) {
	t.Helper()
	if db := sqldbtest.NewPostgres(t); db != "" {
		test(t, newSite(t, servers, db))
	}
}
