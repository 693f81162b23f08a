package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/signetid/signet/internal/jose"
)

// unwrapper makes of a session_key_jwe a key that the TPM holds.
type unwrapper func(ctx context.Context, transport key, jwe string) (key, error)

// errand is what the child is asked to do, errandDone what it answers.
type errand struct {
	TPM       string `json:"tpm"`
	Storage   []byte `json:"storage"`
	Transport key    `json:"transportKey"`
	JWE       string `json:"sessionKeyJWE"`
}

type errandDone struct {
	Session key    `json:"sessionKey"`
	Error   string `json:"error,omitempty"`
}

// childTime is what unwrapping may take: a slow TPM needs a second or two.
const childTime = 30 * time.Second

// inChild is an unwrapper that has a process of its own do it (decisions.md
// 4.7). command makes one that ends up in UnwrapSessionKey.
func inChild(command func(context.Context) *exec.Cmd, path string, storage []byte) unwrapper {
	return func(ctx context.Context, transport key, jwe string) (key, error) {
		ask, err := json.Marshal(errand{path, storage, transport, jwe})
		if err != nil {
			return key{}, err
		}
		ctx, stop := context.WithTimeout(ctx, childTime)
		defer stop()
		var out, complaint bytes.Buffer
		cmd := command(ctx)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(ask), &out, &complaint
		if err := cmd.Run(); err != nil {
			return key{}, fmt.Errorf("unwrap the session key in a process of its own: %w: %s", err, strings.TrimSpace(complaint.String()))
		}
		var done errandDone
		if err := json.Unmarshal(out.Bytes(), &done); err != nil {
			return key{}, fmt.Errorf("read what unwrapped the session key: %w", err)
		}
		if done.Error != "" {
			return key{}, fmt.Errorf("unwrap the session key: %s", done.Error)
		}
		return done.Session, nil
	}
}

// UnwrapSessionKey is the child's whole life: it reads an errand, lets the TPM
// unwrap the session key, hands that key back to the TPM for good, and answers
// with the TPM's blob. No memory dump of it is ever written.
func UnwrapSessionKey(in io.Reader, out io.Writer) error {
	if err := noDumps(); err != nil {
		return fmt.Errorf("forbid memory dumps: %w", err)
	}
	var e errand
	if err := json.NewDecoder(io.LimitReader(in, 1<<20)).Decode(&e); err != nil {
		return fmt.Errorf("read the errand: %w", err)
	}
	session, err := e.run()
	done := errandDone{Session: session}
	if err != nil {
		done.Error = err.Error()
	}
	return json.NewEncoder(out).Encode(done)
}

func (e errand) run() (key, error) {
	t, err := openTPM(e.TPM, e.Storage)
	if err != nil {
		return key{}, err
	}
	defer t.Close()
	secret, err := openSessionKey(e.JWE, func(wrapped []byte) ([]byte, error) { return t.decrypt(e.Transport, wrapped) })
	if err != nil {
		return key{}, err
	}
	return t.hold(secret)
}

// openSessionKey opens a session_key_jwe with whatever has the transport key.
func openSessionKey(jwe string, decrypt func([]byte) ([]byte, error)) ([]byte, error) {
	var failed error // what a TPM says is worth telling: nobody else hears it
	secret, err := jose.OpenSessionKey(jwe, func(wrapped []byte) ([]byte, error) {
		var secret []byte
		secret, failed = decrypt(wrapped)
		return secret, failed
	})
	if failed != nil {
		return nil, failed
	}
	return secret, err
}
