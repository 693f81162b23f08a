package graph

import (
	"context"
	"errors"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func userOperations() []operation {
	one := options{expand: []string{"memberOf"}}
	many := options{
		list: true, fields: directory.UserFields, count: true, order: []string{"createdDateTime", "createdDateTime asc"},
		expand: one.expand, search: []string{"displayName", "userPrincipalName", "mail"},
	}
	readOne := needs{
		permissions: []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All"}, roles: readers,
		self: []string{"User.Read"},
	}
	change := write(admins, "User.ReadWrite.All", "Directory.ReadWrite.All")
	return []operation{
		{"GET", "/me", "users", "The person who is signed in", readOne, one, getUser},
		{"GET", "/users", "users", "List people", read("User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All"), many, listUsers},
		{"GET", "/users/$count", "users", "Count people", read("User.ReadBasic.All", "User.Read.All", "Directory.Read.All"),
			options{fields: directory.UserFields, search: many.search}, countUsers},
		{"POST", "/users", "users", "Make a person", change, options{}, createUser},
		{"GET", "/users/{user}", "users", "One person, by id or user principal name", readOne, one, getUser},
		{"PATCH", "/users/{user}", "users", "Change a person: name, whether they may sign in, or which certificates are theirs", change, options{}, updateUser},
		{"DELETE", "/users/{user}", "users", "Remove a person and all that is theirs", change, options{}, deleteUser},
		{"POST", "/users/{user}/revokeSignInSessions", "Edm.Boolean", "End all sessions and refresh tokens of a person",
			needs{permissions: []string{"User.RevokeSessions.All", "User.ReadWrite.All"}, roles: helpdesk, self: []string{"User.ReadWrite"}, writes: true}, options{}, revokeSessions},
		{"GET", "/users/{user}/memberOf", "directoryObjects", "Groups of a person",
			needs{permissions: memberOfPermissions, roles: readers, self: []string{"User.Read"}}, options{list: true}, memberOf},
		{"GET", "/me/memberOf", "directoryObjects", "Groups of the person who is signed in",
			needs{permissions: memberOfPermissions, roles: readers, self: []string{"User.Read"}}, options{list: true}, memberOf},
	}
}

// memberOfPermissions are for seeing who is in which group, alone or as what
// comes along with a person.
var memberOfPermissions = []string{"User.Read.All", "GroupMember.Read.All", "Directory.Read.All"}

// mayExpand refuses to add to people what the caller could not read alone.
func (c *call) mayExpand() error {
	if !c.query.expands("memberOf") || c.caller.cli != "" || c.caller.has(memberOfPermissions) || c.me() && c.caller.has([]string{"User.Read"}) {
		return nil
	}
	return denied("expand_permission_missing", "Insufficient privileges to expand memberOf.")
}

func userEntity(p directory.Person) entity {
	kind := "Member"
	if p.Type == idp.Guest {
		kind = "Guest"
	}
	return entity{
		"id": p.ID, "displayName": p.DisplayName, "userPrincipalName": p.Name, "accountEnabled": p.Enabled,
		"userType": kind, "createdDateTime": stamp(p.Created),
	}
}

// person finds who a path means: an id, a user principal name, or "me".
func (c *call) person(ctx context.Context) (idp.User, error) {
	who := c.r.PathValue("user")
	if who == "" || strings.EqualFold(who, "me") {
		if c.caller.user == "" {
			return idp.User{}, denied("me_without_person", "/me request is only valid with delegated authentication flow.")
		}
		who = string(c.caller.user)
	}
	if c.me() { // whoever has that name by now
		who = string(c.caller.user)
	}
	return c.somebody(ctx, who)
}

// somebody finds a person by id or user principal name.
func (c *call) somebody(ctx context.Context, who string) (idp.User, error) {
	if strings.Contains(who, "@") {
		u, err := c.cfg.Directory.UserByName(ctx, c.cfg.DB, c.tenant.ID, who)
		return u, missing(err, who)
	}
	if !isGUID(who) {
		return idp.User{}, missing(idp.NotFound, who)
	}
	u, err := c.cfg.Directory.User(ctx, c.cfg.DB, c.tenant.ID, idp.UserID(strings.ToLower(who)))
	return u, missing(err, who)
}

// missing says in Graph's words that there is no such object.
func missing(err error, what string) error {
	if !errors.Is(err, idp.NotFound) {
		return err
	}
	return idp.NotFoundf("no_object", "%s", clip(what)).
		Say("Resource '" + audit.Clean(clip(what), 64) + "' does not exist or one of its queried reference-property objects are not present.")
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F'
		if dash != (r == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

func getUser(ctx context.Context, c *call) (any, error) {
	if err := c.mayExpand(); err != nil {
		return nil, err
	}
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	p := directory.Person{User: u}
	if c.selects(propOnPremises) {
		if p, err = c.cfg.Directory.Person(ctx, c.cfg.DB, c.tenant.ID, u.ID); err != nil {
			return nil, missing(err, string(u.ID))
		}
	}
	e, err := c.expandedUser(ctx, p)
	if err != nil {
		return nil, err
	}
	return e, c.addMappings(ctx, []directory.Person{p}, []entity{e})
}

func listUsers(ctx context.Context, c *call) (any, error) {
	if err := firstError(c.mayExpand(), c.mayAskMappings()); err != nil {
		return nil, err
	}
	people, next, err := c.cfg.Directory.Users(ctx, c.tenant.ID, directory.Page{After: c.query.after, Limit: c.limit(), Where: c.query.where})
	if err != nil {
		return nil, err
	}
	out := list{next: next}
	for _, p := range people {
		e, err := c.expandedUser(ctx, p)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, e)
	}
	if err := c.addMappings(ctx, people, out.items); err != nil {
		return nil, err
	}
	if c.query.count {
		out.total, err = c.cfg.Directory.CountUsers(ctx, c.tenant.ID, c.query.where)
	}
	return out, err
}

func countUsers(ctx context.Context, c *call) (any, error) {
	if err := c.mayAskMappings(); err != nil {
		return nil, err
	}
	n, err := c.cfg.Directory.CountUsers(ctx, c.tenant.ID, c.query.where)
	return count(n), err
}

// userBody is what may be written of a person. passwordProfile is taken and
// passed over when it is there: clients must send one to Graph, and nobody has
// a password here.
type userBody struct {
	DisplayName       *string `json:"displayName"`
	UserPrincipalName *string `json:"userPrincipalName"`
	AccountEnabled    *bool   `json:"accountEnabled"`
	UserType          *string `json:"userType"`
	MailNickname      *string `json:"mailNickname"`
	PasswordProfile   *any    `json:"passwordProfile"`
	ODataType         *string `json:"@odata.type"`
	mappingBody
}

func createUser(ctx context.Context, c *call) (any, error) {
	in, err := c.userBody()
	if err != nil {
		return nil, err
	}
	if in.UserPrincipalName == nil {
		return nil, required("userPrincipalName")
	}
	if err := c.mayMap(in.mappingBody); err != nil {
		return nil, err
	}
	u := idp.User{Tenant: c.tenant.ID, Name: *in.UserPrincipalName, Enabled: in.AccountEnabled == nil || *in.AccountEnabled, Type: idp.Member}
	if in.DisplayName != nil {
		u.DisplayName = *in.DisplayName
	}
	if in.UserType != nil {
		switch strings.ToLower(*in.UserType) {
		case "member":
		case "guest":
			u.Type = idp.Guest
		default:
			return nil, badProperty("userType", "userType is Member or Guest.")
		}
	}
	err = c.change(ctx, "user.create", "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		made, err := c.cfg.Directory.CreateUser(ctx, tx, u)
		if err != nil {
			return err
		}
		u, e.User, e.UserName = made, made.ID, made.Name
		return c.setMappings(ctx, tx, made, in.mappingBody, e)
	})
	if err != nil {
		return nil, err
	}
	return created{userEntity(directory.Person{User: u}), "/users/" + string(u.ID)}, nil
}

func updateUser(ctx context.Context, c *call) (any, error) {
	in, err := c.userBody()
	if err != nil {
		return nil, err
	}
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	if in.UserType != nil {
		return nil, badProperty("userType", "userType cannot be changed.")
	}
	if err := c.mayMap(in.mappingBody); err != nil {
		return nil, err
	}
	if err := c.mayRename(ctx, u, in.UserPrincipalName); err != nil {
		return nil, err
	}
	return nil, c.change(ctx, "user.update", u.ID, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.UserName = u.Name
		if in.DisplayName != nil || in.UserPrincipalName != nil {
			changes := directory.Changes{Name: in.UserPrincipalName, DisplayName: in.DisplayName}
			if _, err := c.cfg.Directory.Update(ctx, tx, c.tenant.ID, u.ID, changes); err != nil {
				return err
			}
			e.Detail["properties"] = "displayName, userPrincipalName"
		}
		if err := c.setMappings(ctx, tx, u, in.mappingBody, e); err != nil {
			return err
		}
		if in.AccountEnabled == nil {
			return nil
		}
		e.Detail["accountEnabled"] = "true"
		if !*in.AccountEnabled {
			e.Detail["accountEnabled"] = "false"
			if err := c.cfg.RevokeUser(ctx, tx, c.tenant.ID, u.ID); err != nil {
				return err
			}
		}
		return c.cfg.Directory.SetEnabled(ctx, tx, c.tenant.ID, u.ID, *in.AccountEnabled)
	})
}

