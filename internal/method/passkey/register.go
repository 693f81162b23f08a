package passkey

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// BeginRegister makes the options of a registration (WebAuthn Level 3, §7.1
// steps 1 and 2) for a person the corridor knows. Denied "passkey_limit" when
// that person holds as many as the tenant allows.
func (m *Room) BeginRegister(ctx context.Context, r method.Request) (method.Challenge, error) {
	if !r.User.Known() {
		return method.Challenge{}, idp.Invalidf("user_missing", "registration for nobody")
	}
	rules, err := m.rules(ctx, r.Tenant)
	if err != nil {
		return method.Challenge{}, err
	}
	wishes, err := m.cfg.Wishes(ctx, r.User)
	if err != nil {
		return method.Challenge{}, err
	}
	held, err := listOf(ctx, m.db, r.Tenant, r.User.ID)
	if err != nil {
		return method.Challenge{}, err
	}
	if len(held) >= rules.limit {
		return method.Challenge{}, atLimit(r.User.ID, rules.limit)
	}
	k := keep{Purpose: purposeRegister, Challenge: secret.Bytes(32), User: r.User.ID}
	if k.Handle, err = handleOf(ctx, m.db, r.Tenant, r.User.ID); err != nil {
		return method.Challenge{}, err
	}
	if k.Handle == nil {
		// Stored by the Settle of the registration, since nothing is written yet.
		k.Handle = secret.Bytes(64)
	}
	show, err := encode(showCreation{
		PublicKey: m.creation(r.User, k, wishes, held),
		Holding:   rules.holding(len(held)),
		Signal:    m.signal(r.User, k.Handle, held),
	})
	return method.Challenge{Show: show, Keep: k.bytes(), Lives: lives}, err
}

func (m *Room) creation(user idp.User, k keep, w policy.Wishes, held []listing) creationOptions {
	o := creationOptions{
		RP:                     entity{ID: m.site.rpID, Name: m.cfg.RPName},
		User:                   userEntity{ID: k.Handle, Name: cleanName(user.Name), DisplayName: cleanName(user.DisplayName)},
		Challenge:              k.Challenge,
		PubKeyCredParams:       parameters(),
		Timeout:                lives.Milliseconds(),
		ExcludeCredentials:     descriptors(held),
		AuthenticatorSelection: selection{ResidentKey: "required", RequireResidentKey: true, UserVerification: "required"},
		Hints:                  hints(w),
		Attestation:            "none",
		Extensions:             map[string]any{"credProps": true},
	}
	if w.Statement {
		o.Attestation = "direct"
	}
	return o
}

// FinishRegister judges a registration. Its errors are Unproven; whether the
// key is one that policy admits is the corridor's to ask. Settle is Denied "passkey_limit" or
// Conflict "credential_exists" when somebody else was faster.
func (m *Room) FinishRegister(ctx context.Context, a method.Answer) (method.Registration, error) {
	k, fault := parseKeep(a.Keep, purposeRegister)
	if fault != nil {
		return method.Registration{}, fault
	}
	if k.Purpose == purposeOnce {
		return method.Registration{}, idp.Unprovenf("wrong_ceremony", "a nonce does not begin a registration on a page")
	}
	return m.register(ctx, a, k)
}

// RegisterOnce judges a registration that comes in one message. Its Keep is
// one of BeginRegister, or one of KeepFrom for a person who has a user handle
// already: the authenticator was given one, and the server must know which.
func (m *Room) RegisterOnce(ctx context.Context, a method.Answer) (method.Registration, error) {
	k, fault := parseKeep(a.Keep, purposeRegister)
	if fault != nil {
		return method.Registration{}, fault
	}
	if k.Purpose == purposeOnce {
		h, err := handleOf(ctx, m.db, a.Tenant, a.User.ID)
		if err != nil {
			return method.Registration{}, err
		}
		k.User, k.Handle = a.User.ID, h
	}
	return m.register(ctx, a, k)
}

func (m *Room) register(ctx context.Context, a method.Answer, k keep) (method.Registration, error) {
	// The ceremony's person is the one who answers it (§2.1 of the spec on
	// passkeys: user A's challenge in user B's session is worth nothing).
	if !a.User.Known() || a.User.ID != k.User {
		return method.Registration{}, idp.Unprovenf("other_user", "ceremony of %q, answered by %q", k.User, a.User.ID)
	}
	if len(k.Handle) == 0 {
		return method.Registration{}, idp.Unprovenf("user_handle_missing", "no user handle for %s", k.User)
	}
	ans, err := parseAttestation(a.Payload)
	if err != nil {
		return method.Registration{}, idp.Unprovenf("payload_malformed", "registration: %w", err)
	}
	rules, err := m.rules(ctx, a.Tenant)
	if err != nil {
		return method.Registration{}, err
	}
	f, fault := judgeNew(m.site, k, ans, m.cfg.Models, a.Now)
	if fault != nil {
		return method.Registration{}, fault
	}
	marks, err := m.cfg.Mark(ctx)
	if err != nil {
		return method.Registration{}, err
	}
	f.tenant, f.created, f.limit, f.decoy = a.Tenant, a.Now, rules.limit, marked(marks, ans.id)
	if f.name == "" {
		if f.name, err = m.suggestFor(ctx, a.Tenant, f); err != nil {
			return method.Registration{}, err
		}
	}
	if err := m.backed(ctx, nil, a.Tenant, &f.row); err != nil {
		return method.Registration{}, err
	}
	f.bound = f.platform != ""
	c := m.credential(listing{row: f.row, tenant: f.tenant, transports: f.transports, created: f.created})
	c.Facts.Statement = f.statement
	return method.Registration{
		Credential: c,
		Settle: func(ctx context.Context, tx *sqldb.Tx) error {
			if err := m.stillBacked(ctx, tx, f.tenant, f.row); err != nil {
				return err
			}
			return insert(ctx, tx, f)
		},
	}, nil
}

