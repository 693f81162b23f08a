package admin

import (
	"context"
	"maps"
	"slices"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
)

type settingView struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func showPolicy(ctx context.Context, c *call, _ inTenant) (any, error) {
	p, err := c.Policies.Get(ctx, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	values := p.Show()
	views := make([]settingView, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		views = append(views, settingView{name, values[name]})
	}
	return views, nil
}

type setPolicyParams struct {
	inTenant
	Name  string `json:"name"`
	Value string `json:"value"`
}

func setPolicy(ctx context.Context, c *call, s setPolicyParams) (any, error) {
	old, err := c.Policies.Load(ctx, c.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	next := old.Clone()
	if err := next.Set(s.Name, s.Value); err != nil {
		return nil, err
	}
	e := c.event()
	e.Detail["name"] = s.Name
	saved, err := c.SavePolicy(ctx, c.tenant.ID, old, next, e)
	if err != nil {
		return nil, err
	}
	return settingView{s.Name, saved.Show()[s.Name]}, nil
}

type auditParams struct {
	inTenant
	User     string      `json:"user"`
	Category string      `json:"category"`
	Before   idp.EventID `json:"before"`
	Limit    int         `json:"limit"`
}

type eventView struct {
	ID         idp.EventID       `json:"id"`
	At         string            `json:"at"`
	Category   string            `json:"category"`
	Activity   string            `json:"activity"`
	Outcome    string            `json:"outcome"`
	Actor      string            `json:"actor"`
	User       idp.UserID        `json:"user,omitempty"`
	UserName   string            `json:"userName,omitempty"`
	Client     idp.ClientID      `json:"client,omitempty"`
	Session    idp.SessionID     `json:"session,omitempty"`
	Method     idp.MethodID      `json:"method,omitempty"`
	Credential idp.CredentialID  `json:"credential,omitempty"`
	Rule       string            `json:"rule,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Code       int               `json:"code,omitempty"`
	IP         string            `json:"ip,omitempty"`
	Agent      string            `json:"agent,omitempty"`
	Trace      string            `json:"trace,omitempty"`
	Detail     map[string]string `json:"detail,omitempty"`
	Times      int               `json:"times"`
}

func listAudit(ctx context.Context, c *call, p auditParams) (any, error) {
	f := audit.Filter{Category: p.Category, Before: idp.EventID(audit.Clean(string(p.Before), 64)), Limit: p.Limit}
	if p.User != "" {
		u, err := c.findUser(ctx, c.DB, p.User)
		if err != nil {
			return nil, err
		}
		f.User = u.ID
	}
	events, err := c.Audit.List(ctx, c.DB, c.tenant.ID, f)
	views := make([]eventView, len(events))
	for i, e := range events {
		views[i] = eventView{
			e.ID, stamp(e.At), e.Category, e.Activity, e.Outcome, e.Actor, e.User, e.UserName, e.Client, e.Session,
			e.Method, e.Credential, e.Rule, e.Reason, e.Code, e.IP, e.Agent, e.Trace, e.Detail, e.Times,
		}
	}
	return views, err
}
