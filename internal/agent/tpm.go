package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/signetid/signet/internal/idp"
)

// DefaultTPM is Linux's TPM behind the kernel's resource manager.
const DefaultTPM = "/dev/tpmrm0"

// srkHandle is where a provisioned machine keeps its storage root key (TCG TPM
// v2.0 Provisioning Guidance, 7.5.1).
const srkHandle = tpm2.TPMHandle(0x81000001)

// Errors of a place of keys, before anybody phrased them.
var (
	errWrongAuth = errors.New("the PIN is wrong")
	errLocked    = errors.New("the TPM is locked after too many wrong PINs")
	errForeign   = errors.New("the keys are not of this TPM")
)

// tpm is a TPM 2.0. All keys are children of its storage root key, so they go
// with the machine: when the TPM is cleared, or another one is built in, they
// are worth nothing.
type tpm struct {
	path   string
	conn   transport.TPMCloser
	parent *tpm2.NamedHandle
	public tpm2.TPMTPublic // of parent
	flush  bool            // parent is ours to flush
	child  func(context.Context) *exec.Cmd
}

// openTPM opens a TPM: a character device, or the socket of an emulator.
// storage is the name of the storage root key that the keys of this machine are
// under, nil when there are none yet; another one is errForeign.
func openTPM(path string, storage []byte) (*tpm, error) {
	conn, err := connectTPM(path)
	if err != nil {
		return nil, err
	}
	t := &tpm{path: path, conn: conn}
	if err := t.root(); err != nil {
		conn.Close()
		return nil, err
	}
	if storage != nil && !bytes.Equal(storage, t.Storage()) {
		t.Close()
		return nil, idp.Deniedf("tpm_other", "%s: %w", path, errForeign).
			Say("the keys of this device are not of this TPM: it was cleared or exchanged. Forget them with: signet device leave --force, then join again")
	}
	return t, nil
}

func connectTPM(path string) (transport.TPMCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, noTPM(path, err)
	}
	open := linuxtpm.Open
	if info.Mode()&os.ModeSocket != 0 {
		open = linuxudstpm.Open
	}
	conn, err := open(path)
	if err != nil {
		return nil, noTPM(path, err)
	}
	return conn, nil
}

func noTPM(path string, err error) error {
	e := idp.Unavailablef("tpm_missing", "open TPM %s: %w", path, err)
	switch {
	case errors.Is(err, os.ErrPermission):
		return e.Say("this account may not use the TPM at " + path + ": on Debian add it to the group tss, and sign in anew")
	case errors.Is(err, os.ErrNotExist):
		return e.Say("there is no TPM at " + path + ": switch it on in the firmware, name another with --tpm, or, for a trial, join with --insecure-software-keys")
	}
	return e.Say("the TPM at " + path + " does not answer: " + err.Error())
}

// root finds the storage root key: the one that the machine was provisioned
// with, or else the one that every TPM makes from its seed.
func (t *tpm) root() error {
	err := t.again(func() error {
		read, err := tpm2.ReadPublic{ObjectHandle: srkHandle}.Execute(t.conn)
		if err != nil {
			return err
		}
		public, err := read.OutPublic.Contents()
		if err != nil {
			return err
		}
		t.parent, t.public = &tpm2.NamedHandle{Handle: srkHandle, Name: read.Name}, *public
		return nil
	})
	if err == nil {
		return t.check()
	}
	err = t.again(func() error {
		made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t.conn)
		if err != nil {
			return err
		}
		public, err := made.OutPublic.Contents()
		if err != nil {
			return err
		}
		t.parent, t.public, t.flush = &tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, *public, true
		return nil
	})
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		return idp.Deniedf("tpm_owned", "make the storage root key: %w", err).
			Say("the TPM has an owner password and no storage root key: make one at 0x81000001 (tpm2_createprimary, tpm2_evictcontrol), then run this again")
	}
	if err != nil {
		return fmt.Errorf("make the TPM's storage root key: %w", err)
	}
	return t.check()
}

// check refuses a parent that would let its children out, and one whose public
// half is not what its name says (whoever sits between us and the TPM could
// read what we encrypt to it).
func (t *tpm) check() error {
	name, err := tpm2.ObjectName(&t.public)
	if err != nil {
		return fmt.Errorf("name of the TPM's storage root key: %w", err)
	}
	a := t.public.ObjectAttributes
	if !bytes.Equal(name.Buffer, t.parent.Name.Buffer) || !a.FixedTPM || !a.Restricted || !a.Decrypt {
		t.release()
		return idp.Deniedf("tpm_parent", "storage root key %x is none", t.parent.Name.Buffer).
			Say("what the TPM has at 0x81000001 is not a storage root key: remove it, or name another TPM with --tpm")
	}
	return nil
}

