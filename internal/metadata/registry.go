package metadata

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// PublishedURL is where the FIDO Alliance publishes the list.
const PublishedURL = "https://mds3.fidoalliance.org/"

// topic of the bus; the key is the number of the new list.
const topic = "metadata"

// JobName is the job that gets a newer list: to be kicked.
const JobName = "metadata.refresh"

// Paces of the job. The service changes its list about once a month and says
// when at the latest (nextUpdate); a model may be revoked on any day, so it is
// asked daily, which costs it nothing while nothing changed, and hourly once
// the day it named has passed. After failures the wait doubles, up to a day.
const (
	lookEvery = time.Hour
	askEvery  = 24 * time.Hour
	lateEvery = time.Hour
	maxJitter = 30 * time.Minute
	// grace is how long after nextUpdate a list is merely late.
	grace = 30 * 24 * time.Hour
)

// Config is where the list comes from. With neither URL nor File nothing is
// fetched: lists come by LoadFile alone, and until there is one the registry
// has bundled names only, and attests nothing but by Apple's root.
type Config struct {
	DB  *sqldb.DB
	Bus *bus.Bus
	Now func() time.Time

	URL  string // fetched by the job; PublishedURL, or a mirror
	File string // read by the job instead, for closed networks; wins over URL
	// Private allows URL to be http and in a network of one's own.
	Private bool
	Timeout time.Duration // of one download; default 2 minutes

	// Roots and Signer are whom the list must be signed by. Default: the
	// pinned GlobalSign roots, and the FIDO Alliance. With Roots of one's own
	// and no Signer, any certificate below them may sign.
	Roots  []*x509.Certificate
	Signer string
}

// Registry knows key models. It is safe for concurrent use.
type Registry struct {
	cfg    Config
	anchor anchor
	client *http.Client
	plain  *http.Client // for revocation lists
	now    atomic.Pointer[set]
	wake   chan struct{}
}

// New makes a registry with bundled names. Load gives it the last good list.
func New(c Config) *Registry {
	c.Timeout = cmp.Or(c.Timeout, 2*time.Minute)
	r := &Registry{cfg: c, client: newClient(c.Private, false), plain: newClient(c.Private, true), wake: make(chan struct{}, 1)}
	r.anchor = anchor{roots: c.Roots, domain: c.Signer}
	if len(c.Roots) == 0 {
		r.anchor = anchor{roots: globalSign(), domain: signerDomain}
	}
	r.now.Store(empty())
	if c.Bus != nil {
		c.Bus.Subscribe(topic, func(string) {
			select {
			case r.wake <- struct{}{}:
			default:
			}
		})
	}
	return r
}

// fed says whether there is a source to get lists from.
func (r *Registry) fed() bool { return r.source() != "" }

// Number is that of the list in use; 0 when there is none.
func (r *Registry) Number() int64 { return r.now.Load().number }

// Load takes the last good list from the database into memory, verified again
// as of the day it was taken in. Nothing happens when there is none, or when
// the one in memory is as new.
func (r *Registry) Load(ctx context.Context) error {
	n, err := numberOf(ctx, r.cfg.DB)
	if errors.Is(err, idp.NotFound) || err == nil && n <= r.Number() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the metadata's number: %w", err)
	}
	row, err := get(ctx, r.cfg.DB)
	if err != nil {
		return fmt.Errorf("read the metadata: %w", err)
	}
	blob, err := unpack(row.body)
	if err != nil {
		return fmt.Errorf("unpack the metadata: %w", err)
	}
	s, err := r.read(blob, row.fetched)
	if err != nil {
		return fmt.Errorf("metadata in the database: %w", err)
	}
	s.source = row.source
	r.swap(s)
	return nil
}

// read verifies and parses a list.
func (r *Registry) read(blob []byte, at time.Time) (*set, error) {
	s, _, err := r.readSigned(blob, at)
	return s, err
}

// readSigned is read, and tells by whom the list was signed.
func (r *Registry) readSigned(blob []byte, at time.Time) (*set, []*x509.Certificate, error) {
	payload, chain, err := verify(blob, r.anchor, at)
	if err != nil {
		return nil, nil, err
	}
	s, err := parse(payload)
	if err != nil {
		return nil, nil, err
	}
	s.fetched = at
	return s, chain, nil
}

