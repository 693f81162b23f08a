package passkey

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/signetid/signet/internal/idp"
)

// authData is authenticator data (WebAuthn Level 3, §6.1), parsed.
type authData struct {
	raw   []byte
	flags protocol.AuthenticatorFlags
	count uint32

	aaguid  []byte // registration
	id      []byte // registration
	keyWire []byte // registration: the COSE key as it came
}

func (a authData) backupEligible() bool { return a.flags.HasBackupEligible() }
func (a authData) backedUp() bool       { return a.flags.HasBackupState() }

// guid writes the 16 bytes of an AAGUID as people do.
func guid(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Offsets of attested credential data (§6.5.2).
const (
	offsetFlags = 32
	offsetIDLen = 53
	offsetID    = 55
)

func parseAuthData(raw []byte) (authData, *idp.Error) {
	// The library has one error for all; an id that is too long deserves its
	// own (§7.1 step 25).
	if len(raw) > offsetID && raw[offsetFlags]&byte(protocol.FlagAttestedCredentialData) != 0 &&
		binary.BigEndian.Uint16(raw[offsetIDLen:]) > maxCredentialID {
		return authData{}, idp.Unprovenf("credential_id_too_long", "credential id of %d bytes",
			binary.BigEndian.Uint16(raw[offsetIDLen:]))
	}
	var d protocol.AuthenticatorData
	if err := d.Unmarshal(raw); err != nil {
		return authData{}, idp.Unprovenf("authenticator_data_malformed", "authenticator data: %w", err)
	}
	a := authData{raw: raw, flags: d.Flags, count: d.Counter}
	if d.Flags.HasAttestedCredentialData() {
		a.aaguid, a.id = d.AttData.AAGUID, d.AttData.CredentialID
		// The library gives the key re-encoded; what came is what lies
		// between the id and the extensions.
		a.keyWire = raw[offsetID+len(a.id) : len(raw)-len(d.ExtData)]
	}
	return a, nil
}

// judge follows §7.1 steps 14 to 17 and §7.2 steps 15 to 18, which are alike.
func (a authData) judge(s site) *idp.Error {
	// Step 14 / 15: signed for our RP ID.
	if !bytes.Equal(a.raw[:32], s.idHash[:]) {
		return idp.Unprovenf("wrong_rp_id", "RP ID hash %x", a.raw[:32])
	}
	// Step 15 / 16: somebody touched it.
	if !a.flags.HasUserPresent() {
		return idp.Unprovenf("user_absent", "UP is not set")
	}
	// Step 16 / 17: and it was the owner. Every proof of this room claims
	// that, so it holds at registration too.
	if !a.flags.HasUserVerified() {
		return idp.Unprovenf("user_not_verified", "UV is not set")
	}
	// Step 17 / 18: what cannot be backed up is not backed up.
	if a.backedUp() && !a.backupEligible() {
		return idp.Unprovenf("backup_state_inconsistent", "BS is set without BE")
	}
	return nil
}
