package psso

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// How long a Mac may take to become one that may be used: to be attested, when it
// has to be and its person is there, and to be taken by its first person, when a
// registration token brought it (decisions 5.4).
const (
	attestWithin = 10 * time.Minute
	takenWithin  = 24 * time.Hour
)

// deviceRequest answers POST {t}/psso/device: a registration, or other keys of a
// Mac that is registered.
func (s *Server) deviceRequest(w http.ResponseWriter, r *http.Request) error {
	a, err := s.ask(w, r, pathDevice)
	if err != nil {
		return err
	}
	var out pssowire.Registered
	switch {
	case a.is(pssowire.TypeDevice):
		out, err = s.join(r, a)
	case a.is(pssowire.TypeRotation):
		out, err = s.rotate(r.Context(), a)
	default:
		err = a.wrongType()
	}
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, out)
}

// joining is a Mac that asks to be registered: it holds both keys, and nothing
// else of it is believed.
type joining struct {
	asked
	said       pssowire.Device
	signing    publicKey
	encryption publicKey
	rules      policy.DeviceRules
	shown      attestation
	event      audit.Event
}

// join registers a Mac: verify everything, then one transaction. What is wrong
// changes nothing; no nonce is burnt for it either, since whoever asks is nobody
// yet (decisions 1.3).
func (s *Server) join(r *http.Request, a asked) (pssowire.Registered, error) {
	ctx := r.Context()
	j := joining{asked: a, event: audit.Event{
		Tenant: a.tenant.ID, Category: audit.Change, Activity: "device.join", Client: pssowire.ClientID,
		IP: a.peer.IP, Agent: a.peer.Agent, Trace: a.peer.Trace, Detail: map[string]string{"os": mac.OS},
	}}
	if err := s.holdsKeys(ctx, &j); err != nil {
		return pssowire.Registered{}, err
	}
	j.tell() // what is refused from here on is told with the Mac's name
	m, err := s.registered(ctx, j)
	if err != nil {
		return pssowire.Registered{}, s.failed(ctx, j.event, err)
	}
	if m.Device != "" {
		return s.repeated(ctx, j, m)
	}
	by, err := s.authorised(r, &j)
	if err != nil {
		return pssowire.Registered{}, s.failed(ctx, j.event, err)
	}
	out, err := s.joined(ctx, j, by)
	for n := 0; n < 2 && justShown(err); n++ { // somebody was faster: it is there now to be replaced
		out, err = s.joined(ctx, j, by)
	}
	if err != nil {
		return out, s.failed(ctx, j.event, over(err))
	}
	return out, nil
}

// justShown says that the same hardware was registered since somebody looked for
// it.
func justShown(err error) bool {
	return errors.Is(err, idp.Conflict) && idp.AsError(err).Reason == "mac_hardware"
}

// tell puts what the Mac says that it is into the record: administrators look
// there for the one that stopped.
func (j *joining) tell() {
	for name, value := range map[string]string{"name": clip(j.said.Name), "serial": mac.CleanSerial(j.said.Serial)} {
		if value != "" {
			j.event.Detail[name] = value
		}
	}
}

// holdsKeys makes sure that the request is fresh and for us, and that who made it
// holds both keys (security.md PSO01).
func (s *Server) holdsKeys(ctx context.Context, j *joining) error {
	if err := j.message.Read(&j.said); err != nil {
		return malformed("claims_malformed", "%w", err)
	}
	var err error
	if j.signing, err = key("signing_key", j.said.SigningKey); err != nil {
		return err
	}
	if err := signedBy(j.message, j.signing); err != nil {
		return err
	}
	if err := s.claimed(j.asked, j.said.Signed); err != nil {
		return err
	}
	if j.nonce, err = s.opened(ctx, j.tenant.ID, j.said.RequestNonce); err != nil {
		return err
	}
	if err := s.spent(ctx, j.nonce); err != nil {
		return err
	}
	if j.encryption, err = key("encryption_key", j.said.EncryptionKey); err != nil {
		return err
	}
	if j.encryption.id == j.signing.id {
		return malformed("shared_device_key", "signing key and encryption key are one")
	}
	if err := s.decrypts(ctx, j.tenant.ID, j.encryption, j.said.RequestNonce, j.said.EncryptionProof); err != nil {
		return err
	}
	p, err := s.cfg.Policies.Get(ctx, j.tenant.ID)
	if err != nil {
		return err
	}
	j.rules = p.Devices
	j.shown = s.attest(j.rules, j.said.Attestation, j.said.RequestNonce, j.signing, j.encryption)
	if j.shown.fault != "" {
		j.event.Detail["attestation"] = clip(j.shown.fault)
	}
	return nil
}