func (m *Room) suggestFor(ctx context.Context, tenant idp.TenantID, f fresh) (string, error) {
	held, err := listOf(ctx, m.db, tenant, f.user)
	if err != nil {
		return "", err
	}
	taken := make([]string, len(held))
	for i, l := range held {
		taken[i] = l.name
	}
	return suggest(m.cfg.Models.Name(f.aaguid), f.transports, taken), nil
}

// judgeNew follows WebAuthn Level 3, §7.1 from step 5 on. Steps 3 and 4 are in
// parseAttestation, 26 and 27 in insert. It is pure but for the library's look
// at the clock when it checks the validity of attestation certificates.
func judgeNew(s site, k keep, ans answer, models Models, now time.Time) (fresh, *idp.Error) {
	// Steps 5 to 11.
	client, fault := parseClientData(ans.clientData)
	if fault != nil {
		return fresh{}, fault
	}
	if fault := client.judge(s, typeCreate, k.Challenge); fault != nil {
		return fresh{}, fault
	}
	// Steps 12 and 13; step 25, the length of the id, comes with parsing.
	object, data, fault := parseObject(ans.attestationObject)
	if fault != nil {
		return fresh{}, fault
	}
	if !slices.Equal(data.id, ans.id) {
		return fresh{}, idp.Unprovenf("credential_id_mismatch", "the id outside is not the one the key made")
	}
	// Steps 14 to 17. Presence is demanded in every mediation (step 15):
	// nothing here is created behind a person's back.
	if fault := data.judge(s); fault != nil {
		return fresh{}, fault
	}
	// Step 20.
	key, fault := judgeKey(data.keyWire)
	if fault != nil {
		return fresh{}, fault
	}
	// Steps 21 to 23.
	st, fault := judgeStatement(object, ans.clientData, models, now)
	if fault != nil {
		return fresh{}, fault
	}
	// Steps 18, 19 and 24 are the tenant's rules: policy judges by the facts.
	model := guid(data.aaguid)
	print, err := printOf(model, key)
	if err != nil {
		return fresh{}, idp.Unprovenf("key_malformed", "%w", err)
	}
	// Step 28: the one output we asked for.
	rk, fault := judgeProps(ans.credProps)
	if fault != nil {
		return fresh{}, fault
	}
	return fresh{
		row: row{
			id: ans.credentialID(), user: k.User, handle: k.Handle, key: data.keyWire, alg: key.alg,
			count: data.count, aaguid: model, attested: st.anchored, be: data.backupEligible(),
			name: cleanName(ans.name), print: print,
		},
		bs: data.backedUp(), rk: rk, attestation: st.format, trust: st.trust, statement: statementOf(st),
		object: ans.attestationObject, clientData: ans.clientData, transports: ans.transports,
	}, nil
}

// judgeKey is §7.1 step 20, and WAN03: an algorithm that was offered, a key
// that agrees with it and is encoded in the one way there is.
func judgeKey(wire []byte) (publicKey, *idp.Error) {
	alg, err := keyAlg(wire)
	if err != nil {
		return publicKey{}, idp.Unprovenf("key_malformed", "%w", err)
	}
	if !slices.Contains(offered, alg) {
		return publicKey{}, idp.Unprovenf("algorithm_not_offered", "algorithm %d", alg)
	}
	key, err := parseNewKey(wire)
	if err != nil {
		return publicKey{}, idp.Unprovenf("key_malformed", "%w", err)
	}
	return key, nil
}

// judgeProps is §7.1 step 28. A key that says it is not discoverable would be
// of no use: nobody types a name here. Silence is no proof of either.
func judgeProps(raw json.RawMessage) (string, *idp.Error) {
	if raw == nil {
		return "", nil
	}
	var props struct {
		RK *bool `json:"rk"`
	}
	if err := web.Strict(raw, &props); err != nil {
		return "", idp.Unprovenf("extension_malformed", "credProps: %w", err)
	}
	switch {
	case props.RK == nil:
		return "", nil
	case *props.RK:
		return "yes", nil
	}
	return "", idp.Unprovenf("not_discoverable", "credProps.rk is false")
}
