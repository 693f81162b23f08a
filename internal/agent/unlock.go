package agent

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// UnlockResult is a person who showed their PIN to this device alone.
type UnlockResult struct {
	User   string    `json:"userPrincipalName"`
	Online time.Time `json:"lastOnline"` // when the server last let them in
	Until  time.Time `json:"until"`      // how long it does without the server
}

// clockSlack is how far this machine's clock may have gone back.
const clockSlack = 5 * time.Minute

// Unlock lets a person in without the server, for as many days after it last
// did as the organisation allows (policy devices.offlineDays): the PIN opens
// the key in the TPM, and the key signs. Whom the server refused last is not
// let in, nor is anybody when the clock stands before that time or before the
// last unlock. Nobody is with software keys: nothing counts wrong PINs there,
// and without a server nothing else does.
//
// Errors: Denied offline_off, offline_over, offline_refused, offline_clock,
// offline_software, and those of a wrong PIN.
func (a *Agent) Unlock(ctx context.Context, user, pin string) (UnlockResult, error) {
	var result UnlockResult
	err := a.during(ctx, "unlock", func(w *work) error {
		if err := w.ready(); err != nil {
			return err
		}
		p, err := w.st.person(user)
		if err != nil {
			return err
		}
		if p.Hello == nil {
			return errNoHello(p)
		}
		until, err := w.mayOffline(p)
		if err != nil {
			return err
		}
		if err := w.opens(p, pin); err != nil {
			return err
		}
		// The clock can be set back to this moment from now on, and no further.
		p.Unlocked = w.now
		result = UnlockResult{p.UPN, p.Online, until}
		return w.save("unlocked")
	})
	return result, err
}

// mayOffline says until when a person may do without the server.
func (w *work) mayOffline(p *person) (time.Time, error) {
	days := p.OfflineDays
	until := p.Online.AddDate(0, 0, days)
	seen := p.Online
	if p.Unlocked.After(seen) {
		seen = p.Unlocked
	}
	switch {
	case w.st.Place == InSoftware:
		return until, idp.Deniedf("offline_software", "keys in %s", w.st.Place).Say("the server does not answer, and keys that are files let nobody in without it")
	case p.PRT == nil || p.Online.IsZero():
		return until, idp.Deniedf("offline_refused", "%s has no PRT", p.UPN).Say("the server does not answer, and has refused the last sign-in of " + p.UPN)
	case days == 0:
		return until, idp.Deniedf("offline_off", "%s", p.UPN).Say("the server does not answer, and your organisation lets nobody in without it")
	case w.now.Before(seen.Add(-clockSlack)):
		return until, idp.Deniedf("offline_clock", "last seen %s", seen).Say("the clock of this machine is behind: set it, then try again")
	case !w.now.Before(until):
		return until, idp.Deniedf("offline_over", "last online %s", p.Online).Say("the server has not answered for too long: connect to the network, then try again")
	}
	return until, nil
}

// opens lets the key sign something that only this call knows.
func (w *work) opens(p *person, pin string) error {
	digest := sha256.Sum256(secret.Bytes(32))
	signature, err := w.vault.Sign(p.Hello.Key, pinAuth(p.Hello.Key.Salt, pin), digest[:])
	if err != nil {
		return foreign(pinError(w.vault, err))
	}
	pub, err := w.vault.PublicKey(p.Hello.Key)
	if err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], signature) != nil {
		return errors.New("the TPM's signature is none of this key")
	}
	return nil
}