// registered is the Mac of the tenant that has both keys already; its Device is
// empty when there is none. One of the two alone is another Mac's.
func (s *Server) registered(ctx context.Context, j joining) (mac.Mac, error) {
	m, _, err := s.cfg.Macs.ByKid(ctx, j.tenant.ID, mac.Signing, mac.KeyID(j.signing.id))
	if errors.Is(err, idp.NotFound) {
		return mac.Mac{}, nil // that a key is registered elsewhere, the register of devices says
	}
	if err != nil {
		return mac.Mac{}, err
	}
	if _, ok := m.Find(mac.Encryption, mac.KeyID(j.encryption.id)); !ok {
		return mac.Mac{}, errRegistered("encryption key of device %s is another one", m.Device)
	}
	return m, nil
}

func errRegistered(format string, args ...any) error {
	return idp.Conflictf("key_registered", format, args...).Say("This key is registered already. Make a new one.")
}

// repeated answers a registration whose answer was lost: both keys speak for the
// Mac that has them, and no token is needed, which may be used up. What it gains
// is an attestation.
func (s *Server) repeated(ctx context.Context, j joining, m mac.Mac) (pssowire.Registered, error) {
	d, err := s.cfg.Devices.Get(ctx, j.tenant.ID, m.Device)
	if errors.Is(err, idp.NotFound) {
		return pssowire.Registered{}, deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	}
	if err != nil {
		return pssowire.Registered{}, err
	}
	signer, _ := m.Find(mac.Signing, mac.KeyID(j.signing.id))
	q := signed{asked: j.asked, mac: m, signer: signer, device: d, event: s.eventOf(j.asked, "device.join", d)}
	q.event.Detail["repeated"] = "true"
	if err := s.usable(q, true); err != nil {
		return pssowire.Registered{}, s.refused(ctx, q, err)
	}
	gains := j.shown.good && (d.Assurance != device.Attested || !d.Pending.IsZero())
	if gains && !d.Pending.IsZero() && m.Source == mac.ByToken {
		if gains, err = s.tokenOf(ctx, j, m); err != nil {
			return pssowire.Registered{}, err
		}
		if !gains {
			q.event.Detail["attestation"] = sayUnshown
		}
	}
	q.decides = gains
	err = s.commit(ctx, q, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		if !gains {
			return nil
		}
		e.Detail["assurance"] = string(device.Attested)
		return s.prove(ctx, tx, j, d)
	})
	if err != nil {
		return pssowire.Registered{}, err
	}
	if gains {
		d.Assurance, d.Enabled, d.Pending = device.Attested, true, time.Time{}
	}
	out, err := s.registeredAs(ctx, j.tenant, d, j.signing, j.encryption)
	out.Repeated = true
	return out, err
}

// sayUnshown is in the record of a good attestation that makes no Mac active: its
// token is for one, and it does not show that it is that.
const sayUnshown = "it does not show the serial number that the token is for"

// shows says whether an attestation shows the Mac that a token is for.
func (a attestation) shows(t mac.Token) bool {
	return t.Serial == "" || mac.CleanSerial(a.Serial) == t.Serial
}

// tokenOf asks whether an attestation that comes later makes a Mac active, which
// the token that brought it would have had to allow.
func (s *Server) tokenOf(ctx context.Context, j joining, m mac.Mac) (bool, error) {
	t, err := s.cfg.Macs.Tokens.Get(ctx, s.cfg.DB, m.Tenant, m.Token)
	if errors.Is(err, idp.NotFound) { // gone with its person
		return false, nil
	}
	return err == nil && j.shown.shows(t), err
}

