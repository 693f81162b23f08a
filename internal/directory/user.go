package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Roles a user may have. Everybody else has none.
const (
	Administrator = "administrator"
	Helpdesk      = "helpdesk"
)

// Person is a user with what administrators see of one.
type Person struct {
	idp.User
	Role string // "", Administrator or Helpdesk
	// OnPremises is the user's name in a directory of their own premises
	// (Graph's onPremisesUserPrincipalName): certificates may have it. Empty:
	// none.
	OnPremises string
}

// CreateUser makes a user of u.Tenant. u.ID empty: a new one; u.Type empty: a
// member; u.DisplayName empty: the part of the name before the @. Invalid
// when the name is malformed or its domain is not the tenant's, Conflict when
// it is taken.
func (d *Directory) CreateUser(ctx context.Context, tx *sqldb.Tx, u idp.User) (idp.User, error) {
	u, err := prepare(u)
	if err != nil {
		return idp.User{}, err
	}
	_, domain, err := splitUserName(u.Name)
	if err != nil {
		return idp.User{}, err
	}
	if err := ownsDomain(ctx, tx, u.Tenant, domain); err != nil {
		return idp.User{}, err
	}
	if u.ID == "" {
		u.ID = idp.UserID(secret.NewUUID4())
	}
	u.Created = d.now()
	return u, insertUser(ctx, tx, u)
}

// prepare checks and cleans what needs no database.
func prepare(u idp.User) (idp.User, error) {
	local, _, err := splitUserName(u.Name)
	if err != nil {
		return u, err
	}
	if u.DisplayName == "" {
		u.DisplayName = local
	}
	if u.DisplayName, err = checkText("displayName", u.DisplayName); err != nil {
		return u, err
	}
	switch u.Type {
	case "":
		u.Type = idp.Member
	case idp.Member, idp.Guest:
	default:
		return u, idp.Invalidf("bad_user_type", "user type %q", audit.Clean(string(u.Type), 50)).On("userType").Say("userType must be member or guest.")
	}
	return u, nil
}

func insertUser(ctx context.Context, tx *sqldb.Tx, u idp.User) error {
	n, err := tx.Exec(ctx, `
		insert into users (tenant_id, id, name, name_folded, display_name, display_folded, enabled, user_type, role, created)
		values ($1, $2, $3, $4, $5, $6, $7, $8, '', $9)
		on conflict (tenant_id, name_folded) do nothing`,
		u.Tenant, u.ID, u.Name, Fold(u.Name), u.DisplayName, foldText(u.DisplayName), u.Enabled, string(u.Type), u.Created.UnixMilli())
	if err != nil {
		return fmt.Errorf("create user %s: %w", u.Name, err)
	}
	if n == 0 {
		return nameTaken(u.Name)
	}
	return nil
}

func nameTaken(name string) error {
	return idp.Conflictf("user_name_taken", "user %s", name).On("userPrincipalName").Say("A user with this name exists already.")
}

const userColumns = `select tenant_id, id, name, display_name, enabled, user_type, role, created, on_premises_name from users `

// User finds a user of the tenant by id, or is NotFound. Read outside of a
// transaction it may be as old as the last notice of a change; what must be
// decided by the present row reads it in its transaction, and the row stays as
// it is until that commits: whoever disables or deletes the user comes before,
// and is seen, or after, and sees what was done (SES03).
func (d *Directory) User(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.UserID) (idp.User, error) {
	if q == sqldb.Querier(d.cfg.DB) && d.cfg.Bus != nil {
		p, err := d.people.Get(ctx, userKey(t, id))
		return p.User, err
	}
	if tx, ok := q.(*sqldb.Tx); ok {
		p, err := d.find(ctx, tx, t, id, tx.ForShare())
		return p.User, err
	}
	p, err := d.person(ctx, q, t, id)
	return p.User, err
}

