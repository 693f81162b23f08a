package directory

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// What one import may hold.
const (
	ImportBytes = 16 << 20
	ImportRows  = 50_000
)

// Report says what an import did, or why it did nothing.
type Report struct {
	Rows    int      `json:"rows"`
	Created int      `json:"created"`
	Bad     []BadRow `json:"bad,omitempty"`
}

// BadRow is one thing that is wrong with a file.
type BadRow struct {
	Line   int    `json:"line"`
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// The columns of an import. The first must be there.
const (
	colName    = "userPrincipalName"
	colDisplay = "displayName"
	colEnabled = "accountEnabled"
	colType    = "userType"
	// What certificates say of the person: see SetCertificateIDs. Several
	// values have semicolons between.
	colOnPremises = byOnPremises
	colCertIDs    = byCertIDs
)

var columns = []string{colName, colDisplay, colEnabled, colType, colOnPremises, colCertIDs}

// ImportUsers makes a user of every row of a CSV file (RFC 4180) with the
// columns userPrincipalName and, as wanted, displayName, accountEnabled,
// userType, onPremisesUserPrincipalName and certificateUserIds. Every row is checked first. If one is bad, nothing is made and
// the report names every bad row; the error is nil then. progress, which may
// be nil and must not block, hears how many rows are done. settle, which may
// be nil, is called in the transaction that makes the users, for what must
// commit with it.
func (d *Directory) ImportUsers(ctx context.Context, t idp.TenantID, r io.Reader, progress func(done int),
	settle func(context.Context, *sqldb.Tx, []idp.User) error) (Report, error) {
	if progress == nil {
		progress = func(int) {}
	}
	domains, err := d.Domains(ctx, t)
	if err != nil {
		return Report{}, err
	}
	found, err := parseImport(r, t, domains)
	if err != nil {
		return Report{}, err
	}
	if err := d.markTaken(ctx, t, found); err != nil {
		return Report{}, err
	}
	if len(found.bad) > 0 {
		slices.SortStableFunc(found.bad, func(a, b BadRow) int { return a.Line - b.Line })
		return Report{Rows: len(found.users), Bad: found.bad}, nil
	}
	return d.insertAll(ctx, t, found, progress, settle)
}

// imported is a file as far as it could be read.
type imported struct {
	users []idp.User
	certs []mapped // of each of users
	lines []int
	bad   []BadRow
}

// mapped is what certificates say of a user.
type mapped struct {
	onPremises string
	ids        []string
}

func (f *imported) complain(line int, field, reason string) {
	f.bad = append(f.bad, BadRow{Line: line, Field: field, Reason: reason})
}

// parseImport reads and checks a file as far as that needs no database. What
// is wrong with rows is in the result; the error is for a file that has none.
func parseImport(r io.Reader, t idp.TenantID, domains []string) (*imported, error) {
	raw, err := io.ReadAll(io.LimitReader(r, ImportBytes+1))
	if err != nil {
		return nil, idp.Invalidf("unreadable_file", "read import: %w", err).Say("The file did not arrive whole.")
	}
	if len(raw) > ImportBytes {
		return nil, idp.Invalidf("file_too_large", "import over %d bytes", ImportBytes).Say("The file is larger than 16 MB. Split it.")
	}
	if !utf8.Valid(raw) {
		return nil, idp.Invalidf("bad_encoding", "import is not UTF-8").Say("The file is not UTF-8. Save it as CSV UTF-8.")
	}
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	in.FieldsPerRecord = -1 // counted below, with a better sentence
	header, err := in.Read()
	if err != nil {
		return nil, idp.Invalidf("empty_file", "import: %w", err).Say("The file has no header line. It starts with: " + strings.Join(columns, ",") + ".")
	}
	at, err := readHeader(header)
	if err != nil {
		return nil, err
	}
	return readRows(in, len(header), at, t, domains)
}

// readHeader says where each column is.
func readHeader(header []string) (map[string]int, error) {
	at := make(map[string]int)
	for i, h := range header {
		name := strings.TrimSpace(h)
		k := slices.IndexFunc(columns, func(c string) bool { return strings.EqualFold(c, name) })
		if k < 0 {
			return nil, idp.Invalidf("unknown_column", "column %q", audit.Clean(h, 50)).On("header").
				Say("The column " + strconv.Quote(audit.Clean(name, 50)) + " is not known. Columns are: " + strings.Join(columns, ",") + ".")
		}
		if _, twice := at[columns[k]]; twice {
			return nil, idp.Invalidf("column_twice", "column %s", columns[k]).On("header").Say("The column " + columns[k] + " is there twice.")
		}
		at[columns[k]] = i
	}
	if _, ok := at[colName]; !ok {
		return nil, idp.Invalidf("column_missing", "column %s", colName).On("header").Say("The column " + colName + " is missing.")
	}
	return at, nil
}

func readRows(in *csv.Reader, width int, at map[string]int, t idp.TenantID, domains []string) (*imported, error) {
	f := &imported{}
	seen, claimed := make(map[string]int), make(map[string]int)
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if broken := (*csv.ParseError)(nil); errors.As(err, &broken) {
			// Where a quotation mark is wrong, the next rows cannot be trusted.
			f.complain(broken.Line, "", "the line is not CSV: "+broken.Err.Error())
			return f, nil
		} else if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		if len(f.lines) >= ImportRows {
			return nil, idp.Invalidf("too_many_rows", "import over %d rows", ImportRows).Say("The file has more than 50,000 rows. Split it.")
		}
		f.lines = append(f.lines, line)
		if len(record) != width {
			f.complain(line, "", fmt.Sprintf("the line has %d fields, the header %d", len(record), width))
			f.users, f.certs = append(f.users, idp.User{}), append(f.certs, mapped{})
			continue
		}
		u := f.readUser(record, line, at, t, domains)
		if first, twice := seen[Fold(u.Name)]; twice && u.Name != "" {
			f.complain(line, colName, fmt.Sprintf("the same name is on line %d", first))
		} else {
			seen[Fold(u.Name)] = line
		}
		f.users = append(f.users, u)
		f.certs = append(f.certs, f.readMapped(record, line, at, claimed))
	}
	if len(f.users) == 0 {
		return nil, idp.Invalidf("no_rows", "import without rows").Say("The file has no rows under its header.")
	}
	return f, nil
}

