package admin

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// keysParams ask for the keys of a part of the people: of at most Limit (100,
// at most 999), behind the cursor After.
type keysParams struct {
	inTenant
	User     string `json:"user"`
	After    string `json:"after"`
	Limit    int    `json:"limit"`
	Orphaned bool   `json:"orphaned"`
}

// heldView names fields as the columns of the file, in the case of JSON.
type heldView struct {
	UserName string           `json:"userPrincipalName"`
	Tenant   string           `json:"tenant"`
	Device   idp.DeviceID     `json:"deviceId"`
	Usage    string           `json:"usage"`
	ID       idp.CredentialID `json:"id"`
	Name     string           `json:"displayName"`
	Created  string           `json:"creationTime"`
	Roca     bool             `json:"rocaVulnerable"`
	Orphaned bool             `json:"orphaned"`
	Disabled bool             `json:"deviceDisabled"`
	LastUsed string           `json:"lastUsed"` // empty: never
	Removed  string           `json:"removedTime,omitempty"`
	Reason   string           `json:"reason,omitempty"` // why it stays
	Say      string           `json:"message,omitempty"`
}

// keysView is a part of a list of keys. Many are the people of it who hold
// many keys of one kind.
type keysView struct {
	Keys   []heldView   `json:"keys"`
	CSV    string       `json:"csv,omitempty"`
	People int          `json:"people"`
	After  string       `json:"after,omitempty"`
	Many   []holderView `json:"many,omitempty"`
}

type holderView struct {
	Name   string       `json:"userPrincipalName"`
	Method idp.MethodID `json:"method"`
	Held   int          `json:"keys"`
	Limit  int          `json:"limit"`
}

func viewHeld(k hygiene.Key) heldView {
	return heldView{
		UserName: k.UserName, Tenant: k.Tenant, Device: k.Device, Usage: k.Usage, ID: k.ID, Name: k.Name, Created: stampOr(k.Created),
		Roca: k.Roca, Orphaned: k.Orphaned, Disabled: k.Disabled, LastUsed: stampOr(k.LastUsed), Removed: stampOr(k.Removed),
	}
}

func viewKeys(keys []hygiene.Key) []heldView {
	out := make([]heldView, len(keys))
	for i, k := range keys {
		out[i] = viewHeld(k)
	}
	return out
}

