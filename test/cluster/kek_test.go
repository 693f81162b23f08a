package cluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/test/person"
	"github.com/signetid/signet/test/running"
)

// stocked is how many keys there are beside those that are used: a rewrap of
// them has a middle.
const stocked = 4000

// TestSec_KEY02_OneServer and TestSec_KEY02_TwoServers replace the
// key-encryption key while people are served.
func TestSec_KEY02_OneServer(t *testing.T) { replaceKEK(t, newSite(t, 1, "")) }

func TestSec_KEY02_TwoServers(t *testing.T) {
	onPostgres(t, 2, replaceKEK)
}

func replaceKEK(t *testing.T, s *site) {
	s.ownFiles()
	s.stock(stocked)
	last := len(s.nodes) - 1
	var callers, survivors []*caller // of all servers; of the last one
	for n := range 4 {
		p := s.everywhere()
		callers = append(callers, &caller{p: p, refresh: s.firstDay(p, fmt.Sprint("person", n)).Refresh})
		p = s.somebody(last)
		survivors = append(survivors, &caller{p: p, refresh: s.firstDay(p, fmt.Sprint("survivor", n)).Refresh})
	}
	kek := func(n int) string { return filepath.Join(s.nodes[n].data, "kek") }
	was := read(t, kek(0))

	// All at once, with nobody disturbed.
	stop := s.load(callers)
	is := s.prepare(t)
	s.must(0, "would be sealed anew", "rewrap", "--dry-run")
	s.must(0, "sealed anew", "rewrap")
	for n := range s.nodes {
		if got := s.state(t, n); got != "finish" {
			t.Errorf("after the rewrap server %d says %q", n, got)
		}
	}
	stop(t, "the whole rewrap")
	for n := range s.nodes {
		s.end(n)
	}
	s.refuses(t, was, "another key-encryption key")
	s.startsAlone(t, is)
	for n := range s.nodes {
		s.start(n)
	}
	stop = s.load(callers)
	for n := range s.nodes {
		s.must(n, "holds the key in use", "finish")
		if read(t, kek(n)) != is {
			t.Errorf("server %d has another key", n)
		}
		if _, err := os.Stat(kek(n) + ".next"); err == nil {
			t.Errorf("server %d has the key in two places", n)
		}
	}
	stop(t, "the end")

	// And again; this time the server is killed in the middle. Whom the other
	// one serves, it goes on serving.
	was = is
	stop = s.load(survivors)
	is = s.prepare(t)
	if len(s.nodes) == 1 {
		stop(t, "the time before the rewrap")
	}
	killed := s.killInTheMiddle(t)
	t.Logf("killed with %d of the stocked keys sealed anew", killed)
	if len(s.nodes) > 1 {
		stop(t, "the kill of the other server")
	}
	s.refuses(t, was, "is being replaced by", "alone.next")
	s.refuses(t, is, "are still sealed under an older key-encryption key", "run signet admin kek rewrap to its end")
	s.start(0)
	stop = s.load(callers)
	if got := s.state(t, last); got != "rewrap" {
		t.Errorf("half-way server %d says %q", last, got)
	}
	s.must(last, "sealed anew", "rewrap")
	s.must(last, "sealed anew: 0", "rewrap")
	for n := range s.nodes {
		s.must(n, "holds the key in use", "finish")
	}
	stop(t, "the rest of the rewrap")
	for n := range s.nodes {
		s.end(n)
	}
	s.refuses(t, was, "another key-encryption key")
	s.startsAlone(t, is)
	for n := range s.nodes {
		olds, err := filepath.Glob(kek(n) + ".old-*")
		if err != nil || len(olds) != 2 {
			t.Errorf("old keys of server %d: %v, %v", n, olds, err)
		}
		for _, path := range olds {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}
		s.start(n)
	}
	s.load(callers)(t, "the days after")
	for n := range s.nodes {
		s.silent(t, n, was, is)
	}
}

// ownFiles gives each server a key file of its own.
func (s *site) ownFiles() {
	s.t.Helper()
	s.ownKeys = true
	for n := range s.nodes[1:] {
		s.end(n + 1)
		path := filepath.Join(s.nodes[n+1].data, "kek")
		if err := os.WriteFile(path, []byte(read(s.t, filepath.Join(s.nodes[0].data, "kek"))), 0o600); err != nil {
			s.t.Fatal(err)
		}
		s.start(n + 1)
	}
}

