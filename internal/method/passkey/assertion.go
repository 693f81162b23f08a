package passkey

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

// purposeElsewhere is that of an assertion over a challenge that another room
// made. It never leaves the room: what a page or a device brings as its kept
// state cannot have it, nor is an answer over such a challenge one to a
// ceremony of this room, whose challenges are its own random bytes.
const purposeElsewhere = "elsewhere"

// showAssertion is what Assertion gives.
type showAssertion struct {
	PublicKey requestOptions `json:"publicKey"`
}

// Assertion makes the options of an assertion over a challenge of another room
// (decisions 2.10), by a passkey of somebody who is proven; only is the id of
// the one that will do, or "" for any of theirs. NotFound "passkey_missing"
// when there is none.
func (m *Room) Assertion(ctx context.Context, t idp.TenantID, u idp.UserID, only idp.CredentialID, challenge []byte) (json.RawMessage, error) {
	allow, err := m.keysOf(ctx, t, u)
	if err != nil {
		return nil, err
	}
	if only != "" {
		kept := allow[:0]
		for _, d := range allow {
			if encodeID(d.ID) == only {
				kept = append(kept, d)
			}
		}
		allow = kept
	}
	if len(allow) == 0 {
		return nil, idp.NotFoundf("passkey_missing", "%s has no passkey %.40q", u, only)
	}
	return encode(showAssertion{requestOptions{
		Challenge: challenge, Timeout: lives.Milliseconds(), RPID: m.site.rpID,
		AllowCredentials: allow, UserVerification: "required",
	}})
}

// VerifyAssertion judges what a passkey said over that challenge, as Verify
// does over one of its own: of a page of ours, with the user verified, by a
// passkey that is this person's and alive, and only the one that is named when
// one is. Whether policy admits the passkey is for the caller to ask. Errors
// are Unproven with a reason; Settle may stand beside one, and is to be run.
func (m *Room) VerifyAssertion(ctx context.Context, t idp.TenantID, u idp.UserID, only idp.CredentialID, challenge, payload []byte, now time.Time) (method.Asserted, error) {
	if u == "" {
		return method.Asserted{}, idp.Unprovenf("other_user", "assertion of nobody")
	}
	k := keep{Purpose: purposeElsewhere, Challenge: challenge, User: u}
	if only != "" {
		id, err := base64.RawURLEncoding.Strict().DecodeString(string(only))
		if err != nil {
			return method.Asserted{}, idp.Unprovenf("credential_unknown", "passkey %.40q", only)
		}
		k.Allow = [][]byte{listed(id)}
	}
	ans, err := parseAssertion(payload)
	if err != nil {
		return method.Asserted{}, idp.Unprovenf("payload_malformed", "assertion: %w", err)
	}
	rules, err := m.rules(ctx, t)
	if err != nil {
		return method.Asserted{}, err
	}
	row, err := m.find(ctx, m.db, t, ans.credentialID())
	if err != nil && !errors.Is(err, idp.NotFound) {
		return method.Asserted{}, err
	}
	v, fault := m.weigh(m.site, k, row, err == nil, rules, ans, idp.User{ID: u, Tenant: t})
	if fault != nil {
		var out method.Asserted
		if v.rolledBack {
			out.Settle = m.settleRollback(t, row, now)
		}
		return out, fault
	}
	return method.Asserted{
		Credential: row.id, AuthenticatorData: ans.authData, Signature: ans.signature,
		Synced: v.be, Settle: m.settle(t, row, rules, v, now),
	}, nil
}

// Held says whether the person has this passkey and could use it now, as far
// as this room knows, and what is known of it.
func (m *Room) Held(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, id idp.CredentialID) (idp.Facts, bool, error) {
	r, err := m.find(ctx, q, t, id)
	if errors.Is(err, idp.NotFound) {
		return idp.Facts{}, false, nil
	}
	if err != nil || r.user != u || r.disabled {
		return idp.Facts{}, false, err
	}
	return m.facts(r, r.be), true, nil
}