// prove notes that a Mac has shown its keys later than it was registered.
func (s *Server) prove(ctx context.Context, tx *sqldb.Tx, j joining, d device.Device) error {
	var serial, udid string
	if j.shown.Known() {
		serial, udid = j.shown.Serial, j.shown.UDID
	}
	err := s.cfg.Macs.Prove(ctx, tx, d.Tenant, d.ID, serial, udid, mac.KeyID(j.signing.id), mac.KeyID(j.encryption.id))
	if err == nil {
		err = s.cfg.Devices.SetAttested(ctx, tx, d.Tenant, d.ID)
	}
	if errors.Is(err, idp.NotFound) { // gone meanwhile, or with other keys
		err = deviceFault(idp.Unproven, codeDevice, "device_unknown", sayDevice, "%w", err)
	}
	return err
}

// authority is by what a Mac may be registered: a person's access token, or a
// registration token.
type authority struct {
	person *enrol.Access
	token  mac.Token
	owner  idp.User // whose it will be; may be nobody, with a token
	quota  int
	serial string // with which the token was found
}

func (b authority) source() mac.Source {
	if b.person != nil {
		return mac.ByPerson
	}
	return mac.ByToken
}

// authorised says by what a Mac may be registered, in exactly one of two ways.
func (s *Server) authorised(r *http.Request, j *joining) (authority, error) {
	ctx := r.Context()
	bearer := len(r.Header.Values("Authorization")) > 0
	switch {
	case bearer && j.said.RegistrationToken != "":
		return authority{}, malformed("token_twice", "an access token beside a registration token")
	case j.said.RegistrationToken != "":
		return s.byToken(ctx, j)
	}
	a, err := s.bearer(r, j.asked, j.said.TokenHash, &j.event)
	if err != nil {
		return authority{}, err
	}
	if err := a.MayJoin(s.cfg.Now()); err != nil {
		return authority{}, err
	}
	return authority{person: &a, owner: a.Person, quota: a.Rules.Devices.Quota}, nil
}

// bearer verifies the access token of a request: it is of this tenant, and the
// request was made with it.
func (s *Server) bearer(r *http.Request, a asked, hash string, event *audit.Event) (enrol.Access, error) {
	access, err := s.gate.Authorise(r)
	if err != nil {
		return access, err
	}
	if access.Tenant != a.tenant.ID {
		return access, enrol.BadToken("token_tenant", "token of %s", access.Tenant)
	}
	event.User, event.UserName, event.Actor = access.Person.ID, access.Person.Name, string(access.Person.ID)
	event.Session = access.Session
	presented, _ := enrol.Presented(r)
	return access, tokenHash(hash, presented)
}

// byToken judges a registration token. It brings a Mac, not a person: that person
// for whom it was issued has to be one who may join, all the same.
func (s *Server) byToken(ctx context.Context, j *joining) (authority, error) {
	b := authority{serial: j.said.Serial}
	if j.shown.good && j.shown.Serial != "" {
		b.serial = j.shown.Serial // what is shown counts, not what is said
	}
	if err := tokenHash(j.said.TokenHash, j.said.RegistrationToken); err != nil {
		return b, err
	}
	var err error
	if b.token, err = s.cfg.Macs.Tokens.Find(ctx, j.tenant.ID, j.said.RegistrationToken, b.serial); err != nil {
		return b, err
	}
	j.event.Detail["token"] = string(b.token.ID)
	b.quota = j.rules.Quota
	if b.token.For == "" {
		return b, nil
	}
	if b.owner, err = s.cfg.Directory.User(ctx, s.cfg.DB, j.tenant.ID, b.token.For); err != nil {
		return b, err
	}
	j.event.User, j.event.UserName = b.owner.ID, b.owner.Name
	p, who, err := s.cfg.Policies.For(ctx, j.tenant.ID, b.owner)
	if err != nil {
		return b, err
	}
	return b, refusedJoin(p.Join(who))
}

// refusedJoin is policy's no as an error.
func refusedJoin(no policy.Refusal) error {
	if no.Allowed() {
		return nil
	}
	return idp.Deniedf(no.Reason, "rule %s", no.Rule).Coded(no.Code).Say(enrol.SayJoin(no.Reason))
}

