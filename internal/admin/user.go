package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// userView names fields as Graph does.
type userView struct {
	ID          idp.UserID   `json:"id"`
	Name        string       `json:"userPrincipalName"`
	DisplayName string       `json:"displayName"`
	Enabled     bool         `json:"accountEnabled"`
	Type        idp.UserType `json:"userType"`
	Role        string       `json:"role"`
	Created     string       `json:"created"`
	// What certificates say of the user, where one user is shown.
	OnPremises     string   `json:"onPremisesUserPrincipalName,omitempty"`
	CertificateIDs []string `json:"certificateUserIds,omitempty"`
}

func viewUser(p directory.Person) userView {
	return userView{
		ID: p.ID, Name: p.Name, DisplayName: p.DisplayName, Enabled: p.Enabled, Type: p.Type, Role: p.Role, Created: stamp(p.Created),
		OnPremises: p.OnPremises,
	}
}

// findUser finds a user by id or by user principal name.
func (c *call) findUser(ctx context.Context, q sqldb.Querier, ref string) (idp.User, error) {
	if ref == "" {
		return idp.User{}, idp.Invalidf("no_user", "no user named").On("user").Say("Say which user is meant.")
	}
	if strings.Contains(ref, "@") {
		return c.Directory.UserByName(ctx, q, c.tenant.ID, ref)
	}
	return c.Directory.User(ctx, q, c.tenant.ID, idp.UserID(audit.Clean(directory.Fold(ref), 64)))
}

// person reads a user with role, as it is now.
func (c *call) person(ctx context.Context, u idp.User) (userView, error) {
	p, err := c.Directory.Person(ctx, c.DB, c.tenant.ID, u.ID)
	if err != nil {
		return userView{}, err
	}
	v := viewUser(p)
	v.CertificateIDs, err = c.Directory.CertificateIDs(ctx, c.DB, c.tenant.ID, u.ID)
	return v, err
}

type createUserParams struct {
	inTenant
	Name        string       `json:"userPrincipalName"`
	DisplayName string       `json:"displayName"`
	Type        idp.UserType `json:"userType"`
	Role        string       `json:"role"`
	Enabled     *bool        `json:"accountEnabled"`
}

func createUser(ctx context.Context, c *call, p createUserParams) (any, error) {
	made := idp.User{Tenant: c.tenant.ID, Name: p.Name, DisplayName: p.DisplayName, Type: p.Type, Enabled: p.Enabled == nil || *p.Enabled}
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		u, err := c.Directory.CreateUser(ctx, tx, made)
		if err != nil {
			return err
		}
		if p.Role != "" {
			if err := c.Directory.SetRole(ctx, tx, u.Tenant, u.ID, p.Role); err != nil {
				return err
			}
			e.Detail["role"] = p.Role
		}
		// A second run of this function makes the same user again.
		made = u
		e.User, e.UserName = u.ID, u.Name
		return nil
	})
	return viewUser(directory.Person{User: made, Role: p.Role}), err
}

// listParams ask for a part of a list: what comes after the object with the
// id After, at most Limit (100, at most 999). A part shorter than that is the last.
type listParams struct {
	inTenant
	After string `json:"after"`
	Limit int    `json:"limit"`
}

func (p listParams) page(cursor string) directory.Page {
	return directory.Page{After: cursor, Limit: p.Limit}
}

func listUsers(ctx context.Context, c *call, p listParams) (any, error) {
	cursor, err := c.afterUser(ctx, p.After)
	if err != nil {
		return nil, err
	}
	people, _, err := c.Directory.Users(ctx, c.tenant.ID, p.page(cursor))
	return viewUsers(people), err
}

// afterUser makes the directory's cursor of the id of a user.
func (c *call) afterUser(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	u, err := c.findUser(ctx, c.DB, id)
	if errors.Is(err, idp.NotFound) {
		return "", gone(id)
	}
	return directory.Cursor(u.Created, string(u.ID)), err
}

// gone says that the object a page was to start after is no longer there.
func gone(id string) error {
	return idp.Conflictf("cursor_gone", "object %s", audit.Clean(id, 64)).On("after").
		Say("The list changed meanwhile. Start again from its beginning.")
}

func viewUsers(people []directory.Person) []userView {
	views := make([]userView, len(people))
	for i, u := range people {
		views[i] = viewUser(u)
	}
	return views
}

type userParams struct {
	inTenant
	User string `json:"user"`
}

func showUser(ctx context.Context, c *call, p userParams) (any, error) {
	u, err := c.findUser(ctx, c.DB, p.User)
	if err != nil {
		return nil, err
	}
	return c.person(ctx, u)
}

// onUser changes a user and shows it as it is then.
func (c *call) onUser(ctx context.Context, ref string, fn func(context.Context, *sqldb.Tx, *idp.User, *audit.Event) error) (any, error) {
	var u idp.User
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if u, err = c.findUser(ctx, tx, ref); err != nil {
			return err
		}
		e.User, e.UserName = u.ID, u.Name
		return fn(ctx, tx, &u, e)
	})
	if err != nil {
		return nil, err
	}
	return c.person(ctx, u)
}

