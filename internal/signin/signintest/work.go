package signintest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// equalWork counts what a wrong answer costs the database, for a known person
// and for one who does not exist, on the wire between us and PostgreSQL
// (decisions 2.7): the same number of statements, or the time tells.
func equalWork(t *testing.T, sources []fs.FS, mk func(testing.TB, *House) Room) {
	db, statements := Counted(t, sources...)
	if db == nil {
		return
	}
	b := newBench(t, db, mk)
	held := b.Enrol(t, b.Ada)
	if b.waits() {
		equalAsks(t, b, statements)
	}
	if held.Answer == nil || held.Wrong == nil || b.Unknown == nil {
		t.Log("this room names no answer for somebody who does not exist")
		return
	}
	cost := func(make func(testing.TB, json.RawMessage) []byte) int64 {
		t.Helper()
		c := b.begin(t)
		payload := make(t, c.Show)
		before := statements()
		if _, err := b.answer(t, c, payload); !errors.Is(err, idp.Unproven) {
			t.Fatalf("wrong answer: %v, want unproven", err)
		}
		return statements() - before
	}
	cost(b.Unknown) // the first one fills caches
	for range 3 {
		known, unknown := cost(held.Wrong), cost(b.Unknown)
		if known != unknown || known == 0 {
			t.Errorf("%d statements for a known person, %d for an unknown one", known, unknown)
		}
	}
	// So it is when a stranger has had so many failures of one kind that they
	// are counted (decisions 3.5).
	for range 30 {
		cost(b.Unknown)
	}
	if known, unknown := cost(held.Wrong), cost(b.Unknown); known != unknown {
		t.Errorf("after 30 unknown ones: %d statements for a known person, %d for an unknown one", known, unknown)
	}
}

// equalAsks counts what it costs to ask by another road: somebody who has
// something to be asked by, somebody who has not, and nobody at all.
func equalAsks(t *testing.T, b *bench, statements func() int64) {
	cost := func(userName string) int64 {
		t.Helper()
		f := b.Flow(t, signin.Flow{}, b.peer)
		before := statements()
		if _, err := b.Corridor.Ask(t.Context(), f, b.Method.ID(), userName, method.Scene{}, b.peer); err != nil {
			t.Fatalf("ask %s: %v", userName, err)
		}
		return statements() - before
	}
	cost("nobody@nordhafen.example") // the first one fills caches
	for n := range 6 {
		ada, bob, nobody := cost(b.Ada.Name), cost(b.Bob.Name), cost("nobody@nordhafen.example")
		if ada != nobody || bob != nobody || nobody == 0 {
			t.Errorf("round %d: %d statements for who can be asked, %d for who cannot, %d for nobody", n, ada, bob, nobody)
		}
	}
}

// Counted opens a PostgreSQL database with the Sources, and says how many
// statements were sent to it so far. The database is nil, after a line in the
// log, when there is no server.
func Counted(t testing.TB, sources ...fs.FS) (*sqldb.DB, func() int64) {
	t.Helper()
	address := sqldbtest.NewPostgres(t)
	if address == "" {
		return nil, nil
	}
	wire := listen(t, address)
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: wire.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Migrate(t.Context(), Sources(sources...)...); err != nil {
		t.Fatal(err)
	}
	return db, wire.statements.Load
}

// wire passes everything on to a PostgreSQL and counts the statements.
type wire struct {
	url        string
	statements atomic.Int64
}

func listen(t testing.TB, address string) *wire {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w, server := &wire{}, u.Host
	u.Host = l.Addr().String()
	w.url = u.String()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				from.Close()
				return
			}
			go func() { io.Copy(from, to); from.Close() }()
			go func() { w.forward(to, from); to.Close() }()
		}
	}()
	return w
}

// forward reads the frontend's messages (PostgreSQL, "Message Formats"): the
// first has only a length, the others a type before it. A statement is a Bind
// or a simple Query.
func (w *wire) forward(to io.Writer, from io.Reader) {
	first := true
	for {
		head := make([]byte, 5)
		if first {
			head = head[:4]
		}
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		if !first && (head[0] == 'B' || head[0] == 'Q') {
			w.statements.Add(1)
		}
		body := make([]byte, max(0, int(binary.BigEndian.Uint32(head[len(head)-4:]))-4))
		first = false
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		if _, err := to.Write(append(head, body...)); err != nil {
			return
		}
	}
}
