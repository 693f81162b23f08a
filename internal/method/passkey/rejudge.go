package passkey

import (
	"context"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/sqldb"
)

// rejudgePage is how many statements are held, and judged in one transaction.
const rejudgePage = 200

// Jobs implements method.Worker: keys are judged again when there is a newer
// list of models.
func (m *Room) Jobs() []job.Job {
	return []job.Job{{Name: "passkey.rejudge", Every: 10 * time.Minute, Run: func(ctx context.Context, now time.Time) error {
		_, err := m.Rejudge(ctx, now)
		return err
	}}}
}

// Rejudged says what Rejudge did.
type Rejudged struct {
	Seen   int // statements judged
	Gained int // keys that are attested now and were not
	Lost   int // keys that were attested and are not any more
}

// Rejudge judges the kept attestation of every key by the present list of
// models, unless it was judged by this one already: as of the day of the
// registration for certificates, as of now for what became known of models.
// Each key whose verdict changes is an event. A model that is not in the list
// any more keeps what it was proven to be; with no list at all nothing happens.
// It may be cut short and goes on at the next call.
func (m *Room) Rejudge(ctx context.Context, now time.Time) (Rejudged, error) {
	var done Rejudged
	number := m.cfg.Models.Number()
	if number == 0 || number <= m.judged.Load() {
		return done, nil
	}
	for after := idp.CredentialID(""); ; {
		rows, err := unjudged(ctx, m.db, number, after, rejudgePage)
		if err != nil {
			return done, err
		}
		var page Rejudged
		err = m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			page = Rejudged{}
			for _, r := range rows {
				if err := m.rejudge(ctx, tx, r, number, now, &page); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return done, err
		}
		done.Seen, done.Gained, done.Lost = done.Seen+page.Seen, done.Gained+page.Gained, done.Lost+page.Lost
		if len(rows) < rejudgePage {
			m.judged.Store(number)
			return done, nil
		}
		after = rows[len(rows)-1].id
	}
}

func (m *Room) rejudge(ctx context.Context, tx *sqldb.Tx, r kept, number int64, now time.Time, done *Rejudged) error {
	t := metadata.Trust{Reason: metadata.ReasonFormat}
	if o, _, fault := parseObject(r.object); fault == nil {
		t = m.cfg.Models.Judge(evidence(o), r.created)
	}
	if r.attested && (t.Reason == metadata.ReasonModelUnknown || t.Reason == metadata.ReasonNoRoots) {
		t = metadata.Trust{Attested: true}
	}
	t.Number = number
	ok, err := setTrust(ctx, tx, r, t)
	if err != nil || !ok {
		return err
	}
	done.Seen++
	if t.Attested == r.attested {
		return nil
	}
	activity := "passkey.attested"
	if done.Gained++; !t.Attested {
		done.Gained--
		done.Lost++
		activity = "passkey.unattested"
	}
	if m.cfg.Audit == nil {
		return nil
	}
	return m.cfg.Audit(ctx, tx, audit.Event{
		Tenant: r.tenant, At: now, Category: audit.System, Activity: activity, Outcome: audit.Success, Reason: t.Reason,
		User: r.user, Method: ID, Credential: r.id,
		Detail: map[string]string{"aaguid": r.aaguid, "model": m.cfg.Models.Name(r.aaguid), "list": strconv.FormatInt(number, 10)},
	})
}

// Attestation is what is on record of how a key showed its model.
type Attestation struct {
	Format   string // attestation statement format
	Attested bool
	Reason   string   // why not: a reason of package metadata
	Number   int64    // the list of models it was judged by
	Chain    [][]byte // DER, the attestation certificate first; nil for none and self
}

// Attestation tells how a key showed its model. NotFound when the user has no
// such passkey.
func (m *Room) Attestation(ctx context.Context, tenant idp.TenantID, user idp.UserID, id idp.CredentialID) (Attestation, error) {
	k, a, err := attestationOf(ctx, m.db, tenant, user, id)
	if err != nil {
		return Attestation{}, err
	}
	if o, _, fault := parseObject(k.object); fault == nil {
		a.Chain = evidence(o).Chain
	}
	return a, nil
}

// kept is a key with its statement.
type kept struct {
	tenant   idp.TenantID
	user     idp.UserID
	id       idp.CredentialID
	aaguid   string
	attested bool
	created  time.Time
	object   []byte
}

// unjudged are the next keys, of all tenants, that were not judged by the list
// of this number and have a statement.
func unjudged(ctx context.Context, q sqldb.Querier, number int64, after idp.CredentialID, limit int) ([]kept, error) {
	rows, err := q.Query(ctx, `
		select tenant_id, user_id, id, aaguid, attested, created, attestation_object
		from passkey
		where id > $1 and trust_number < $2 and attestation <> 'none'
		order by id
		limit $3`, after, number, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []kept
	for rows.Next() {
		var k kept
		var created int64
		if err := rows.Scan(&k.tenant, &k.user, &k.id, &k.aaguid, &k.attested, &created, &k.object); err != nil {
			return nil, err
		}
		k.created = time.UnixMilli(created).UTC()
		out = append(out, k)
	}
	return out, rows.Err()
}

// setTrust writes a verdict, unless a newer list has judged meanwhile.
func setTrust(ctx context.Context, tx *sqldb.Tx, k kept, t metadata.Trust) (bool, error) {
	n, err := tx.Exec(ctx, `
		update passkey set attested = $3, trust = $4, trust_number = $5
		where tenant_id = $1 and id = $2 and trust_number < $5`,
		k.tenant, k.id, t.Attested, t.Reason, t.Number)
	return n == 1, err
}

func attestationOf(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID, id idp.CredentialID) (kept, Attestation, error) {
	k := kept{tenant: tenant, user: user, id: id}
	var a Attestation
	err := q.QueryRow(ctx, `
		select attestation, attested, trust, trust_number, attestation_object
		from passkey where tenant_id = $1 and user_id = $2 and id = $3`, tenant, user, id).
		Scan(&a.Format, &a.Attested, &a.Reason, &a.Number, &k.object)
	return k, a, err
}
