package hygiene

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// Rule says which keys on machines are to go: those for which all holds that is
// said. Passkeys are never cleared by rule.
type Rule struct {
	Who      idp.User  // only theirs
	Orphaned bool      // their device is gone
	Created  time.Time // made before
	Used     time.Time // last used before, or never and made before
}

// Empty says that a rule would take everything.
func (r Rule) Empty() bool { return !r.Orphaned && r.Created.IsZero() && r.Used.IsZero() }

func (r Rule) takes(k Key) bool {
	last := k.LastUsed
	if last.IsZero() {
		last = k.Created
	}
	return k.Usage == NGC && (k.Orphaned || !r.Orphaned) &&
		(r.Created.IsZero() || k.Created.Before(r.Created)) && (r.Used.IsZero() || last.Before(r.Used))
}

// Refused is a key that stays, and why.
type Refused struct {
	Key    Key
	Reason string // a stable word
	Say    string // a sentence
}

// Report is what a clean or a restore did, or would do.
type Report struct {
	People  int // looked at, by rule
	Done    []Key
	Refused []Refused
	// Bad are the rows that are wrong. When there is one, nothing was done.
	Bad []directory.BadRow
	// More says that there are more such keys than one clean takes.
	More bool
}

// CleanByRule clears what a rule takes, or tries to. Invalid when the rule is
// empty.
func (k *Keeper) CleanByRule(ctx context.Context, t idp.Tenant, r Rule, o Options, try bool) (Report, error) {
	if r.Empty() {
		return Report{}, idp.Invalidf("rule_empty", "a rule that takes every key").
			Say("Say which keys: the orphaned ones, those made or last used before a time, or those of a file.")
	}
	var out Report
	var keys []Key
	for q := (Query{Who: r.Who, People: 999}); ; {
		part, err := k.Keys(ctx, t, q)
		if err != nil {
			return Report{}, err
		}
		out.People += part.People
		o.tell(out.People)
		for _, key := range part.Keys {
			if r.takes(key) {
				keys = append(keys, key)
			}
		}
		if q.After = part.After; q.After == "" || len(keys) > MaxRows {
			break
		}
	}
	if len(keys) > MaxRows {
		keys, out.More = keys[:MaxRows], true
	}
	return k.settle(ctx, t, keys, out, o, try, k.cfg.Clean)
}

// CleanFile clears the keys of a file, or tries to. With one bad row nothing
// is cleared, and every bad row is reported.
func (k *Keeper) CleanFile(ctx context.Context, t idp.Tenant, file string, o Options, try bool) (Report, error) {
	read, err := parse(file)
	if err != nil {
		return Report{}, err
	}
	keys := make([]Key, 0, len(read.rows))
	held := make(map[idp.UserID]map[string]Key)
	for i, r := range read.rows {
		o.tell(i)
		u, ok, err := k.owner(ctx, t, read, r)
		if err != nil {
			return Report{}, err
		}
		if !ok {
			continue
		}
		if held[u.ID] == nil {
			all, err := k.of(ctx, t, u)
			if err != nil {
				return Report{}, err
			}
			held[u.ID] = named(all)
		}
		key, ok := held[u.ID][strings.ToLower(r.id)]
		switch {
		case !ok:
			read.complain(r.number, colID, "this person has no such key")
		case key.Usage != NGC:
			read.complain(r.number, colUsage, "this is a passkey, and only keys on machines are cleared; take it away on the person's page")
		default:
			read.fits(r, key)
		}
		keys = append(keys, key)
	}
	return k.settleFile(ctx, t, read, keys, o, try, k.cfg.Clean)
}

// named are keys by their id in lower case. An id of a passkey has case, and
// none of these is looked for in earnest.
func named(keys []Key) map[string]Key {
	out := make(map[string]Key, len(keys))
	for _, key := range keys {
		out[strings.ToLower(string(key.ID))] = key
	}
	return out
}

// owner finds the person of a row, and checks what the row says of the tenant.
func (k *Keeper) owner(ctx context.Context, t idp.Tenant, l *lines, r line) (u idp.User, ok bool, err error) {
	if r.id == "" {
		return u, false, nil // complained about
	}
	if r.tenant != "" && !strings.EqualFold(r.tenant, t.Domain) && !strings.EqualFold(r.tenant, string(t.ID)) {
		l.complain(r.number, colTenant, "the row is of another tenant")
		return u, false, nil
	}
	u, err = k.cfg.Directory.UserByName(ctx, k.cfg.DB, t.ID, r.user)
	if errors.Is(err, idp.NotFound) || errors.Is(err, idp.Invalid) {
		l.complain(r.number, colUser, "there is no such person")
		return u, false, nil
	}
	return u, err == nil, err
}

