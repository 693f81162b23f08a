package agent_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/internal/idp"
)

func openTPM(t *testing.T, path string) agent.Vault {
	t.Helper()
	v, err := agent.OpenTPM(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return agent.WithChild(v, agenttest.Child)
}

// places runs a test in a TPM and with software keys: both keep the promises of
// a place of keys.
func places(t *testing.T, test func(*testing.T, agent.Vault)) {
	t.Run("tpm", func(t *testing.T) { test(t, openTPM(t, agenttest.TPM(t))) })
	t.Run("software", func(t *testing.T) { test(t, agent.Software{}) })
}

func TestKeysSign(t *testing.T) {
	places(t, func(t *testing.T, v agent.Vault) {
		for _, auth := range [][]byte{nil, agent.PINAuth([]byte("salt"), "424289")} {
			use := agent.ForDevice
			if auth != nil {
				use = agent.ForUser
			}
			k, err := v.Make(use, auth)
			if err != nil {
				t.Fatal(err)
			}
			s, err := agent.NewSigner(v, k, auth)
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256([]byte("what is signed"))
			signature, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if err := rsa.VerifyPKCS1v15(s.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], signature); err != nil {
				t.Errorf("the signature does not verify: %v", err)
			}
			if _, err := s.Sign(rand.Reader, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256}); err == nil {
				t.Error("signed by PSS")
			}
		}
	})
}

// A transport key is not for signing: what somebody makes a device decrypt
// must never become its word.
func TestTPMKeysHaveOneUse(t *testing.T) {
	v := openTPM(t, agenttest.TPM(t))
	k, err := v.Make(agent.ForTransport, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Sign(k, nil, make([]byte, 32)); err == nil {
		t.Error("the transport key signed")
	}
}

func TestSessionKeyDerives(t *testing.T) {
	places(t, func(t *testing.T, v agent.Vault) {
		transport, err := v.Make(agent.ForTransport, nil)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := v.PublicKey(transport)
		if err != nil {
			t.Fatal(err)
		}
		secret, jwe := agenttest.SessionKey(t, pub)
		session, err := v.Unwrap(t.Context(), transport, jwe)
		if err != nil {
			t.Fatal(err)
		}
		data := []byte("one block of SP 800-108")
		got, err := v.MAC(session, data)
		if err != nil {
			t.Fatal(err)
		}
		m := hmac.New(sha256.New, secret)
		m.Write(data)
		if !bytes.Equal(got, m.Sum(nil)) {
			t.Errorf("MAC %x", got)
		}
		blob, err := json.Marshal(session)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)} {
			if bytes.Contains(blob, []byte(form)) || bytes.Contains(session.Private, secret) || bytes.Contains(session.Public, secret) {
				t.Fatal("the session key is in what is kept of it")
			}
		}
		if v.Place() == agent.InTPM {
			if _, err := v.Sign(session, nil, make([]byte, 32)); err == nil {
				t.Error("a session key signed as if it were RSA")
			}
		}
	})
}

func TestUnwrapRefuses(t *testing.T) {
	places(t, func(t *testing.T, v agent.Vault) {
		transport, err := v.Make(agent.ForTransport, nil)
		if err != nil {
			t.Fatal(err)
		}
		other, err := v.Make(agent.ForTransport, nil)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := v.PublicKey(other)
		if err != nil {
			t.Fatal(err)
		}
		_, foreign := agenttest.SessionKey(t, pub)
		if _, err := v.Unwrap(t.Context(), transport, foreign); err == nil {
			t.Error("a session key for another transport key was taken")
		}
		_, good := agenttest.SessionKey(t, pub)
		parts := strings.Split(good, ".")
		parts[4] = strings.Repeat("A", len(parts[4]))
		if _, err := v.Unwrap(t.Context(), other, strings.Join(parts, ".")); err == nil {
			t.Error("a session key whose message does not open was taken")
		}
		if _, err := v.Unwrap(t.Context(), other, good); err != nil {
			t.Errorf("the good one was refused: %v", err)
		}
	})
}

func TestChangeAuth(t *testing.T) {
	places(t, func(t *testing.T, v agent.Vault) {
		old, next := agent.PINAuth([]byte("a"), "424289"), agent.PINAuth([]byte("b"), "998877")
		k, err := v.Make(agent.ForUser, old)
		if err != nil {
			t.Fatal(err)
		}
		changed, err := v.ChangeAuth(k, old, next)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := v.PublicKey(k)
		after, err := v.PublicKey(changed)
		if err != nil || !before.Equal(after) {
			t.Errorf("another PIN made another key: %v", err)
		}
		if _, err := v.Sign(changed, next, make([]byte, 32)); err != nil {
			t.Errorf("the new PIN: %v", err)
		}
		if _, err := v.Sign(changed, old, make([]byte, 32)); !errors.Is(err, agent.ErrWrongPIN) {
			t.Errorf("the old PIN: %v", err)
		}
		if _, err := v.ChangeAuth(changed, old, next); !errors.Is(err, agent.ErrWrongPIN) {
			t.Errorf("a change by the old PIN: %v", err)
		}
	})
}

