package phone

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/sqldb"
)

// States of an enrolment.
const (
	enrolOpen     = "open"     // waits for a phone
	enrolAnswered = "answered" // waits for its person to compare the words
	enrolDone     = "done"
)

// enrolment is one as it is stored.
type enrolment struct {
	tenant  idp.TenantID
	id      string
	user    idp.UserID
	session idp.SessionID
	link    []byte // digest
	typed   []byte // HMAC
	state   string
	keep    []byte // opened, or empty: not opened, or its challenge is burnt
	phone   idp.CredentialID
	answer  []byte // answered
	words   string
	created time.Time
	expires time.Time
}

const enrolColumns = `tenant_id, id, user_id, session, state, keep, phone, answer, words, created, expires`

func scanEnrolment(r interface{ Scan(...any) error }) (enrolment, error) {
	var e enrolment
	var created, expires int64
	err := r.Scan(&e.tenant, &e.id, &e.user, &e.session, &e.state, &e.keep, &e.phone, &e.answer, &e.words, &created, &expires)
	e.created, e.expires = at(created), at(expires)
	return e, err
}

// locateLink and locateTyped say where a code belongs: locators, they return
// nothing else.
func locateLink(ctx context.Context, q sqldb.Querier, digest []byte) (t idp.TenantID, id string, err error) {
	err = q.QueryRow(ctx, `select tenant_id, id from phone_enrolment where link = $1`, digest).Scan(&t, &id)
	return t, id, err
}

func locateTyped(ctx context.Context, q sqldb.Querier, mac []byte) (t idp.TenantID, id string, err error) {
	err = q.QueryRow(ctx, `select tenant_id, id from phone_enrolment where typed = $1`, mac).Scan(&t, &id)
	return t, id, err
}

func findEnrolment(ctx context.Context, q sqldb.Querier, t idp.TenantID, id string) (enrolment, error) {
	if !plain(id) {
		return enrolment{}, notPlain("enrolment")
	}
	return scanEnrolment(q.QueryRow(ctx, `select `+enrolColumns+` from phone_enrolment where tenant_id = $1 and id = $2`, t, id))
}

// replaceEnrolments ends what the person has begun in this session and not
// finished, with the phones that wait in it.
func replaceEnrolments(ctx context.Context, tx *sqldb.Tx, e enrolment) error {
	_, err := tx.Exec(ctx, `
		delete from phone where tenant_id = $1 and state = 'waiting' and id in (
			select phone from phone_enrolment where tenant_id = $1 and user_id = $2 and session = $3 and state = 'answered')`,
		e.tenant, e.user, e.session)
	if err == nil {
		_, err = tx.Exec(ctx, `
			delete from phone_enrolment where tenant_id = $1 and user_id = $2 and session = $3 and state <> 'done'`,
			e.tenant, e.user, e.session)
	}
	return err
}

// openEnrolments counts what a person has begun in any session and not
// finished.
func openEnrolments(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, now time.Time) (n int, err error) {
	err = tx.QueryRow(ctx, `
		select count(*) from phone_enrolment where tenant_id = $1 and user_id = $2 and state <> 'done' and expires > $3`,
		t, u, now.UnixMilli()).Scan(&n)
	return n, err
}

func insertEnrolment(ctx context.Context, tx *sqldb.Tx, e enrolment) error {
	_, err := tx.Exec(ctx, `
		insert into phone_enrolment (tenant_id, id, user_id, session, link, typed, state, keep, phone, answer, words, created, expires)
		values ($1, $2, $3, $4, $5, $6, 'open', $7, '', $7, '', $8, $9)`,
		e.tenant, e.id, e.user, e.session, e.link, e.typed, []byte{}, e.created.UnixMilli(), e.expires.UnixMilli())
	return err
}

// keepOpened stores what the phone was asked, in place of what another was
// asked before.
func keepOpened(ctx context.Context, tx *sqldb.Tx, e enrolment, keep []byte, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_enrolment set keep = $3 where tenant_id = $1 and id = $2 and state = 'open' and expires > $4`,
		e.tenant, e.id, keep, now.UnixMilli())
	return n == 1, err
}

// burnOpened has the challenge of a failed answer used up (security.md NON06).
func burnOpened(ctx context.Context, tx *sqldb.Tx, e enrolment) error {
	_, err := tx.Exec(ctx, `
		update phone_enrolment set keep = $4 where tenant_id = $1 and id = $2 and state = 'open' and keep = $3`,
		e.tenant, e.id, e.keep, []byte{})
	return err
}

// answerEnrolment decides which phone an enrolment is of: the first that
// answered what was asked last.
func answerEnrolment(ctx context.Context, tx *sqldb.Tx, e enrolment, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_enrolment set state = 'answered', phone = $5, answer = $6, words = $7
		where tenant_id = $1 and id = $2 and state = 'open' and keep = $3 and expires > $4`,
		e.tenant, e.id, e.keep, now.UnixMilli(), e.phone, e.answer, e.words)
	return n == 1, err
}