// Enabled says whether a user may sign in, or is NotFound. It is User in a
// transaction, for whom nothing else of the row matters: the row stays as it is
// until tx commits.
func (d *Directory) Enabled(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) (bool, error) {
	var enabled bool
	err := tx.QueryRow(ctx, `select enabled from users where tenant_id = $1 and id = $2`+tx.ForShare(), t, id).Scan(&enabled)
	if errors.Is(err, idp.NotFound) {
		return false, nothing("user", id)
	}
	if err != nil {
		return false, fmt.Errorf("find user: %w", err)
	}
	return enabled, nil
}

// userChanged tells every node to read the user anew.
func (d *Directory) userChanged(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) error {
	if d.cfg.Bus == nil {
		return nil
	}
	return d.cfg.Bus.Publish(ctx, tx, userTopic, userKey(t, id))
}

func (d *Directory) person(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.UserID) (Person, error) {
	return d.find(ctx, q, t, id, "")
}

func (d *Directory) find(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.UserID, lock string) (Person, error) {
	p, err := scanPerson(q.QueryRow(ctx, userColumns+`where tenant_id = $1 and id = $2`+lock, t, id))
	if errors.Is(err, idp.NotFound) {
		return Person{}, nothing("user", id)
	}
	if err != nil {
		return Person{}, fmt.Errorf("find user: %w", err)
	}
	return p, nil
}

// UserByName finds a user of the tenant by user principal name, whatever its
// letter case, or is NotFound.
func (d *Directory) UserByName(ctx context.Context, q sqldb.Querier, t idp.TenantID, name string) (idp.User, error) {
	// What is too long is looked up cut: a stranger's name costs one query,
	// whatever it is.
	folded := Fold(name)
	p, err := scanPerson(q.QueryRow(ctx, userColumns+`where tenant_id = $1 and name_folded = $2`, t, searchable(folded)))
	if errors.Is(err, idp.NotFound) {
		return idp.User{}, nothing("user", audit.Clean(name, maxUserName))
	}
	if err != nil {
		return idp.User{}, fmt.Errorf("find user by name: %w", err)
	}
	return p.User, nil
}

// searchable makes of what somebody typed a text that both databases take.
// No user has a name that this changes.
func searchable(folded string) string {
	if len(folded) > maxUserName {
		folded = folded[:maxUserName] + "…"
	}
	return audit.Clean(folded, 2*maxUserName)
}

// Users lists users in the order of their making, and the cursor of the next
// part; an empty one at the end.
func (d *Directory) Users(ctx context.Context, t idp.TenantID, page Page) ([]Person, string, error) {
	created, id, err := page.position()
	if err != nil {
		return nil, "", err
	}
	where, args := page.Where.SQL(5)
	rows, err := d.cfg.DB.Query(ctx, userColumns+`
		where tenant_id = $1 and (created, id) > ($2, $3) and `+where+`
		order by created, id limit $4`, append([]any{t, created, id, int64(page.limit())}, args...)...)
	if err != nil {
		return nil, "", fmt.Errorf("list users: %w", err)
	}
	return readPeople(rows, page)
}

// WithRole lists the users of the tenant who have a role, in the order of their
// making: administrators and the help desk, as many as there are.
func (d *Directory) WithRole(ctx context.Context, t idp.TenantID) ([]Person, error) {
	return d.Holders(ctx, t, filter.Expr{})
}

// CountUsers counts the users of the tenant for whom where holds.
func (d *Directory) CountUsers(ctx context.Context, t idp.TenantID, where filter.Expr) (int64, error) {
	return d.count(ctx, "users", t, where)
}

// count counts rows of a table of ours; table is never input.
func (d *Directory) count(ctx context.Context, table string, t idp.TenantID, where filter.Expr) (n int64, err error) {
	cond, args := where.SQL(2)
	err = d.cfg.DB.QueryRow(ctx, `select count(*) from `+table+` where tenant_id = $1 and `+cond, append([]any{t}, args...)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", table, err)
	}
	return n, nil
}

