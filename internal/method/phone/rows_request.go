package phone

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// state is where a request is. A late one stays pending until somebody asks
// again or the job records it, and counts as expired all the same.
type state string

// The states. Silent is shown to a browser as a wait, and told to nobody: what
// stands for names that nobody has, and for what is not to be asked.
const (
	pending     state = "pending"
	approved    state = "approved"
	denied      state = "denied"
	reported    state = "reported"
	wrongNumber state = "wrong_number"
	cancelled   state = "cancelled"
	expired     state = "expired"
	consumed    state = "consumed"
	silent      state = "silent"
)

// request is one that a browser waits for, as it is stored.
type request struct {
	tenant   idp.TenantID
	id       string     // 128 bits, base64url
	subject  idp.UserID // or what stands for a name that nobody has
	browser  []byte     // digest of the cookie of who asked
	known    bool       // a known browser of the subject's
	address  string     // of who asked
	number   string     // two digits
	nonce    []byte
	context  string // JSON of phonewire.Context
	state    state
	phone    idp.CredentialID // that answered
	told     int              // how often phones are to be told
	sent     int              // how often they were
	created  time.Time
	expires  time.Time
	answered time.Time // zero: not, nor recorded as late
}

const requestColumns = `tenant_id, id, subject, browser, known, address, number, nonce, context, state, phone, told, sent, created, expires, answered`

func scanRequest(r interface{ Scan(...any) error }) (request, error) {
	var q request
	var made, until, answered int64
	err := r.Scan(&q.tenant, &q.id, &q.subject, &q.browser, &q.known, &q.address, &q.number, &q.nonce, &q.context, &q.state, &q.phone,
		&q.told, &q.sent, &made, &until, &answered)
	q.created, q.expires, q.answered = at(made), at(until), at(answered)
	return q, err
}

func scanRequests(rows *sqldb.Rows, err error) ([]request, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []request
	for rows.Next() {
		q, err := scanRequest(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, rows.Err()
}

// requestByID reads a request of the tenant. NotFound when there is none.
func requestByID(ctx context.Context, q sqldb.Querier, t idp.TenantID, id string) (request, error) {
	if !plain(id) {
		return request{}, notPlain("request")
	}
	return scanRequest(q.QueryRow(ctx, `select `+requestColumns+` from phone_request where tenant_id = $1 and id = $2`, t, id))
}

// pendingOf are the requests that wait for a person's phones: one at most.
func pendingOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, now time.Time) ([]request, error) {
	return scanRequests(q.Query(ctx, `
		select `+requestColumns+` from phone_request
		where tenant_id = $1 and subject = $2 and state = 'pending' and expires > $3`, t, u, now.UnixMilli()))
}

// numbersOf are the numbers that pages show now for a subject, the oldest first.
// Which of them phones were told of is no matter, or numbers would tell it.
func numbersOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, now time.Time) ([]string, error) {
	rows, err := q.Query(ctx, `
		select number from phone_request
		where tenant_id = $1 and subject = $2 and created > $3 and expires > $4
		order by created, id
		limit $5`, t, u, now.Add(-2*lives).UnixMilli(), now.UnixMilli(), mostTaken)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, rows.Err()
}

// overOf are the requests of a person that are over, newest first.
func overOf(ctx context.Context, q sqldb.Querier, t idp.TenantID, u idp.UserID, now, since time.Time, limit int) ([]request, error) {
	return scanRequests(q.Query(ctx, `
		select `+requestColumns+` from phone_request
		where tenant_id = $1 and subject = $2 and created > $3 and state <> 'silent' and (state <> 'pending' or expires <= $4)
		order by created desc, id
		limit $5`, t, u, since.UnixMilli(), now.UnixMilli(), limit))
}

// own takes the row that stands for asking for a subject: until the
// transaction is over nobody else asks for it.
func own(ctx context.Context, tx *sqldb.Tx, q request) error {
	_, err := tx.Exec(ctx, `
		insert into phone_asked (tenant_id, subject, last) values ($1, $2, $3)
		on conflict (tenant_id, subject) do update set last = excluded.last`, q.tenant, q.subject, q.created.UnixMilli())
	return err
}

// ownBrowser is of a request $1, $3, $4 whose browser somebody signed in with
// by this person's phone before, in the time that requests are kept. It is no
// known browser, since whoever relays a sign-in has one as well; but strangers
// who only know a name have none, and what they ask must not keep the person
// out of their own (security.md PHN04).
const ownBrowser = `exists (select 1 from phone_request f where f.tenant_id = $1 and f.subject = $3
	and f.browser = $4 and length(f.browser) > 0 and f.state <> 'silent' and f.state = 'consumed')`

// displace ends what does not stand in the way of q: what is late, what the
// same browser asked before, and what an unknown browser asked, when q is of a
// known one (decisions 5.3) or one of the person's own.
func displace(ctx context.Context, tx *sqldb.Tx, q request) error {
	_, err := tx.Exec(ctx, `
		update phone_request set state = case when expires <= $2 then 'expired' else 'cancelled' end,
			answered = case when expires <= $2 then 0 else $2 end
		where tenant_id = $1 and subject = $3 and state = 'pending'
			and (expires <= $2 or browser = $4 or ($5 or `+ownBrowser+`) and not known)`,
		q.tenant, q.created.UnixMilli(), q.subject, q.browser, q.known)
	return err
}