// swap puts a newer set in place; an older one is dropped.
func (r *Registry) swap(s *set) {
	for {
		old := r.now.Load()
		if s.number <= old.number || r.now.CompareAndSwap(old, s) {
			return
		}
	}
}

// Run takes over what other nodes have fetched, until ctx ends. It returns nil.
func (r *Registry) Run(ctx context.Context) error {
	again := time.NewTimer(0) // what came before Run, and after a failure
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-again.C:
		}
		// A list that cannot be read stays unread; the one in memory stands.
		if err := r.Load(ctx); err != nil {
			again.Reset(time.Minute)
		}
	}
}

// Jobs is the work of getting newer lists.
func (r *Registry) Jobs() []job.Job {
	if !r.fed() {
		return nil
	}
	return []job.Job{{Name: JobName, Every: lookEvery, Run: r.turn}}
}

// turn refreshes if it is time to.
func (r *Registry) turn(ctx context.Context, now time.Time) error {
	t, err := getTry(ctx, r.cfg.DB)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return err
	}
	if err == nil && t.source == r.source() && now.Before(t.next) && !now.Before(t.at) {
		return nil
	}
	_, err = r.refresh(ctx, now, nil)
	return err
}

// source is where lists come from, for people and to notice that it changed.
func (r *Registry) source() string { return cmp.Or(r.cfg.File, r.cfg.URL) }

// Results of a try.
const (
	Updated    = "updated"
	Unchanged  = "unchanged"
	RolledBack = "rolled_back" // refused: its number is lower than what we have
	Rejected   = "rejected"    // refused: it did not verify
	Failed     = "failed"      // it could not be had
)

// Change is a newer list that is being taken in.
type Change struct {
	Old, New int64  // numbers; Old is 0 for the first list
	Source   string // address or file
}

// Note writes down a change, in the transaction that makes it. It is not
// called when nothing changes.
type Note func(context.Context, *sqldb.Tx, Change) error

// Refresh gets a newer list now, whenever the last try was. note may be nil.
// Errors are those of LoadFile, or Unavailable when the list could not be had,
// and then the last good one goes on; Invalid when there is no source.
func (r *Registry) Refresh(ctx context.Context, note Note) (State, error) {
	if !r.fed() {
		return State{}, idp.Invalidf("metadata_off", "no source of metadata").
			Say("Metadata is not fetched here: set metadata-url or metadata-file, or load a file.")
	}
	if _, err := r.refresh(ctx, r.cfg.Now(), note); err != nil {
		return State{}, err
	}
	return r.State(ctx)
}

func (r *Registry) refresh(ctx context.Context, now time.Time, note Note) (result string, err error) {
	last, err := getTry(ctx, r.cfg.DB)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return "", err
	}
	if last.source != r.source() || r.Number() == 0 {
		last.etag, last.lastModified = "", ""
	}
	t := try{source: r.source(), at: now, etag: last.etag, lastModified: last.lastModified}
	if r.cfg.File != "" {
		result, err = r.takeFile(ctx, r.cfg.File, now, note)
	} else {
		result, err = r.download(ctx, &t, now, note)
	}
	if ctx.Err() != nil {
		return "", ctx.Err() // cut short: not a try
	}
	t.result, t.failures = result, 0
	if err != nil {
		t.failures, t.detail = last.failures+1, cut(err.Error(), 500)
	}
	t.next = r.nextTry(now, t.failures)
	werr := r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return putTry(ctx, tx, t) })
	return result, errors.Join(err, werr)
}

// nextTry is when to ask again.
func (r *Registry) nextTry(now time.Time, failures int64) time.Time {
	wait := askEvery
	switch s := r.now.Load(); {
	case failures > 0:
		wait = min(askEvery, lateEvery<<min(failures-1, 5))
	case r.cfg.File != "":
		wait = lookEvery
	case s.number > 0 && now.After(s.nextUpdate.Add(24*time.Hour)):
		wait = lateEvery
	}
	// Not everybody at once.
	jitter := secret.Bytes(2)
	return now.Add(wait + maxJitter*time.Duration(uint(jitter[0])<<8|uint(jitter[1]))/(1<<16))
}

func (r *Registry) download(ctx context.Context, t *try, now time.Time, note Note) (string, error) {
	f, err := r.fetch(ctx, t.etag, t.lastModified)
	if err != nil {
		return Failed, err
	}
	t.etag, t.lastModified = f.etag, f.lastModified
	if f.blob == nil {
		return Unchanged, nil
	}
	result, err := r.take(ctx, f.blob, r.cfg.URL, now, note)
	if err != nil {
		t.etag, t.lastModified = "", "" // what was refused is looked at again
	}
	return result, err
}

