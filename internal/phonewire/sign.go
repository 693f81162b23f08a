package phonewire

import (
	"crypto/sha256"
	"encoding/binary"
)

// Labels begin what is signed or hashed, so that nothing made for one purpose
// is good for another. A zero byte ends each.
const (
	labelEnrol   = "signet-phone-enrol/1"
	labelApprove = "signet-phone-approve/1"
	labelAnswer  = "signet-phone-answer/1"
	labelWords   = "signet-phone-words/1"
)

// fields writes label, a zero byte, and each part after its length in four
// bytes, the most significant first.
func fields(label string, parts ...[]byte) []byte {
	out := append([]byte(label), 0)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}

// EnrolMessage is what a new phone signs with its key (ECDSA over P-256 with
// SHA-256) when it enrols: the code as it travels in a link or, of a typed one,
// in the alphabet without separators; the WebAuthn challenge that its passkey
// answered; the RFC 7638 thumbprint of the key; the id of the passkey.
func EnrolMessage(code string, challenge, thumbprint, passkey []byte) []byte {
	return fields(labelEnrol, []byte(code), challenge, thumbprint, passkey)
}

// Approval is what an approval is about. A phone takes all of it from what it
// has shown to its person and was told when it enrolled.
type Approval struct {
	Tenant, User string // ids
	Request      []byte
	Nonce        []byte
	Number       string // as typed: two digits
	Context      string // the text as it came
	Phone        string // id
}

// Challenge is the WebAuthn challenge of an approval.
func (a Approval) Challenge() []byte {
	shown := sha256.Sum256([]byte(a.Context))
	sum := sha256.Sum256(fields(labelApprove,
		[]byte(a.Tenant), []byte(a.User), a.Request, a.Nonce, []byte(a.Number), shown[:], []byte(a.Phone)))
	return sum[:]
}

// AnswerMessage is what the phone's own key signs of an approval: the
// challenge, and what its passkey made of it.
func AnswerMessage(challenge, authenticatorData, signature []byte) []byte {
	return fields(labelAnswer, challenge, authenticatorData, signature)
}

// words gives the octets that the two words of an enrolment are chosen by.
func words(enrolMessage []byte) []byte {
	sum := sha256.Sum256(fields(labelWords, enrolMessage))
	return sum[:]
}