// insertRequest stores q: pending, or silent when may is false, the person has
// no phone, one waits already, asking was closed by a report, or an unknown
// browser would be one too many: of all of them lately, or of those in a day
// that nobody approved. It is one statement whatever becomes of it.
func insertRequest(ctx context.Context, tx *sqldb.Tx, q request, may bool) error {
	_, err := tx.Exec(ctx, `
		insert into phone_request (`+requestColumns+`)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9,
			case when $10
				and exists (select 1 from phone p where p.tenant_id = $1 and p.user_id = $3 and p.state = 'active')
				and not exists (select 1 from phone_request o where o.tenant_id = $1 and o.subject = $3 and o.state = 'pending')
				and not exists (select 1 from phone_block b where b.tenant_id = $1 and b.user_id = $3
					and b.address in ('', $6) and (b.expires = 0 or b.expires > $11))
				and ($5 or `+ownBrowser+` or (select count(*) from phone_request o where o.tenant_id = $1 and o.subject = $3
					and o.created > $12 and o.state <> 'silent' and not o.known) < $13
					and (select count(*) from phone_request o where o.tenant_id = $1 and o.subject = $3
					and o.created > $15 and o.state <> 'silent' and o.state not in ('approved', 'consumed') and not o.known) < $16)
			then 'pending' else 'silent' end,
			'', 1, 0, $11, $14, 0)`,
		q.tenant, q.id, q.subject, q.browser, q.known, q.address, q.number, q.nonce, q.context,
		may, q.created.UnixMilli(), q.created.Add(-askWithin).UnixMilli(), askMost, q.expires.UnixMilli(),
		q.created.Add(-backOffWithin).UnixMilli(), backOffAt)
	return err
}

// tellAgain asks for another message. It does the same for what nobody is told
// of; false when it was done often enough, or it is too late.
func tellAgain(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id string, most int, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_request set told = told + 1 where tenant_id = $1 and id = $2 and told < $3 and expires > $4`,
		t, id, most, now.UnixMilli())
	return n == 1, err
}

// untold are requests whose phones have to hear of them, over all tenants.
func untold(ctx context.Context, q sqldb.Querier, now time.Time, limit int) ([]request, error) {
	return scanRequests(q.Query(ctx, `
		select `+requestColumns+` from phone_request
		where state = 'pending' and sent < told and expires > $1
		order by created, id
		limit $2`, now.UnixMilli(), limit))
}

// claimTold takes it upon the caller to tell of q; false when somebody else has.
func claimTold(ctx context.Context, tx *sqldb.Tx, q request) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_request set sent = $3 where tenant_id = $1 and id = $2 and state = 'pending' and sent < $3`, q.tenant, q.id, q.told)
	return n == 1, err
}

// answerRequest ends a request that waits for the person of this phone, which
// must be active. Of many callers one gets true.
func answerRequest(ctx context.Context, tx *sqldb.Tx, q request, p idp.CredentialID, to state, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_request set state = $5, phone = $4, answered = $6
		where tenant_id = $1 and id = $2 and subject = $3 and state = 'pending' and expires > $6
			and exists (select 1 from phone p where p.tenant_id = $1 and p.user_id = $3 and p.id = $4 and p.state = 'active')
			and not exists (select 1 from phone_block b where b.tenant_id = $1 and b.user_id = $3
				and b.address in ('', phone_request.address) and (b.expires = 0 or b.expires > $6))`,
		q.tenant, q.id, q.subject, p, to, now.UnixMilli())
	return n == 1, err
}

// refuseRequest is answerRequest for what opens nothing, from these states;
// nothing stands in its way but a phone that is gone.
func refuseRequest(ctx context.Context, tx *sqldb.Tx, q request, p idp.CredentialID, to state, now time.Time, late bool) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_request set state = $5, phone = $4, answered = $6
		where tenant_id = $1 and id = $2 and subject = $3
			and ((state = 'pending' and expires > $6) or ($7 and state in ('pending', 'expired', 'cancelled', 'denied', 'wrong_number')))
			and exists (select 1 from phone p where p.tenant_id = $1 and p.user_id = $3 and p.id = $4 and p.state = 'active')`,
		q.tenant, q.id, q.subject, p, to, now.UnixMilli(), late)
	return n == 1, err
}

// consume spends an approval. Of many callers one gets true.
func consume(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id string, p idp.CredentialID, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_request set state = 'consumed'
		where tenant_id = $1 and id = $2 and state = 'approved' and phone = $3 and expires > $4`,
		t, id, p, now.Add(-grace).UnixMilli())
	return n == 1, err
}

// cancelOf ends what waits for a person.
func cancelOf(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, now time.Time) error {
	_, err := tx.Exec(ctx, `
		update phone_request set state = case when expires <= $3 then 'expired' else 'cancelled' end,
			answered = case when expires <= $3 then 0 else $3 end
		where tenant_id = $1 and subject = $2 and state = 'pending'`, t, u, now.UnixMilli())
	return err
}

// unanswered are requests that phones were told of, that are late and of which
// no record says so, over all tenants.
func unanswered(ctx context.Context, q sqldb.Querier, now time.Time, limit int) ([]request, error) {
	return scanRequests(q.Query(ctx, `
		select `+requestColumns+` from phone_request
		where answered = 0 and state <> 'silent' and expires <= $1
		order by expires, id
		limit $2`, now.UnixMilli(), limit))
}

// closeLate takes it upon the caller to record that nobody answered q; false
// when somebody else has, or when an answer came late.
func closeLate(ctx context.Context, tx *sqldb.Tx, q request) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_request set state = 'expired', answered = expires
		where tenant_id = $1 and id = $2 and answered = 0 and state <> 'silent' and expires = $3`, q.tenant, q.id, q.expires.UnixMilli())
	return n == 1, err
}

// withdraw ends one request that still waits.
func withdraw(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id string, now time.Time) error {
	_, err := tx.Exec(ctx, `
		update phone_request set state = 'cancelled', answered = $3
		where tenant_id = $1 and id = $2 and state = 'pending' and expires > $3`, t, id, now.UnixMilli())
	return err
}
