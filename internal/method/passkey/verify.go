package passkey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

// Verify judges an assertion. It reads one row, by credential id, and verifies
// one signature; an unknown credential costs the same. Errors are Unproven
// with a reason; whether policy admits a key that proved itself is the
// corridor's to ask. A counter that went back comes with a Settle that records it.
func (m *Room) Verify(ctx context.Context, a method.Answer) (method.Verdict, error) {
	k, fault := parseKeep(a.Keep, purposeSignIn)
	if fault != nil {
		return method.Verdict{}, fault
	}
	ans, err := parseAssertion(a.Payload)
	if err != nil {
		return method.Verdict{}, idp.Unprovenf("payload_malformed", "assertion: %w", err)
	}
	rules, err := m.rules(ctx, a.Tenant)
	if err != nil {
		return method.Verdict{}, err
	}
	row, err := m.find(ctx, m.db, a.Tenant, ans.credentialID())
	if err != nil && !errors.Is(err, idp.NotFound) {
		return method.Verdict{}, err
	}
	at, err2 := m.siteOf(ctx, a.Tenant, k, ans)
	if err2 != nil {
		return method.Verdict{}, err2
	}
	v, fault := m.weigh(at, k, row, err == nil, rules, ans, a.User)
	if fault != nil {
		return m.refused(a, row, v), fault
	}
	return method.Verdict{
		Proof:  proof(a.Tenant, row, m.facts(row, v.be), v, a.Now),
		Settle: m.settle(a.Tenant, row, rules, v, a.Now),
	}, nil
}

// weigh judges an answer whose credential has row, if it is known at all. It
// looks at one signature whatever it finds, unless the answer is refused for
// what its sender wrote into it: known or not, with or without a user handle.
func (m *Room) weigh(at site, k keep, row row, known bool, r rules, ans answer, user idp.User) (v verdict, fault *idp.Error) {
	switch {
	case !known:
		fault = idp.Unprovenf("credential_unknown", "passkey %.40s", ans.credentialID())
	case user.Known() && user.ID != row.user:
		// A ceremony that began with a known person ends with that person.
		fault = idp.Unprovenf("other_user", "passkey of %s, ceremony of %s", row.user, user.ID)
	default:
		v, fault = judge(at, k, row, r, ans)
	}
	if fault != nil && !v.tried {
		p, _ := m.pretend(at, k, ans)
		v.tried = p.tried
	}
	return v, fault
}

// siteOf is who we are to whoever made the answer: the installation, always for
// pages. In one message of a device it may also be the RP ID that the tenant
// lets desktops have besides, whole: its own origin with its own hash
// (compat.extraRelyingPartyId).
func (m *Room) siteOf(ctx context.Context, t idp.TenantID, k keep, ans answer) (site, error) {
	if k.Purpose != purposeOnce || m.cfg.ExtraRPID == nil {
		return m.site, nil
	}
	name, err := m.cfg.ExtraRPID(ctx, t)
	if err != nil || name == "" {
		return m.site, err
	}
	if c, fault := parseClientData(ans.clientData); fault != nil || c.Origin != "https://"+name {
		return m.site, nil
	}
	return site{rpID: name, idHash: sha256.Sum256([]byte(name)), origins: []string{"https://" + name}}, nil
}

// refused says for the record whose key an answer was about that is refused;
// nothing of a key that nobody has.
func (m *Room) refused(a method.Answer, row row, v verdict) method.Verdict {
	var out method.Verdict
	if row.user != "" {
		out.Proof = idp.Proof{Tenant: a.Tenant, User: row.user, Method: ID, Credential: row.id}
	}
	out.Genuine = v.signed
	if v.rolledBack {
		out.Settle = m.settleRollback(a.Tenant, row, a.Now)
	}
	return out
}

// verdict is what judge found in an assertion.
type verdict struct {
	count      uint32
	be, bs     bool
	becameBE   bool // the key may be copied now and could not before
	rolledBack bool // the counter did not grow
	tried      bool // a signature was looked at
	signed     bool // and it was the key's
}

// judge follows WebAuthn Level 3, §7.2 from step 5 on. It is pure: same input,
// same verdict. Steps 1 and 2 happen in Challenge and in the browser, 3 and 4
// in parseAssertion, 24 in settle.
func judge(s site, k keep, row row, r rules, ans answer) (verdict, *idp.Error) {
	// Step 5: with allowCredentials, one of those; a typed name that nobody
	// has was answered by decoys only, so no key fits.
	if len(k.Allow) > 0 && !k.allows(ans.id) {
		return verdict{}, idp.Unprovenf("credential_not_allowed", "passkey was not asked for")
	}
	// Step 6: the key's owner is the one we asked for, if we asked for one,
	// and the one the key says.
	if (k.Named || k.User != "") && k.User != row.user {
		return verdict{}, idp.Unprovenf("other_user", "passkey of %s, asked for %q", row.user, k.User)
	}
	if ans.userHandle == nil && k.User == "" {
		return verdict{}, idp.Unprovenf("user_handle_missing", "no user handle, and nobody was named")
	}
	if ans.userHandle != nil && subtle.ConstantTimeCompare(ans.userHandle, row.handle) != 1 {
		return verdict{}, idp.Unprovenf("user_handle_mismatch", "user handle is not its owner's")
	}
	if row.disabled {
		return verdict{}, idp.Unprovenf("credential_disabled", "passkey is disabled")
	}
	// Steps 7 to 14.
	client, fault := parseClientData(ans.clientData)
	if fault != nil {
		return verdict{}, fault
	}
	if fault := client.judge(s, typeGet, k.Challenge); fault != nil {
		return verdict{}, fault
	}
	// Steps 15 to 18. Extension outputs of the key are parsed with the rest
	// and not used (step 23).
	data, fault := parseAuthData(ans.authData)
	if fault != nil {
		return verdict{}, fault
	}
	if fault := data.judge(s); fault != nil {
		return verdict{}, fault
	}
	// Steps 20 and 21, before 19: what is not signed may change nothing.
	v := verdict{count: data.count, be: data.backupEligible(), bs: data.backedUp(), tried: true}
	if fault := judgeSignature(row.key, row.alg, ans); fault != nil {
		return v, fault
	}
	v.signed = true
	// Step 19. Real passkeys turn eligible after the fact, once (trap 6): the
	// record follows, and policy hears of it. The way back is refused: a copy
	// may be about.
	if row.be && !v.be {
		return v, idp.Unprovenf("backup_eligibility_changed", "BE was set and is not")
	}
	v.becameBE = v.be && !row.be
	// Step 22.
	v.rolledBack = rolledBack(row.count, data.count)
	if v.rolledBack && r.counterBlocks {
		return v, idp.Unprovenf("counter_rollback", "counter %d after %d", data.count, row.count)
	}
	return v, nil
}

