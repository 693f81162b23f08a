package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What the scale run compares with.
const (
	manyPeople   = 1_000_000
	passkeysEach = 10
)

// scale fills the database with a million people and ten million passkeys and
// measures sign-in and start again.
func (c *crowd) scale(ctx context.Context, set settings) error {
	before, err := c.signInCost(ctx, set)
	if err != nil {
		return err
	}
	refreshBefore := c.cost(ctx, set, func(n int) op { return c.refresh(n, "") })
	if err := c.site.stop(); err != nil {
		return err
	}
	start := time.Now()
	if err := fill(filepath.Join(c.site.data(), "signet.db"), c.site.tenant); err != nil {
		return err
	}
	fmt.Printf("\nfilled with %d people and %d passkeys in %s\n", manyPeople, manyPeople*passkeysEach, time.Since(start).Round(time.Second))
	// What filling left to the disk is written before anything is measured.
	syscall.Sync()
	if _, err := c.site.start(ctx); err != nil {
		return err
	}
	if err := c.site.coldStarts(ctx, "a million people"); err != nil {
		return err
	}
	after, err := c.signInCost(ctx, set)
	if err != nil {
		return err
	}
	refreshAfter := c.cost(ctx, set, func(n int) op { return c.refresh(n, "") })
	fmt.Printf("sign-in CPU µs at 16 callers: %.0f before, %.0f after, ratio %.2f\n", us(before), us(after), float64(after)/float64(before))
	fmt.Printf("refresh CPU µs at 16 callers: %.0f before, %.0f after, ratio %.2f\n", us(refreshBefore), us(refreshAfter), float64(refreshAfter)/float64(refreshBefore))
	fmt.Printf("resident with a million people: %.1f MiB\n", rssOf(c.site.cmd.Process.Pid))
	return nil
}

func (c *crowd) signInCost(ctx context.Context, set settings) (time.Duration, error) {
	return c.cost(ctx, set, func(n int) op { return c.signIn(n, false) }), nil
}

func (c *crowd) cost(ctx context.Context, set settings, caller func(int) op) time.Duration {
	ops := make([]op, 16)
	for i := range ops {
		ops[i] = caller(i)
	}
	var runs []result
	for range set.runs {
		runs = append(runs, drive(ctx, c.site.cmd.Process.Pid, ops, set.length/4, set.length))
	}
	_, mid, _ := spread(runs)
	return mid
}

// fill writes straight into the file of a stopped server. Ids are spread like
// real ones, so that the trees are as deep and as scattered.
func fill(file, tenant string) error {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)&_pragma=cache_size(-500000)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range []string{
		`with recursive n(i) as (select 1 union all select i + 1 from n where i < %[1]d)
		insert into users (tenant_id, id, name, name_folded, display_name, display_folded, enabled, user_type, role, created)
		select '%[2]s', lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
			'p' || i || '@nordhafen.example', 'p' || i || '@nordhafen.example', 'Person ' || i, 'person ' || i, true, 'member', '', 1700000000000 + i from n order by 2`,
		`insert into passkey_handle (tenant_id, user_id, handle, held)
		select tenant_id, id, randomblob(64), %[3]d from users where name like 'p%%'`,
		`with recursive n(i) as (select 1 union all select i + 1 from n where i < %[3]d)
		insert into passkey (id, tenant_id, user_id, handle, public_key, alg, sign_count, aaguid, attested, backup_eligible, backed_up, disabled,
			name, created, last_used, clone_seen, discoverable, transports, attestation, attestation_object, client_data)
		select hex(randomblob(16)), h.tenant_id, h.user_id, h.handle, randomblob(77), -7, 0, 'ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4', false, true, true, false,
			'Passkey', 1700000000000, 0, 0, 'true', 'internal', 'none', randomblob(200), randomblob(100)
		from passkey_handle h, n where h.held = %[3]d order by 1`,
		// Or the server would read through a log as large as the database.
		`pragma wal_checkpoint(truncate)`,
	} {
		if strings.Contains(q, "%") {
			q = fmt.Sprintf(q, manyPeople, tenant, passkeysEach)
		}
		if _, err := db.Exec(q); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}