func readPeople(rows *sqldb.Rows, page Page) ([]Person, string, error) {
	defer rows.Close()
	var out []Person
	for rows.Next() {
		p, err := scanPerson(rows)
		if err != nil {
			return nil, "", fmt.Errorf("list users: %w", err)
		}
		out = append(out, p)
	}
	if err := rows.Err(); err != nil || len(out) == 0 {
		return nil, "", err
	}
	last := out[len(out)-1]
	return out, page.next(len(out), last.Created, string(last.ID)), nil
}

// Changes says what Update is to change; nil leaves a field as it is.
type Changes struct {
	Name        *string
	DisplayName *string
	OnPremises  *string // "" takes it away
}

// Update changes a user and returns it as it is then. Errors are those of
// CreateUser, and NotFound.
func (d *Directory) Update(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, c Changes) (idp.User, error) {
	if err := d.Lock(ctx, tx, t, id); err != nil {
		return idp.User{}, err
	}
	u, err := d.User(ctx, tx, t, id)
	if err != nil {
		return idp.User{}, err
	}
	old := u
	if c.Name != nil {
		u.Name = *c.Name
	}
	if c.DisplayName != nil {
		u.DisplayName = *c.DisplayName
	}
	if u, err = prepare(u); err != nil {
		return idp.User{}, err
	}
	if u.Name != old.Name {
		if err := d.checkRename(ctx, tx, old, u); err != nil {
			return idp.User{}, err
		}
	}
	if c.OnPremises != nil {
		name, err := checkOnPremises(*c.OnPremises)
		if err != nil {
			return idp.User{}, err
		}
		if err := d.setOnPremises(ctx, tx, t, id, name); err != nil {
			return idp.User{}, err
		}
	}
	_, err = tx.Exec(ctx, `update users set name = $3, name_folded = $4, display_name = $5, display_folded = $6 where tenant_id = $1 and id = $2`,
		t, id, u.Name, Fold(u.Name), u.DisplayName, foldText(u.DisplayName))
	if errors.Is(err, idp.Conflict) { // taken between the look and the write
		return idp.User{}, nameTaken(u.Name)
	}
	if err != nil {
		return idp.User{}, fmt.Errorf("update user %s: %w", id, err)
	}
	return u, d.userChanged(ctx, tx, t, id)
}

func (d *Directory) checkRename(ctx context.Context, tx *sqldb.Tx, old, u idp.User) error {
	_, domain, err := splitUserName(u.Name)
	if err != nil {
		return err
	}
	if err := ownsDomain(ctx, tx, u.Tenant, domain); err != nil {
		return err
	}
	switch other, err := d.UserByName(ctx, tx, u.Tenant, u.Name); {
	case errors.Is(err, idp.NotFound):
		return nil
	case err != nil:
		return err
	case other.ID != old.ID:
		return nameTaken(u.Name)
	}
	return nil
}

// SetEnabled lets a user sign in, or not. Denied "last_administrator" when
// nobody else could administer the tenant. The caller ends what the user has
// open.
func (d *Directory) SetEnabled(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, enabled bool) error {
	if !enabled {
		if err := d.keepAdministrator(ctx, tx, t, id); err != nil {
			return err
		}
	}
	return d.changeUser(ctx, tx, t, id, `update users set enabled = $3 where tenant_id = $1 and id = $2`, enabled)
}

// SetRole gives a user a role, or takes it with "". Denied
// "last_administrator" as SetEnabled.
func (d *Directory) SetRole(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, role string) error {
	switch role {
	case Administrator:
		if err := lockTenant(ctx, tx, t); err != nil {
			return err
		}
	case "", Helpdesk:
		if err := d.keepAdministrator(ctx, tx, t, id); err != nil {
			return err
		}
	default:
		return idp.Invalidf("bad_role", "role %q", audit.Clean(role, 50)).On("role").Say("role must be administrator, helpdesk or empty.")
	}
	was, err := d.person(ctx, tx, t, id) // the tenant is locked: nobody else changes a role
	if err != nil {
		return err
	}
	if was.Role == "" && role != "" {
		for _, fn := range d.promoted {
			if err := fn(ctx, tx, t, id); err != nil {
				return fmt.Errorf("give user %s a role: %w", id, err)
			}
		}
	}
	return d.changeUser(ctx, tx, t, id, `update users set role = $3 where tenant_id = $1 and id = $2`, role)
}

