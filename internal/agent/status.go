package agent

import (
	"context"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Status is what a machine knows of itself, without any secret.
type Status struct {
	Joined      bool           `json:"joined"`
	Joining     bool           `json:"joining,omitempty"` // a join was begun
	Leaving     bool           `json:"leaving,omitempty"` // a leave was begun
	Server      string         `json:"server,omitempty"`
	TenantID    string         `json:"tenantId,omitempty"`
	Domain      string         `json:"tenantDomain,omitempty"`
	TenantName  string         `json:"tenantName,omitempty"`
	DeviceID    string         `json:"deviceId,omitempty"`
	DeviceName  string         `json:"deviceName,omitempty"`
	JoinType    JoinType       `json:"joinType,omitempty"`
	JoinedAt    time.Time      `json:"joinedAt,omitzero"`
	Thumbprint  string         `json:"thumbprint,omitempty"`
	Certificate time.Time      `json:"certificateExpires,omitzero"`
	Place       Place          `json:"keys,omitempty"`
	TPM         string         `json:"tpm,omitempty"`
	KeysReady   bool           `json:"keysReady"`
	KeysProblem string         `json:"keysProblem,omitempty"`
	Assurance   Assurance      `json:"assurance,omitempty"`
	Lockout     *Lockout       `json:"pinLockout,omitempty"`
	People      []PersonStatus `json:"people"`
	Last        *LastError     `json:"lastError,omitempty"`
}

// PersonStatus is somebody who signs in on this machine.
type PersonStatus struct {
	User       string    `json:"userPrincipalName"`
	ID         string    `json:"id"`
	NgcSet     bool      `json:"ngcSet"` // there is a user key
	KeyID      string    `json:"kid,omitempty"`
	KeyCreated time.Time `json:"keyCreated,omitzero"`
	PRT        bool      `json:"prt"` // there is one, and it is not over
	Method     string    `json:"prtMethod,omitempty"`
	Issued     time.Time `json:"prtIssued,omitzero"`
	Renewed    time.Time `json:"prtUpdated,omitzero"`
	Expires    time.Time `json:"prtExpires,omitzero"`
	Due        bool      `json:"prtDue"` // older than RenewAfter
	Online     time.Time `json:"lastOnline,omitzero"`
}

// LastError is the last thing that did not work.
type LastError struct {
	At     time.Time `json:"at"`
	Doing  string    `json:"doing"`
	Text   string    `json:"text"`
	Reason string    `json:"reason,omitempty"`
	Code   int       `json:"code,omitempty"`
}

// Status reads the state and looks whether the keys are there. It asks no
// server and waits for nobody.
func (a *Agent) Status(context.Context) (Status, error) {
	st, err := a.store.load()
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Joined: st.Device != nil, Joining: st.Joining != nil, Leaving: st.Leaving, Server: st.Server,
		TenantID: st.Endpoints.Tenant, Domain: st.Endpoints.Domain, TenantName: st.Endpoints.Name,
		Place: st.Place, TPM: st.TPM, People: []PersonStatus{},
	}
	if f := st.Last; f != nil {
		s.Last = &LastError{f.At, f.Doing, f.Text, f.Reason, f.Code}
	}
	if st.Device == nil {
		return s, nil
	}
	d := st.Device
	s.DeviceID, s.DeviceName, s.JoinType, s.JoinedAt, s.Assurance = d.ID, d.Name, d.Type, d.At, d.Assurance
	s.Thumbprint = fmt.Sprintf("%X", sha1.Sum(d.Certificate))
	if c, err := x509.ParseCertificate(d.Certificate); err == nil {
		s.Certificate = c.NotAfter
	}
	w := &work{Agent: a, st: st, now: a.cfg.Now()}
	defer w.close()
	w.look(&s)
	for _, p := range st.People {
		s.People = append(s.People, p.status(w.now))
	}
	return s, nil
}

// look says whether the keys can be used.
func (w *work) look(s *Status) {
	err := w.keys()
	if err == nil {
		// Loading it is enough to know that it is of this TPM.
		_, err = w.vault.Sign(w.st.Device.Device, nil, make([]byte, 32))
	}
	if err != nil {
		s.KeysProblem = idp.AsError(foreign(err)).Public
		if s.KeysProblem == "" {
			s.KeysProblem = err.Error()
		}
		return
	}
	s.KeysReady, s.TPM = true, w.st.TPM
	if l, err := w.vault.Lockout(); err == nil && l.Enforced {
		s.Lockout = &l
	}
}

func (p person) status(now time.Time) PersonStatus {
	s := PersonStatus{User: p.UPN, ID: p.ID, NgcSet: p.Hello != nil, Online: p.Online}
	if p.Hello != nil {
		s.KeyID, s.KeyCreated = p.Hello.ID, p.Hello.At
	}
	if p.PRT != nil {
		s.PRT, s.Method = now.Before(p.PRT.Expires), p.PRT.Method
		s.Issued, s.Renewed, s.Expires = p.PRT.Issued, p.PRT.Renewed, p.PRT.Expires
		s.Due = s.PRT && now.Sub(p.PRT.Renewed) >= RenewAfter
	}
	return s
}

// Keyholder gives the user principal name of whoever would be asked for a PIN:
// so that nobody is asked for one that there is no use for.
func (a *Agent) Keyholder(user string) (string, error) {
	st, err := a.store.load()
	if err != nil {
		return "", err
	}
	if st.Device == nil {
		return "", errNotJoined()
	}
	p, err := st.person(user)
	if err != nil {
		return "", err
	}
	if p.Hello == nil && p.Enrolling == nil {
		return "", errNoHello(p)
	}
	return p.UPN, nil
}

// MayEnrol says whether this machine has joined, so that keys can be made.
func (a *Agent) MayEnrol() error {
	st, err := a.store.load()
	if err == nil && st.Device == nil {
		err = errNotJoined()
	}
	return err
}

// Is says whether err is a refusal with that AADSTS number: for callers that
// do something about it.
func Is(err error, code int) bool {
	var e *idp.Error
	return errors.As(err, &e) && e.Code == code
}
