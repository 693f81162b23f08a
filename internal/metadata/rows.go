package metadata

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations make the tables metadata_blob and metadata_try.
//
//go:embed migrations/*.sql
var Migrations embed.FS

const rowID = "fido"

// maxStored is what a backup can hold in one line.
const maxStored = 10 << 20

// stored is the last good list.
type stored struct {
	number     int64
	nextUpdate time.Time
	fetched    time.Time
	source     string
	body       []byte // compressed
}

// put stores a list if the number of the one there is is at most most.
func put(ctx context.Context, tx *sqldb.Tx, s stored, most int64) (bool, error) {
	n, err := tx.Exec(ctx, `
		insert into metadata_blob (id, number, next_update, fetched, source, body)
		values ($1, $2, $3, $4, $5, $6)
		on conflict (id) do update
		set number = excluded.number, next_update = excluded.next_update, fetched = excluded.fetched,
			source = excluded.source, body = excluded.body
		where metadata_blob.number <= $7`,
		rowID, s.number, s.nextUpdate.UnixMilli(), s.fetched.UnixMilli(), s.source, s.body, most)
	return n == 1, err
}

// numberOf is the number of the list there is: NotFound when there is none.
func numberOf(ctx context.Context, q sqldb.Querier) (int64, error) {
	var n int64
	err := q.QueryRow(ctx, `select number from metadata_blob where id = $1`, rowID).Scan(&n)
	return n, err
}

func get(ctx context.Context, q sqldb.Querier) (stored, error) {
	var s stored
	var next, fetched int64
	err := q.QueryRow(ctx, `select number, next_update, fetched, source, body from metadata_blob where id = $1`, rowID).
		Scan(&s.number, &next, &fetched, &s.source, &s.body)
	s.nextUpdate, s.fetched = time.UnixMilli(next).UTC(), time.UnixMilli(fetched).UTC()
	return s, err
}

// try is how the last attempt went.
type try struct {
	source       string
	etag         string
	lastModified string
	at, next     time.Time
	failures     int64
	result       string
	detail       string
}

func putTry(ctx context.Context, tx *sqldb.Tx, t try) error {
	_, err := tx.Exec(ctx, `
		insert into metadata_try (id, source, etag, last_modified, tried, next_try, failures, result, detail)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		on conflict (id) do update
		set source = excluded.source, etag = excluded.etag, last_modified = excluded.last_modified,
			tried = excluded.tried, next_try = excluded.next_try, failures = excluded.failures,
			result = excluded.result, detail = excluded.detail`,
		rowID, t.source, t.etag, t.lastModified, t.at.UnixMilli(), t.next.UnixMilli(), t.failures, t.result, t.detail)
	return err
}

// getTry reads the last attempt; the zero try when there was none.
func getTry(ctx context.Context, q sqldb.Querier) (try, error) {
	var t try
	var at, next int64
	err := q.QueryRow(ctx, `
		select source, etag, last_modified, tried, next_try, failures, result, detail
		from metadata_try where id = $1`, rowID).
		Scan(&t.source, &t.etag, &t.lastModified, &at, &next, &t.failures, &t.result, &t.detail)
	if err == nil {
		t.at, t.next = time.UnixMilli(at).UTC(), time.UnixMilli(next).UTC()
	}
	return t, err
}

// pack compresses a list: base64 in base64 has little in it.
func pack(blob []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(blob); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if b.Len() > maxStored {
		return nil, idp.Unprovenf("metadata_too_large", "list of %d bytes, %d compressed", len(blob), b.Len())
	}
	return b.Bytes(), nil
}

func unpack(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	blob, err := io.ReadAll(io.LimitReader(z, maxBlob+1))
	if err == nil && len(blob) > maxBlob {
		err = fmt.Errorf("more than %d bytes", maxBlob)
	}
	return blob, err
}