// joined writes the registration, in the place of the one that the same hardware
// has, if it shows that it is that.
func (s *Server) joined(ctx context.Context, j joining, by authority) (pssowire.Registered, error) {
	old, err := s.before(ctx, j, by)
	if err != nil {
		return pssowire.Registered{}, err
	}
	c := s.candidate(j, by)
	d, _, err := s.cfg.Devices.Prepare(ctx, c)
	if err != nil {
		return pssowire.Registered{}, err
	}
	if !c.Pending.IsZero() && j.shown.good {
		j.event.Detail["attestation"] = sayUnshown
	}
	err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := s.settleJoin(ctx, tx, j, by, c, d, old)
		if err == nil {
			d = now
		}
		return err
	})
	if err != nil {
		return pssowire.Registered{}, err
	}
	out, err := s.registeredAs(ctx, j.tenant, d, j.signing, j.encryption)
	out.Replaced = string(old.Device)
	return out, err
}

// candidate is the device that a Mac becomes.
func (s *Server) candidate(j joining, by authority) device.Candidate {
	c := device.Candidate{
		Tenant: j.tenant.ID, Name: j.said.Name, OS: mac.OS, OSVersion: j.said.OSVersion, Join: device.Joined, Owner: by.owner.ID,
		Assurance: device.Unattested, Key: j.signing.public, Transport: j.encryption.public, Quota: by.quota,
	}
	if by.person != nil {
		c.By = by.person.Family
	}
	switch now := s.cfg.Now(); {
	case j.shown.good && (by.person != nil || j.shown.shows(by.token)):
		c.Assurance = device.Attested
	case j.shown.good: // the keys are what they should be, in some Mac or other
		c.Assurance, c.Pending = device.Attested, now.Add(takenWithin)
	case by.person == nil:
		c.Pending = now.Add(takenWithin)
	case mustAttest(j.rules):
		c.Pending = now.Add(attestWithin)
	}
	return c
}

// before finds what the same hardware is registered as: attestations of both
// say that it is the same. What a person registered, a token does not take away.
func (s *Server) before(ctx context.Context, j joining, by authority) (mac.Mac, error) {
	if !j.shown.good || !j.shown.Known() {
		return mac.Mac{}, nil
	}
	all, err := s.cfg.Macs.OfSerial(ctx, s.cfg.DB, j.tenant.ID, j.shown.Serial)
	if err != nil {
		return mac.Mac{}, err
	}
	for _, m := range all {
		if !m.Proven || m.UDID != mac.CleanSerial(j.shown.UDID) {
			continue
		}
		if m.Source == mac.ByPerson && by.source() == mac.ByToken {
			return m, idp.Deniedf("weaker_proof", "device %s was registered by a person", m.Device).Coded(policy.CodeJoin).
				Say("A person registered this Mac. It can be registered anew only by a person.")
		}
		d, err := s.cfg.Devices.Get(ctx, j.tenant.ID, m.Device)
		if err == nil {
			err = replaceable(d)
		}
		return m, err
	}
	return mac.Mac{}, nil
}

// replaceable refuses to replace what somebody has switched off.
func replaceable(d device.Device) error {
	if d.Enabled || !d.Pending.IsZero() {
		return nil
	}
	return deviceFault(idp.Denied, codeDeviceOff, "device_disabled", "The Mac is switched off. Ask the help desk.", "device %s", d.ID)
}

// settleJoin writes a Mac, and with it that its nonce and its token are used.
func (s *Server) settleJoin(ctx context.Context, tx *sqldb.Tx, j joining, by authority, c device.Candidate, d device.Device, old mac.Mac) (device.Device, error) {
	if by.owner.ID != "" {
		person, err := s.cfg.Directory.User(ctx, tx, j.tenant.ID, by.owner.ID)
		if err != nil {
			return d, err
		}
		if !person.Enabled {
			return d, idp.Deniedf("user_disabled", "user %s", person.ID).Coded(policy.CodeUserDisabled).Say(enrol.SayJoin("user_disabled"))
		}
	}
	if err := nonce.Burn(ctx, tx, j.nonce); err != nil {
		return d, err
	}
	reg := mac.Registration{
		Tenant: d.Tenant, Device: d.ID, Signing: mac.NewKey{Public: j.signing.public, Attested: j.shown.good},
		Encryption: mac.NewKey{Public: j.encryption.public, Attested: j.shown.good},
		Serial:     j.said.Serial, UDID: j.said.UDID, Source: by.source(), Token: by.token.ID,
	}
	if j.shown.good && j.shown.Known() {
		reg.Serial, reg.UDID, reg.Proven = j.shown.Serial, j.shown.UDID, true
	}
	d, err := s.put(ctx, tx, by, c, d, old, reg)
	if err != nil {
		return d, err
	}
	if err := s.used(ctx, tx, by, d.ID); err != nil {
		return d, err
	}
	return d, s.recordJoin(ctx, tx, j, by, d, old)
}

