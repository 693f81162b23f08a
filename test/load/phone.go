package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/test/oddphone"
	"github.com/signetid/signet/test/person"
)

// asksEach is how often an unknown browser may ask one person's phones in a
// quarter of an hour (decisions 5.3): a run takes as many people as that needs.
const asksEach = 3

// owner is a person with a phone.
type owner struct {
	upn   string
	phone *oddphone.Phone
}

// owners are people who were written into the database, each with a passkey and
// a phone that uses it.
type owners struct {
	all  []owner
	next atomic.Int64
}

// phoneOf is a phone that reaches the server calling itself base at addr.
func phoneOf(base, addr, tenant string) (*oddphone.Phone, error) {
	p, err := oddphone.New(base)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	handle := secret.Bytes(64)
	p.ID, p.Tenant, p.User = secret.NewUUID4(), tenant, secret.NewUUID4()
	p.Passkey = &oddphone.Passkey{Key: key, ID: secret.Bytes(32), RPID: "localhost", User: base64.RawURLEncoding.EncodeToString(handle), Origin: base}
	p.HTTP = reaching(addr)
	return p, nil
}

// reachers are the clients of phones, one for each address: thousands of phones
// with connections of their own would measure those.
var reachers sync.Map

func reaching(addr string) *http.Client {
	c, _ := reachers.LoadOrStore(addr, &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}})
	return c.(*http.Client)
}

// newOwners makes people with phones that reach addr.
func newOwners(s *site, addr, prefix string, count int) (*owners, error) {
	o := &owners{}
	for n := range count {
		p, err := phoneOf(s.base, addr, s.tenant)
		if err != nil {
			return nil, err
		}
		o.all = append(o.all, owner{fmt.Sprint(prefix, n, "@nordhafen.example"), p})
	}
	return o, nil
}

// take is the next owner who may be asked; errDry when all were asked as often
// as they may be.
func (o *owners) take() (owner, error) {
	n := int(o.next.Add(1) - 1)
	if n >= len(o.all)*asksEach {
		return owner{}, errDry
	}
	return o.all[n%len(o.all)], nil
}

// database opens what a server keeps its data in, which must be stopped if it is
// a file.
func (s *site) database() (*sql.DB, func(string) string, error) {
	if s.postgres != "" {
		db, err := sql.Open("pgx", s.postgres)
		return db, func(q string) string { return q }, err
	}
	db, err := sql.Open("sqlite", "file:"+s.data()+"/signet.db?_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	return db, func(q string) string { return strings.ReplaceAll(q, "$", "?") }, err
}

// write writes people and their phones straight into the database.
func (o *owners) write(ctx context.Context, s *site) error {
	db, dialect, err := s.database()
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var into []*sql.Stmt
	for _, q := range []string{
		`insert into users (tenant_id, id, name, name_folded, display_name, display_folded, enabled, user_type, role, created)
		values ($1, $2, $3, $3, $3, $3, true, 'member', '', $4)`,
		`insert into passkey_handle (tenant_id, user_id, handle, held) values ($1, $2, $3, 1)`,
		`insert into passkey (id, tenant_id, user_id, handle, public_key, alg, sign_count, aaguid, attested, backup_eligible, backed_up, disabled,
			name, created, last_used, clone_seen, discoverable, transports, attestation, attestation_object, client_data)
		values ($1, $2, $3, $4, $5, -7, 0, '00000000-0000-0000-0000-000000000000', false, false, false, false,
			'Phone', $6, 0, 0, 'true', 'internal', 'none', $5, $5)`,
		`insert into phone (tenant_id, id, user_id, state, name, platform, app, spki, passkey, push_kind, push, address, created, last_used, seen)
		values ($1, $2, $3, 'active', 'Phone', 'other', 'load', $4, $5, '', $6, '127.0.0.1', $7, 0, $7)`,
		`insert into phone_holder (tenant_id, user_id, held) values ($1, $2, 1)`,
	} {
		stmt, err := tx.PrepareContext(ctx, dialect(q))
		if err != nil {
			return fmt.Errorf("fill with phones: %w", err)
		}
		into = append(into, stmt)
	}
	for _, w := range o.all {
		rows, err := w.rows(time.Now().Add(-time.Hour).UnixMilli())
		if err != nil {
			return err
		}
		for i, row := range rows {
			if _, err := into[i].ExecContext(ctx, row...); err != nil {
				return fmt.Errorf("fill with phones: %w", err)
			}
		}
	}
	return tx.Commit()
}

// rows are the values of the statements of write.
func (w owner) rows(now int64) ([][]any, error) {
	p := w.phone
	public, err := p.Passkey.COSE()
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&p.Key.PublicKey)
	if err != nil {
		return nil, err
	}
	handle, err := base64.RawURLEncoding.DecodeString(p.Passkey.User)
	if err != nil {
		return nil, err
	}
	id := base64.RawURLEncoding.EncodeToString(p.Passkey.ID)
	return [][]any{
		{p.Tenant, p.User, w.upn, now},
		{p.Tenant, p.User, handle},
		{id, p.Tenant, p.User, handle, public, now},
		{p.Tenant, p.ID, p.User, spki, id, []byte{}, now},
		{p.Tenant, p.User},
	}, nil
}

