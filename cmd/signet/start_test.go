package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// used makes a data folder that a server has used and left.
func used(t *testing.T) string {
	t.Helper()
	data := dataFolder(t)
	s := serve(t, data)
	must[object](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", data)
	s.stop(t)
	return data
}

// contents describes every file of a folder: what a start that fails must
// leave as it was. What SQLite keeps beside its file is not content.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		sum := sha256.Sum256(text)
		fmt.Fprintln(&all, filepath.Base(path), info.Mode(), hex.EncodeToString(sum[:6]))
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all.String()
}

// A start that cannot succeed says so in one sentence, exits with 1 and has
// changed nothing (product.md §7).
func TestBadStarts(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, data string) (args, env []string)
		want  string
	}{
		{"corrupt database", func(t *testing.T, data string) ([]string, []string) {
			overwrite(t, filepath.Join(data, "signet.db"), 0, strings.Repeat("not a database. ", 100))
			return nil, nil
		}, "database"},
		{"damaged page", func(t *testing.T, data string) ([]string, []string) {
			overwrite(t, filepath.Join(data, "signet.db"), 4096, strings.Repeat("\xff", 4096*4))
			return nil, nil
		}, "damaged"},
		{"no key", func(t *testing.T, data string) ([]string, []string) {
			remove(t, filepath.Join(data, "kek"))
			return nil, nil
		}, "is missing"},
		{"another key", func(t *testing.T, data string) ([]string, []string) {
			remove(t, filepath.Join(data, "kek"))
			write(t, filepath.Join(data, "kek"), strings.Repeat("QUFB", 10)+"QUE=\n")
			return nil, nil
		}, "another key-encryption key"},
		{"another key in the environment", func(t *testing.T, data string) ([]string, []string) {
			return nil, []string{"SIGNET_KEK=" + strings.Repeat("ab", 32)}
		}, "another key-encryption key"},
		{"half a key", func(t *testing.T, data string) ([]string, []string) {
			remove(t, filepath.Join(data, "kek"))
			write(t, filepath.Join(data, "kek"), "QUFBQQ==\n")
			return nil, nil
		}, "is damaged"},
		{"key that others can read", func(t *testing.T, data string) ([]string, []string) {
			chmod(t, filepath.Join(data, "kek"), 0o644)
			return nil, nil
		}, "chmod 600"},
		{"folder that others can read", func(t *testing.T, data string) ([]string, []string) {
			chmod(t, data, 0o750)
			return nil, nil
		}, "chmod 700"},
		{"newer database", func(t *testing.T, data string) ([]string, []string) {
			newer(t, filepath.Join(data, "signet.db"))
			return nil, nil
		}, "newer version"},
		{"set back", func(t *testing.T, data string) ([]string, []string) {
			remove(t, filepath.Join(data, "highwater"))
			write(t, filepath.Join(data, "highwater"), secret.NewUUID7(time.Now())+"\n")
			return nil, nil
		}, "--accept-rollback"},
		{"port in use", func(t *testing.T, data string) ([]string, []string) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return []string{"--listen", l.Addr().String()}, nil
		}, "in use by another program"},
		{"no address", func(*testing.T, string) ([]string, []string) {
			return []string{"--listen", "8080"}, nil
		}, "which is no address"},
		{"unknown key", func(*testing.T, string) ([]string, []string) {
			return nil, []string{"SIGNET_LISTN=127.0.0.1:0"}
		}, `did you mean "listen"?`},
		{"plain http", func(*testing.T, string) ([]string, []string) {
			return []string{"--base-url", "http://id.example.com"}, nil
		}, "only on https"},
		{"a number for a name", func(*testing.T, string) ([]string, []string) {
			return []string{"--base-url", "https://192.0.2.1"}, nil
		}, "belongs to a host name"},
		{"a path", func(*testing.T, string) ([]string, []string) {
			return []string{"--base-url", "https://id.example.com/signet"}, nil
		}, "a scheme, a host and a port only"},
		{"reachable without a name", func(*testing.T, string) ([]string, []string) {
			return []string{"--listen", "0.0.0.0:0"}, nil
		}, "set base-url"},
		{"half a certificate", func(*testing.T, string) ([]string, []string) {
			return []string{"--tls-cert", "x.pem"}, nil
		}, "go together"},
		{"no certificate", func(*testing.T, string) ([]string, []string) {
			return []string{"--tls-cert", "/does/not/exist.pem", "--tls-key", "/does/not/exist.pem"}, nil
		}, "cannot be used"},
		{"no such database server", func(t *testing.T, data string) ([]string, []string) {
			return []string{"--database", "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"}, nil
		}, "database"},
		{"demo's database", func(t *testing.T, data string) ([]string, []string) {
			os.RemoveAll(data)
			start(t, "demo", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "off", "--listen-app", "127.0.0.1:0").stop(t)
			return nil, nil
		}, "a demo's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data := used(t)
			args, env := c.spoil(t, data)
			before := contents(t, data)
			r := signetEnv(t, env, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "off"}, args...)...)
			if r.code != exitFailed || !strings.Contains(r.errs, c.want) || strings.Count(r.errs, "\n") != 1 || !strings.HasPrefix(r.errs, "signet: ") || r.out != "" {
				t.Errorf("exit %d, %q, %q; want exit 1 and one line with %q", r.code, r.errs, r.out, c.want)
			}
			if after := contents(t, data); after != before {
				t.Errorf("changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// Whatever a bad start of a new server leaves, the next good one works.
func TestBadStartOfNewServer(t *testing.T) {
	data := dataFolder(t)
	for _, args := range [][]string{
		{"--listen", "8080"},
		{"--listen", "0.0.0.0:0"},
		{"--listen", "127.0.0.1:0", "--listen-tls", "off", "--base-url", "http://id.example.com"},
	} {
		if r := signet(t, append([]string{"serve", "--data", data}, args...)...); r.code != exitFailed {
			t.Errorf("%q: %+v", args, r)
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Errorf("%q: the data folder was made", args)
		}
	}
	serve(t, data)
}

func TestFullDisk(t *testing.T) {
	data := smallDisk(t)
	if data == "" {
		return
	}
	fill, err := os.Create(filepath.Join(data, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	fill.Close()
	r := signet(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "off")
	if r.code != exitFailed || !strings.Contains(r.errs, "is full: make room") {
		t.Errorf("full disk: %+v", r)
	}
	remove(t, filepath.Join(data, "fill"))
	serve(t, data).stop(t)
}

func TestReadOnlyDisk(t *testing.T) {
	data := smallDisk(t)
	if data == "" {
		return
	}
	serve(t, data).stop(t)
	if err := syscall.Mount("", data, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	before := contents(t, data)
	r := signet(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "off")
	if r.code != exitFailed || !strings.Contains(r.errs, "read-only") || strings.Count(r.errs, "\n") != 1 {
		t.Errorf("read-only disk: %+v", r)
	}
	if contents(t, data) != before {
		t.Error("something changed on a read-only disk")
	}
}

// smallDisk mounts a disk of 4 MB, where this process may.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		t.Logf("no small disk can be mounted here (%v): not tested", err)
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			t.Fail()
		}
		return ""
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A second server on the same folder is refused and does not disturb the first.
func TestFolderInUse(t *testing.T) {
	data := dataFolder(t)
	s := serve(t, data)
	r := signet(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "off")
	if r.code != exitFailed || !strings.Contains(r.errs, "stop it first") {
		t.Errorf("second server: %+v", r)
	}
	if code, _ := get(t, s.base+"/readyz"); code != http.StatusOK {
		t.Errorf("the first server answers %d", code)
	}
}

// A mistyped folder is no new installation.
func TestAdminMakesNothing(t *testing.T) {
	data := dataFolder(t)
	for _, args := range [][]string{{"user", "list"}, {"tenant", "create", "X", "--domain", "x.example"}, {"backup", "x.age", "--recipient", "age1"}} {
		r := signet(t, append(append([]string{"admin"}, args...), "--data", data)...)
		if r.code != exitFailed || !strings.Contains(r.errs, "there is no database in") {
			t.Errorf("%q: %+v", args, r)
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Errorf("%q made the folder", args)
		}
	}
}

// What is void after a rollback is decided elsewhere; here: the start refuses,
// then goes on when told, once.
func TestAcceptRollback(t *testing.T) {
	data := used(t)
	write(t, filepath.Join(data, "highwater"), secret.NewUUID7(time.Now())+"\n")
	serve(t, data, "--accept-rollback").stop(t)
	serve(t, data).stop(t)
}

func TestHealth(t *testing.T) {
	data := dataFolder(t)
	s := serve(t, data, "--listen-metrics", "127.0.0.1:0")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 404} {
		if code, _ := get(t, s.base+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	data = dataFolder(t)
	s = serve(t, data)
	get(t, s.base+"/no/such/page/of-ours")
	code, text := get(t, s.base+"/metrics")
	if code != 200 || !strings.Contains(text, "signet_http_requests_total") || strings.Contains(text, "of-ours") {
		t.Errorf("/metrics: %d\n%s", code, text)
	}
	// The labels are a closed set: nothing that a stranger sends is one.
	if labels := regexp.MustCompile(`route="([^"]*)"`).FindAllStringSubmatch(text, -1); len(labels) == 0 {
		t.Error("no routes in the metrics")
	}
}

// Requests for other hosts are misdirected; health is for whoever asks.
func TestOtherHost(t *testing.T) {
	s := serve(t, dataFolder(t))
	for path, want := range map[string]int{"/account": http.StatusMisdirectedRequest, "/healthz": http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "evil.example"
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func overwrite(t *testing.T, path string, at int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), at); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// newer marks a database as migrated by a version that is not written yet.
func newer(t *testing.T, path string) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(t.Context(), `insert into schema_migration (version_id, is_applied) values (299901010000, true)`); err != nil {
		t.Fatal(err)
	}
}

// The second server on one PostgreSQL needs the first one's key, and says so
// instead of making one of its own.
func TestSecondNode(t *testing.T) {
	url := sqldbtest.NewPostgres(t)
	if url == "" {
		return
	}
	first, second := dataFolder(t), dataFolder(t)
	a := serve(t, first, "--database", url)
	r := signet(t, "serve", "--data", second, "--listen", "127.0.0.1:0", "--listen-tls", "off", "--database", url)
	if r.code != exitFailed || !strings.Contains(r.errs, "is missing") {
		t.Errorf("without the key: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(second, "kek")); !os.IsNotExist(err) {
		t.Error("a key was made for a database that has one")
	}
	b := serve(t, second, "--database", url, "--kek-file", filepath.Join(first, "kek"))
	made := must[object](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", first)
	path := "/" + made["id"].(string) + "/discovery/v2.0/keys"
	codeA, keysA := get(t, a.base+path)
	codeB, keysB := get(t, b.base+path)
	if codeA != 200 || codeB != 200 || keysA != keysB {
		t.Errorf("keys of the two servers: %d %s and %d %s", codeA, keysA, codeB, keysB)
	}
}

// certificate makes the files of a server's certificate, for example.com, and
// the pool that trusts it.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	made := server.TLS.Certificates[0]
	server.Close()
	raw, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(made.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(leaf)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return cert, key, roots
}

// With a certificate, --listen speaks TLS.
func TestServeTLS(t *testing.T) {
	certFile, keyFile, roots := certificate(t)
	s := serve(t, dataFolder(t), "--tls-cert", certFile, "--tls-key", keyFile)
	if !strings.HasPrefix(s.base, "https://localhost:") {
		t.Fatalf("base %s", s.base)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, ForceAttemptHTTP2: true}}
	res, err := client.Get(s.base + "/account")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s with headers %v", res.Proto, res.Header)
	}
	for _, c := range res.Cookies() {
		if !c.Secure || !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("cookie %s over TLS is not bound to it", c.Name)
		}
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}}}
	if res, err := old.Get(s.base + "/healthz"); err == nil {
		res.Body.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// TestSec_NET01_Suites: TLS 1.2 with forward secrecy and authenticated
// encryption, and nothing else of it.
func TestSec_NET01_Suites(t *testing.T) {
	cert, key, roots := certificate(t)
	s := serve(t, dataFolder(t), "--tls-cert", cert, "--tls-key", key)
	speaks := func(suite uint16) error {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			RootCAs: roots, ServerName: "example.com", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite},
		}}}
		res, err := client.Get(s.base + "/healthz")
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	for _, suite := range []uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	} {
		if err := speaks(suite); err != nil {
			t.Errorf("%s: %v", tls.CipherSuiteName(suite), err)
		}
	}
	for _, suite := range []uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA,
	} {
		if speaks(suite) == nil {
			t.Errorf("%s was accepted", tls.CipherSuiteName(suite))
		}
	}
}