// again runs a command until the TPM has time for it. A process that was killed
// leaves objects in a TPM that nobody manages (an emulator's socket); they are
// thrown out when there is no room left.
func (t *tpm) again(command func() error) error {
	const tries = 20
	var err error
	for n := range tries {
		err = command()
		switch {
		case errors.Is(err, tpm2.TPMRCRetry), errors.Is(err, tpm2.TPMRCYielded), errors.Is(err, tpm2.TPMRCTesting):
			time.Sleep(time.Duration(n) * 5 * time.Millisecond)
		case errors.Is(err, tpm2.TPMRCObjectMemory), errors.Is(err, tpm2.TPMRCSessionMemory), errors.Is(err, tpm2.TPMRCSessionHandles):
			if !t.sweep() {
				return err
			}
		default:
			return err
		}
	}
	return err
}

// sweep flushes what this connection sees of objects and sessions but for our
// parent. Behind a resource manager that is only our own.
func (t *tpm) sweep() bool {
	some := false
	for _, first := range []tpm2.TPMHandle{tpm2.TPMHandle(tpm2.TPMHTTransient) << 24, tpm2.TPMHandle(tpm2.TPMHTHMACSession) << 24} {
		got, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(first), PropertyCount: 64}.Execute(t.conn)
		if err != nil {
			continue
		}
		handles, err := got.CapabilityData.Data.Handles()
		if err != nil {
			continue
		}
		for _, h := range handles.Handle {
			if t.parent != nil && h == t.parent.Handle {
				continue
			}
			_, err := tpm2.FlushContext{FlushHandle: h}.Execute(t.conn)
			some = some || err == nil
		}
	}
	return some
}

// session is for one command: salted, so that what travels between us and the
// TPM cannot be read, and bound to auth without showing it.
func (t *tpm) session(auth []byte) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(auth), tpm2.Salted(t.parent.Handle, t.public),
		tpm2.AESEncryption(128, tpm2.EncryptInOut))
}

// signing is session for a command whose answer has nothing that a session
// could encrypt: a signature.
func (t *tpm) signing(auth []byte) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(auth), tpm2.Salted(t.parent.Handle, t.public),
		tpm2.AESEncryption(128, tpm2.EncryptIn))
}

// Storage is the name of the storage root key.
func (t *tpm) Storage() []byte { return t.parent.Name.Buffer }

// Place is InTPM.
func (t *tpm) Place() Place { return InTPM }

func (t *tpm) release() {
	if t.flush {
		_, _ = tpm2.FlushContext{FlushHandle: t.parent.Handle}.Execute(t.conn) // closing frees it, too
		t.flush = false
	}
}

// Close frees what the TPM keeps for us.
func (t *tpm) Close() error {
	t.release()
	return t.conn.Close()
}

// Lockout asks the TPM how many wrong PINs it takes before it stops answering
// (TPM 2.0 Library, Part 1, 19.8).
func (t *tpm) Lockout() (Lockout, error) {
	facts := map[tpm2.TPMPT]uint32{}
	for _, p := range []tpm2.TPMPT{tpm2.TPMPTPermanent, tpm2.TPMPTLockoutCounter} {
		got, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(p), PropertyCount: 4}.Execute(t.conn)
		if err != nil {
			return Lockout{}, fmt.Errorf("ask the TPM for its lockout: %w", err)
		}
		list, err := got.CapabilityData.Data.TPMProperties()
		if err != nil {
			return Lockout{}, fmt.Errorf("read the TPM's lockout: %w", err)
		}
		for _, f := range list.TPMProperty {
			facts[f.Property] = f.Value
		}
	}
	const inLockout = 1 << 9 // TPMA_PERMANENT (Part 2, 8.6)
	left := int(facts[tpm2.TPMPTMaxAuthFail]) - int(facts[tpm2.TPMPTLockoutCounter])
	return Lockout{
		Enforced: true, Left: max(left, 0), Locked: facts[tpm2.TPMPTPermanent]&inLockout != 0,
		Heals: time.Duration(facts[tpm2.TPMPTLockoutInterval]) * time.Second,
	}, nil
}
