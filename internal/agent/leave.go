package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
)

// LeaveResult says what a leave did.
type LeaveResult struct {
	DeviceID string   `json:"deviceId,omitempty"`
	Server   bool     `json:"forgottenByServer"`
	Notes    []string `json:"notes,omitempty"`
}

// Leave has the server forget this device, then forgets its keys. With force
// the keys go whatever the server says.
func (a *Agent) Leave(ctx context.Context, force bool) (LeaveResult, error) {
	var result LeaveResult
	unlock, err := a.store.lock(ctx)
	if err != nil {
		return result, err
	}
	defer unlock()
	st, err := a.store.load()
	if err != nil && !force {
		return result, err
	}
	if err != nil {
		return result, a.store.forget()
	}
	w := &work{Agent: a, st: st, now: a.cfg.Now()}
	defer w.close()
	if st.Device == nil {
		if st.Joining == nil {
			return result, errNotJoined()
		}
		if st.Joining.Sent {
			result.Notes = append(result.Notes, "a join was cut off: the server may list a device that nobody has the keys of")
		}
		return result, a.store.forget()
	}
	result.DeviceID = st.Device.ID
	if err := w.deleteDevice(ctx); err != nil {
		if !force {
			st.Last = noted(w.now, "leave", err)
			return result, errors.Join(err, w.save("note"))
		}
		result.Notes = append(result.Notes, "the server may still list this device: "+text(err))
	} else {
		result.Server = true
	}
	return result, a.store.forget()
}

// deleteDevice asks the server to forget the device, by its certificate
// (device-protocol.md §5.3). That it does not know it is as good, if it was
// asked before and the answer was lost.
func (w *work) deleteDevice(ctx context.Context) error {
	if err := w.keys(); err != nil {
		return err
	}
	if err := w.server(); err != nil {
		return err
	}
	if err := w.reachable(ctx); err != nil {
		return err
	}
	before := w.st.Leaving
	w.st.Leaving = true
	if err := w.save("leave sent"); err != nil {
		return err
	}
	c, err := w.withCertificate()
	if err != nil {
		return err
	}
	var got reply
	err = retried(ctx, func() error {
		var err error
		got, err = w.remote.call(ctx, c, http.MethodDelete, withVersion(w.st.Endpoints.device(w.st.Device.ID), "1.0"), nil, nil)
		return err
	})
	if err != nil {
		return foreign(err)
	}
	w.store.step("leave answered")
	if got.status == http.StatusUnauthorized && before {
		return nil
	}
	if err := got.decode(nil); err != nil {
		w.st.Leaving = false
		if got.status == http.StatusUnauthorized {
			return idp.Deniedf("device_unknown", "%w", err).
				Say("the server does not know this device, or does not see its certificate. Forget it here all the same: signet device leave --force")
		}
		return err
	}
	return nil
}

// withCertificate is a client that shows the device certificate. A TPM's key
// of ours signs PKCS #1 v1.5, which TLS 1.3 does not have (RFC 8446, 4.2.3).
func (w *work) withCertificate() (*http.Client, error) {
	s, err := newSigner(w.vault, w.st.Device.Device, nil)
	if err != nil {
		return nil, err
	}
	return program.Client(&tls.Config{
		RootCAs: w.remote.ca, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{{
			Certificate: [][]byte{w.st.Device.Certificate}, PrivateKey: s,
			SupportedSignatureAlgorithms: []tls.SignatureScheme{tls.PKCS1WithSHA256},
		}},
	}, nil), nil
}
