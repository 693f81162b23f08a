package graph

import (
	"cmp"
	"context"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

func auditOperations() []operation {
	look := read("AuditLog.Read.All", "Directory.Read.All")
	order := []string{"createdDateTime desc", "activityDateTime desc"}
	return []operation{
		{"GET", "/auditLogs/signIns", "auditLogs/signIns", "Every try to sign in, the newest first", look,
			options{list: true, fields: audit.Fields, order: order}, listSignIns},
		{"GET", "/auditLogs/signIns/{id}", "auditLogs/signIns", "One of them", look, options{}, getSignIn},
		{"GET", "/auditLogs/directoryAudits", "auditLogs/directoryAudits", "Every change, the newest first", look,
			options{list: true, fields: audit.Fields, order: order}, listChanges},
		{"GET", "/auditLogs/directoryAudits/{id}", "auditLogs/directoryAudits", "One of them", look, options{}, getChange},
	}
}

func listSignIns(ctx context.Context, c *call) (any, error) {
	return c.events(ctx, audit.SignIns, signInEntity)
}

func listChanges(ctx context.Context, c *call) (any, error) {
	return c.events(ctx, audit.Changes, changeEntity)
}

func (c *call) events(ctx context.Context, of audit.Book, show func(audit.Event) entity) (any, error) {
	limit := c.query.top
	if limit == 0 {
		limit = 100
	}
	events, err := c.cfg.Audit.List(ctx, c.cfg.DB, c.tenant.ID, audit.Filter{
		Of: of, Where: c.query.where, Before: idp.EventID(c.query.after), Limit: limit,
	})
	if err != nil {
		return nil, err
	}
	out := list{}
	for _, e := range events {
		out.items = append(out.items, show(e))
	}
	if len(events) == limit {
		out.next = string(events[len(events)-1].ID)
	}
	return out, nil
}

func getSignIn(ctx context.Context, c *call) (any, error) {
	return c.event(ctx, audit.SignIns, signInEntity)
}

func getChange(ctx context.Context, c *call) (any, error) {
	return c.event(ctx, audit.Changes, changeEntity)
}

func (c *call) event(ctx context.Context, of audit.Book, show func(audit.Event) entity) (any, error) {
	id := strings.ToLower(c.r.PathValue("id"))
	if !isGUID(id) {
		return nil, missing(idp.NotFound, id)
	}
	e, err := c.cfg.Audit.Get(ctx, c.cfg.DB, c.tenant.ID, idp.EventID(id), of)
	if err != nil {
		return nil, missing(err, id)
	}
	return show(e), nil
}

// signInEntity shows a try to sign in (entra-behaviours.md §12.1). What Graph
// has no place for, the rule and the reason, are in authenticationDetails and
// in status.
func signInEntity(e audit.Event) entity {
	failure := ""
	if e.Outcome != audit.Success {
		failure = e.Reason
	}
	access := "notApplied"
	if e.Rule != "" {
		access = "success"
		if e.Outcome == audit.Failure {
			access = "failure"
		}
	}
	step := entity{
		"authenticationStepDateTime": stamp(e.At), "authenticationMethod": methodWords[e.Method], "authenticationMethodDetail": string(e.Credential),
		"succeeded": e.Outcome == audit.Success, "authenticationStepResultDetail": e.Reason, "authenticationStepRequirement": e.Rule,
	}
	steps := []entity{}
	if e.Method != "" {
		steps = append(steps, step)
	}
	kind := "interactiveUser"
	switch {
	case e.User == "":
		kind = "servicePrincipal"
	case e.Category == audit.Token:
		kind = "nonInteractiveUser"
	}
	return entity{
		"id": e.ID, "createdDateTime": stamp(e.At), "userId": e.User, "userPrincipalName": e.UserName, "userDisplayName": e.UserName,
		"appId": e.Client, "ipAddress": e.IP, "userAgent": e.Agent, "clientAppUsed": "Browser", "correlationId": e.Trace,
		"conditionalAccessStatus": access, "isInteractive": e.Category == audit.SignIn, "signInEventTypes": []string{kind},
		"status":                entity{"errorCode": e.Code, "failureReason": failure, "additionalDetails": e.Activity},
		"authenticationDetails": steps, "sessionId": e.Session,
		"authenticationProcessingDetails": pairs(processing(e.Detail), entity{"key": "rule", "value": e.Rule}, entity{"key": "count", "value": e.Times}),
	}
}

// processingWords are what Graph calls the details of a sign-in with a
// certificate (entra-behaviours.md §5.8); all but the subject, the binding and
// the level are [K].
var processingWords = map[string]string{
	"certificateSubject": "User certificate subject name", "certificateIssuer": "User certificate issuer name",
	"certificateSerial": "User certificate serial number", "certificateThumbprint": "User certificate thumbprint",
	"certificatePolicies": "User certificate policy OIDs", "certificateBinding": "User certificate binding",
	"certificateAffinity": "User certificate binding affinity level", "certificateLevel": "User certificate authentication level",
	"certificateLevelType": "User certificate authentication level type", "certificateLevelIdentifier": "User certificate authentication level identifier",
	"certificateRule": "User certificate authentication level rule",
}

// levelTypes are what Graph's log calls the kinds of levels: the first as
// documented, the others [K].
var levelTypes = map[string]string{policy.LevelPolicy: "PolicyId", policy.LevelIssuer: "Issuer", policy.LevelBoth: "IssuerAndPolicyId"}

// processing is the detail of a sign-in under Graph's names.
func processing(detail map[string]string) map[string]string {
	out := make(map[string]string, len(detail))
	for key, value := range detail {
		if key == "certificateLevelType" {
			value = cmp.Or(levelTypes[value], value)
		}
		out[cmp.Or(processingWords[key], key)] = value
	}
	return out
}

// methodWords are the words that reports use for methods.
var methodWords = map[idp.MethodID]string{
	"passkey": "Passkey", "accessPass": "Temporary Access Pass", "hello": "Windows Hello for Business", "platform": "Platform Credential for macOS",
	"phone": "Passwordless phone sign-in", "certificate": "X.509 certificate",
}

func changeEntity(e audit.Event) entity {
	by := entity{"user": nil, "app": nil}
	switch {
	case strings.HasPrefix(e.Actor, "client:"):
		by["app"] = entity{"appId": strings.TrimPrefix(e.Actor, "client:"), "displayName": nil}
	case e.Actor != "":
		by["user"] = entity{"id": e.Actor, "displayName": nil, "userPrincipalName": nil, "ipAddress": e.IP}
	}
	targets := []entity{}
	if e.User != "" {
		targets = append(targets, entity{
			"id": e.User, "type": "User", "displayName": nil, "userPrincipalName": e.UserName, "modifiedProperties": []entity{},
		})
	}
	result := "success"
	if e.Outcome == audit.Failure {
		result = "failure"
	}
	category, service := classOf(e)
	return entity{
		"id": e.ID, "activityDateTime": stamp(e.At), "activityDisplayName": e.Activity, "category": category,
		"correlationId": e.Trace, "loggedByService": service, "operationType": verb(e.Activity), "result": result, "resultReason": e.Reason,
		"initiatedBy": by, "targetResources": targets, "additionalDetails": pairs(e.Detail),
	}
}

// classOf is where Graph's log would have a change (entra-behaviours.md §12.2).
func classOf(e audit.Event) (category, service string) {
	noun, _, _ := strings.Cut(e.Activity, ".")
	switch {
	case noun == "policy", noun == "strength":
		return "Policy", "Authentication Methods"
	case noun == "group":
		return "GroupManagement", "Core Directory"
	case noun == "device":
		return "Device", "Device Registration Service"
	case noun == "app":
		return "ApplicationManagement", "Core Directory"
	case e.Activity == "user.setRole":
		return "RoleManagement", "Core Directory"
	case e.Method != "":
		return "UserManagement", "Authentication Methods"
	}
	return "UserManagement", "Core Directory"
}

// verb is the kind of a change, from its activity: "user.create".
func verb(activity string) string {
	_, what, _ := strings.Cut(activity, ".")
	switch {
	case strings.HasPrefix(what, "create"), strings.HasPrefix(what, "add"), strings.HasPrefix(what, "register"), strings.HasPrefix(what, "issue"):
		return "Add"
	case strings.HasPrefix(what, "delete"), strings.HasPrefix(what, "remove"), strings.HasPrefix(what, "revoke"), strings.HasPrefix(what, "end"):
		return "Delete"
	}
	return "Update"
}

func pairs(detail map[string]string, more ...entity) []entity {
	out := append([]entity{}, more...)
	for _, k := range sortedKeys(detail) {
		out = append(out, entity{"key": k, "value": detail[k]})
	}
	return out
}
