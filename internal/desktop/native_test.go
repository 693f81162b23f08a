package desktop_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/clients/browser"
	"github.com/signetid/signet/internal/desktop"
	"github.com/signetid/signet/internal/idp"
)

// framed is a message as a browser writes it.
func framed(body string) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestNative(t *testing.T) {
	var in, out bytes.Buffer
	for _, m := range []string{
		`{"type":"header","url":"https://id.corp.example/t/oauth2/v2.0/authorize?x=1"}`,
		`{"type":"header","url":"https://elsewhere.example/"}`,
		`{"type":"header","url":"file:///etc/passwd"}`,
		`{"type":"header","url":"%%"}`,
		`{"type":"token"}`,
	} {
		in.Write(framed(m))
	}
	err := desktop.Native(t.Context(), &in, &out, func(_ context.Context, address string) (string, string, error) {
		if !strings.HasPrefix(address, "https://id.corp.example/") {
			return "", "", idp.Deniedf("foreign_address", "%s", address).Say("that address is foreign")
		}
		return "x-header", "signed", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"name":"x-header","value":"signed"}`, `{"error":"that address is foreign"}`,
		`{"error":"that is no address"}`, `{"error":"that is no address"}`, `{"error":"this host makes headers"}`,
	} {
		var size uint32
		if err := binary.Read(&out, binary.NativeEndian, &size); err != nil {
			t.Fatal(err)
		}
		if got := string(out.Next(int(size))); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if out.Len() > 0 {
		t.Errorf("%d bytes more than messages", out.Len())
	}
}

func TestNativeBroken(t *testing.T) {
	for name, raw := range map[string][]byte{
		"half a length": {1, 0},
		"half a body":   framed(`{"type":"header"}`)[:10],
		"too long":      binary.NativeEndian.AppendUint32(nil, 1<<31),
		"no JSON":       framed("{"),
	} {
		err := desktop.Native(t.Context(), bytes.NewReader(raw), &bytes.Buffer{}, func(context.Context, string) (string, string, error) {
			return "", "", errors.New("asked")
		})
		if err == nil || strings.Contains(err.Error(), "asked") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzNative(f *testing.F) {
	f.Add(framed(`{"type":"header","url":"https://x/"}`))
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := desktop.ReadNative(bytes.NewReader(raw)); err != nil && m.URL != "" {
			t.Error("both a message and an error")
		}
	})
}

// The extension that is written is the one of clients/browser, for one server.
func TestWriteExtension(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "extension")
	if err := desktop.WriteExtension(folder, "https://id.corp.example:8443"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Hosts []string `json:"host_permissions"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Hosts) != 1 || m.Hosts[0] != "https://id.corp.example/*" {
		t.Errorf("%s", text)
	}
	err = fs.WalkDir(browser.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		_, err = os.Stat(filepath.Join(folder, name))
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := desktop.WriteExtension(folder, "https://id.corp.example"); !errors.Is(err, idp.Conflict) {
		t.Errorf("into a folder that is used: %v", err)
	}
	for _, bad := range []string{"", "id.corp.example", "http://id.corp.example", "https://"} {
		if err := desktop.WriteExtension(filepath.Join(t.TempDir(), "x"), bad); !errors.Is(err, idp.Invalid) {
			t.Errorf("server %q: %v", bad, err)
		}
	}
}

// Only this extension may start the host.
func TestHostFile(t *testing.T) {
	id, err := desktop.ExtensionID()
	if err != nil || len(id) != 32 || strings.Trim(id, "abcdefghijklmnop") != "" {
		t.Fatalf("id %q, %v", id, err)
	}
	for family, want := range map[desktop.Family]string{
		desktop.Chromium: `"chrome-extension://` + id + `/"`, desktop.Firefox: `"device-sign-in@signet.invalid"`,
	} {
		text, err := desktop.HostFile(family, "/usr/bin/host", "")
		if err != nil || strings.Count(string(text), want) != 1 || strings.Contains(string(text), "*") {
			t.Errorf("%s: %s, %v", family, text, err)
		}
	}
	if _, err := desktop.HostFile(desktop.Chromium, "host", ""); !errors.Is(err, idp.Invalid) {
		t.Errorf("a path that is not absolute: %v", err)
	}
	if _, err := desktop.HostFile("lynx", "/host", ""); !errors.Is(err, idp.Invalid) {
		t.Errorf("another browser: %v", err)
	}
	own := strings.Repeat("abcd", 8)
	if text, err := desktop.HostFile(desktop.Chromium, "/host", own); err != nil || !strings.Contains(string(text), `"chrome-extension://`+own+`/"`) || strings.Contains(string(text), id) {
		t.Errorf("one that was packed: %s, %v", text, err)
	}
	for family, bad := range map[desktop.Family][]string{desktop.Chromium: {"*", "abcd", own + "/", strings.Repeat("z", 32)}, desktop.Firefox: {"*", "x", "a b@c"}} {
		for _, id := range bad {
			if _, err := desktop.HostFile(family, "/host", id); reasonOf(err) != "extension_id" {
				t.Errorf("%s, %q: %v", family, id, err)
			}
		}
	}
}
