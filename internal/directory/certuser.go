package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// The properties that UsersBy looks at, in Graph's words; they are those of
// policy.UserProperty.
const (
	byUserName   = "userPrincipalName"
	byOnPremises = "onPremisesUserPrincipalName"
	byCertIDs    = "certificateUserIds"
)

// mostValues is how many values UsersBy looks up at once: a certificate has
// fewer names, or is not one that a person should have.
const mostValues = 32

// UsersBy finds the users of the tenant for whom a property is one of values,
// whether they may sign in or not, each once, in one statement. property is
// userPrincipalName or onPremisesUserPrincipalName, which are compared without
// the case of ASCII letters, or certificateUserIds, compared exactly. Several
// users are for the caller to refuse (security.md CBA07). Invalid: another
// property, or more than 32 values.
//
// Values come from outside. One that no user can have finds nobody; none is
// cut, cleaned or trimmed into one that a user has (T22).
func (d *Directory) UsersBy(ctx context.Context, q sqldb.Querier, t idp.TenantID, property string, values []string) ([]idp.User, error) {
	column, known := mappingColumns[property]
	if !known {
		return nil, idp.Invalidf("bad_property", "users by %q", audit.Clean(property, 50)).Say("Nobody is found by that property.")
	}
	if len(values) > mostValues {
		return nil, idp.Invalidf("too_many_values", "users by %d values", len(values)).Say("A certificate has too many names.")
	}
	var keys []any
	for _, v := range values {
		if v == "" || !utf8.ValidString(v) || strings.ContainsFunc(v, unprintable) {
			continue
		}
		if column == "" {
			keys = append(keys, certificateDigest(v))
		} else if folded := Fold(v); len(folded) == len(v) && len(v) <= maxUserName {
			keys = append(keys, folded)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	query := usersBy(column, padded(&keys))
	rows, err := q.Query(ctx, query, append([]any{t}, keys...)...)
	if err != nil {
		return nil, fmt.Errorf("find users by %s: %w", property, err)
	}
	defer rows.Close()
	var out []idp.User
	for rows.Next() {
		p, err := scanPerson(rows)
		if err != nil {
			return nil, fmt.Errorf("find users by %s: %w", property, err)
		}
		out = append(out, p.User)
	}
	slices.SortFunc(out, func(a, b idp.User) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(string(a.ID), string(b.ID)))
	})
	return out, rows.Err()
}

// mappingColumns are where users have the properties, folded; certificateUserIds
// have a table of their own.
var mappingColumns = map[string]string{byUserName: "name_folded", byOnPremises: "on_premises_folded", byCertIDs: ""}

// usersBy finds users by n keys. It asks for no order: SQLite would read all
// users of the tenant in it.
func usersBy(column string, n int) string {
	list := placeholders(2, n)
	if column == "" {
		return userColumns + `where tenant_id = $1 and id in (select user_id from user_certificate_id where tenant_id = $1 and digest in (` + list + `))`
	}
	// That it is not empty is said for the sake of the index, which has no empty
	// names.
	return userColumns + `where tenant_id = $1 and ` + column + ` <> '' and ` + column + ` in (` + list + `)`
}

// padded repeats the last of keys until there are 1, 4 or mostValues, so that
// few statements are prepared.
func padded(keys *[]any) int {
	want := mostValues
	switch n := len(*keys); {
	case n == 1:
		want = 1
	case n <= 4:
		want = 4
	}
	for len(*keys) < want {
		*keys = append(*keys, (*keys)[len(*keys)-1])
	}
	return want
}

func placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("$" + strconv.Itoa(first+i))
	}
	return b.String()
}

// certificateDigest is what a value is found by: it may be longer than an index
// of PostgreSQL takes.
func certificateDigest(value string) string { return fmt.Sprintf("%x", secret.Digest(value)) }

// Person is a user with what administrators see of one, as the row is now, or
// NotFound.
func (d *Directory) Person(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.UserID) (Person, error) {
	return d.person(ctx, q, t, id)
}

// CertificateIDs are the user's certificateUserIds, in the order in which they
// were set. Nobody's, too, for a user who is not there.
func (d *Directory) CertificateIDs(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.UserID) ([]string, error) {
	all, err := d.CertificateIDsOf(ctx, q, t, []idp.UserID{id})
	return all[id], err
}

// mostAtOnce is how many users CertificateIDsOf asks for in one statement.
const mostAtOnce = 200