// fillPhones makes so many people with phones, while the server is stopped.
func (s *site) fillPhones(ctx context.Context, o *owners) error {
	if err := s.stop(); err != nil {
		return err
	}
	if err := o.write(ctx, s); err != nil {
		return err
	}
	_, err := s.start(ctx)
	return err
}

// phoneOwners are people enough for the rows of a run.
const phoneOwners = 12_000

// phoneOperations are the rows of people who approve on their phones.
func (c *crowd) phoneOperations() []operation {
	var o *owners
	return []operation{{
		name: "phone approval",
		ceiling: func(f floor) (float64, string) {
			return micro(us(f.PostForm), "ask", us(f.Get), "page", us(f.Get)+us(f.Verify), "what waits", us(f.PostJSON)+3*us(f.Verify), "approval",
				us(f.PostForm), "answer", 3*us(f.Row), "three commits", 8.0, "state, cookies")
		},
		setup: func(ctx context.Context) (err error) {
			if o, err = newOwners(c.site, c.site.addr, "phone", phoneOwners); err != nil {
				return err
			}
			return c.site.fillPhones(ctx, o)
		},
		caller: func(int) op { return c.approval(func() (owner, error) { return o.take() }) },
	}}
}

// approval asks somebody's phone from a browser in which nobody is known,
// approves there and opens the session. One sign-in page serves many rounds.
func (c *crowd) approval(next func() (owner, error)) op {
	var p *person.Person
	var page person.Page
	rounds := 0
	return func(ctx context.Context) error {
		w, err := next()
		if err != nil {
			return err
		}
		if rounds%200 == 0 {
			if p, page, err = c.site.atSignIn(ctx); err != nil {
				return err
			}
		}
		rounds++
		p.DropSession()
		d := desk{w, p, page}
		if err := d.ask(ctx); err != nil {
			return err
		}
		if err := d.approve(ctx); err != nil {
			return err
		}
		return d.open(ctx)
	}
}

// atSignIn is a new browser at the sign-in page.
func (s *site) atSignIn(ctx context.Context) (*person.Person, person.Page, error) {
	p, err := person.New(s.base, person.At(s.addr))
	if err != nil {
		return nil, person.Page{}, err
	}
	page, _, err := p.Authorize(ctx, s.app, nil)
	return p, page, err
}

// desk is a browser that asks an owner's phone.
type desk struct {
	owner
	*person.Person
	page person.Page
}

func (d *desk) ask(ctx context.Context) error {
	page, err := d.AskPhone(ctx, d.page, d.upn)
	if err == nil && page.Number() == "" {
		err = fmt.Errorf("no number for %s: %d %.300s", d.upn, page.Status, page.Text)
	}
	d.page = page
	return err
}

// waiting is what the phone is asked.
func (d *desk) waiting(ctx context.Context) (oddphone.Waiting, error) {
	all, err := d.phone.Requests(ctx)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%d requests wait for %s", len(all), d.upn)
	}
	if err != nil {
		return oddphone.Waiting{}, err
	}
	return all[0], nil
}

func (d *desk) approve(ctx context.Context) error {
	w, err := d.waiting(ctx)
	if err != nil {
		return err
	}
	return d.say(ctx, w)
}

func (d *desk) say(ctx context.Context, w oddphone.Waiting) error {
	a, err := d.phone.Approve(ctx, w, d.page.Number())
	if err == nil && !strings.Contains(a.Body, `"approved"`) {
		err = fmt.Errorf("approval answered %d %.300s", a.Status, a.Body)
	}
	return err
}

func (d *desk) open(ctx context.Context) error {
	page, err := d.Collect(ctx, d.page)
	if err != nil {
		return err
	}
	_, err = page.Code()
	return err
}
