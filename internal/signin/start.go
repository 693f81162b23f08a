package signin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/secret"
)

// flowLives is how long somebody may take from the door to the outcome.
const flowLives = time.Hour

// flowPurpose and the purposes of ceremonies are parts of the seal: a value
// made for one cannot be used as another (NON02).
const flowPurpose = "flow"

// BrowserDigest is what a Flow keeps of the browser cookie.
func BrowserDigest(cookie string) []byte {
	if cookie == "" {
		return nil
	}
	return secret.Digest("browser " + cookie)
}

// Start seals a new flow; nothing is written. Flow.Browser must be set.
func (c *Corridor) Start(ctx context.Context, f Flow) (handle string, err error) {
	f, err = c.start(ctx, f)
	return f.handle, err
}

func (c *Corridor) start(ctx context.Context, f Flow) (Flow, error) {
	if len(f.Browser) == 0 || f.Tenant == "" {
		return Flow{}, errors.New("start flow: no browser or no tenant")
	}
	now := c.now()
	f.ID = idp.FlowID(secret.NewUUID7(now))
	f.Started, f.Expires = now, now.Add(flowLives)
	f.Proofs, f.User, f.Consented, f.Asked, f.Recorded, f.Waiting, f.version = nil, "", false, false, false, nil, 0
	body, err := nonce.Encode(f)
	if err != nil {
		return Flow{}, fmt.Errorf("encode flow: %w", err)
	}
	if f.handle, err = c.box.Seal(ctx, f.Tenant, flowPurpose, flowLives, body); err != nil {
		return Flow{}, fmt.Errorf("seal flow: %w", err)
	}
	return f, nil
}

// Resume gives the flow behind a handle: a sealed value, or the id of a stored
// flow. Late, unreadable and finished ones are idp.Expired; one of another
// browser is idp.Unproven "other_browser", and an event.
func (c *Corridor) Resume(ctx context.Context, tenant idp.TenantID, handle string, peer Peer) (Flow, error) {
	f, err := c.open(ctx, tenant, handle)
	if err != nil {
		return Flow{}, over(err)
	}
	if f.Tenant != tenant || !c.now().Before(f.Expires) {
		return Flow{}, over(idp.Expiredf("flow_over", "flow %s", f.ID))
	}
	// Another browser with this handle is one that was sent it: a sign-in
	// begun by a stranger, to be finished by the victim or the other way
	// round (SES05).
	if !secret.Equal(BrowserDigest(peer.Browser), f.Browser) {
		err := idp.Unprovenf("other_browser", "flow %s", f.ID).Coded(codeOver).Say(sayBrowser)
		return Flow{}, c.failed(ctx, c.event(f, peer), err)
	}
	return f, nil
}

func (c *Corridor) open(ctx context.Context, tenant idp.TenantID, handle string) (Flow, error) {
	if len(handle) == uuidLen {
		if !plain(handle) {
			return Flow{}, idp.Expiredf("flow_over", "malformed handle")
		}
		return loadFlow(ctx, c.db, tenant, idp.FlowID(handle))
	}
	sealed, err := c.box.Open(ctx, tenant, flowPurpose, handle)
	if err != nil {
		return Flow{}, err
	}
	var f Flow
	if err := nonce.Decode(sealed.Payload, &f); err != nil {
		return Flow{}, fmt.Errorf("decode flow: %w", err)
	}
	f.handle = handle
	return f, nil
}

// plain says whether text from outside can be an id of ours or of a credential:
// a UUID, or base64url of at most 1023 bytes (WebAuthn Level 3, §4). Anything
// else no row has, and PostgreSQL would not even look for it.
func plain(id string) bool {
	const longest = 1364
	return len(id) <= longest && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// uuidLen tells the id of a stored flow from a sealed value, which is longer.
const uuidLen = 36
