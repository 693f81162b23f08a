package phone

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
)

// Where messages for a phone go is enough to send it others, and says who makes
// the phone's system: it is kept sealed, to the phone that it is of.

func targetAAD(t idp.TenantID, id idp.CredentialID) []byte {
	return []byte("phone push\x00" + string(t) + "\x00" + string(id))
}

func sealTarget(key *secret.Key, t idp.TenantID, id idp.CredentialID, to push.Target) ([]byte, error) {
	plain, err := json.Marshal(to)
	if err != nil {
		return nil, fmt.Errorf("encode target of %s: %w", id, err)
	}
	return key.Seal(plain, targetAAD(t, id)), nil
}

// ref names this target of the phone. One that is stored anew has another mark,
// be it the same: then the next message says whether it is gone.
func (p phoneRow) ref() push.Ref {
	return push.Ref{Tenant: p.tenant, Phone: p.id, Mark: base64.RawURLEncoding.EncodeToString(secret.Digest(string(p.push)))}
}

// target opens what sealTarget made; ok is false for a phone that has none.
func (p phoneRow) target(key *secret.Key) (to push.Target, ok bool, err error) {
	if p.pushKind == "" {
		return push.Target{}, false, nil
	}
	plain, err := key.Open(p.push, targetAAD(p.tenant, p.id))
	if err != nil {
		return push.Target{}, false, fmt.Errorf("open target of %s: %w", p.id, err)
	}
	if err := json.Unmarshal(plain, &to); err != nil {
		return push.Target{}, false, fmt.Errorf("decode target of %s: %w", p.id, err)
	}
	return to, true, nil
}
