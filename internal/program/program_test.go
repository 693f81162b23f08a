package program_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
)

func TestAddress(t *testing.T) {
	for text, good := range map[string]bool{
		"https://id.example.com": true, "https://id.example.com:8443/x": true, "http://localhost:8080": true, "http://127.0.0.1": true, "http://[::1]:80": true,
		"": false, "id.example.com": false, "http://id.example.com": false, "ftp://localhost": false, "https://u@id.example.com": false,
		"https://id.example.com?x=1": false, "https://id.example.com#x": false, "http://localhost.example.com": false,
	} {
		if _, err := program.Address(text); (err == nil) != good || err != nil && (!errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A server is asked once, followed nowhere, and read to a bound.
func TestDo(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			w.Write(make([]byte, program.MaxReply+1))
		case "/away":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			w.Write(make([]byte, program.MaxReply))
		}
	}))
	defer s.Close()
	ask := func(ca []byte, path string) (*http.Response, []byte, error) {
		t.Helper()
		pool, err := program.Authorities(ca)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return program.Do(program.Client(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil), req)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if _, text, err := ask(ca, "/"); err != nil || len(text) != program.MaxReply {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if res, _, err := ask(ca, "/away"); err != nil || res.StatusCode != http.StatusFound {
		t.Errorf("a redirect: %v", err)
	}
	if _, _, err := ask(ca, "/long"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an answer too long: %v", err)
	}
	if _, _, err := ask(nil, "/"); idp.AsError(err).Reason != "server_unreachable" || !strings.Contains(idp.AsError(err).Public, "--ca-file") {
		t.Errorf("an authority that nobody knows: %v", err)
	}
	if _, err := program.Authorities([]byte("none")); idp.AsError(err).Reason != "ca_file" {
		t.Errorf("a file without authorities: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if _, _, err := program.Do(program.Client(nil, nil), req); idp.AsError(err).Public != "stopped" {
		t.Errorf("stopped: %v", err)
	}
}

func TestFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "state")
	if err := program.Folder(folder); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "x.json")
	for _, text := range [][]byte{[]byte("one"), []byte("two")} {
		if err := program.Replace(path, text); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 1 {
		t.Errorf("%d files, %v", len(all), err)
	}
	if err := os.Chmod(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := program.Folder(folder); idp.AsError(err).Reason != "state_open" {
		t.Errorf("a folder that others look into: %v", err)
	}
}