// fits checks that a row means the key that it names.
func (l *lines) fits(r line, k Key) {
	if r.usage != "" && !strings.EqualFold(r.usage, k.Usage) {
		l.complain(r.number, colUsage, "the key is not of this usage")
	}
	if r.device != "" && !strings.EqualFold(r.device, string(k.Device)) {
		l.complain(r.number, colDevice, "the key is on another device")
	}
}

// Restore gives back one removed key, or those of a file, or tries to; with one
// bad row none is given back.
func (k *Keeper) Restore(ctx context.Context, t idp.Tenant, u idp.User, id idp.CredentialID, o Options) (Report, error) {
	var key Key
	err := k.Removed(ctx, t, u, func(one Key) error {
		if one.ID == id {
			key = one
		}
		return nil
	})
	if err == nil && key.ID == "" {
		err = idp.NotFoundf("key_not_removed", "removed key %.64q of %s", id, u.ID).Say("No such key of this person was removed in the last 30 days.")
	}
	if err != nil {
		return Report{}, err
	}
	return k.settle(ctx, t, []Key{key}, Report{}, o, false, k.cfg.Restore)
}

// RestoreFile is Restore for the keys of a file.
func (k *Keeper) RestoreFile(ctx context.Context, t idp.Tenant, file string, o Options, try bool) (Report, error) {
	read, err := parse(file)
	if err != nil {
		return Report{}, err
	}
	wanted := make(map[string]bool, len(read.rows))
	for _, r := range read.rows {
		wanted[strings.ToLower(r.id)] = true
	}
	there := make(map[string]Key)
	if err := k.Removed(ctx, t, idp.User{}, func(one Key) error {
		if id := strings.ToLower(string(one.ID)); wanted[id] {
			there[id] = one
		}
		return nil
	}); err != nil {
		return Report{}, err
	}
	keys := make([]Key, 0, len(read.rows))
	for _, r := range read.rows {
		u, ok, err := k.owner(ctx, t, read, r)
		if err != nil {
			return Report{}, err
		}
		if !ok {
			continue
		}
		key, ok := there[strings.ToLower(r.id)]
		if !ok || key.User != u.ID {
			read.complain(r.number, colID, "no such key of this person was removed in the last 30 days")
			continue
		}
		read.fits(r, key)
		keys = append(keys, key)
	}
	return k.settleFile(ctx, t, read, keys, o, try, k.cfg.Restore)
}

// Removed calls fn for every key of the tenant, or of one person, that can be
// restored. Keys of people who are gone are left out.
func (k *Keeper) Removed(ctx context.Context, t idp.Tenant, only idp.User, fn func(Key) error) error {
	var u idp.User
	return k.cfg.Removed(ctx, t.ID, func(c method.Credential, removed time.Time) error {
		if only.Known() && c.User != only.ID {
			return nil
		}
		if u.ID != c.User {
			var err error
			u, err = k.cfg.Directory.User(ctx, k.cfg.DB, t.ID, c.User)
			if errors.Is(err, idp.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		key := keyOf(u, t.Domain, c)
		key.Removed = removed
		return fn(key)
	})
}

func (k *Keeper) settleFile(ctx context.Context, t idp.Tenant, read *lines, keys []Key, o Options, try bool,
	do func(context.Context, idp.TenantID, []Key, Options, bool) ([]error, error)) (Report, error) {
	if len(read.bad) > 0 {
		slices.SortStableFunc(read.bad, func(a, b directory.BadRow) int { return cmp.Compare(a.Line, b.Line) })
		return Report{Bad: read.bad}, nil
	}
	return k.settle(ctx, t, keys, Report{}, o, try, do)
}

// settle does it, and sorts what became of each key.
func (k *Keeper) settle(ctx context.Context, t idp.Tenant, keys []Key, out Report, o Options, try bool,
	do func(context.Context, idp.TenantID, []Key, Options, bool) ([]error, error)) (Report, error) {
	if len(keys) == 0 {
		return out, nil
	}
	fates, err := do(ctx, t.ID, keys, o, try)
	if err != nil {
		return Report{}, fmt.Errorf("settle %d keys: %w", len(keys), err)
	}
	for i, key := range keys {
		if fates[i] == nil {
			out.Done = append(out.Done, key)
			continue
		}
		e := idp.AsError(fates[i])
		out.Refused = append(out.Refused, Refused{Key: key, Reason: e.Reason, Say: say(e)})
	}
	return out, nil
}

// say is why a key stays, for an administrator.
func say(e *idp.Error) string {
	switch {
	case e.Reason == "last_method":
		return "This is the person's only way in, so it stays. Give them a pass first, or remove it on their page."
	case e.Public != "":
		return e.Public
	}
	return "It was refused: " + e.Reason + "."
}