// stampOr is stamp, and nothing for a time that is none.
func stampOr(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

// who finds the person that may be named.
func (c *call) who(ctx context.Context, ref string) (idp.User, error) {
	if ref == "" {
		return idp.User{}, nil
	}
	return c.findUser(ctx, c.DB, ref)
}

func (c *call) keys(ctx context.Context, p keysParams) (hygiene.Part, error) {
	if c.Hygiene == nil {
		return hygiene.Part{}, missing("keys of devices")
	}
	u, err := c.who(ctx, p.User)
	if err != nil {
		return hygiene.Part{}, err
	}
	return c.Hygiene.Keys(ctx, c.tenant, hygiene.Query{Who: u, After: p.After, People: p.Limit, Orphaned: p.Orphaned})
}

func listUserKeys(ctx context.Context, c *call, p keysParams) (any, error) {
	part, err := c.keys(ctx, p)
	if err != nil {
		return nil, err
	}
	out := keysView{Keys: viewKeys(part.Keys), People: part.People, After: part.After}
	for _, h := range part.Many {
		out.Many = append(out.Many, holderView(h))
	}
	return out, nil
}

// exportKeys is listUserKeys as lines of the file; the first part has its
// header.
func exportKeys(ctx context.Context, c *call, p keysParams) (any, error) {
	part, err := c.keys(ctx, p)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if err := hygiene.CSV(&text, part.Keys, p.After == ""); err != nil {
		return nil, err
	}
	return keysView{Keys: []heldView{}, CSV: text.String(), People: part.People, After: part.After}, nil
}

// cleanParams say which keys are to go: those of a file, or those that a rule
// takes. Nothing goes unless Apply is set.
type cleanParams struct {
	inTenant
	CSV      string `json:"csv"`
	User     string `json:"user"`
	Orphaned bool   `json:"orphaned"`
	// Days since a key was made, and since it was last used.
	OlderThan   int  `json:"olderThanDays"`
	UnusedSince int  `json:"unusedSinceDays"`
	Apply       bool `json:"apply"`
}

// cleanView is what a clean or a restore did, or would do.
type cleanView struct {
	Tried   bool               `json:"tried"` // nothing was changed
	People  int                `json:"people,omitempty"`
	Keys    []heldView         `json:"keys"`
	Refused []heldView         `json:"refused"`
	Bad     []directory.BadRow `json:"bad,omitempty"`
	More    bool               `json:"more,omitempty"`
}

func viewClean(r hygiene.Report, tried bool) cleanView {
	out := cleanView{Tried: tried, People: r.People, Keys: viewKeys(r.Done), Refused: make([]heldView, len(r.Refused)), Bad: r.Bad, More: r.More}
	for i, f := range r.Refused {
		out.Refused[i] = viewHeld(f.Key)
		out.Refused[i].Reason, out.Refused[i].Say = f.Reason, f.Say
	}
	return out
}

func (c *call) options() hygiene.Options {
	return hygiene.Options{Actor: c.actor, Progress: c.progress}
}

// mostDays bounds the ages that can be asked for.
const mostDays = 36_500

func cleanKeys(ctx context.Context, c *call, p cleanParams) (any, error) {
	if c.Hygiene == nil {
		return nil, missing("keys of devices")
	}
	rule := hygiene.Rule{Orphaned: p.Orphaned}
	for field, days := range map[string]int{"olderThanDays": p.OlderThan, "unusedSinceDays": p.UnusedSince} {
		if days < 0 || days > mostDays {
			return nil, idp.Invalidf("bad_age", "%s is %d", field, days).On(field).Say("An age is 1 day to 100 years.")
		}
	}
	if p.OlderThan > 0 {
		rule.Created = c.Now().AddDate(0, 0, -p.OlderThan)
	}
	if p.UnusedSince > 0 {
		rule.Used = c.Now().AddDate(0, 0, -p.UnusedSince)
	}
	var report hygiene.Report
	var err error
	switch {
	case p.CSV != "" && (p.User != "" || !rule.Empty()):
		return nil, idp.Invalidf("two_ways", "a file and a rule").Say("Name a file or a rule, not both.")
	case p.CSV != "":
		report, err = c.Hygiene.CleanFile(ctx, c.tenant, p.CSV, c.options(), !p.Apply)
	default:
		if rule.Who, err = c.who(ctx, p.User); err == nil {
			report, err = c.Hygiene.CleanByRule(ctx, c.tenant, rule, c.options(), !p.Apply)
		}
	}
	if err != nil {
		return nil, err
	}
	return viewClean(report, !p.Apply), c.summary(ctx, p.Apply, report, "keys")
}

// summary puts one event beside those of the single keys: that it was one deed,
// and how much it did.
func (c *call) summary(ctx context.Context, applied bool, r hygiene.Report, what string) error {
	if !applied || len(r.Done)+len(r.Refused) == 0 {
		return nil
	}
	e := c.event()
	e.Detail[what], e.Detail["refused"] = strconv.Itoa(len(r.Done)), strconv.Itoa(len(r.Refused))
	return c.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return c.Audit.Write(ctx, tx, e) })
}

// restoreParams name one removed key of a person, or those of a file. Those of
// a file come back only when Apply is set.
type restoreParams struct {
	inTenant
	User  string `json:"user"`
	ID    string `json:"id"`
	CSV   string `json:"csv"`
	Apply bool   `json:"apply"`
}

func restoreKeys(ctx context.Context, c *call, p restoreParams) (any, error) {
	if c.Hygiene == nil {
		return nil, missing("keys of devices")
	}
	if p.CSV != "" {
		report, err := c.Hygiene.RestoreFile(ctx, c.tenant, p.CSV, c.options(), !p.Apply)
		if err != nil {
			return nil, err
		}
		return viewClean(report, !p.Apply), c.summary(ctx, p.Apply, report, "keys")
	}
	u, err := c.findUser(ctx, c.DB, p.User)
	if err != nil {
		return nil, err
	}
	report, err := c.Hygiene.Restore(ctx, c.tenant, u, idp.CredentialID(audit.Clean(p.ID, 64)), c.options())
	if err != nil {
		return nil, err
	}
	return viewClean(report, false), c.summary(ctx, true, report, "keys")
}

// removedParams may name one person.
type removedParams struct {
	inTenant
	User string `json:"user"`
}

// mostRemoved bounds a list that does not come in parts.
const mostRemoved = hygiene.MaxRows

// removedKeys lists what can be restored.
func removedKeys(ctx context.Context, c *call, p removedParams) (any, error) {
	if c.Hygiene == nil {
		return nil, missing("keys of devices")
	}
	u, err := c.who(ctx, p.User)
	if err != nil {
		return nil, err
	}
	out := []heldView{}
	err = c.Hygiene.Removed(ctx, c.tenant, u, func(k hygiene.Key) error {
		if len(out) == mostRemoved {
			return idp.Invalidf("too_many", "over %d removed keys", mostRemoved).On("user").Say("There are more than 10,000. Name a person.")
		}
		out = append(out, viewHeld(k))
		return nil
	})
	return out, err
}
