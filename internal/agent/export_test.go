package agent

import (
	"context"
	"os/exec"
)

// What tests of this package may see of its inside.
type (
	Key      = key
	Vault    = vault
	Software = software
)

const (
	ForDevice    = forDevice
	ForTransport = forTransport
	ForUser      = forUser
)

var (
	OpenTPM     = openTPM
	PINAuth     = pinAuth
	PINError    = pinError
	HelloKeyID  = helloKeyID
	NewSigner   = newSigner
	ErrWrongPIN = errWrongAuth
	ErrLocked   = errLocked
	ErrForeign  = errForeign
)

// WithChild gives a TPM its way to unwrap session keys.
func WithChild(t *tpm, child func(context.Context) *exec.Cmd) Vault { t.child = child; return t }
