package platform

import (
	"context"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/userkey"
)

// Kept is how long a removed key can be restored, and an orphaned one waits to
// be deleted (decisions 2.12).
const Kept = userkey.Kept

// The marks of a stored key: the bits of its biometric policy, and this one.
const (
	markBiometric = pssowire.TouchIDOrWatchCurrentSet | pssowire.TouchIDOrWatchAny | pssowire.ReuseDuringUnlock | pssowire.PasswordFallback
	markAttested  = 256
)

// marks of a key that was made with a biometric policy.
func marks(biometric int, attested bool) int64 {
	m := int64(biometric)
	if attested {
		m |= markAttested
	}
	return m
}

// merged are the marks of a key that is registered once more. What it was made
// with does not change; that it is attested may come later.
func merged(old, again int64) int64 { return old | again&markAttested }

func attested(marks int64) bool { return marks&markAttested != 0 }

// asks says whether a key asks for a finger or a watch at every use. A policy
// of reuse or fallback alone lets the Mac's own login do.
func asks(marks int64) bool {
	return marks&(pssowire.TouchIDOrWatchCurrentSet|pssowire.TouchIDOrWatchAny) != 0
}

// credential is a key as lists have it.
func credential(k userkey.Key, d Machine, gone bool) method.Credential {
	return method.Credential{
		ID: k.ID, Tenant: k.Tenant, User: k.User, Method: ID, Name: k.Name, Mode: idp.ModeHello,
		Facts: facts(k), Properties: properties(k.Marks), Created: k.Created, LastUsed: k.LastUsed,
		Disabled: !d.Enabled, Orphaned: gone,
	}
}

// properties are what an answer of a key claims. The Mac's own login opens it,
// with a password at least, so it is two factors in one.
func properties(marks int64) []idp.Property {
	out := []idp.Property{idp.PhishingResistant, idp.Possession, idp.MultiFactor}
	if asks(marks) {
		out = append(out, idp.UserVerified)
	}
	if attested(marks) {
		out = append(out, idp.HardwareBound)
	}
	return out
}

func facts(k userkey.Key) idp.Facts {
	return idp.Facts{Device: k.Device, Attested: attested(k.Marks), Name: k.Name}
}

// Holds says which credential of a person has the public key of that print, the
// SHA-256 of its SubjectPublicKeyInfo, and could prove them now: it is not removed,
// and its Mac is there and enabled. Empty: none. It is what makes the model of a
// passkey more than a claim (decisions 5.1). tx may be nil.
func (m *Room) Holds(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, print []byte) (idp.CredentialID, error) {
	k, d, gone, err := m.keys.Held(ctx, tx, t, u, print)
	if errors.Is(err, idp.NotFound) {
		return "", nil
	}
	if err != nil || gone || !d.Enabled {
		return "", err
	}
	return k.ID, nil
}

// Shape is how keys look in the Graph-shaped API (entra-behaviours.md §2.1),
// with what that has no place for behind the others: when a key was last used,
// that its Mac is gone, and whether the key was attested.
func (m *Room) Shape() method.Shape {
	return method.Shape{
		Collection: "platformCredentialMethods", Type: "platformCredentialAuthenticationMethod",
		Fields: func(c method.Credential) map[string]any {
			level := "notAttested"
			if c.Facts.Attested {
				level = "attested"
			}
			out := map[string]any{
				"displayName": c.Name, "keyStrength": "normal", "platform": "macOS", "device": nil,
				"isOrphaned": c.Orphaned, "lastUsedDateTime": nil, "attestationLevel": level,
			}
			if !c.Orphaned {
				out["device"] = map[string]any{"id": c.Facts.Device, "deviceId": c.Facts.Device}
			}
			if !c.LastUsed.IsZero() {
				out["lastUsedDateTime"] = c.LastUsed.UTC().Format(time.RFC3339)
			}
			return out
		},
	}
}