// rolledBack says that a counter that counts did not grow: a copy of the key
// may be about (§6.1.1). Keys that do not count say 0, always.
func rolledBack(stored, presented uint32) bool {
	return (stored != 0 || presented != 0) && presented <= stored
}

func judgeSignature(cose []byte, alg int, ans answer) *idp.Error {
	key, err := parseKey(cose)
	if err != nil || key.alg != alg {
		return idp.Unprovenf("key_unusable", "stored key of algorithm %d: %w", alg, err)
	}
	hash := sha256.Sum256(ans.clientData)
	if !key.verify(slices.Concat(ans.authData, hash[:]), ans.signature) {
		return idp.Unprovenf("bad_signature", "signature does not verify")
	}
	return nil
}

// nobody stands for the person asked for and the owner alike where pretend
// judges, so that a missing user handle is no reason to stop. No row has it.
const nobody idp.UserID = "-"

// pretend does what judge does for a good credential, parse and verify, where
// there is none or judge stopped before the signature: a stranger who probes
// ids and names learns nothing from the work that was done. Callers do not use
// the result.
func (m *Room) pretend(at site, k keep, ans answer) (verdict, *idp.Error) {
	decoy := row{user: nobody, key: m.decoyKey, alg: algES256, handle: ans.userHandle, be: true}
	return judge(at, keep{Challenge: k.Challenge, User: nobody}, decoy, rules{}, ans)
}

// proof states what a judged assertion proves.
func proof(tenant idp.TenantID, row row, facts idp.Facts, v verdict, now time.Time) idp.Proof {
	p := idp.Proof{
		Tenant: tenant, User: row.user, Method: ID, Mode: idp.ModeFIDO2, Credential: row.id,
		Properties: properties(row.attested, v.be),
		// RFC 8176, §2: "user" is a test of presence, "hwk" a key that
		// hardware holds. "swk" would be a claim we cannot know.
		AMR:   []string{"fido", "mfa", "user"},
		Facts: facts,
		Time:  now,
	}
	if p.Has(idp.HardwareBound) {
		p.AMR = append(p.AMR, "hwk")
	}
	return p
}

// properties are what an answer of a passkey claims: that hardware holds it
// only when the model is proven and the key cannot be copied.
func properties(attested, synced bool) []idp.Property {
	claims := []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor}
	if attested && !synced {
		claims = append(claims, idp.HardwareBound)
	}
	return claims
}

// settle is §7.2 step 24: one conditional update that compares the counter
// again, so that of two copies answering at once one loses (T35).
func (m *Room) settle(tenant idp.TenantID, row row, r rules, v verdict, now time.Time) method.Settle {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		if err := m.stillBacked(ctx, tx, tenant, row); err != nil {
			return err
		}
		if !v.rolledBack {
			ok, err := touch(ctx, tx, tenant, row.id, row.user, v, now)
			if err != nil {
				return err
			}
			if ok {
				return m.noteBE(ctx, tx, tenant, row, v, now)
			}
			// Somebody was faster, or the key is gone.
			if r.counterBlocks {
				return lost(ctx, tx, tenant, row)
			}
		}
		ok, err := touchRolledBack(ctx, tx, tenant, row.id, row.user, v, now)
		if err != nil {
			return err
		}
		if !ok {
			return gone(row)
		}
		if err := m.noteBE(ctx, tx, tenant, row, v, now); err != nil {
			return err
		}
		return m.note(ctx, tx, tenant, row, "passkey.counter", "success", "counter_rollback", now)
	}
}

// settleRollback records on the row that a counter went back; the audit record
// of the refusal is the corridor's.
func (m *Room) settleRollback(tenant idp.TenantID, row row, now time.Time) method.Settle {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		return flagClone(ctx, tx, tenant, row.id, now)
	}
}

func (m *Room) noteBE(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, row row, v verdict, now time.Time) error {
	if !v.becameBE {
		return nil
	}
	return m.note(ctx, tx, tenant, row, "passkey.synced", "success", "backup_eligibility_changed", now)
}

func lost(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, row row) error {
	_, err := find(ctx, tx, tenant, row.id)
	if errors.Is(err, idp.NotFound) {
		return gone(row)
	}
	if err != nil {
		return err
	}
	return idp.Unprovenf("counter_rollback", "counter of passkey %.40s was used meanwhile", row.id)
}

func gone(row row) error {
	return idp.Unprovenf("credential_gone", "passkey %.40s was removed meanwhile", row.id)
}
