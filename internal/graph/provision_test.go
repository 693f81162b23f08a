package graph_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// bench is a world with the real passkey room, and a security key in the
// administrator's hand.
type bench struct {
	*world
	key *passkeytest.Authenticator
}

func eachBench(t *testing.T, fn func(t *testing.T, b bench)) {
	sqldbtest.Each(t, append(slices.Clone(sources), passkey.Migrations), func(t *testing.T, db *sqldb.DB) {
		fn(t, bench{newWorldWith(t, db, realRoom), passkeytest.New("signet.example", base)})
	})
}

func realRoom(w *world, policies *policy.Store, ring *keyring.Ring) method.Method {
	room, err := passkey.New(passkey.Config{
		DB: w.db, RPID: "signet.example", RPName: "Signet", Origins: []string{base}, Models: metadata.New(metadata.Config{Now: func() time.Time { return w.now }}),
		Secret: func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return ring.Sealing(ctx, t, "decoy") },
		UserByName: func(ctx context.Context, t idp.TenantID, name string) (idp.User, error) {
			return w.dir.UserByName(ctx, w.db, t, name)
		},
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return w.dir.User(ctx, w.db, t, id)
		},
		Mark: func(ctx context.Context) (*secret.Key, error) { return ring.Sealing(ctx, nonce.CommonScope, "mark") },
		Fold: directory.Fold,
		Wishes: func(ctx context.Context, u idp.User) (policy.Wishes, error) {
			p, who, err := policies.For(ctx, u.Tenant, u)
			return p.Wishes(who), err
		},
		Rules: func(ctx context.Context, t idp.TenantID) (policy.PasskeyRules, error) {
			p, err := policies.Get(ctx, t)
			return p.Passkey, err
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return room
}

func keysOf(u idp.User) string { return "/users/" + string(u.ID) + "/authentication/fido2Methods" }

// options asks for the options of a registration.
func (b bench) options(bearer string, u idp.User, how string) answer {
	b.t.Helper()
	return b.ask(bearer, "GET", "/v1.0"+keysOf(u)+"/creationOptions"+how, nil)
}

// made has the key make a passkey and gives the body to send back.
func (b bench) made(options answer) map[string]any {
	b.t.Helper()
	raw, err := json.Marshal(map[string]any{"publicKey": options.body["publicKey"]})
	if err != nil {
		b.t.Fatal(err)
	}
	payload, err := b.key.Create(raw)
	if err != nil {
		b.t.Fatal(err)
	}
	var out struct {
		ID       string         `json:"id"`
		Response map[string]any `json:"response"`
	}
	if err := json.Unmarshal(payload, &out); err != nil {
		b.t.Fatal(err)
	}
	return map[string]any{"displayName": "Desk 4", "publicKeyCredential": map[string]any{"id": out.ID, "response": map[string]any{
		"clientDataJSON": out.Response["clientDataJSON"], "attestationObject": out.Response["attestationObject"]}}}
}

func TestProvision(t *testing.T) {
	eachBench(t, func(t *testing.T, b bench) {
		bob := b.bearer(b.bob)
		for _, how := range []string{"", "()", "?challengeTimeoutInMinutes=60", "(challengeTimeoutInMinutes=60)"} {
			got := b.options(bob, b.eve, how).want(t, http.StatusOK, "")
			until, err := time.Parse(time.RFC3339, got.body["challengeTimeoutDateTime"].(string))
			lives := 5 * time.Minute
			if strings.Contains(how, "60") {
				lives = time.Hour
			}
			if err != nil || !until.Equal(b.now.Add(lives)) {
				t.Errorf("%q ends at %s", how, got.body["challengeTimeoutDateTime"])
			}
		}
		got := b.ask(bob, "POST", "/v1.0"+keysOf(b.eve), b.made(b.options(bob, b.eve, ""))).want(t, http.StatusCreated, "")
		if got.body["displayName"] != "Desk 4" || got.body["@odata.type"] != "#microsoft.graph.fido2AuthenticationMethod" {
			t.Errorf("made %s", got.Body)
		}
		if held := b.ask(bob, "GET", "/v1.0"+keysOf(b.eve), nil).column(t, "displayName"); len(held) != 1 {
			t.Errorf("Eve holds %v", held)
		}
		log := b.ask(b.bearer(b.ada), "GET", "/v1.0/auditLogs/directoryAudits?$top=1", nil)
		if got := log.column(t, "activityDisplayName"); len(got) != 1 || got[0] != "passkey.provision" {
			t.Errorf("recorded %v", got)
		}
	})
}

// Every way in which a challenge is used for what it was not made for.
func TestSec_WAN14_BoundToTargetAndActor(t *testing.T) {
	eachBench(t, func(t *testing.T, b bench) {
		bob, ada := b.bearer(b.bob), b.bearer(b.ada)
		refused := func(name string, a answer) {
			t.Helper()
			if a.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", name, a.Code, a.Body)
			}
		}
		body := b.made(b.options(bob, b.eve, ""))
		refused("another person", b.ask(bob, "POST", "/v1.0"+keysOf(b.newUser("finn", "")), body))
		refused("another administrator", b.ask(ada, "POST", "/v1.0"+keysOf(b.eve), body))
		b.ask(bob, "POST", "/v1.0"+keysOf(b.eve), body).want(t, http.StatusCreated, "")
		refused("again", b.ask(bob, "POST", "/v1.0"+keysOf(b.eve), body))

		late := b.made(b.options(bob, b.newUser("gus", ""), ""))
		b.now = b.now.Add(5*time.Minute + time.Millisecond)
		refused("late", b.ask(b.bearer(b.bob), "POST", "/v1.0"+keysOf(b.eve), late))

		bob = b.bearer(b.bob)
		hal := b.newUser("hal", "")
		broken := b.made(b.options(bob, hal, ""))
		good := broken["publicKeyCredential"].(map[string]any)["response"].(map[string]any)["attestationObject"].(string)
		broken["publicKeyCredential"].(map[string]any)["response"].(map[string]any)["attestationObject"] = good[:len(good)-8]
		refused("broken", b.ask(bob, "POST", "/v1.0"+keysOf(hal), broken))
		broken["publicKeyCredential"].(map[string]any)["response"].(map[string]any)["attestationObject"] = good
		refused("right after a broken one", b.ask(bob, "POST", "/v1.0"+keysOf(hal), broken))

		b.options(bob, b.bob, "").want(t, http.StatusMethodNotAllowed, "methodNotAllowed")
		b.options(b.bearer(b.ada), b.ada, "").want(t, http.StatusMethodNotAllowed, "methodNotAllowed")
		b.options(bob, b.ada, "").want(t, http.StatusForbidden, "Authorization_RequestDenied")
		b.options(bob, hal, "?challengeTimeoutInMinutes=4").want(t, http.StatusBadRequest, "Request_BadRequest")
		b.options(bob, hal, "(challengeTimeoutInMinutes=43201)").want(t, http.StatusBadRequest, "Request_BadRequest")
		b.write(func(ctx context.Context, tx *sqldb.Tx) error {
			return b.dir.SetEnabled(ctx, tx, b.tenant.ID, hal.ID, false)
		})
		b.options(bob, hal, "").want(t, http.StatusForbidden, "Authorization_RequestDenied")
	})
}

// Of many who send one answer at once, one registers.
func TestProvisionRace(t *testing.T) {
	eachBench(t, func(t *testing.T, b bench) {
		bob := b.bearer(b.bob)
		body := b.made(b.options(bob, b.eve, ""))
		var wg sync.WaitGroup
		codes := make([]int, 16)
		for i := range codes {
			wg.Go(func() { codes[i] = b.ask(bob, "POST", "/v1.0"+keysOf(b.eve), body).Code })
		}
		wg.Wait()
		slices.Sort(codes)
		if codes[0] != http.StatusCreated || codes[1] != http.StatusBadRequest {
			t.Errorf("answers %v", codes)
		}
	})
}