// end stops server n as its operator does.
func (s *site) end(n int) {
	s.t.Helper()
	if err := s.nodes[n].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.nodes[n].cmd.Wait()
}

func (s *site) open(t *testing.T) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{Path: filepath.Join(s.nodes[0].data, "signet.db"), URL: s.db})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// stock makes keys of organisations that nobody asks for.
func (s *site) stock(keys int) {
	s.t.Helper()
	raw, err := decodeKey(read(s.t, filepath.Join(s.nodes[0].data, "kek")))
	if err != nil {
		s.t.Fatal(err)
	}
	kek, err := secret.NewKey(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	db := s.open(s.t)
	defer db.Close()
	err = db.Write(s.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for n := range keys {
			who, id, purpose := idp.TenantID(fmt.Sprintf("stock-%06d", n)), secret.NewUUID4(), "flow"
			aad := fmt.Sprintf("%d:%s%d:%s%d:%s1:1", len(who), who, len(id), id, len(purpose), purpose)
			_, err := tx.Exec(ctx, `insert into sealing_key (tenant_id, purpose, id, sealed, kek, created_at) values ($1, $2, $3, $4, $5, 0)`,
				who, purpose, id, kek.Seal(secret.Bytes(secret.KeySize), []byte(aad)), keyring.KEKID(kek))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// caller asks for tokens all the time.
type caller struct {
	p       *person.Person
	refresh string
}

// load asks for tokens and signs in until the function it returns is called,
// which fails if any of that did.
func (s *site) load(callers []*caller) (stop func(t *testing.T, during string)) {
	var wg sync.WaitGroup
	var asked atomic.Int64
	var mu sync.Mutex
	var failures []error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, c := range callers {
		c.p.Forget() // connections to servers that have ended
		wg.Go(func() {
			for ctx.Err() == nil {
				got, err := s.app.RefreshWith(context.Background(), c.p.HTTP, c.refresh)
				if err != nil || got.Refresh == "" || got.Access == "" {
					fail(fmt.Errorf("refresh: %+v, %w", got, err))
					if err != nil {
						continue
					}
					return
				}
				c.refresh = got.Refresh
				asked.Add(1)
			}
		})
	}
	wg.Go(func() { // somebody who comes anew
		for ctx.Err() == nil {
			c := callers[0]
			twin, err := c.p.Twin()
			if err != nil {
				fail(err)
				continue
			}
			page, verifier, err := twin.SignIn(context.Background(), s.app)
			if err == nil {
				var code string
				if code, err = page.Code(); err == nil {
					_, err = s.app.Redeem(context.Background(), twin.HTTP, code, verifier)
				}
			}
			if err != nil {
				fail(fmt.Errorf("sign in: %w", err))
			}
			twin.Forget()
			asked.Add(1)
		}
	})
	return func(t *testing.T, during string) {
		t.Helper()
		at := asked.Load()
		for wait := time.Now(); asked.Load() < at+10 && time.Since(wait) < time.Minute; {
			time.Sleep(10 * time.Millisecond) // it goes on after what was done
		}
		cancel()
		wg.Wait()
		for _, err := range failures {
			t.Errorf("during %s: %v", during, err)
		}
		if asked.Load() < at+10 {
			t.Errorf("during %s: %d requests were served and then no more", during, at)
		}
		t.Logf("%d tokens and sign-ins during %s, %d failures", asked.Load(), during, len(failures))
	}
}

// prepare gives every server a new key, and is that key. Before the last one
// has it, it cannot take over.
func (s *site) prepare(t *testing.T) string {
	t.Helper()
	s.must(0, "made: the new key", "add")
	next := filepath.Join(s.nodes[0].data, "kek.next")
	for n := 1; n < len(s.nodes); n++ {
		if out, code := s.kek(0, "rewrap"); code != 1 || !strings.Contains(out, "do not have the new key yet") || !strings.Contains(out, s.nodes[n].data) {
			t.Errorf("before server %d has the key: %d %s", n, code, out)
		}
		s.must(n, "taken in: the new key", "add", next)
	}
	// Organisations are made meanwhile; their first keys, too.
	var made struct{ ID string }
	name := "org" + secret.NewUUID4()[:8]
	s.admin(&made, "tenant", "create", name, "--domain", name+".example")
	s.jwks(t, len(s.nodes)-1, made.ID)
	return read(t, next)
}

func (s *site) jwks(t *testing.T, n int, tenant string) {
	t.Helper()
	res, err := s.somebody(n).HTTP.Get(s.base + "/" + tenant + "/discovery/v2.0/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("kid")) {
		t.Fatalf("keys of %s: %s, %v", tenant, text, err)
	}
}

// kek runs a command about the key at server n.
func (s *site) kek(n int, args ...string) (said string, code int) {
	s.t.Helper()
	cmd := s.kekCommand(n, args...)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (s *site) kekCommand(n int, args ...string) *exec.Cmd {
	args = append(append([]string{"admin", "kek"}, args...), "--data", s.nodes[n].data)
	if s.db != "" {
		args = append(args, "--database", s.db)
	}
	return exec.Command(running.Binary(s.t), args...)
}

func (s *site) must(n int, want string, args ...string) {
	s.t.Helper()
	if out, code := s.kek(n, args...); code != 0 || !strings.Contains(out, want) {
		s.t.Fatalf("server %d, kek %s: %d %s; want %q", n, strings.Join(args, " "), code, out, want)
	}
}

func (s *site) state(t *testing.T, n int) string {
	t.Helper()
	out, code := s.kek(n, "status", "-o", "json")
	for _, line := range strings.Split(out, "\n") {
		if _, word, ok := strings.Cut(line, `"state": "`); ok && code == 0 {
			return strings.TrimSuffix(word, `",`)
		}
	}
	t.Fatalf("server %d, kek status: %d %s", n, code, out)
	return ""
}

// killInTheMiddle kills the first server when some of the stocked keys are
// sealed anew, and others not, and says how many.
func (s *site) killInTheMiddle(t *testing.T) int64 {
	t.Helper()
	db := s.open(t)
	defer db.Close()
	anew := func() (n int64) {
		err := db.QueryRow(t.Context(), `
			select count(*) from sealing_key where tenant_id >= 'stock' and tenant_id < 'stocl'
			and kek in (select kek from kek_check where id = 2)`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	cmd := s.kekCommand(0, "rewrap")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); anew() == 0; {
		if time.Since(start) > time.Minute {
			t.Fatal("the rewrap does not begin")
		}
	}
	s.kill(0)
	if cmd.Wait() == nil {
		t.Fatal("the rewrap ended before the server was killed")
	}
	n := anew()
	if n == 0 || n == stocked {
		t.Fatalf("%d of %d keys are sealed anew: that is no middle", n, stocked)
	}
	return n
}

// refuses starts the first server with a key alone, which must say in one line
// what is to be done.
func (s *site) refuses(t *testing.T, key string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, running.Binary(t), append(s.flags(0), "--kek-file", alone(t, key))...)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("started with a key that is not enough: %v\n%s", err, out)
	}
	for _, words := range want {
		if !bytes.Contains(out, []byte(words)) {
			t.Errorf("it says %s; want %q", out, words)
		}
	}
}

// startsAlone starts the first server with a key alone.
func (s *site) startsAlone(t *testing.T, key string) {
	t.Helper()
	cmd := running.StartBinary(t, running.Binary(t), append(s.flags(0), "--kek-file", alone(t, key)), nil)
	s.jwks(t, 0, s.id)
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
}

// alone is a file with a key, with nothing beside it.
func alone(t *testing.T, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "alone")
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// silent looks for keys where none may be: in what the server wrote down.
func (s *site) silent(t *testing.T, n int, keys ...string) {
	t.Helper()
	names, err := os.ReadDir(s.nodes[n].data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name.Name() == "kek" || name.Type()&os.ModeSocket != 0 {
			continue
		}
		text := read(t, filepath.Join(s.nodes[n].data, name.Name()))
		for _, key := range keys {
			raw, err := decodeKey(key)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, strings.TrimSpace(key)) || strings.Contains(text, string(raw)) {
				t.Errorf("a key-encryption key is in %s", name.Name())
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func decodeKey(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.TrimSpace(text))
}
