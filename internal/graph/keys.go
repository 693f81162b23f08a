package graph

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Graph has no operations to look over the keys of a tenant and to clear them
// (entra-behaviours.md §10). These are ours, and say so in their address.
func keyOperations() []operation {
	look := read("UserAuthenticationMethod.Read.All", "UserAuthenticationMethod.ReadWrite.All")
	// A clean reaches everybody's keys, those of administrators with them.
	change := write(admins, "UserAuthenticationMethod.ReadWrite.All")
	return []operation{
		{"GET", "/signet/keys", "signet.keys", "Keys of people, person by person: whose device is gone, which can be factored", look,
			options{list: true, fields: keyFields, params: keyParams}, listKeys},
		{"GET", "/signet/removedKeys", "signet.keys", "Keys that can be restored", look, options{params: keyParams}, listRemovedKeys},
		{"POST", "/signet/keys/clean", "signet.keyReport", "Remove Hello keys by a rule or a file; without apply it is only tried", change, options{}, cleanKeys},
		{"POST", "/signet/keys/restore", "signet.keyReport", "Give removed Hello keys back, for 30 days", change, options{}, restoreKeys},
	}
}

var keyParams = []string{"user"}

// keyFields are what the list of keys can be asked about. The columns are those
// of keyColumn.
var keyFields = filter.Fields{
	"userPrincipalName": {Kind: filter.Text, Column: "user", Fold: directory.Fold},
	"deviceId":          {Kind: filter.Text, Column: "device", Fold: strings.ToLower},
	"usage":             {Kind: filter.Text, Column: "usage", Words: map[string]any{hygiene.NGC: hygiene.NGC, hygiene.FIDO: hygiene.FIDO}},
	"orphaned":          {Kind: filter.Bool, Column: "orphaned"},
	"rocaVulnerable":    {Kind: filter.Bool, Column: "roca"},
	"deviceDisabled":    {Kind: filter.Bool, Column: "disabled"},
	"creationTime":      {Kind: filter.Time, Column: "created"},
	"lastUsed":          {Kind: filter.Time, Column: "used"},
}

func keyColumn(k hygiene.Key) func(string) any {
	return func(column string) any {
		switch column {
		case "user":
			return directory.Fold(k.UserName)
		case "device":
			return string(k.Device)
		case "usage":
			return k.Usage
		case "orphaned":
			return k.Orphaned
		case "roca":
			return k.Roca
		case "disabled":
			return k.Disabled
		case "created":
			return k.Created.UnixMilli()
		case "used":
			if !k.LastUsed.IsZero() {
				return k.LastUsed.UnixMilli()
			}
		}
		return nil
	}
}

// keyEntity names properties as the columns of the file, in the case of JSON.
func keyEntity(k hygiene.Key) entity {
	return entity{
		"id": k.ID, "userPrincipalName": k.UserName, "tenant": k.Tenant, "deviceId": orNull(string(k.Device)), "usage": k.Usage, "displayName": k.Name,
		"creationTime": stamp(k.Created), "lastUsed": stamp(k.LastUsed), "rocaVulnerable": k.Roca, "orphaned": k.Orphaned, "deviceDisabled": k.Disabled,
	}
}

// named finds the person whom ?user= names, or nobody.
func (c *call) named(ctx context.Context) (idp.User, error) {
	for name, v := range c.query.raw {
		if strings.EqualFold(name, keyParams[0]) {
			return c.somebody(ctx, v[0])
		}
	}
	return idp.User{}, nil
}

// listKeys lists the keys of a page of people: $top is how many people, so that
// a page may be short, or empty, with others behind it.
func listKeys(ctx context.Context, c *call) (any, error) {
	who, err := c.named(ctx)
	if err != nil {
		return nil, err
	}
	part, err := c.cfg.Hygiene.Keys(ctx, c.tenant, hygiene.Query{Who: who, After: c.query.after, People: c.query.top})
	if err != nil {
		return nil, err
	}
	many := []entity{}
	for _, h := range part.Many {
		many = append(many, entity{"userPrincipalName": h.Name, "method": h.Method, "keys": h.Held, "limit": h.Limit})
	}
	out := list{next: part.After, notes: entity{"@signet.people": part.People, "@signet.many": many}}
	for _, k := range part.Keys {
		if c.query.where.Holds(keyColumn(k)) {
			out.items = append(out.items, keyEntity(k))
		}
	}
	return out, nil
}

func listRemovedKeys(ctx context.Context, c *call) (any, error) {
	who, err := c.named(ctx)
	if err != nil {
		return nil, err
	}
	out := list{}
	err = c.cfg.Hygiene.Removed(ctx, c.tenant, who, func(k hygiene.Key) error {
		if len(out.items) == hygiene.MaxRows {
			return idp.Invalidf("too_many", "over %d removed keys", hygiene.MaxRows).On("user").Say("There are more than 10,000. Name a person by ?user=.")
		}
		e := keyEntity(k)
		e["removedTime"] = stamp(k.Removed)
		out.items = append(out.items, e)
		return nil
	})
	return out, err
}