// readUser checks one row. A user without a name is one whose name is bad.
func (f *imported) readUser(record []string, line int, at map[string]int, t idp.TenantID, domains []string) idp.User {
	field := func(column string) string {
		if i, ok := at[column]; ok {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	u := idp.User{Tenant: t, Name: field(colName), DisplayName: field(colDisplay), Enabled: true, Type: idp.UserType(strings.ToLower(field(colType)))}
	if enabled := field(colEnabled); enabled != "" {
		on, err := strconv.ParseBool(strings.ToLower(enabled))
		if err != nil {
			f.complain(line, colEnabled, "accountEnabled must be true or false")
		}
		u.Enabled = on
	}
	_, domain, err := splitUserName(u.Name)
	if err != nil {
		f.complain(line, colName, idp.AsError(err).Public)
		return idp.User{}
	}
	if !slices.Contains(domains, Fold(domain)) {
		f.complain(line, colName, "the part after the @ must be a verified domain name of the tenant")
	}
	checked, err := prepare(u)
	if err != nil {
		e := idp.AsError(err)
		f.complain(line, e.Field, e.Public)
		return u
	}
	return checked
}

// readMapped checks what certificates say of a row's user. claimed is what
// rows before had, and where.
func (f *imported) readMapped(record []string, line int, at map[string]int, claimed map[string]int) mapped {
	var m mapped
	claim := func(column, value string) {
		key := column + "\x00" + value
		if first, twice := claimed[key]; twice && first != line {
			f.complain(line, column, fmt.Sprintf("the same value is on line %d", first))
			return
		}
		claimed[key] = line
	}
	if i, ok := at[colOnPremises]; ok {
		name, err := checkOnPremises(record[i])
		switch {
		case err != nil:
			f.complain(line, colOnPremises, idp.AsError(err).Public)
		case name != "":
			m.onPremises = name
			claim(colOnPremises, Fold(name))
		}
	}
	if i, ok := at[colCertIDs]; ok {
		m.ids = splitCertificateIDs(record[i])
		if err := CheckCertificateIDs(m.ids); err != nil {
			f.complain(line, colCertIDs, idp.AsError(err).Public)
			return mapped{onPremises: m.onPremises}
		}
		for _, id := range m.ids {
			claim(colCertIDs, id)
		}
	}
	return m
}

// splitCertificateIDs cuts a field into values: at a semicolon that a new value
// follows, since distinguished names may have escaped ones.
func splitCertificateIDs(field string) []string {
	var out []string
	rest := strings.TrimSpace(field)
	for from := 0; ; {
		at := strings.IndexByte(rest[from:], ';')
		if at < 0 {
			break
		}
		at += from
		next := strings.TrimLeft(rest[at+1:], " ")
		if at > 0 && rest[at-1] == '\\' || !strings.HasPrefix(next, "X509:") {
			from = at + 1
			continue
		}
		out, rest, from = append(out, strings.TrimRight(rest[:at], " ")), next, 0
	}
	if rest != "" {
		out = append(out, rest)
	}
	return out
}

// takenBatch is how many names are looked up in one query.
const takenBatch = 200

// markTaken complains about names that exist.
func (d *Directory) markTaken(ctx context.Context, t idp.TenantID, f *imported) error {
	line := make(map[string]int)
	var names []string
	for i, u := range f.users {
		if u.Name != "" {
			folded := Fold(u.Name)
			if _, twice := line[folded]; !twice {
				line[folded] = f.lines[i]
				names = append(names, folded)
			}
		}
	}
	for batch := range slices.Chunk(names, takenBatch) {
		taken, err := d.takenNames(ctx, t, batch)
		if err != nil {
			return err
		}
		for _, name := range taken {
			f.complain(line[name], colName, "a user with this name exists already")
		}
	}
	return d.markClaimed(ctx, t, f)
}

// markClaimed complains about what certificates say of others.
func (d *Directory) markClaimed(ctx context.Context, t idp.TenantID, f *imported) error {
	local, certs := make(map[string]int), make(map[string]int) // lines by key
	for i, m := range f.certs {
		if m.onPremises != "" {
			local[Fold(m.onPremises)] = f.lines[i]
		}
		for _, id := range m.ids {
			certs[certificateDigest(id)] = f.lines[i]
		}
	}
	for _, look := range []struct {
		column string
		lines  map[string]int
		query  string
	}{
		{colOnPremises, local, `select on_premises_folded from users where tenant_id = $1 and on_premises_folded <> '' and on_premises_folded in `},
		{colCertIDs, certs, `select digest from user_certificate_id where tenant_id = $1 and digest in `},
	} {
		for batch := range slices.Chunk(slices.Sorted(maps.Keys(look.lines)), takenBatch) {
			taken, err := d.taken(ctx, t, look.query, batch)
			if err != nil {
				return err
			}
			for _, key := range taken {
				f.complain(look.lines[key], look.column, "another user has this value")
			}
		}
	}
	return nil
}

func (d *Directory) takenNames(ctx context.Context, t idp.TenantID, batch []string) ([]string, error) {
	return d.taken(ctx, t, `select name_folded from users where tenant_id = $1 and name_folded in `, batch)
}

// taken lists which keys of a batch there are; query is ours and ends before
// their list.
func (d *Directory) taken(ctx context.Context, t idp.TenantID, query string, batch []string) ([]string, error) {
	args := []any{t}
	for i := range takenBatch { // always as many, so that one statement is prepared
		args = append(args, batch[min(i, len(batch)-1)])
	}
	rows, err := d.cfg.DB.Query(ctx, query+`(`+placeholders(2, takenBatch)+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("look up names: %w", err)
	}
	var out []string
	err = eachRow(rows, func() error {
		var key string
		err := rows.Scan(&key)
		out = append(out, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up names: %w", err)
	}
	return out, nil
}

// insertAll makes all users in one transaction, or none.
func (d *Directory) insertAll(ctx context.Context, t idp.TenantID, f *imported, progress func(int),
	settle func(context.Context, *sqldb.Tx, []idp.User) error) (Report, error) {
	now := d.now()
	for i := range f.users {
		f.users[i].ID, f.users[i].Created = idp.UserID(secret.NewUUID4()), now
	}
	failed := -1
	err := d.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		failed = -1
		if err := lockTenant(ctx, tx, t); err != nil {
			return err
		}
		for i, u := range f.users {
			if err := d.insertImported(ctx, tx, u, f.certs[i]); err != nil {
				failed = i
				return err
			}
			if (i+1)%100 == 0 {
				progress(i + 1)
			}
		}
		if settle == nil {
			return nil
		}
		return settle(ctx, tx, f.users)
	})
	if errors.Is(err, idp.Conflict) && failed >= 0 {
		// Somebody made this user, or one with these values, since the look.
		e := idp.AsError(err)
		return Report{Rows: len(f.users), Bad: []BadRow{{Line: f.lines[failed], Field: e.Field, Reason: e.Public}}}, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("import users: %w", err)
	}
	progress(len(f.users))
	return Report{Rows: len(f.users), Created: len(f.users)}, nil
}

func (d *Directory) insertImported(ctx context.Context, tx *sqldb.Tx, u idp.User, m mapped) error {
	if err := insertUser(ctx, tx, u); err != nil {
		return err
	}
	if m.onPremises != "" {
		if err := d.setOnPremises(ctx, tx, u.Tenant, u.ID, m.onPremises); err != nil {
			return err
		}
	}
	return insertCertificateIDs(ctx, tx, u.Tenant, u.ID, m.ids)
}
