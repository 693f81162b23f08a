package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/cases"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const columns = `select tenant_id, id, name, kind, redirect_uris, post_logout_uris, response_modes, grants, auth, jwks, alg, subject,
	sector, first_party, scopes, acr, enabled, created from client `

// Load reads an application with its secrets from q.
func (r *Registry) Load(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.ClientID) (Client, error) {
	return load(ctx, q, q.QueryRow(ctx, columns+`where tenant_id = $1 and id = $2`, t, id), string(id))
}

// ByName finds an application of the tenant by its name, whatever its letter
// case.
func (r *Registry) ByName(ctx context.Context, q sqldb.Querier, t idp.TenantID, name string) (Client, error) {
	name = audit.Clean(fold(name), maxName*2)
	return load(ctx, q, q.QueryRow(ctx, columns+`where tenant_id = $1 and name_folded = $2`, t, name), name)
}

func load(ctx context.Context, q sqldb.Querier, row *sqldb.Row, ref string) (Client, error) {
	c, err := scan(row)
	if errors.Is(err, idp.NotFound) {
		return Client{}, nothing(idp.ClientID(ref))
	}
	if err != nil {
		return Client{}, fmt.Errorf("load client: %w", err)
	}
	rows, err := q.Query(ctx, `
		select digest from client_secret where tenant_id = $1 and client_id = $2 order by created, digest`, c.Tenant, c.ID)
	if err != nil {
		return Client{}, fmt.Errorf("load secrets of client %s: %w", c.ID, err)
	}
	defer rows.Close()
	for rows.Next() {
		var digest []byte
		if err := rows.Scan(&digest); err != nil {
			return Client{}, fmt.Errorf("load secrets of client %s: %w", c.ID, err)
		}
		c.SecretDigests = append(c.SecretDigests, digest)
	}
	return c, rows.Err()
}

// List returns applications of a tenant in the order of their making, without
// secrets, and the cursor for the next part: pass it as after. It is empty at
// the end. limit 0 is 100, at most 999 (decisions 3.7).
func (r *Registry) List(ctx context.Context, t idp.TenantID, after string, limit int) ([]Client, string, error) {
	return r.Find(ctx, t, filter.Expr{}, after, limit)
}

// Fields are what lists of applications can be asked about, under the names
// that Graph has for them.
var Fields = filter.Fields{
	"id":              {Kind: filter.Text, Column: "id"},
	"appId":           {Kind: filter.Text, Column: "id"},
	"displayName":     {Kind: filter.Text, Column: "name_folded", Fold: fold},
	"createdDateTime": {Kind: filter.Time, Column: "created"},
}

// Find is List of those for which where holds.
func (r *Registry) Find(ctx context.Context, t idp.TenantID, where filter.Expr, after string, limit int) ([]Client, string, error) {
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 999)
	created, id, err := position(after)
	if err != nil {
		return nil, "", err
	}
	cond, args := where.SQL(5)
	rows, err := r.cfg.DB.Query(ctx, columns+`
		where tenant_id = $1 and (created, id) > ($2, $3) and `+cond+`
		order by created, id limit $4`, append([]any{t, created, id, int64(limit)}, args...)...)
	if err != nil {
		return nil, "", fmt.Errorf("list clients: %w", err)
	}
	defer rows.Close()
	var out []Client
	for rows.Next() {
		c, err := scan(rows)
		if err != nil {
			return nil, "", fmt.Errorf("list clients: %w", err)
		}
		out = append(out, c)
	}
	if err := rows.Err(); err != nil || len(out) < limit {
		return out, "", err
	}
	return out, Cursor(out[len(out)-1]), nil
}

// Cursor is what List's after is for the part behind c.
func Cursor(c Client) string {
	return strconv.FormatInt(c.Created.UnixMilli(), 36) + "~" + string(c.ID)
}

// position reads a cursor. Ids may have dots, so the mark is another one.
func position(after string) (created int64, id string, err error) {
	if after == "" {
		return -1 << 62, "", nil
	}
	at, id, ok := strings.Cut(after, "~")
	created, perr := strconv.ParseInt(at, 36, 64)
	if !ok || perr != nil || !plausible(idp.ClientID(id)) {
		return 0, "", idp.Invalidf("bad_cursor", "cursor %q", audit.Clean(after, 100)).On("after").Say("The cursor is none that this list gave.")
	}
	return created, id, nil
}

func insert(ctx context.Context, tx *sqldb.Tx, c Client) error {
	args := append(values(c), c.Sector, c.Created.UnixMilli())
	n, err := tx.Exec(ctx, `
		insert into client (tenant_id, id, name, name_folded, kind, redirect_uris, post_logout_uris, response_modes, grants, auth, jwks,
			alg, subject, first_party, scopes, acr, enabled, sector, created)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		on conflict do nothing`, args...)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	if n == 0 {
		return taken(c)
	}
	return nil
}

func update(ctx context.Context, tx *sqldb.Tx, c Client) error {
	n, err := tx.Exec(ctx, `
		update client set name = $3, name_folded = $4, kind = $5, redirect_uris = $6, post_logout_uris = $7, response_modes = $8,
			grants = $9, auth = $10, jwks = $11, alg = $12, subject = $13, first_party = $14, scopes = $15, acr = $16, enabled = $17
		where tenant_id = $1 and id = $2`, values(c)...)
	if errors.Is(err, idp.Conflict) {
		return taken(c)
	}
	if err != nil {
		return fmt.Errorf("update client %s: %w", c.ID, err)
	}
	if n == 0 {
		return nothing(c.ID)
	}
	return nil
}

func taken(c Client) error {
	return idp.Conflictf("client_taken", "client %s %q", c.ID, c.Name).On("name").
		Say("An application with this name or id exists already.")
}

// values lists the columns that insert and update share, in their order.
func values(c Client) []any {
	return []any{
		c.Tenant, c.ID, c.Name, fold(c.Name), c.Kind, list(c.RedirectURIs), list(c.PostLogoutURIs),
		list(c.ResponseModes), list(c.Grants), c.Auth, string(c.JWKS), c.Alg, c.Subject, c.FirstParty, list(c.Scopes), c.ACR, c.Enabled,
	}
}

// fold makes of a name what names are compared by, so that no two
// applications of a tenant look alike by letter case.
func fold(name string) string { return cases.Fold().String(strings.TrimSpace(name)) }

func list(s []string) string {
	if len(s) == 0 {
		return "[]"
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic("client: " + err.Error()) // strings always marshal
	}
	return string(text)
}

type scanner interface{ Scan(dest ...any) error }

func scan(r scanner) (Client, error) {
	var c Client
	var redirects, logouts, modes, grants, jwks, scopes string
	var created int64
	err := r.Scan(&c.Tenant, &c.ID, &c.Name, &c.Kind, &redirects, &logouts, &modes, &grants, &c.Auth, &jwks, &c.Alg, &c.Subject,
		&c.Sector, &c.FirstParty, &scopes, &c.ACR, &c.Enabled, &created)
	if err != nil {
		return Client{}, err
	}
	for _, l := range []struct {
		text string
		to   *[]string
	}{{redirects, &c.RedirectURIs}, {logouts, &c.PostLogoutURIs}, {modes, &c.ResponseModes}, {grants, &c.Grants}, {scopes, &c.Scopes}} {
		if err := json.Unmarshal([]byte(l.text), l.to); err != nil {
			return Client{}, fmt.Errorf("client %s: %w", c.ID, err)
		}
	}
	if jwks != "" {
		c.JWKS = []byte(jwks)
	}
	c.Created = time.UnixMilli(created).UTC()
	return c, nil
}