func deleteUser(ctx context.Context, c *call) (any, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	return nil, c.change(ctx, "user.delete", u.ID, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.UserName = u.Name
		return c.cfg.Directory.DeleteUser(ctx, tx, c.tenant.ID, u.ID)
	})
}

func revokeSessions(ctx context.Context, c *call) (any, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	err = c.change(ctx, "session.revokeUser", u.ID, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		if err := c.stillOver(ctx, tx, u); err != nil {
			return err
		}
		e.UserName = u.Name
		return c.cfg.RevokeUser(ctx, tx, c.tenant.ID, u.ID)
	})
	if err != nil {
		return nil, err
	}
	return entity{"value": true}, nil
}

func memberOf(ctx context.Context, c *call) (any, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := c.groupsOf(ctx, u.ID, maxTop)
	if err != nil {
		return nil, err
	}
	return c.part(groups)
}

// groupsOf shows the groups of a person, so many of them.
func (c *call) groupsOf(ctx context.Context, u idp.UserID, most int) ([]entity, error) {
	ids, err := c.cfg.Directory.GroupsOf(ctx, c.tenant.ID, u)
	if err != nil {
		return nil, err
	}
	out := []entity{}
	for _, id := range ids {
		if len(out) == most {
			break
		}
		g, err := c.cfg.Directory.Group(ctx, c.cfg.DB, c.tenant.ID, id)
		if errors.Is(err, idp.NotFound) {
			continue // removed between the two reads
		}
		if err != nil {
			return nil, err
		}
		e := groupEntity(g)
		e["@odata.type"] = "#microsoft.graph.group"
		out = append(out, e)
	}
	return out, nil
}

// expandedUser is a person with what $expand asks for.
func (c *call) expandedUser(ctx context.Context, p directory.Person) (entity, error) {
	e := userEntity(p)
	for _, x := range c.query.expand {
		groups, err := c.groupsOf(ctx, p.ID, maxExpanded)
		if err != nil && !errors.Is(err, idp.NotFound) {
			return nil, err
		}
		e[x.name] = picked(groups, x.selected)
	}
	return e, nil
}
