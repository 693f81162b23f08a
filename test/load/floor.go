package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite"
)

// floor holds the unavoidable parts, as CPU for one of each.
type floor struct {
	Get, PostForm, PostJSON time.Duration // a bare net/http exchange, server side
	Verify, Sign            time.Duration // ES256 with the standard library
	VerifyRSA               time.Duration // RS256 with a key of 2048 bits
	Wrap                    time.Duration // a session key to an RSA-2048 key, as RSA-OAEP with SHA-1 and A256GCM
	Agree                   time.Duration // an answer of 2 KiB to a P-256 key, as ECDH-ES and A256GCM
	MAC                     time.Duration // HS256 under a key derived for this message, claims read
	Mutual                  time.Duration // a full mutual handshake of TLS 1.3, the client's chain of three verified
	shaken                  result        // the run that measured it
	Row                     time.Duration // one durable row for one of 64 callers who share commits
	Read                    time.Duration // one row by key
}

// measureFloor runs every part. length is the time for each.
func measureFloor(ctx context.Context, length time.Duration) (floor, error) {
	var f floor
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	c, err := newChain()
	if err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, self, "-floor-server")
	cmd.Stdin = bytes.NewReader(pemCertificate(c.root))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return f, err
	}
	if err := cmd.Start(); err != nil {
		return f, err
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var plain, mutual string
	if _, err := fmt.Fscanln(out, &plain, &mutual); err != nil {
		return f, fmt.Errorf("bare server: %w", err)
	}
	base := "http://" + plain

	exchange := func(method, kind, body string) time.Duration {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
		var callers []op
		for range 16 {
			callers = append(callers, func(ctx context.Context) error {
				req, err := http.NewRequestWithContext(ctx, method, base+"/", bytes.NewReader([]byte(body)))
				if err != nil {
					return err
				}
				req.Header.Set("Content-Type", kind)
				res, err := client.Do(req)
				if err != nil {
					return err
				}
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
				return err
			})
		}
		return drive(ctx, cmd.Process.Pid, callers, length/4, length).per()
	}
	f.Get = exchange("GET", "", "")
	f.PostForm = exchange("POST", "application/x-www-form-urlencoded", "grant_type=x&client_id=0123456789&client_secret=0123456789")
	f.PostJSON = exchange("POST", "application/json", `{"a":"0123456789","b":"0123456789"}`)

	if err := f.shakes(ctx, cmd.Process.Pid, mutual, c, length); err != nil {
		return f, fmt.Errorf("handshakes: %w", err)
	}
	if err := f.crypto(length); err != nil {
		return f, err
	}
	f.Row, f.Read, err = storage(length)
	return f, err
}

// busy is the CPU for one call while every processor makes such calls: what
// the server's numbers are held against was measured with none idle either,
// and two that share a core slow each other down.
func busy(length time.Duration, do func()) time.Duration {
	var calls atomic.Int64
	var wg sync.WaitGroup
	start, before := time.Now(), cpuOf(os.Getpid())
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Since(start) < length {
				for range 64 {
					do()
				}
				calls.Add(64)
			}
		})
	}
	wg.Wait()
	return (cpuOf(os.Getpid()) - before) / time.Duration(calls.Load())
}

// repeat is the process's CPU for one call, one after the other.
func repeat(length time.Duration, do func()) time.Duration {
	start, before, n := time.Now(), cpuOf(os.Getpid()), 0
	for time.Since(start) < length {
		for range 64 {
			do()
		}
		n += 64
	}
	return (cpuOf(os.Getpid()) - before) / time.Duration(n)
}

// storage measures a time-ordered row in a group commit of 64 callers, and a
// read by key, with nothing between the program and the driver.
func storage(length time.Duration) (row, read time.Duration, err error) {
	dir, err := os.MkdirTemp("", "signet-floor")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "f.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate")
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("create table r (id text primary key, body text)"); err != nil {
		return 0, 0, err
	}
	row, n, err := committed(db, length)
	if err != nil {
		return 0, 0, err
	}
	st, err := db.Prepare("select body from r where id = $1")
	if err != nil {
		return 0, 0, err
	}
	k := 0
	read = repeat(length, func() {
		k = k*7919 + 1
		var body string
		if err := st.QueryRow(fmt.Sprintf("%016d", 1+(k&0x7fffffff)%n)).Scan(&body); err != nil {
			panic(err)
		}
	})
	return row, read, nil
}

// committed has 64 callers wait for rows of theirs to be durable, one after the
// other, while one goroutine writes whatever has queued in one transaction. It
// returns the CPU for one of the n rows.
func committed(db *sql.DB, length time.Duration) (row time.Duration, n int, err error) {
	const callers = 64
	queue := make(chan chan error, callers)
	start, before := time.Now(), cpuOf(os.Getpid())
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Since(start) < length {
				done := make(chan error, 1)
				queue <- done
				if <-done != nil {
					return // the one who writes tells of it
				}
			}
		})
	}
	go func() { wg.Wait(); close(queue) }()
	for first := range queue {
		group := []chan error{first}
		runtime.Gosched() // those whom the last commit woke come back
		for len(group) < callers && len(queue) > 0 {
			group = append(group, <-queue)
		}
		failed := insert(db, n, len(group))
		for _, done := range group {
			done <- failed
		}
		n += len(group)
		err = errors.Join(err, failed)
	}
	return (cpuOf(os.Getpid()) - before) / time.Duration(max(n, 1)), n, err
}

// insert writes count rows behind the first n, in one durable transaction.
func insert(db *sql.DB, n, count int) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	st, err := tx.Prepare("insert into r (id, body) values ($1, $2)")
	if err != nil {
		return err
	}
	for i := range count {
		if _, err := st.Exec(fmt.Sprintf("%016d", n+i+1), "0123456789012345678901234567890123456789"); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// bareServer answers every request with a few bytes: what net/http itself costs.
// Beside it, it shakes hands.
func bareServer() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mutual, err := shakeServer()
	if err != nil {
		return err
	}
	fmt.Println(l.Addr(), mutual)
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Content-Type") {
		case "application/json":
			var v map[string]string
			json.NewDecoder(r.Body).Decode(&v)
		case "application/x-www-form-urlencoded":
			r.ParseForm()
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ok":true}`)
	}))
}
