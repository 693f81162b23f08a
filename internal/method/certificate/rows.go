package certificate

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

// row is a certificate with which a person has signed in.
type row struct {
	id         idp.CredentialID
	tenant     idp.TenantID
	user       idp.UserID
	name       string
	subject    string
	issuer     string
	serial     string
	thumbprint string
	facts      idp.Facts
	notAfter   time.Time
	created    time.Time
	lastUsed   time.Time
	removed    time.Time // zero: it was not barred
}

// CredentialID names a certificate: the first half of the SHA-256 of what its
// issuer has signed (the TBSCertificate), as a UUID of version 8 (RFC 9562 §5.8).
// The same certificate has the same name wherever it is seen. The signature is
// left out, for whoever has one of ECDSA can make a second that holds as well.
func CredentialID(c *x509.Certificate) idp.CredentialID {
	sum := sha256.Sum256(c.RawTBSCertificate)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return idp.CredentialID(strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"))
}

// maxStored is how much of a name is kept, in bytes.
const maxStored = 1024

// rowOf is what is kept of a sign-in: of a proof by c, whose summary is s.
func rowOf(p idp.Proof, c *x509.Certificate, s Summary) row {
	k := row{
		id: p.Credential, tenant: p.Tenant, user: p.User, name: cleanName(c.Subject.CommonName), subject: method.CleanName(s.Subject, maxStored),
		issuer: method.CleanName(c.Issuer.CommonName, maxStored), serial: s.Serial, thumbprint: s.Thumbprint, facts: p.Facts,
		notAfter: c.NotAfter, created: p.Time, lastUsed: p.Time,
	}
	if k.issuer == "" {
		k.issuer = method.CleanName(s.Issuer, maxStored)
	}
	if k.name == "" {
		k.name = cleanName(k.subject)
	}
	if k.name == "" {
		k.name = k.serial[:min(len(k.serial), maxName)]
	}
	return k
}

// thumbprint is the SHA-1 of a certificate in capitals, by which other tools
// know it; nothing is decided by it.
func thumbprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

const columns = `id, tenant_id, user_id, name, subject, issuer, serial, thumbprint, facts, not_after, created, last_used, removed`

func scan(r interface{ Scan(...any) error }) (row, error) {
	var k row
	var facts string
	var notAfter, created, used, removed int64
	err := r.Scan(&k.id, &k.tenant, &k.user, &k.name, &k.subject, &k.issuer, &k.serial, &k.thumbprint, &facts, &notAfter, &created, &used, &removed)
	if err != nil {
		return k, err
	}
	k.notAfter, k.created, k.lastUsed, k.removed = time.UnixMilli(notAfter).UTC(), at(created), at(used), at(removed)
	if err := json.Unmarshal([]byte(facts), &k.facts); err != nil {
		return k, fmt.Errorf("facts of certificate %s: %w", k.id, err)
	}
	return k, nil
}

func scanAll(rows *sqldb.Rows, err error) ([]row, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		k, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, rows.Err()
}

// isBarred says whether a certificate was removed from a person.
func isBarred(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, id idp.CredentialID) (bool, error) {
	var n int64
	err := q.QueryRow(ctx, `
		select count(*) from certificate_seen where tenant_id = $1 and user_id = $2 and id = $3 and removed > 0`, t, u, id).Scan(&n)
	return n > 0, err
}

// touch writes that a person came with a certificate, facts as JSON; false when
// it is barred.
func touch(ctx context.Context, tx *sqldb.Tx, k row, facts string) (bool, error) {
	n, err := tx.Exec(ctx, `
		insert into certificate_seen (id, tenant_id, user_id, name, subject, issuer, serial, thumbprint, facts, not_after, created, last_used, removed)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, 0)
		on conflict (tenant_id, user_id, id) do update set last_used = excluded.last_used, facts = excluded.facts
		where certificate_seen.removed = 0`,
		k.id, k.tenant, k.user, k.name, k.subject, k.issuer, k.serial, k.thumbprint, facts, k.notAfter.UnixMilli(), k.lastUsed.UnixMilli())
	return n == 1, err
}

func rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) (bool, error) {
	n, err := tx.Exec(ctx, `
		update certificate_seen set name = $4 where tenant_id = $1 and user_id = $2 and id = $3 and removed = 0`, t, u, id, name)
	return n == 1, err
}

// bar sets when a certificate was removed from a person, if it was not.
func bar(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update certificate_seen set removed = $4 where tenant_id = $1 and user_id = $2 and id = $3 and removed = 0`, t, u, id, now.UnixMilli())
	return n == 1, err
}

// lift takes that back.
func lift(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) (row, error) {
	return scan(tx.QueryRow(ctx, `
		update certificate_seen set removed = 0
		where tenant_id = $1 and user_id = $2 and id = $3 and removed > 0
		returning `+columns, t, u, id))
}

// listOf are the certificates of a person, the oldest first.
func listOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID) ([]row, error) {
	return scanAll(q.Query(ctx, `
		select `+columns+` from certificate_seen where tenant_id = $1 and user_id = $2 and removed = 0 order by created, id`, t, u))
}

// page is the next certificates of the tenant, in the order of their people:
// those that are barred, or those that are not.
func page(ctx context.Context, q sqldb.Querier, t idp.TenantID, after row, barred bool, limit int) ([]row, error) {
	which := "removed = 0"
	if barred {
		which = "removed > 0"
	}
	return scanAll(q.Query(ctx, `
		select `+columns+` from certificate_seen
		where tenant_id = $1 and (user_id, id) > ($2, $3) and `+which+`
		order by user_id, id
		limit $4`, t, after.user, after.id, limit))
}

func removeUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := tx.Exec(ctx, `delete from certificate_seen where tenant_id = $1 and user_id = $2`, t, u)
	return err
}