// cleanBody says which keys are to go: those of a file, or those that a rule
// takes. Nothing goes unless apply is true.
type cleanBody struct {
	CSV      *string `json:"csv"`
	User     *string `json:"user"`
	Orphaned bool    `json:"orphaned"`
	// Days since a key was made, and since it was last used.
	OlderThan   *int `json:"olderThanDays"`
	UnusedSince *int `json:"unusedSinceDays"`
	Apply       bool `json:"apply"`
}

// mostDays bounds the ages that can be asked for.
const mostDays = 36_500

func (c *call) before(at string, days *int) (time.Time, error) {
	switch {
	case days == nil:
		return time.Time{}, nil
	case *days < 1 || *days > mostDays:
		return time.Time{}, badProperty(at, at+" is 1 to 36500.")
	}
	return c.cfg.Now().AddDate(0, 0, -*days), nil
}

func (c *call) rule(ctx context.Context, in cleanBody) (r hygiene.Rule, err error) {
	r.Orphaned = in.Orphaned
	if r.Created, err = c.before("olderThanDays", in.OlderThan); err != nil {
		return r, err
	}
	if r.Used, err = c.before("unusedSinceDays", in.UnusedSince); err != nil {
		return r, err
	}
	if in.User != nil {
		r.Who, err = c.somebody(ctx, *in.User)
	}
	return r, err
}

func cleanKeys(ctx context.Context, c *call) (any, error) {
	var in cleanBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	rule, err := c.rule(ctx, in)
	if err != nil {
		return nil, err
	}
	var report hygiene.Report
	switch {
	case in.CSV != nil && (in.User != nil || !rule.Empty()):
		return nil, badProperty("csv", "Name a file or a rule, not both.")
	case in.CSV != nil:
		report, err = c.cfg.Hygiene.CleanFile(ctx, c.tenant, *in.CSV, hygiene.Options{Actor: c.caller.actor()}, !in.Apply)
	default:
		report, err = c.cfg.Hygiene.CleanByRule(ctx, c.tenant, rule, hygiene.Options{Actor: c.caller.actor()}, !in.Apply)
	}
	if err != nil {
		return nil, err
	}
	return reportEntity(report, in.Apply), c.settled(ctx, "key.clean", in.Apply, report)
}

// restoreBody names one removed key of a person, or those of a file. Those of
// a file come back only when apply is true.
type restoreBody struct {
	CSV   *string `json:"csv"`
	User  *string `json:"user"`
	ID    *string `json:"id"`
	Apply bool    `json:"apply"`
}

func restoreKeys(ctx context.Context, c *call) (any, error) {
	var in restoreBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	o := hygiene.Options{Actor: c.caller.actor()}
	switch {
	case in.CSV != nil && (in.User != nil || in.ID != nil):
		return nil, badProperty("csv", "Name a file or a key, not both.")
	case in.CSV != nil:
		report, err := c.cfg.Hygiene.RestoreFile(ctx, c.tenant, *in.CSV, o, !in.Apply)
		if err != nil {
			return nil, err
		}
		return reportEntity(report, in.Apply), c.settled(ctx, "key.restore", in.Apply, report)
	case in.User == nil:
		return nil, required("user")
	case in.ID == nil:
		return nil, required("id")
	}
	u, err := c.somebody(ctx, *in.User)
	if err != nil {
		return nil, err
	}
	report, err := c.cfg.Hygiene.Restore(ctx, c.tenant, u, idp.CredentialID(audit.Clean(*in.ID, 64)), o)
	if err != nil {
		return nil, err
	}
	return reportEntity(report, true), c.settled(ctx, "key.restore", true, report)
}

// reportEntity is what a clean or a restore did, or would do.
func reportEntity(r hygiene.Report, applied bool) entity {
	done, refused, bad := []entity{}, []entity{}, []entity{}
	for _, k := range r.Done {
		done = append(done, keyEntity(k))
	}
	for _, f := range r.Refused {
		e := keyEntity(f.Key)
		e["reason"], e["message"] = f.Reason, f.Say
		refused = append(refused, e)
	}
	for _, b := range r.Bad {
		bad = append(bad, entity{"line": b.Line, "field": b.Field, "reason": b.Reason})
	}
	return entity{"applied": applied && len(bad) == 0, "people": r.People, "keys": done, "refused": refused, "bad": bad, "more": r.More}
}

// settled puts one event beside those of the single keys: that it was one deed,
// and how much it did.
func (c *call) settled(ctx context.Context, activity string, applied bool, r hygiene.Report) error {
	if !applied || len(r.Done)+len(r.Refused) == 0 {
		return nil
	}
	return c.change(ctx, activity, "", func(_ context.Context, _ *sqldb.Tx, e *audit.Event) error {
		e.Detail["keys"], e.Detail["refused"] = strconv.Itoa(len(r.Done)), strconv.Itoa(len(r.Refused))
		return nil
	})
}
