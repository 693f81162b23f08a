package accesspass_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

var sources = []fs.FS{accesspass.Migrations}

func newRoom(h *signintest.House) *accesspass.Method {
	return accesspass.New(accesspass.Config{
		DB: h.DB, Now: h.Now, User: h.UserByName,
		Key: func(ctx context.Context, tenant idp.TenantID) (*secret.Key, error) {
			return h.Key(ctx, tenant, "access pass")
		},
		Rules: func(ctx context.Context, tenant idp.TenantID) (policy.AccessPassRules, error) {
			p, err := h.Policies.Get(ctx, tenant)
			return p.AccessPass, err
		},
		May: func(ctx context.Context, t idp.TenantID, u idp.UserID) (policy.Refusal, error) {
			p, who, err := h.Policies.For(ctx, t, idp.User{ID: u, Tenant: t, Enabled: true})
			return p.Judge(who, policy.Use, policy.AccessPass, nil).Refusal, err
		},
	})
}

func issue(t testing.TB, h *signintest.House, m *accesspass.Method, u idp.User, o accesspass.Options) (code string, id idp.CredentialID) {
	t.Helper()
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		c, cred, err := m.Issue(ctx, tx, u.Tenant, u.ID, o)
		code, id = c, cred.ID
		return err
	})
	return code, id
}

func payload(name, code string) []byte {
	b, _ := json.Marshal(map[string]string{"username": name, "access_pass": code})
	return b
}

// wrongEnd changes the last character of a code and keeps the first four.
func wrongEnd(code string) string {
	end := "0"
	if strings.HasSuffix(code, end) {
		end = "1"
	}
	return code[:len(code)-1] + end
}

func room(t testing.TB, h *signintest.House) signintest.Room {
	m := newRoom(h)
	return signintest.Room{
		Method: m,
		Enrol: func(t testing.TB, u idp.User) signintest.Held {
			code, id := issue(t, h, m, u, accesspass.Options{})
			return signintest.Held{
				ID:     id,
				Answer: func(testing.TB, json.RawMessage) []byte { return payload(u.Name, code) },
				Wrong:  func(testing.TB, json.RawMessage) []byte { return payload(u.Name, wrongEnd(code)) },
			}
		},
		// Letters count in either case: another character is what spoils.
		Flip: func(answer []byte, n int) []byte {
			var in map[string]string
			if json.Unmarshal(answer, &in) != nil {
				return nil
			}
			code, name := []byte(strings.ReplaceAll(in["access_pass"], "-", "")), []byte(in["username"])
			if n%2 == 0 {
				i := n / 2 % len(code)
				code[i] = map[bool]byte{true: '3', false: '2'}[code[i] == '2']
			} else {
				i := n / 2 % len(name)
				name[i] = map[bool]byte{true: 'y', false: 'x'}[name[i] == 'x']
			}
			return payload(string(name), string(code))
		},
		Unknown: func(testing.TB, json.RawMessage) []byte { return payload("nobody@nordhafen.example", "K7QF-2M9X-4B8D") },
	}
}

func TestBattery(t *testing.T) { signintest.Run(t, sources, room) }

func FuzzAnswer(f *testing.F) { signintest.Fuzz(f, sources, room) }
