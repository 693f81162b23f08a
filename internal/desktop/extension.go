package desktop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/signetid/signet/clients/browser"
	"github.com/signetid/signet/internal/idp"
)

// Family is a browser as far as its extensions differ.
type Family string

// The two families that have native messaging.
const (
	Chromium Family = "chromium"
	Firefox  Family = "firefox"
)

// WriteExtension writes the browser extension for one server into a folder,
// which may not be there yet or must be empty: the browser lets it act on that
// address and on no other.
func WriteExtension(folder, server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Hostname() != "localhost" {
		return idp.Invalidf("server_address", "%q", server).Say("the server's address must look like https://id.example.com")
	}
	if entries, err := os.ReadDir(folder); err == nil && len(entries) > 0 {
		return idp.Conflictf("folder_used", "%s", folder).Say("the folder " + folder + " is not empty: name a new one")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	// A match pattern has no port (the extension compares that itself).
	pattern := u.Scheme + "://" + u.Hostname() + "/*"
	return fs.WalkDir(browser.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(browser.Files, name)
		if err != nil {
			return err
		}
		if name == "manifest.json" {
			text = bytes.ReplaceAll(text, []byte(browser.Address), []byte(pattern))
		}
		return os.WriteFile(filepath.Join(folder, name), text, 0o644)
	})
}

// hostFile is what tells a browser about a native messaging host.
type hostFile struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Path        string   `json:"path"`
	Type        string   `json:"type"`
	Origins     []string `json:"allowed_origins,omitempty"`    // Chromium
	Extensions  []string `json:"allowed_extensions,omitempty"` // Firefox
}

// HostFile is the file that lets the extension, and no other, start program as
// its host. program is an absolute path, and takes no arguments that are ours.
// id is what the browser calls the extension; empty: that of the one that
// WriteExtension writes. It is another when an organisation packs its own.
func HostFile(family Family, program, id string) ([]byte, error) {
	if !filepath.IsAbs(program) {
		return nil, idp.Invalidf("program_path", "%q", program).Say("the program needs an absolute path")
	}
	h := hostFile{Name: HostName, Description: "Signet: signs browsers in by this device", Path: program, Type: "stdio"}
	var err error
	switch family {
	case Chromium:
		if id == "" {
			if id, err = extensionID(); err != nil {
				return nil, err
			}
		}
		if len(id) != 32 || strings.Trim(id, "abcdefghijklmnop") != "" {
			return nil, idp.Invalidf("extension_id", "%q", id).Say("the id of an extension of chromium is 32 letters from a to p: chrome://extensions shows it")
		}
		h.Origins = []string{"chrome-extension://" + id + "/"}
	case Firefox:
		if id == "" {
			if id, err = geckoID(); err != nil {
				return nil, err
			}
		}
		if !geckoForm.MatchString(id) {
			return nil, idp.Invalidf("extension_id", "%q", id).Say("the id of an extension of firefox looks like name@example.com: it is in its manifest.json")
		}
		h.Extensions = []string{id}
	default:
		return nil, idp.Invalidf("browser_family", "%q", family).Say("the browsers are chromium and firefox")
	}
	return json.MarshalIndent(h, "", "  ")
}

// geckoForm is that of ids in Firefox's manifest key browser_specific_settings.
var geckoForm = regexp.MustCompile(`^([A-Za-z0-9._-]*@[A-Za-z0-9._-]+|\{[0-9a-fA-F-]{36}\})$`)

// HostFolders are where browsers look for such files: those of one account
// below its home folder, or those of the whole machine when home is empty.
func HostFolders(family Family, home string) []string {
	switch {
	case family == Firefox && home == "":
		return []string{"/usr/lib/mozilla/native-messaging-hosts"}
	case family == Firefox:
		return []string{filepath.Join(home, ".mozilla/native-messaging-hosts")}
	case home == "":
		return []string{"/etc/chromium/native-messaging-hosts", "/etc/opt/chrome/native-messaging-hosts"}
	}
	return []string{filepath.Join(home, ".config/chromium/NativeMessagingHosts"), filepath.Join(home, ".config/google-chrome/NativeMessagingHosts")}
}

type manifest struct {
	Key      string `json:"key"`
	Specific struct {
		Gecko struct {
			ID string `json:"id"`
		} `json:"gecko"`
	} `json:"browser_specific_settings"`
}

func readManifest() (manifest, error) {
	var m manifest
	text, err := fs.ReadFile(browser.Files, "manifest.json")
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// extensionID is what Chromium calls an extension: the first half of the
// SHA-256 of its public key, in the letters a to p.
func extensionID() (string, error) {
	m, err := readManifest()
	if err != nil {
		return "", err
	}
	key, err := base64.StdEncoding.DecodeString(m.Key)
	if err != nil {
		return "", fmt.Errorf("key of the extension: %w", err)
	}
	sum := sha256.Sum256(key)
	var id strings.Builder
	for _, b := range sum[:16] {
		id.WriteByte('a' + b>>4)
		id.WriteByte('a' + b&15)
	}
	return id.String(), nil
}

func geckoID() (string, error) {
	m, err := readManifest()
	return m.Specific.Gecko.ID, err
}
