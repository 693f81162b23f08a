package graph

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// directoryRole is a role with the id that Graph has for it in every tenant
// [K]; word is the directory's. A role without one is only for tokens of the
// command line, and nobody can be given it.
type directoryRole struct {
	role  Role
	id    string
	word  string
	about string
}

var directoryRoles = []directoryRole{
	{GlobalAdministrator, "62e90394-69f5-4237-9190-012177145e10", directory.Administrator, "May change everything in the tenant."},
	{AuthenticationAdministrator, "c4e39bd9-1100-46d3-8c65-fb160da0071f", directory.Helpdesk, "Helps people who have no role with their sign-in methods."},
	{GlobalReader, "f2ef992c-3afb-46b9-b7cf-a126ee74c451", "", "May read what a Global Administrator may; tokens of the command line have it, people do not."},
}

// roleFields are what lists of assignments can be asked about.
var roleFields = func() filter.Fields {
	words := map[string]any{}
	for _, r := range directoryRoles {
		words[r.id] = r.word // nobody who is listed has the empty one
	}
	return directory.RoleFields(words)
}()

func roleOperations() []operation {
	look := read("RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", "Directory.Read.All")
	change := write(admins, "RoleManagement.ReadWrite.Directory")
	assignments := options{fields: roleFields, expand: []string{"principal", "roleDefinition"}}
	return []operation{
		{"GET", "/directoryRoles", "directoryRoles", "Roles that people may have", look, options{}, listRoles},
		{"GET", "/directoryRoles/{role}", "directoryRoles", "One role, by its id, which is also its template's", look, options{}, getRole},
		{"GET", "/directoryRoles/{role}/members", "directoryObjects", "Who has a role", look, options{}, listHolders},
		{"POST", "/directoryRoles/{role}/members/$ref", "", "Give somebody a role", change, options{}, addHolder},
		{"DELETE", "/directoryRoles/{role}/members/{member}/$ref", "", "Take a role from somebody; the last administrator stays", change, options{}, removeHolder},
		{"GET", "/roleManagement/directory/roleDefinitions", "roleManagement/directory/roleDefinitions", "Roles that there are", look, options{}, listDefinitions},
		{"GET", "/roleManagement/directory/roleDefinitions/{role}", "roleManagement/directory/roleDefinitions", "One of them", look, options{}, getDefinition},
		{"GET", "/roleManagement/directory/roleAssignments", "roleManagement/directory/roleAssignments", "Who has which role", look, assignments, listAssignments},
		{"POST", "/roleManagement/directory/roleAssignments", "roleManagement/directory/roleAssignments", "Give somebody a role", change, options{}, createAssignment},
		{"GET", "/roleManagement/directory/roleAssignments/{assignment}", "roleManagement/directory/roleAssignments", "One person's role", look,
			options{expand: assignments.expand}, getAssignment},
		{"DELETE", "/roleManagement/directory/roleAssignments/{assignment}", "", "Take a role from somebody; the last administrator stays", change, options{}, deleteAssignment},
	}
}

func (r directoryRole) entity() entity {
	return entity{"id": r.id, "roleTemplateId": r.id, "displayName": string(r.role), "description": r.about}
}

func (r directoryRole) definition() entity {
	return entity{
		"id": r.id, "templateId": r.id, "displayName": string(r.role), "description": r.about,
		"isBuiltIn": true, "isEnabled": r.word != "", "rolePermissions": []entity{},
	}
}

func roleByID(id string) (directoryRole, error) {
	i := slices.IndexFunc(directoryRoles, func(r directoryRole) bool { return strings.EqualFold(r.id, id) })
	if i < 0 {
		return directoryRole{}, missing(idp.NotFound, id)
	}
	return directoryRoles[i], nil
}

func roleByWord(word string) directoryRole {
	i := slices.IndexFunc(directoryRoles, func(r directoryRole) bool { return r.word == word })
	return directoryRoles[max(i, 0)]
}

func roleList(show func(directoryRole) entity, there func(directoryRole) bool) list {
	out := list{}
	for _, r := range directoryRoles {
		if there(r) {
			out.items = append(out.items, show(r))
		}
	}
	return out
}

func listRoles(context.Context, *call) (any, error) {
	return roleList(directoryRole.entity, func(r directoryRole) bool { return r.word != "" }), nil
}

func listDefinitions(context.Context, *call) (any, error) {
	return roleList(directoryRole.definition, func(directoryRole) bool { return true }), nil
}

func getRole(_ context.Context, c *call) (any, error) {
	r, err := roleByID(c.r.PathValue("role"))
	if err == nil && r.word == "" {
		err = missing(idp.NotFound, r.id)
	}
	if err != nil {
		return nil, err
	}
	return r.entity(), nil
}

func getDefinition(_ context.Context, c *call) (any, error) {
	r, err := roleByID(c.r.PathValue("role"))
	if err != nil {
		return nil, err
	}
	return r.definition(), nil
}

func listHolders(ctx context.Context, c *call) (any, error) {
	r, err := roleByID(c.r.PathValue("role"))
	if err != nil {
		return nil, err
	}
	people, err := c.cfg.Directory.WithRole(ctx, c.tenant.ID)
	people = slices.DeleteFunc(people, func(p directory.Person) bool { return p.Role != r.word })
	return list{items: memberEntities(people)}, err
}