// finishEnrolment uses an answered one up.
func finishEnrolment(ctx context.Context, tx *sqldb.Tx, e enrolment, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone_enrolment set state = 'done', answer = $6
		where tenant_id = $1 and id = $2 and user_id = $3 and phone = $4 and state = 'answered' and expires > $5`,
		e.tenant, e.id, e.user, e.phone, now.UnixMilli(), []byte{})
	return n == 1, err
}

// dropEnrolment ends one that is not done, with the phone that waits in it.
func dropEnrolment(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id string) error {
	_, err := tx.Exec(ctx, `
		delete from phone where tenant_id = $1 and state = 'waiting' and id in (
			select phone from phone_enrolment where tenant_id = $1 and user_id = $2 and id = $3)`, t, u, id)
	if err == nil {
		_, err = tx.Exec(ctx, `
			delete from phone_enrolment where tenant_id = $1 and user_id = $2 and id = $3 and state <> 'done'`, t, u, id)
	}
	return err
}

// dropWaiting deletes a phone that its person has not compared, and the
// enrolment that it waits in.
func dropWaiting(ctx context.Context, tx *sqldb.Tx, p phoneRow) error {
	_, err := tx.Exec(ctx, `delete from phone where tenant_id = $1 and id = $2 and state = 'waiting'`, p.tenant, p.id)
	if err == nil {
		_, err = tx.Exec(ctx, `
			delete from phone_enrolment where tenant_id = $1 and user_id = $2 and phone = $3 and state = 'answered'`, p.tenant, p.user, p.id)
	}
	return err
}

// insertWaiting stores a phone that its person has not compared yet; false when
// its key is known.
func insertWaiting(ctx context.Context, tx *sqldb.Tx, p phoneRow) (bool, error) {
	n, err := tx.Exec(ctx, `
		insert into phone (tenant_id, id, user_id, state, name, platform, app, spki, passkey, push_kind, push, address, created, last_used, seen)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $13)
		on conflict (tenant_id, spki) do nothing`,
		p.tenant, p.id, p.user, phonewire.Waiting, p.name, p.platform, p.app, p.spki, p.passkey, p.pushKind, p.push, p.address, p.created.UnixMilli())
	return n == 1, err
}

// activate makes a waiting phone one that may answer.
func activate(ctx context.Context, tx *sqldb.Tx, p phoneRow, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone set state = 'active', created = $4
		where tenant_id = $1 and user_id = $2 and id = $3 and state = 'waiting'`, p.tenant, p.user, p.id, now.UnixMilli())
	return n == 1, err
}

// takeHolder takes one of a person's places: of many callers at the last one,
// one gets it.
func takeHolder(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, limit int) error {
	n, err := tx.Exec(ctx, `
		insert into phone_holder (tenant_id, user_id, held) values ($1, $2, 1)
		on conflict (tenant_id, user_id) do update set held = phone_holder.held + 1
		where phone_holder.held < $3`, t, u, limit)
	if err == nil && n == 0 {
		err = atLimit(u, limit)
	}
	return err
}

// changed says what of a phone is to be stored.
type changed struct{ name, app, target bool }

// changePhone stores the name, the app and the target of an active phone, as far
// as they are changed: the rest may be newer than p.
func changePhone(ctx context.Context, tx *sqldb.Tx, p phoneRow, c changed) (bool, error) {
	n, err := tx.Exec(ctx, `
		update phone set name = case when $7 then $3 else name end, app = case when $8 then $4 else app end,
			push_kind = case when $9 then $5 else push_kind end, push = case when $9 then $6 else push end
		where tenant_id = $1 and id = $2 and state = 'active'`,
		p.tenant, p.id, p.name, p.app, p.pushKind, p.push, c.name, c.app, c.target)
	return n == 1, err
}

// dropPush forgets where messages for a phone went, unless it has said anew.
func dropPush(ctx context.Context, tx *sqldb.Tx, p phoneRow) error {
	_, err := tx.Exec(ctx, `update phone set push_kind = '', push = $4 where tenant_id = $1 and id = $2 and push = $3`,
		p.tenant, p.id, p.push, []byte{})
	return err
}

// noteSeen notes where a phone asked from.
func noteSeen(ctx context.Context, tx *sqldb.Tx, p phoneRow, address string, now time.Time) error {
	_, err := tx.Exec(ctx, `update phone set address = $3, seen = $4 where tenant_id = $1 and id = $2`,
		p.tenant, p.id, address, now.UnixMilli())
	return err
}
