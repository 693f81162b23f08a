package passkey_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

const (
	rpID   = "id.nordhafen.example"
	origin = "https://id.nordhafen.example"
)

func roomIn(t testing.TB, h *signintest.House, change ...func(*passkey.Config)) *passkey.Room {
	t.Helper()
	c := passkey.Config{
		DB: h.DB, RPID: rpID, RPName: "Nordhafen", Origins: []string{origin},
		Rules: func(ctx context.Context, tenant idp.TenantID) (policy.PasskeyRules, error) {
			p, err := h.Policies.Get(ctx, tenant)
			return p.Passkey, err
		},
		Wishes: func(ctx context.Context, u idp.User) (policy.Wishes, error) {
			p, who, err := h.Policies.For(ctx, u.Tenant, u)
			return p.Wishes(who), err
		},
		Secret: func(ctx context.Context, tenant idp.TenantID) (*secret.Key, error) {
			return h.Key(ctx, tenant, "passkey")
		},
		Mark: func(ctx context.Context) (*secret.Key, error) { return h.Key(ctx, nonce.CommonScope, "passkey mark") },
		Fold: directory.Fold,
		User: func(ctx context.Context, tenant idp.TenantID, id idp.UserID) (idp.User, error) {
			return h.Directory.User(ctx, h.DB, tenant, id)
		},
		UserByName: h.UserByName,
		Models:     metadata.New(metadata.Config{Now: time.Now}),
		Audit:      h.Audit.Write,
	}
	for _, fn := range change {
		fn(&c)
	}
	room, err := passkey.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// TestBattery runs what every room runs, through the real corridor.
func TestBattery(t *testing.T) {
	signintest.Run(t, []fs.FS{passkey.Migrations}, func(t testing.TB, h *signintest.House) signintest.Room {
		room := roomIn(t, h)
		return signintest.Room{
			Method: room,
			Flip:   flipSigned,
			Enrol: func(t testing.TB, u idp.User) signintest.Held {
				t.Helper()
				d := passkeytest.New(rpID, origin)
				// Asked or not: a thief has no manners.
				d.Choose = func(held []passkeytest.Held) string { return held[0].ID }
				wrong := enrol(t, h, room, u, d)
				return signintest.Held{
					ID:     idp.CredentialID(d.Held()[0].ID),
					Answer: getter(d), Wrong: getter(wrong),
					Once:      func(t testing.TB, n []byte) []byte { return getter(d)(t, options(n)) },
					OnceWrong: func(t testing.TB, n []byte) []byte { return getter(wrong)(t, options(n)) },
				}
			},
			Unknown: func(t testing.TB, show json.RawMessage) []byte {
				d := passkeytest.New(rpID, origin)
				if _, err := d.Create(options([]byte("never sent to any server"))); err != nil {
					t.Fatal(err)
				}
				return getter(d)(t, show)
			},
			NewDevice: func(t testing.TB) signintest.Device {
				d := passkeytest.New(rpID, origin)
				return signintest.Device{
					Register: func(t testing.TB, show json.RawMessage) []byte {
						t.Helper()
						payload, err := d.Create(show)
						if err != nil {
							t.Fatal(err)
						}
						return payload
					},
					Answer: getter(d),
				}
			},
		}
	})
}

func getter(d *passkeytest.Authenticator) func(testing.TB, json.RawMessage) []byte {
	return func(t testing.TB, show json.RawMessage) []byte {
		t.Helper()
		payload, err := d.Get(show)
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
}

// enrol registers d for u without the corridor, and returns a twin of d whose
// signatures are wrong.
func enrol(t testing.TB, h *signintest.House, room *passkey.Room, u idp.User, d *passkeytest.Authenticator) *passkeytest.Authenticator {
	t.Helper()
	c, err := room.BeginRegister(t.Context(), method.Request{Tenant: u.Tenant, User: u, Now: h.Now()})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := d.Create(c.Show)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := room.FinishRegister(t.Context(), method.Answer{Tenant: u.Tenant, User: u, Keep: c.Keep, Payload: payload, Now: h.Now()})
	if err != nil {
		t.Fatal(err)
	}
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return reg.Settle(ctx, tx) })
	wrong := d.Clone()
	wrong.Choose = d.Choose
	wrong.Signature = func(sig []byte) []byte { sig[len(sig)-1] ^= 1; return sig }
	return wrong
}

// options are request and creation options in one, for a challenge that came
// by another protocol.
func options(challenge []byte) json.RawMessage {
	encode := base64.RawURLEncoding.EncodeToString
	raw, err := json.Marshal(map[string]any{
		"challenge": encode(challenge), "rpId": rpID, "rp": map[string]any{"id": rpID},
		"user":             map[string]any{"id": encode([]byte("nobody")), "name": "nobody"},
		"pubKeyCredParams": []map[string]any{{"alg": passkeytest.ES256}},
	})
	if err != nil {
		panic(err)
	}
	return raw
}

// flipSigned flips one bit of a member that is signed or that finds the key;
// the others (attachment, extension outputs) are not read.
func flipSigned(answer []byte, n int) []byte {
	var p map[string]any
	if err := json.Unmarshal(answer, &p); err != nil {
		return answer
	}
	r, ok := p["response"].(map[string]any)
	if !ok {
		return answer
	}
	names := []string{"clientDataJSON", "authenticatorData", "signature", "userHandle", "id"}
	name := names[n%len(names)]
	in := r
	if name == "id" {
		in = p
	}
	raw, err := base64.RawURLEncoding.DecodeString(in[name].(string))
	if err != nil || len(raw) == 0 {
		return answer
	}
	n /= len(names)
	raw[n%len(raw)] ^= 1 << (n % 8)
	in[name] = base64.RawURLEncoding.EncodeToString(raw)
	if name == "id" {
		p["rawId"] = p["id"]
	}
	out, err := json.Marshal(p)
	if err != nil {
		return answer
	}
	return out
}