func addHolder(ctx context.Context, c *call) (any, error) {
	r, err := roleByID(c.r.PathValue("role"))
	if err != nil {
		return nil, err
	}
	var in struct {
		ID string `json:"@odata.id"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	return nil, c.give(ctx, "@odata.id", path.Base(in.ID), r)
}

// give gives somebody a role that has none; at is the property that names
// them.
func (c *call) give(ctx context.Context, at, who string, r directoryRole) error {
	who = strings.ToLower(who)
	switch {
	case !isGUID(who):
		return badProperty(at, "The property '"+at+"' names a person by their id.")
	case r.word == "":
		return badProperty(at, "People cannot have the role "+string(r.role)+" here.")
	}
	return c.swap(ctx, idp.UserID(who), "", r.word)
}

func (c *call) take(ctx context.Context, who string, r directoryRole) error {
	if who = strings.ToLower(who); !isGUID(who) || r.word == "" {
		return missing(idp.NotFound, who)
	}
	err := c.swap(ctx, idp.UserID(who), r.word, "")
	if e := idp.AsError(err); e != nil && e.Reason == "other_role" {
		return missing(idp.NotFound, who)
	}
	return err
}

func (c *call) swap(ctx context.Context, u idp.UserID, from, to string) error {
	err := c.change(ctx, "user.setRole", u, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["role"], e.Detail["before"] = to, from
		if err := c.cfg.Directory.ChangeRole(ctx, tx, c.tenant.ID, u, from, to); err != nil {
			return err
		}
		person, err := c.cfg.Directory.User(ctx, tx, c.tenant.ID, u)
		e.UserName = person.Name
		return err
	})
	return missing(err, string(u))
}

func removeHolder(ctx context.Context, c *call) (any, error) {
	r, err := roleByID(c.r.PathValue("role"))
	if err != nil {
		return nil, err
	}
	return nil, c.take(ctx, c.r.PathValue("member"), r)
}

// assignmentID names who has which role.
func assignmentID(r directoryRole, u idp.UserID) string { return r.id + "." + string(u) }

func (c *call) assignment(p directory.Person) entity {
	r := roleByWord(p.Role)
	e := entity{"id": assignmentID(r, p.ID), "principalId": p.ID, "roleDefinitionId": r.id, "directoryScopeId": "/"}
	if c.query.expands("principal") {
		principal := userEntity(p)
		principal["@odata.type"] = "#microsoft.graph.user"
		e["principal"] = principal
	}
	if c.query.expands("roleDefinition") {
		e["roleDefinition"] = r.definition()
	}
	return e
}

func listAssignments(ctx context.Context, c *call) (any, error) {
	people, err := c.cfg.Directory.Holders(ctx, c.tenant.ID, c.query.where)
	out := list{}
	for _, p := range people {
		out.items = append(out.items, c.assignment(p))
	}
	return out, err
}

// assigned reads the id of the path; who has the role is not yet looked at.
func (c *call) assigned() (directoryRole, string, error) {
	id := c.r.PathValue("assignment")
	role, who, _ := strings.Cut(id, ".")
	r, err := roleByID(role)
	if err != nil || !isGUID(who) {
		return r, "", missing(idp.NotFound, id)
	}
	return r, strings.ToLower(who), nil
}

func getAssignment(ctx context.Context, c *call) (any, error) {
	r, who, err := c.assigned()
	if err != nil {
		return nil, err
	}
	people, err := c.cfg.Directory.WithRole(ctx, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		if string(p.ID) == who && p.Role == r.word {
			return c.assignment(p), nil
		}
	}
	return nil, missing(idp.NotFound, c.r.PathValue("assignment"))
}

func createAssignment(ctx context.Context, c *call) (any, error) {
	var in struct {
		head
		Principal *string `json:"principalId"`
		Role      *string `json:"roleDefinitionId"`
		Scope     *string `json:"directoryScopeId"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Principal == nil:
		return nil, required("principalId")
	case in.Role == nil:
		return nil, required("roleDefinitionId")
	case in.Scope != nil && *in.Scope != "/":
		return nil, badProperty("directoryScopeId", "A role is for the whole tenant here: directoryScopeId is /.")
	}
	r, err := roleByID(*in.Role)
	if err != nil {
		return nil, badProperty("roleDefinitionId", "There is no role '"+clip(*in.Role)+"'.")
	}
	if err := c.give(ctx, "principalId", *in.Principal, r); err != nil {
		return nil, err
	}
	id := assignmentID(r, idp.UserID(strings.ToLower(*in.Principal)))
	e := entity{"id": id, "principalId": strings.ToLower(*in.Principal), "roleDefinitionId": r.id, "directoryScopeId": "/"}
	return created{e, "/roleManagement/directory/roleAssignments/" + id}, nil
}

func deleteAssignment(ctx context.Context, c *call) (any, error) {
	r, who, err := c.assigned()
	if err != nil {
		return nil, err
	}
	return nil, c.take(ctx, who, r)
}