// DeleteUser removes a user with memberships and, by the hooks, everything
// else. Denied "last_administrator" as SetEnabled.
func (d *Directory) DeleteUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) error {
	if err := d.keepAdministrator(ctx, tx, t, id); err != nil {
		return err
	}
	if err := d.changeUser(ctx, tx, t, id, `delete from users where tenant_id = $1 and id = $2`); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from user_group_member where tenant_id = $1 and user_id = $2`, t, id); err != nil {
		return fmt.Errorf("delete memberships of %s: %w", id, err)
	}
	if err := removeCertificateIDs(ctx, tx, t, id); err != nil {
		return err
	}
	for _, hook := range d.removed {
		if err := hook(ctx, tx, t, id); err != nil {
			return fmt.Errorf("delete what belongs to user %s: %w", id, err)
		}
	}
	return nil
}

// changeUser runs one conditional statement on a user's row and tells the other
// nodes; NotFound when there is no such user.
func (d *Directory) changeUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, query string, args ...any) error {
	if err := touchUser(ctx, tx, t, id, query, args...); err != nil {
		return err
	}
	return d.userChanged(ctx, tx, t, id)
}

func touchUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, query string, args ...any) error {
	n, err := tx.Exec(ctx, query, append([]any{t, id}, args...)...)
	if err != nil {
		return fmt.Errorf("change user %s: %w", id, err)
	}
	if n == 0 {
		return nothing("user", id)
	}
	return nil
}

// keepAdministrator refuses when the user is the only enabled administrator.
// The tenant's row is locked first: of two requests that would each leave the
// other's administrator, the second sees what the first did (T48).
func (d *Directory) keepAdministrator(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) error {
	if err := lockTenant(ctx, tx, t); err != nil {
		return err
	}
	p, err := d.person(ctx, tx, t, id)
	if err != nil {
		return err
	}
	if p.Role != Administrator || !p.Enabled {
		return nil
	}
	var others int64
	err = tx.QueryRow(ctx, `
		select count(*) from users where tenant_id = $1 and role = $3 and enabled = $4 and id <> $2`,
		t, id, Administrator, true).Scan(&others)
	if err != nil {
		return fmt.Errorf("count administrators: %w", err)
	}
	if others == 0 {
		return idp.Deniedf("last_administrator", "user %s is the last administrator of %s", id, t).
			Say("This is the last administrator who can sign in. Make another one first.")
	}
	for _, fn := range d.demoted {
		if err := fn(ctx, tx, t, id); err != nil {
			return fmt.Errorf("take administrator %s: %w", id, err)
		}
	}
	return nil
}

// Lock takes the user's row, so that decisions that look at several rows of a
// user (is this the last credential?) come one after the other. NotFound when
// the user is gone.
func (d *Directory) Lock(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) error {
	return touchUser(ctx, tx, t, id, `update users set enabled = enabled where tenant_id = $1 and id = $2`)
}

// Roles lists the user's roles: none or one. NotFound when there is no such
// user.
func (d *Directory) Roles(ctx context.Context, t idp.TenantID, id idp.UserID) ([]string, error) {
	p, err := d.person(ctx, d.cfg.DB, t, id)
	if err != nil || p.Role == "" {
		return nil, err
	}
	return []string{p.Role}, nil
}

// RoleIn is the user's role as it is in tx, "" for none; nobody gives or takes
// one before tx ends.
func (d *Directory) RoleIn(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) (string, error) {
	p, err := d.find(ctx, tx, t, id, tx.ForShare())
	return p.Role, err
}

func scanPerson(r scanner) (Person, error) {
	var p Person
	var created int64
	var kind string
	err := r.Scan(&p.Tenant, &p.ID, &p.Name, &p.DisplayName, &p.Enabled, &kind, &p.Role, &created, &p.OnPremises)
	p.Type, p.Created = idp.UserType(kind), time.UnixMilli(created).UTC()
	return p, err
}
