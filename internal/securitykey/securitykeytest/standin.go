package securitykeytest

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/signetid/signet/internal/method/passkey/passkeytest"
)

// Key is the state of a software key, and how it is to behave.
type Key struct {
	Devices   []string // lines of fido2-token -L
	PIN       string   // empty: the key asks for none
	Model     [16]byte // its AAGUID
	Certified bool     // its statements have a certificate
	Error     string   // what fido2-cred -M fails with: "FIDO_ERR_KEY_STORE_FULL"
	Held      []string // ids of the passkeys on it, base64
	Passkeys  []Passkey
	NoVerify  bool     // it signs that somebody was there, and not who
	Asked     []string // the input of the last fido2-cred -M or fido2-assert -G, line by line
	PINs      int      // how often it was asked for
}

// Passkey is one that fido2-cred -M made, with its private key: this stand-in
// protects nothing.
type Passkey struct {
	ID, User     string // base64
	RPID, Name   string
	PrivatePKCS8 []byte
}

// Device is a line of fido2-token -L, of one key.
const Device = "/dev/hidraw7: vendor=0x1050, product=0x0407 (Stand-in Software Key)"

const (
	toolVar  = "SIGNET_TEST_STANDIN"
	stateVar = "SIGNET_TEST_STANDIN_STATE"
)

// Main is to be called first in TestMain: where the test binary runs as one of
// the stand-ins, it does what that one does and ends.
func Main() {
	tool := os.Getenv(toolVar)
	if tool == "" {
		return
	}
	if err := standin(tool, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", tool, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Plug puts the stand-ins on the PATH, and a key where they find it. state
// reads the key as it is then; set changes it.
func Plug(t *testing.T, k Key) (state func() Key, set func(Key)) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"fido2-token", "fido2-cred", "fido2-assert"} {
		script := fmt.Sprintf("#!/bin/sh\n# A stand-in for libfido2's %s, in tests: see internal/securitykey/securitykeytest.\n%s=%s exec '%s' \"$@\"\n", tool, toolVar, tool, self)
		if err := os.WriteFile(filepath.Join(dir, tool), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "key.json")
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv(stateVar, path)
	set = func(k Key) {
		t.Helper()
		if err := save(path, k); err != nil {
			t.Fatal(err)
		}
	}
	set(k)
	return func() Key {
		t.Helper()
		k, err := load(path)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}, set
}

func load(path string) (k Key, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	return k, err
}

func save(path string, k Key) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func standin(tool string, args []string) error {
	path := os.Getenv(stateVar)
	k, err := load(path)
	if err != nil {
		return err
	}
	switch {
	case tool == "fido2-token" && slices.Equal(args, []string{"-L"}):
		for _, line := range k.Devices {
			fmt.Println(line)
		}
		return nil
	case tool == "fido2-cred" && len(args) == 7 && slices.Equal(args[:4], []string{"-M", "-r", "-v", "-i"}) && args[6] == "es256":
		return k.create(path, args[4], args[5])
	case tool == "fido2-assert" && len(args) == 4 && slices.Equal(args[:3], []string{"-G", "-t", "up=false"}):
		return k.holds(args[3])
	case tool == "fido2-assert" && len(args) == 5 && slices.Equal(args[:3], []string{"-G", "-v", "-i"}):
		return k.assert(path, args[3], args[4])
	case tool == "fido2-token" && len(args) == 4 && slices.Equal(args[:2], []string{"-L", "-k"}):
		return k.list(path, args[2], args[3])
	}
	return fmt.Errorf("usage: the stand-in knows no %q", args)
}

func (k *Key) open(device string) error {
	for _, line := range k.Devices {
		if strings.HasPrefix(line, device+": ") {
			return nil
		}
	}
	return fmt.Errorf("fido_dev_open %s: FIDO_ERR_INTERNAL", device)
}

// create is fido2-cred -M.
func (k *Key) create(state, input, device string) error {
	text, err := os.ReadFile(input)
	if err != nil {
		return err
	}
	asked := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(asked) != 4 {
		return errors.New("input error")
	}
	hash, err := base64.StdEncoding.DecodeString(asked[0])
	if err != nil || len(hash) != sha256.Size {
		return errors.New("client data hash")
	}
	handle, err := base64.StdEncoding.DecodeString(asked[3])
	if err != nil {
		return errors.New("user id")
	}
	if err := k.open(device); err != nil {
		return err
	}
	if err := k.verify(state, device, "fido_dev_make_cred"); err != nil {
		return err
	}
	if k.Error != "" {
		return errors.New("fido_dev_make_cred: " + k.Error)
	}
	a := passkeytest.New(asked[1], "")
	a.AAGUID = k.Model
	if k.Certified {
		if a.CA, err = passkeytest.NewCA(time.Now()); err != nil {
			return err
		}
	}
	made, err := a.CreateBare(hash, handle, asked[2])
	if err != nil {
		return err
	}
	wrapped, err := cbor.Marshal(made.AuthData)
	if err != nil {
		return err
	}
	std := base64.StdEncoding.EncodeToString
	lines := []string{asked[0], asked[1], "packed", std(wrapped), std(made.ID), std(made.Sig)}
	if len(made.Chain) > 0 {
		lines = append(lines, std(made.Chain[0]))
	}
	k.Held, k.Asked = append(k.Held, std(made.ID)), asked
	k.Passkeys = append(k.Passkeys, Passkey{ID: std(made.ID), User: asked[3], RPID: asked[1], Name: asked[2], PrivatePKCS8: made.Private})
	fmt.Println(strings.Join(lines, "\n"))
	return save(state, *k)
}

// verify asks for the PIN, as each of the tools does.
func (k *Key) verify(state, device, doing string) error {
	if k.PIN == "" {
		return nil
	}
	k.PINs++
	if err := save(state, *k); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "Enter PIN for %s: ", device)
	pin, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSuffix(pin, "\n") != k.PIN {
		return errors.New(doing + ": FIDO_ERR_PIN_INVALID")
	}
	return nil
}

