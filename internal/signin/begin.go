package signin

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
)

const (
	signInPurpose   = "ceremony"
	registerPurpose = "registration"
)

// ceremonyLives is how long a challenge may be answered, at most (NON01).
const ceremonyLives = 5 * time.Minute

// registerLives is how long a registration may take that says so: a phone is
// fetched, its app added to the home screen (security.md PHN08). Its challenge
// lives no longer than others.
const registerLives = 10 * time.Minute

// maxUserName is longer than any name that exists.
const maxUserName = 320

// ceremony is what the seal of one challenge holds.
type ceremony struct {
	Flow    idp.FlowID    `json:"f,omitempty"` // of a sign-in
	Session idp.SessionID `json:"s,omitempty"` // of a registration
	Method  idp.MethodID  `json:"m"`
	User    idp.UserID    `json:"u,omitempty"`
	Keep    []byte        `json:"k,omitempty"`
}

// Begin asks a method for a challenge. userName is what was typed, if
// anything; the reply does not tell whether such a person exists. Nothing is
// written: a method that must write to be answered is idp.Invalid here, and
// Ask's. A method that the tenant has switched off is idp.Denied.
func (c *Corridor) Begin(ctx context.Context, f Flow, m idp.MethodID, userName string) (Begun, error) {
	r, user, err := c.mayBegin(ctx, f, m)
	if err != nil {
		return Begun{}, err
	}
	if r.asked() {
		return Begun{}, idp.Invalidf("method_waits", "%s is asked by another road", m)
	}
	if len(userName) > maxUserName {
		userName = ""
	}
	ch, err := r.Challenge(ctx, method.Request{Tenant: f.Tenant, User: user, UserName: userName, Now: c.now()})
	if err != nil {
		return Begun{}, fmt.Errorf("challenge of %s: %w", m, err)
	}
	return c.sealCeremony(ctx, f.Tenant, signInPurpose, ch, ceremony{Flow: f.ID, Method: m, User: user.ID})
}

// mayBegin finds the room of a sign-in and the person that the flow knows, if
// that person may use the method.
func (c *Corridor) mayBegin(ctx context.Context, f Flow, m idp.MethodID) (room, idp.User, error) {
	r, err := c.room(ctx, f.Tenant, m)
	if err != nil {
		return room{}, idp.User{}, err
	}
	user, err := c.proven(ctx, f)
	if err != nil || !user.Known() {
		return r, user, err
	}
	ruling, err := c.judge(ctx, user, policy.Use, m, nil)
	if err == nil && !ruling.Allowed() {
		err = refusedKey(ruling.Refusal)
	}
	return r, user, err
}

// proven is the person that the flow knows already; the zero User before
// anything was proven. A hint is no proof: methods never learn of it, or the
// challenge would tell what the hinted person has (decisions 2.7).
func (c *Corridor) proven(ctx context.Context, f Flow) (idp.User, error) {
	if f.User == "" {
		return idp.User{}, nil
	}
	u, err := c.directory.User(ctx, c.db, f.Tenant, f.User)
	if err != nil {
		return idp.User{}, fmt.Errorf("user of flow %s: %w", f.ID, err)
	}
	return u, nil
}

func (c *Corridor) sealCeremony(ctx context.Context, tenant idp.TenantID, purpose string, ch method.Challenge, cer ceremony) (Begun, error) {
	cer.Keep = ch.Keep
	body, err := nonce.Encode(cer)
	if err != nil {
		return Begun{}, fmt.Errorf("encode ceremony: %w", err)
	}
	longest := ceremonyLives
	if purpose == registerPurpose {
		longest = registerLives
	}
	lives := min(cmp.Or(ch.Lives, ceremonyLives), longest)
	value, err := c.box.Seal(ctx, tenant, purpose, lives, body)
	if err != nil {
		return Begun{}, fmt.Errorf("seal ceremony: %w", err)
	}
	return Begun{Ceremony: value, Show: ch.Show, Expires: c.now().Add(lives)}, nil
}

func (c *Corridor) openCeremony(ctx context.Context, tenant idp.TenantID, purpose, value string) (nonce.Sealed, ceremony, error) {
	sealed, err := c.box.Open(ctx, tenant, purpose, value)
	if err != nil {
		return nonce.Sealed{}, ceremony{}, over(err)
	}
	var cer ceremony
	if err := nonce.Decode(sealed.Payload, &cer); err != nil {
		return nonce.Sealed{}, ceremony{}, fmt.Errorf("decode ceremony: %w", err)
	}
	return sealed, cer, nil
}