type updateUserParams struct {
	inTenant
	User        string  `json:"user"`
	Name        *string `json:"userPrincipalName"`
	DisplayName *string `json:"displayName"`
	OnPremises  *string `json:"onPremisesUserPrincipalName"`
	// CertificateIDs replace all that there are.
	CertificateIDs *[]string `json:"certificateUserIds"`
}

func updateUser(ctx context.Context, c *call, p updateUserParams) (any, error) {
	return c.onUser(ctx, p.User, func(ctx context.Context, tx *sqldb.Tx, u *idp.User, e *audit.Event) (err error) {
		old := *u
		*u, err = c.Directory.Update(ctx, tx, u.Tenant, u.ID, directory.Changes{Name: p.Name, DisplayName: p.DisplayName, OnPremises: p.OnPremises})
		if err != nil {
			return err
		}
		e.Detail["userPrincipalName"], e.Detail["displayName"] = old.Name+" -> "+u.Name, old.DisplayName+" -> "+u.DisplayName
		if p.OnPremises != nil {
			e.Detail["onPremisesUserPrincipalName"] = *p.OnPremises
		}
		if p.CertificateIDs == nil {
			return nil
		}
		return c.Directory.Map(ctx, tx, *u, *p.CertificateIDs, e)
	})
}

func disableUser(ctx context.Context, c *call, p userParams) (any, error) {
	return c.onUser(ctx, p.User, func(ctx context.Context, tx *sqldb.Tx, u *idp.User, _ *audit.Event) error {
		u.Enabled = false
		if err := c.Directory.SetEnabled(ctx, tx, u.Tenant, u.ID, false); err != nil {
			return err
		}
		return c.revoke(ctx, tx, u)
	})
}

// revoke ends what the user has open (security.md SES03).
func (c *call) revoke(ctx context.Context, tx *sqldb.Tx, u *idp.User) error {
	if c.RevokeUser == nil {
		return nil
	}
	return c.RevokeUser(ctx, tx, u.Tenant, u.ID)
}

func enableUser(ctx context.Context, c *call, p userParams) (any, error) {
	return c.onUser(ctx, p.User, func(ctx context.Context, tx *sqldb.Tx, u *idp.User, _ *audit.Event) error {
		u.Enabled = true
		return c.Directory.SetEnabled(ctx, tx, u.Tenant, u.ID, true)
	})
}

type setRoleParams struct {
	inTenant
	User string `json:"user"`
	Role string `json:"role"`
}

func setRole(ctx context.Context, c *call, p setRoleParams) (any, error) {
	return c.onUser(ctx, p.User, func(ctx context.Context, tx *sqldb.Tx, u *idp.User, e *audit.Event) error {
		e.Detail["role"] = p.Role
		return c.Directory.SetRole(ctx, tx, u.Tenant, u.ID, p.Role)
	})
}

func deleteUser(ctx context.Context, c *call, p userParams) (any, error) {
	var was userView
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		u, err := c.findUser(ctx, tx, p.User)
		if err != nil {
			return err
		}
		was = viewUser(directory.Person{User: u})
		e.User, e.UserName = u.ID, u.Name
		if err := c.revoke(ctx, tx, &u); err != nil {
			return err
		}
		return c.Directory.DeleteUser(ctx, tx, u.Tenant, u.ID)
	})
	return was, err
}

func revokeUser(ctx context.Context, c *call, p userParams) (any, error) {
	if c.RevokeUser == nil {
		return nil, missing("sessions")
	}
	return c.onUser(ctx, p.User, func(ctx context.Context, tx *sqldb.Tx, u *idp.User, _ *audit.Event) error {
		if err := c.guard(ctx, tx, *u); err != nil {
			return err
		}
		return c.revoke(ctx, tx, u)
	})
}

type importParams struct {
	inTenant
	CSV    string `json:"csv"`
	DryRun bool   `json:"dryRun"`
}

type importView struct {
	Rows    int                `json:"rows"`
	Created int                `json:"created"`
	Bad     []directory.BadRow `json:"bad,omitempty"`
}

// errDry undoes an import that was only asked to be tried.
var errDry = errors.New("dry run")

// importUsers makes all users of a CSV file or none. A dry run does everything
// and takes it back.
func importUsers(ctx context.Context, c *call, p importParams) (any, error) {
	made := 0
	report, err := c.Directory.ImportUsers(ctx, c.tenant.ID, strings.NewReader(p.CSV), c.progress,
		func(ctx context.Context, tx *sqldb.Tx, users []idp.User) error {
			made = len(users)
			if p.DryRun {
				return errDry
			}
			e := c.event()
			e.Detail["users"] = strconv.Itoa(len(users))
			if err := c.Audit.Write(ctx, tx, e); err != nil {
				return err
			}
			return c.recordEach(ctx, tx, users)
		})
	if errors.Is(err, errDry) {
		return importView{Rows: made, Created: made}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return importView{Rows: report.Rows, Created: report.Created, Bad: report.Bad}, nil
}

// recordEach writes the event of every user made, as if made alone.
func (c *call) recordEach(ctx context.Context, tx *sqldb.Tx, users []idp.User) error {
	for _, u := range users {
		e := c.event()
		e.Activity, e.User, e.UserName = "user.create", u.ID, u.Name
		if err := c.Audit.Write(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}
