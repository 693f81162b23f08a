package agenttest

import (
	"crypto"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/signetid/signet/internal/tpmtest"
)

// TPM starts an emulated TPM with a seed of its own and gives the path of its
// socket.
func TPM(t testing.TB) string { return TPMIn(t, t.TempDir()) }

// TPMIn is TPM with the emulator's state in a folder of the caller's, so that
// one can be stopped and started again: what it kept is still there.
func TPMIn(t testing.TB, state string) string {
	t.Helper()
	return tpmtest.Start(t, state)
}

// Clear clears a TPM, as its owner can in the firmware: everything that it made
// is worth nothing afterwards.
func Clear(t testing.TB, path string) {
	t.Helper()
	conn, err := linuxudstpm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(conn)
	if err != nil {
		t.Fatalf("clear the TPM: %v", err)
	}
}

// Endorse puts the certificate of its maker into a TPM: of the endorsement key
// that certify is given.
func Endorse(t testing.TB, path string, certify func(ek crypto.PublicKey) []byte) {
	t.Helper()
	conn, err := linuxudstpm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.RSAEKTemplate)}.Execute(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(conn)
	area, err := made.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm2.Pub(*area)
	if err != nil {
		t.Fatal(err)
	}
	der := certify(ek)
	const index = tpm2.TPMHandle(0x01C00002) // TCG EK Credential Profile 2.5, 2.2.1.4
	public := tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(der)),
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, AuthRead: true, NoDA: true, NT: tpm2.TPMNTOrdinary},
	})
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: public}).Execute(conn); err != nil {
		t.Fatalf("make room for the certificate: %v", err)
	}
	for at := 0; at < len(der); at += 512 {
		read, err := tpm2.NVReadPublic{NVIndex: index}.Execute(conn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpm2.NVWrite{
			AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: index, Name: read.NVName},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: der[at:min(at+512, len(der))]}, Offset: uint16(at),
		}.Execute(conn)
		if err != nil {
			t.Fatalf("write the certificate: %v", err)
		}
	}
}

// Provision keeps a primary key of the owner at the storage root key's handle,
// as the maker of a machine may have done.
func Provision(t testing.TB, path string, template tpm2.TPMTPublic) {
	t.Helper()
	conn, err := linuxudstpm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(conn)
	_, err = tpm2.EvictControl{
		Auth:             tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		ObjectHandle:     &tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name},
		PersistentHandle: 0x81000001,
	}.Execute(conn)
	if err != nil {
		t.Fatalf("keep the key: %v", err)
	}
}

// Fill loads as many objects into a TPM as fit and leaves them there, as
// processes do that are killed.
func Fill(t testing.TB, path string) {
	t.Helper()
	conn, err := linuxudstpm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 10 {
		_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(conn)
		if errors.Is(err, tpm2.TPMRCObjectMemory) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the TPM is not full after ten objects")
}