// TestSec_KEY07_TLSKey: a private key that others can read stops the start, as
// the key-encryption key does, and nothing was made by then.
func TestSec_KEY07_TLSKey(t *testing.T) {
	cert, key, _ := certificate(t)
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660} {
		chmod(t, key, mode)
		data := dataFolder(t)
		r := signet(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "off", "--tls-cert", cert, "--tls-key", key)
		if r.code != exitFailed || !strings.Contains(r.errs, "TLS key "+key) || !strings.Contains(r.errs, "chmod 600") {
			t.Errorf("a TLS key of mode %04o: %+v", mode, r)
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Errorf("a TLS key of mode %04o: the data folder was made", mode)
		}
	}
	chmod(t, key, 0o400)
	serve(t, dataFolder(t), "--tls-cert", cert, "--tls-key", key).stop(t)
}

// TestSec_NET05_Metrics: where metrics have no listener of their own, they are
// for this machine and not for whoever a proxy on it speaks for.
func TestSec_NET05_Metrics(t *testing.T) {
	s := serve(t, dataFolder(t))
	from := func(base, forwarded string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	behind := serve(t, dataFolder(t), "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "::1")
	for _, c := range []struct {
		name, base, forwarded string
		status                int
	}{
		{"this machine", s.base, "", 200},
		{"a proxy that nobody spoke of", s.base, "192.0.2.1", 404},
		{"a proxy that is trusted", behind.base, "192.0.2.1", 404},
		{"a proxy that is trusted, for this machine", behind.base, "127.0.0.1", 404},
		{"a proxy that is trusted, for nobody", behind.base, "", 404},
	} {
		if got := from(c.base, c.forwarded); got != c.status {
			t.Errorf("%s: %d, want %d", c.name, got, c.status)
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars"} {
		if code, _ := get(t, s.base+path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodTrace, s.base+"/account", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Server") != "" {
		t.Errorf("TRACE: %d by %q", res.StatusCode, res.Header.Get("Server"))
	}
}
