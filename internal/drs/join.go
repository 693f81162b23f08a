package drs

import (
	"context"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/enrol"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// versions are those of the API that published clients speak (device-protocol.md
// §5.1). They differ in what bodies may hold, and we read all; but only version3
// lets a request be signed by a P-256 key, as those of before never are.
var versions = []string{"1.0", "2.0", version3}

const version3 = "3.0"

// joinReply is the answer to a join.
type joinReply struct {
	Certificate struct{ Thumbprint, RawBody string }
	User        struct{ Upn string }
	// MembershipChanges tells a machine whom to make its administrator.
	MembershipChanges []membership
	Attestation       *attestationReply `json:",omitempty"`
}

type membership struct {
	LocalSID string
	AddSIDs  []string
}

// join registers a device: verify everything, then one transaction. What is
// wrong changes nothing.
func (s *Server) join(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	event := audit.Event{Category: audit.Change, Activity: "device.join", IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(ctx)}
	a, err := s.gate.Authorise(r)
	if err != nil {
		return s.turnedAway(ctx, r, event, err)
	}
	event.Tenant, event.User, event.UserName, event.Actor = a.Tenant, a.Person.ID, a.Person.Name, string(a.Person.ID)
	event.Client, event.Session = a.Client, a.Session
	reply, err := s.joined(ctx, w, r, a, event)
	if err != nil {
		return s.failed(ctx, event, err)
	}
	return web.JSON(w, http.StatusOK, reply)
}

func (s *Server) joined(ctx context.Context, w http.ResponseWriter, r *http.Request, a enrol.Access, event audit.Event) (*joinReply, error) {
	version := r.URL.Query().Get("api-version")
	if !slices.Contains(versions, version) {
		return nil, malformed("api-version", "version %.20q", version)
	}
	now := s.cfg.Now()
	if err := a.MayJoin(now); err != nil {
		return nil, err
	}
	var asked joinRequest
	if err := body(w, r, &asked); err != nil {
		return nil, err
	}
	j, err := asked.read(version)
	if err != nil {
		return nil, err
	}
	shown, err := s.shown(ctx, a, j)
	if err != nil {
		return nil, err
	}
	c := s.candidate(a, j, shown, now)
	d, der, err := s.cfg.Devices.Prepare(ctx, c)
	if err != nil {
		return nil, coded(err)
	}
	challenge, err := s.challenge(ctx, d, shown)
	if err != nil {
		return nil, err
	}
	err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return s.settle(ctx, tx, a, d, c, shown, event)
	})
	if err != nil {
		return nil, err
	}
	return answer(a, d, der, shown, challenge), nil
}

// attestWithin is how long a device may take to be attested that has to be.
const attestWithin = 10 * time.Minute

func (s *Server) candidate(a enrol.Access, j joining, shown shown, now time.Time) device.Candidate {
	c := device.Candidate{
		Tenant: a.Tenant, Name: j.name, OS: j.os, OSVersion: j.ver, Join: j.join, Owner: a.Person.ID,
		Assurance: shown.assurance, Software: j.software, Key: j.key, Transport: j.transport,
		By: a.Family, Quota: a.Rules.Devices.Quota, Shared: a.Rules.Devices.Compat.SharedDeviceKey,
	}
	if required(a.Rules.Devices) {
		c.Pending = now.Add(attestWithin)
	}
	return c
}

// settle writes a device, and with it that its token and its nonce are used.
func (s *Server) settle(ctx context.Context, tx *sqldb.Tx, a enrol.Access, d device.Device, c device.Candidate, shown shown, event audit.Event) error {
	person, err := s.cfg.Directory.User(ctx, tx, a.Tenant, a.Person.ID)
	if err != nil {
		return fmt.Errorf("owner of a device: %w", err)
	}
	if !person.Enabled {
		return idp.Deniedf("user_disabled", "user %s", person.ID).Coded(policy.CodeUserDisabled).Say(enrol.SayJoin("user_disabled"))
	}
	if err := a.Burn(ctx, tx); err != nil {
		return err
	}
	if err := shown.burn(ctx, tx); err != nil {
		return err
	}
	if err := s.cfg.Devices.Add(ctx, tx, d, c); err != nil {
		return err
	}
	if err := s.gate.Joined(ctx, tx, a, d.ID); err != nil {
		return err
	}
	event.Outcome = audit.Success
	event.Detail = map[string]string{
		"device": string(d.ID), "name": d.Name, "os": d.OS, "join": string(d.Join), "assurance": string(d.Assurance),
	}
	return s.cfg.Audit.Write(ctx, tx, event)
}

func answer(a enrol.Access, d device.Device, der []byte, shown shown, challenge *challenged) *joinReply {
	out := &joinReply{MembershipChanges: []membership{}}
	out.Certificate.Thumbprint = d.Thumbprint
	out.Certificate.RawBody = base64.StdEncoding.EncodeToString(der)
	out.User.Upn = a.Person.Name
	if d.Join == device.Joined {
		out.MembershipChanges = append(out.MembershipChanges, membership{localAdministrators, administrators(d.Owner)})
	}
	if shown.tpm {
		out.Attestation = &attestationReply{Assurance: d.Assurance, Challenge: challenge}
	}
	return out
}

// errHybrid refuses machines of a directory that we are not (decisions 4.6).
func errHybrid() error {
	return idp.Deniedf("hybrid_join", "hybrid join").Coded(codeJoin).
		Say("Devices of another directory cannot be joined here (hybrid join). Join the device itself instead.")
}

// hybrid refuses PUT.
func (s *Server) hybrid(http.ResponseWriter, *http.Request) error { return errHybrid() }