// list is fido2-token -L -k.
func (k *Key) list(state, rpID, device string) error {
	if err := k.open(device); err != nil {
		return err
	}
	if err := k.verify(state, device, "fido_credman_get_dev_rk"); err != nil {
		return err
	}
	n := 0
	for _, p := range k.Passkeys {
		if p.RPID == rpID {
			fmt.Printf("%02d: %s %s %s es256 uvopt\n", n, p.ID, p.Name, p.User)
			n++
		}
	}
	if n == 0 {
		return errors.New("fido_credman_get_dev_rk: FIDO_ERR_NO_CREDENTIALS")
	}
	return nil
}

// assert is fido2-assert -G -v.
func (k *Key) assert(state, input, device string) error {
	text, err := os.ReadFile(input)
	if err != nil {
		return err
	}
	asked := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(asked) != 3 {
		return errors.New("input error")
	}
	hash, err := base64.StdEncoding.DecodeString(asked[0])
	if err != nil || len(hash) != sha256.Size {
		return errors.New("client data hash")
	}
	if err := k.open(device); err != nil {
		return err
	}
	if err := k.verify(state, device, "fido_dev_get_assert"); err != nil {
		return err
	}
	n := slices.IndexFunc(k.Passkeys, func(p Passkey) bool { return p.RPID == asked[1] && p.ID == asked[2] })
	if n < 0 {
		return errors.New("fido_dev_get_assert: FIDO_ERR_NO_CREDENTIALS")
	}
	if k.Error != "" {
		return errors.New("fido_dev_get_assert: " + k.Error)
	}
	a := passkeytest.New(asked[1], "")
	if k.NoVerify {
		a.Flags &^= passkeytest.FlagUV
	}
	data, sig, err := a.GetBare(k.Passkeys[n].PrivatePKCS8, hash)
	if err != nil {
		return err
	}
	wrapped, err := cbor.Marshal(data)
	if err != nil {
		return err
	}
	std := base64.StdEncoding.EncodeToString
	k.Asked = asked
	fmt.Println(strings.Join([]string{asked[0], asked[1], std(wrapped), std(sig)}, "\n"))
	return save(state, *k)
}

// holds is fido2-assert -G: it finds the passkey or does not.
func (k *Key) holds(device string) error {
	if err := k.open(device); err != nil {
		return err
	}
	var lines []string
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		lines = append(lines, in.Text())
	}
	if len(lines) != 3 {
		return errors.New("input error")
	}
	if !slices.Contains(k.Held, lines[2]) {
		return errors.New("fido_dev_get_assert: FIDO_ERR_NO_CREDENTIALS")
	}
	fmt.Println(strings.Join(lines[:2], "\n"))
	return nil
}