// CertificateIDsOf are those of several users.
func (d *Directory) CertificateIDsOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, ids []idp.UserID) (map[idp.UserID][]string, error) {
	out := make(map[idp.UserID][]string)
	for batch := range slices.Chunk(ids, mostAtOnce) {
		args := []any{t}
		n := mostAtOnce
		if len(batch) == 1 {
			n = 1
		}
		for i := range n {
			args = append(args, batch[min(i, len(batch)-1)])
		}
		rows, err := q.Query(ctx, `
			select user_id, value from user_certificate_id
			where tenant_id = $1 and user_id in (`+placeholders(2, n)+`) order by user_id, place`, args...)
		if err != nil {
			return nil, fmt.Errorf("list certificate ids: %w", err)
		}
		err = eachRow(rows, func() error {
			var id idp.UserID
			var value string
			err := rows.Scan(&id, &value)
			out[id] = append(out[id], value)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list certificate ids: %w", err)
		}
	}
	return out, nil
}

func eachRow(rows *sqldb.Rows, fn func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := fn(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// SetCertificateIDs replaces the user's certificateUserIds. Invalid when one
// is malformed, stands there twice, or there are too many; Conflict
// "certificate_id_taken" when it is another user's; NotFound.
func (d *Directory) SetCertificateIDs(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, values []string) error {
	if err := CheckCertificateIDs(values); err != nil {
		return err
	}
	if err := d.Lock(ctx, tx, t, id); err != nil {
		return err
	}
	if err := removeCertificateIDs(ctx, tx, t, id); err != nil {
		return err
	}
	if err := insertCertificateIDs(ctx, tx, t, id, values); err != nil {
		return err
	}
	return d.userChanged(ctx, tx, t, id)
}

// Map is SetCertificateIDs, and notes in the audit record what the values were
// and are.
func (d *Directory) Map(ctx context.Context, tx *sqldb.Tx, u idp.User, values []string, e *audit.Event) error {
	old, err := d.CertificateIDs(ctx, tx, u.Tenant, u.ID)
	if err != nil {
		return err
	}
	if err := d.SetCertificateIDs(ctx, tx, u.Tenant, u.ID, values); err != nil {
		return err
	}
	if e.Detail == nil {
		e.Detail = make(map[string]string)
	}
	for i, v := range values {
		if !slices.Contains(old, v) {
			e.Detail["certificateUserIds.added["+strconv.Itoa(i)+"]"] = audit.Clean(v, mostRecorded)
		}
	}
	for i, v := range old {
		if !slices.Contains(values, v) {
			e.Detail["certificateUserIds.removed["+strconv.Itoa(i)+"]"] = audit.Clean(v, mostRecorded)
		}
	}
	return nil
}

// mostRecorded is how much of a value a record has.
const mostRecorded = 200

// CheckCertificateIDs is CheckCertificateID for all that one user is to have.
func CheckCertificateIDs(values []string) error {
	if len(values) > MaxCertificateIDs {
		return idp.Invalidf("too_many_certificate_ids", "%d certificateUserIds", len(values)).On("certificateUserIds").
			Say("certificateUserIds: a user may have " + strconv.Itoa(MaxCertificateIDs) + " values.")
	}
	for i, v := range values {
		if err := CheckCertificateID(v); err != nil {
			return err
		}
		if slices.Contains(values[:i], v) {
			return idp.Invalidf("certificate_id_twice", "certificateUserIds value %q", audit.Clean(v, 150)).On("certificateUserIds").
				Say("certificateUserIds: the value " + audit.Clean(v, 150) + " stands there twice.")
		}
	}
	return nil
}

func removeCertificateIDs(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID) error {
	if _, err := tx.Exec(ctx, `delete from user_certificate_id where tenant_id = $1 and user_id = $2`, t, id); err != nil {
		return fmt.Errorf("delete certificate ids of %s: %w", id, err)
	}
	return nil
}

// insertCertificateIDs makes rows; the key of the table decides of two users who
// come at once with one value (security.md T21).
func insertCertificateIDs(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, values []string) error {
	type row struct {
		digest string
		place  int
	}
	rows := make([]row, len(values))
	for i, v := range values {
		rows[i] = row{certificateDigest(v), i}
	}
	// Always in one order: two requests that want the same values the other way
	// round would wait for each other.
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.digest, b.digest) })
	for _, r := range rows {
		n, err := tx.Exec(ctx, `
			insert into user_certificate_id (tenant_id, digest, user_id, place, value) values ($1, $2, $3, $4, $5)
			on conflict (tenant_id, digest) do nothing`, t, r.digest, id, r.place, values[r.place])
		if err != nil {
			return fmt.Errorf("set certificate ids of %s: %w", id, err)
		}
		if n == 0 {
			return certificateIDTaken(values[r.place])
		}
	}
	return nil
}

func certificateIDTaken(value string) error {
	return idp.Conflictf("certificate_id_taken", "certificateUserIds value %q", audit.Clean(value, 150)).On("certificateUserIds").
		Say("certificateUserIds: another user has " + audit.Clean(value, 150) + ".")
}

// checkOnPremises cleans and checks a name that a user has in a directory of
// their own premises, or nothing. Its domain need not be the tenant's.
func checkOnPremises(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return "", nil
	}
	_, domain, err := splitUserName(name)
	if err == nil {
		_, err = checkDomain(domain)
	}
	if err != nil {
		return "", idp.Invalidf("bad_on_premises_name", "on-premises name: %w", err).On(byOnPremises).
			Say(byOnPremises + ": " + idp.AsError(err).Public)
	}
	return name, nil
}

// setOnPremises writes the name; "" takes it away. It is one user's in the
// tenant, as it says whose a certificate is.
func (d *Directory) setOnPremises(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.UserID, name string) error {
	_, err := tx.Exec(ctx, `update users set on_premises_name = $3, on_premises_folded = $4 where tenant_id = $1 and id = $2`, t, id, name, Fold(name))
	if errors.Is(err, idp.Conflict) {
		return onPremisesTaken(name)
	}
	if err != nil {
		return fmt.Errorf("set on-premises name of %s: %w", id, err)
	}
	return nil
}

func onPremisesTaken(name string) error {
	return idp.Conflictf("on_premises_name_taken", "on-premises name %s", name).On(byOnPremises).
		Say("Another user has this " + byOnPremises + ".")
}
