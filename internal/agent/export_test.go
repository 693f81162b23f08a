package agent

import (
	"context"
	"os/exec"
	"strings"

	"golang.org/x/net/html"
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

// Refused is how a server's refusal is read.
func Refused(status int, body []byte) error { return refused(reply{status: status, body: body}) }

// Discover asks a server for a tenant's addresses.
func Discover(ctx context.Context, server, tenant string) error {
	r, err := newRemote(nil)
	if err != nil {
		return err
	}
	e, err := r.discover(ctx, server, tenant)
	if err != nil {
		return err
	}
	return r.services(ctx, server, tenant, &e)
}

// Renonced is how what needs a nonce is repeated.
var Renonced = renonced

// PassForm finds the form of a page that takes an access pass, and gives where
// it posts to and how many fields it has filled in.
func PassForm(page string) (string, int) {
	n, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return "", 0
	}
	f := findForm(n, "access_pass")
	if f == nil {
		return "", 0
	}
	return f.action, len(f.fields)
}
