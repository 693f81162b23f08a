package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/signetid/signet/internal/idp"
)

// Lengths of a PIN in characters. The TPM counts wrong tries, so that it may
// be short.
const (
	MinPIN = 6
	MaxPIN = 64
)

// CheckPIN says whether a PIN may be chosen: long enough, not one character
// over and over, and not a plain sequence.
func CheckPIN(pin string) error {
	n := utf8.RuneCountInString(pin)
	if !utf8.ValidString(pin) || n < MinPIN || n > MaxPIN {
		return idp.Invalidf("pin_length", "%d characters", n).Say(fmt.Sprintf("a PIN has %d to %d characters: choose another", MinPIN, MaxPIN))
	}
	runes := []rune(pin)
	step := runes[1] - runes[0]
	for i := 1; i < len(runes); i++ {
		if runes[i]-runes[i-1] != step {
			return nil
		}
	}
	if step >= -1 && step <= 1 {
		return idp.Invalidf("pin_simple", "a plain sequence").Say("a PIN that repeats or counts is the first that anybody tries: choose another")
	}
	return nil
}

// pinAuth makes of a PIN what the TPM compares. Each key has a salt, so that
// one PIN for two keys is two values. The same characters are the same PIN
// however a keyboard composes them.
//
// It is 192 bits as text, 32 bytes, the most that a key of ours takes. Text,
// because zeros at the end are dropped (Part 1, 19.6.4.3), and go-tpm v0.9.8
// drops all from the first zero on, wherever it is.
func pinAuth(salt []byte, pin string) []byte {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte("signet user key PIN\x00"))
	m.Write([]byte(norm.NFKC.String(pin)))
	return base64.RawURLEncoding.AppendEncode(nil, m.Sum(nil)[:24])
}

// pinError phrases a refused PIN, with what is left of tries.
func pinError(v vault, err error) error {
	if !errors.Is(err, errWrongAuth) && !errors.Is(err, errLocked) {
		return err
	}
	l, lerr := v.Lockout()
	if lerr != nil {
		l = Lockout{}
	}
	if errors.Is(err, errLocked) || l.Locked {
		return idp.Limitedf("pin_locked", "use the user key: %w", err).Say("the TPM takes no PIN now, after too many wrong ones. " + healing(l) +
			" An administrator of this machine can end it at once: tpm2_dictionarylockout --clear-lockout")
	}
	e := idp.Unprovenf("pin_wrong", "use the user key: %w", err)
	switch {
	case !l.Enforced:
		return e.Say("the PIN is wrong")
	case l.Left == 1:
		return e.Say("the PIN is wrong. One more wrong one locks the TPM")
	}
	return e.Say(fmt.Sprintf("the PIN is wrong. %d more wrong ones lock the TPM", l.Left))
}

func healing(l Lockout) string {
	if l.Heals <= 0 {
		return "It stays so until it is reset."
	}
	return "It gives back one try after " + l.Heals.Round(time.Second).String() + " without any."
}
