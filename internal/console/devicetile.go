package console

import (
	"context"
	"html/template"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// deviceTile is what the first page says of devices.
type deviceTile struct{ Stats []deviceStat }

type deviceStat struct {
	Label, Figure, Note template.HTML
	Href                string
}

// deviceTile counts devices by what is off with them; nil when there are none
// and they are switched off.
func (v *visit) deviceTile(ctx context.Context, pg *page.Page, p policy.Policy) (*deviceTile, error) {
	if v.cfg.Devices == nil {
		return nil, nil
	}
	all, err := v.cfg.Devices.Count(ctx, v.tenant.ID, filter.Expr{})
	if err != nil || all == 0 && !p.Devices.On {
		return nil, err
	}
	t := &deviceTile{}
	for _, one := range []struct {
		key string
		f   deviceFilter
	}{{"all", deviceFilter{}}, {"in", deviceFilter{Seen: "week"}}, {"quiet", deviceFilter{Seen: "quiet"}}, {"off", deviceFilter{State: "off"}}} {
		where, err := v.devicesWhere(ctx, one.f)
		if err != nil {
			return nil, err
		}
		n, err := v.cfg.Devices.Count(ctx, v.tenant.ID, where)
		if err != nil {
			return nil, err
		}
		t.Stats = append(t.Stats, deviceStat{
			pg.T("overview.devices." + one.key), figure(int(n)), pg.T("overview.devices." + one.key + ".note"), devicesPath + query(one.f.values()),
		})
	}
	return t, nil
}

// keyNeeds tells of Hello keys that can be factored, and of many that nobody
// needs any more.
func (v *visit) keyNeeds(ctx context.Context, pg *page.Page) (out []need, err error) {
	if v.cfg.Hello == nil {
		return nil, nil
	}
	t, err := v.keysCounted(ctx)
	if err != nil {
		return nil, err
	}
	if n := t.By["weak"]; n > 0 {
		out = append(out, need{"bad", "passkey", pg.N("need.keys.weak", n), pg.T("need.keys.weak.text"), "", keysPath + "?show=weak", pg.T("need.keys.verb")})
	}
	if n := t.By["orphaned"]; n > 0 {
		out = append(out, need{"note", "passkey", pg.N("need.keys.orphaned", n), pg.T("need.keys.orphaned.text"), "", keysPath + "?show=orphaned", pg.T("need.keys.verb")})
	}
	if n := len(t.Many); n > 0 {
		out = append(out, need{"warn", "passkey", pg.N("need.keys.many", n, "warn", t.WarnAt), pg.T("need.keys.many.text"), "", keysPath, pg.T("need.keys.verb")})
	}
	return out, nil
}

// keysCounted is tallyKeys for the first page: where counting took long, it is
// good for a moment.
func (v *visit) keysCounted(ctx context.Context) (keyTally, error) {
	began := v.cfg.Now()
	if t, ok := v.keysTallied.get(v.tenant.ID, began); ok {
		return t, nil
	}
	t, err := v.tallyKeys(ctx, "", "", 0)
	if at := v.cfg.Now(); err == nil && at.Sub(began) >= slowCount {
		v.keysTallied.put(v.tenant.ID, t, at)
	}
	return t, err
}