// used takes the one use of what a Mac was registered by.
func (s *Server) used(ctx context.Context, tx *sqldb.Tx, by authority, d idp.DeviceID) error {
	if by.person == nil {
		return s.cfg.Macs.Tokens.Use(ctx, tx, by.token, d, by.serial)
	}
	if err := by.person.Burn(ctx, tx); err != nil {
		return err
	}
	return s.gate.Joined(ctx, tx, *by.person, d)
}

// put writes the Mac as a new device, or as the one that it was: then its keys
// are others at once, and what stood on the old ones ends. Whom it belonged to,
// it still does; that another person joins it, or that a token for another one
// brings it, makes another device of it.
func (s *Server) put(ctx context.Context, tx *sqldb.Tx, by authority, c device.Candidate, d device.Device, old mac.Mac, reg mac.Registration) (device.Device, error) {
	if old.Device != "" {
		if err := s.cfg.Macs.Hold(ctx, tx, d.Tenant, old.Device); err != nil {
			return d, err
		}
		was, err := s.cfg.Devices.Load(ctx, tx, d.Tenant, old.Device)
		if err == nil {
			err = replaceable(was)
		}
		switch {
		case err != nil:
			return d, err
		case by.owner.ID == "" || was.Owner == by.owner.ID:
			reg.Device = old.Device
			if _, err := s.cfg.Macs.Replace(ctx, tx, reg); err != nil {
				return d, err
			}
			if err := s.cfg.Devices.SetAttested(ctx, tx, d.Tenant, old.Device); err != nil {
				return d, err
			}
			return s.cfg.Devices.Load(ctx, tx, d.Tenant, old.Device)
		}
		if err := s.cfg.Devices.Remove(ctx, tx, d.Tenant, old.Device); err != nil {
			return d, err
		}
	}
	if err := s.cfg.Devices.Add(ctx, tx, d, c); err != nil {
		return d, err
	}
	_, err := s.cfg.Macs.Add(ctx, tx, reg)
	return d, err
}

// recordJoin writes the record of a join, and that of the token that it used.
func (s *Server) recordJoin(ctx context.Context, tx *sqldb.Tx, j joining, by authority, d device.Device, old mac.Mac) error {
	e := j.event
	e.Outcome, e.Detail = audit.Success, cloned(j.event.Detail)
	for name, value := range map[string]string{
		signin.DetailDevice: string(d.ID), "name": d.Name, "join": string(d.Join), "assurance": string(d.Assurance), "by": string(by.source()),
		"serial": mac.CleanSerial(j.said.Serial),
	} {
		if value != "" {
			e.Detail[name] = value
		}
	}
	if old.Device != "" {
		e.Detail["replaced"] = string(old.Device)
	}
	if !d.Pending.IsZero() {
		e.Detail["pending"] = "true"
	}
	if err := s.cfg.Audit.Write(ctx, tx, e); err != nil || by.person != nil {
		return err
	}
	e.Activity, e.Detail = "mac.token.use", map[string]string{"token": string(by.token.ID), signin.DetailDevice: string(d.ID)}
	return s.cfg.Audit.Write(ctx, tx, e)
}

// registeredAs is the answer about a Mac with those keys.
func (s *Server) registeredAs(ctx context.Context, t idp.Tenant, d device.Device, signing, encryption publicKey) (pssowire.Registered, error) {
	out := pssowire.Registered{
		DeviceID: string(d.ID), KeyID: signing.id.String(), EncryptionKeyID: encryption.id.String(), Assurance: string(d.Assurance),
	}
	if !d.Pending.IsZero() {
		out.Pending, out.PendingUntil = true, d.Pending.Unix()
	}
	var err error
	out.Configuration, err = s.configuration(ctx, t)
	return out, err
}