func TestPINUntilLockout(t *testing.T) {
	v := openTPM(t, agenttest.TPM(t))
	right, wrong := agent.PINAuth([]byte("salt"), "424289"), agent.PINAuth([]byte("salt"), "424288")
	k, err := v.Make(agent.ForUser, right)
	if err != nil {
		t.Fatal(err)
	}
	device, err := v.Make(agent.ForDevice, nil)
	if err != nil {
		t.Fatal(err)
	}
	begin, err := v.Lockout()
	if err != nil {
		t.Fatal(err)
	}
	if !begin.Enforced || begin.Left < 1 || begin.Locked || begin.Heals <= 0 {
		t.Fatalf("lockout of a new TPM: %+v", begin)
	}
	for left := begin.Left - 1; left >= 1; left-- {
		_, err := v.Sign(k, wrong, make([]byte, 32))
		if !errors.Is(err, agent.ErrWrongPIN) {
			t.Fatalf("with %d left: %v", left, err)
		}
		l, lerr := v.Lockout()
		if lerr != nil || l.Left != left || l.Locked {
			t.Errorf("lockout %+v, %v; want %d left", l, lerr, left)
		}
		said := agent.PINError(v, err)
		if !errors.Is(said, idp.Unproven) || idp.AsError(said).Reason != "pin_wrong" {
			t.Errorf("phrased as %v", said)
		}
	}
	if _, err := v.Sign(k, wrong, make([]byte, 32)); err == nil {
		t.Fatal("the last wrong PIN was taken")
	}
	_, err = v.Sign(k, right, make([]byte, 32))
	if !errors.Is(err, agent.ErrLocked) {
		t.Fatalf("the right PIN, after all tries were used: %v", err)
	}
	if said := idp.AsError(agent.PINError(v, err)); said.Kind != idp.Limited || !strings.Contains(said.Public, "gives back one try after") {
		t.Errorf("phrased as %q", said.Public)
	}
	if l, err := v.Lockout(); err != nil || !l.Locked {
		t.Errorf("lockout %+v, %v", l, err)
	}
	if _, err := v.Sign(device, nil, make([]byte, 32)); err != nil {
		t.Errorf("the device key is locked, too: %v", err)
	}
}

// Whoever copies a disk has no device: its keys are of one TPM.
func TestBlobsOfAnotherTPM(t *testing.T) {
	one, other := openTPM(t, agenttest.TPM(t)), openTPM(t, agenttest.TPM(t))
	k, err := one.Make(agent.ForDevice, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Sign(k, nil, make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Sign(k, nil, make([]byte, 32)); !errors.Is(err, agent.ErrForeign) {
		t.Errorf("the other TPM: %v", err)
	}
}

func TestHelloKeyID(t *testing.T) {
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(bytes.Repeat([]byte{0xc3}, 256)), E: 65537}
	if id := agent.HelloKeyID(pub); id != "HNhKnXiBij9GHhMy8oafiGjJI0QKZ55yyZGtDkAPq/8=" { // device-protocol.md §8.2
		t.Errorf("kid %s", id)
	}
}

func TestPINRules(t *testing.T) {
	for pin, good := range map[string]bool{
		"424289": true, "correct horse": true, strings.Repeat("ab", 32): true, "äöüßéè": true,
		"12345": false, strings.Repeat("ab", 33): false, "111111": false, "123456": false, "fedcba": false, "135791": true, "": false, "äöü": false,
	} {
		if err := agent.CheckPIN(pin); (err == nil) != good {
			t.Errorf("%q: %v", pin, err)
		}
	}
	if !bytes.Equal(agent.PINAuth(nil, "e\u0301toile"), agent.PINAuth(nil, "\u00e9toile")) {
		t.Error("the same characters, composed otherwise, are another PIN")
	}
	for n := range 2000 {
		if auth := agent.PINAuth([]byte{byte(n), byte(n >> 8)}, "424289"); len(auth) != 32 || bytes.IndexByte(auth, 0) >= 0 {
			t.Fatalf("auth %x", auth)
		}
	}
	if bytes.Equal(agent.PINAuth([]byte("a"), "424289"), agent.PINAuth([]byte("b"), "424289")) {
		t.Error("the salt makes no difference")
	}
}

// A machine that was provisioned has its own storage root key, of either kind;
// anything else at that place is not taken for one.
func TestProvisionedTPM(t *testing.T) {
	signing := tpm2.ECCSRKTemplate
	signing.ObjectAttributes.Restricted, signing.ObjectAttributes.Decrypt, signing.ObjectAttributes.SignEncrypt = false, false, true
	signing.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})
	for name, template := range map[string]tpm2.TPMTPublic{"ECC": tpm2.ECCSRKTemplate, "RSA": tpm2.RSASRKTemplate, "signing": signing} {
		t.Run(name, func(t *testing.T) {
			path := agenttest.TPM(t)
			agenttest.Provision(t, path, template)
			v, err := agent.OpenTPM(path, nil)
			if name == "signing" {
				if idp.AsError(err).Reason != "tpm_parent" {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			auth := agent.PINAuth([]byte("salt"), "424289")
			k, err := v.Make(agent.ForUser, auth)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Sign(k, auth, make([]byte, 32)); err != nil {
				t.Error(err)
			}
			if _, err := agent.OpenTPM(path, v.Storage()); err != nil {
				t.Errorf("the same TPM: %v", err)
			}
			if _, err := agent.OpenTPM(path, []byte("another name")); idp.AsError(err).Reason != "tpm_other" {
				t.Errorf("keys of another TPM: %v", err)
			}
		})
	}
}

// What killed processes left in a TPM that nobody manages makes room.
func TestFullTPM(t *testing.T) {
	path := agenttest.TPM(t)
	agenttest.Fill(t, path)
	v := openTPM(t, path)
	if _, err := v.Make(agent.ForDevice, nil); err != nil {
		t.Error(err)
	}
}

func TestNoTPM(t *testing.T) {
	for _, path := range []string{"/nonexistent/tpm", t.TempDir()} {
		if _, err := agent.OpenTPM(path, nil); idp.AsError(err).Reason != "tpm_missing" || idp.AsError(err).Public == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
}