// LoadFile takes a list from a file on this machine, at an administrator's
// word. note may be nil. Errors: Invalid when the file cannot be read, Unproven when it does not
// verify, Conflict when it is older than the list there is.
func (r *Registry) LoadFile(ctx context.Context, path string, note Note) (State, error) {
	if _, err := r.takeFile(ctx, path, r.cfg.Now(), note); err != nil {
		return State{}, err
	}
	return r.State(ctx)
}

func (r *Registry) takeFile(ctx context.Context, path string, now time.Time, note Note) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return Failed, idp.Invalidf("metadata_file", "%w", err).On("file").Say("The metadata file cannot be read.")
	}
	defer f.Close()
	blob, err := io.ReadAll(io.LimitReader(f, maxBlob+1))
	if err != nil {
		return Failed, idp.Invalidf("metadata_file", "%w", err).On("file").Say("The metadata file cannot be read.")
	}
	return r.take(ctx, blob, path, now, note)
}

// take verifies a list and makes it the last good one, here and, by the bus,
// on the other nodes. One statement decides: a number that is not higher
// changes nothing.
func (r *Registry) take(ctx context.Context, blob []byte, source string, now time.Time, note Note) (string, error) {
	s, chain, err := r.readSigned(blob, now)
	if err == nil && source == r.cfg.URL && s.number > r.Number() {
		err = r.revoked(ctx, chain, now)
	}
	if err != nil {
		return Rejected, say(err)
	}
	s.source = source
	body, err := pack(blob)
	if err != nil {
		return Rejected, say(err)
	}
	row := stored{number: s.number, nextUpdate: s.nextUpdate, fetched: now, source: source, body: body}
	newer, have, err := r.store(ctx, row, s, note)
	switch {
	case err != nil:
		return Failed, fmt.Errorf("store the metadata: %w", err)
	case newer:
		return Updated, nil
	case s.number < have:
		return RolledBack, idp.Conflictf("metadata_rollback", "list %d after %d", s.number, have).
			Say(fmt.Sprintf("This list has the number %d, and number %d was in use already. An older list is never taken.", s.number, have))
	}
	return Unchanged, nil
}

// store writes a list if its number is higher than that of the one there is,
// which it returns otherwise, and tells the other nodes.
func (r *Registry) store(ctx context.Context, row stored, s *set, note Note) (newer bool, have int64, err error) {
	most := s.number - 1
	if r.Number() < s.number && r.Load(ctx) != nil {
		// What is stored cannot be read: the same list, whole, may replace it.
		most = s.number
	}
	err = r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if have, err = numberOf(ctx, tx); err != nil && !errors.Is(err, idp.NotFound) {
			return err
		}
		if newer, err = put(ctx, tx, row, most); err != nil {
			return err
		}
		if !newer {
			have, err = numberOf(ctx, tx) // it may have grown since
			return err
		}
		tx.OnCommit(func() { r.swap(s) })
		if note != nil {
			if err := note(ctx, tx, Change{Old: have, New: s.number, Source: row.source}); err != nil {
				return err
			}
		}
		if r.cfg.Bus == nil {
			return nil
		}
		return r.cfg.Bus.Publish(ctx, tx, topic, fmt.Sprint(s.number))
	})
	return newer, have, err
}

// say puts what a person can do about a refused list into its error.
func say(err error) error {
	e := idp.AsError(err)
	sentences := map[string]string{
		"metadata_malformed": "This is not a metadata list, or it is damaged: fetch it again.",
		"metadata_chain":     "The list's signing certificate does not lead to the pinned root, or has expired: fetch a newer list from the FIDO Alliance.",
		"metadata_revoked":   "The certificate that signed the list was revoked: wait for a list that is signed anew.",
		"metadata_signer":    "The list was not signed by the FIDO Alliance.",
		"metadata_signature": "The list's signature is wrong: it was changed after it was signed.",
		"metadata_algorithm": "The list is signed in a way that is not accepted.",
		"metadata_too_large": "The list is larger than any that was ever published.",
	}
	if s := sentences[e.Reason]; s != "" && e.Public == "" {
		return e.Say(s)
	}
	return err
}
