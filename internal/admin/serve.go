package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/unixpeer"
	"github.com/signetid/signet/internal/web"
)

// maxRequest is what one request may hold: the largest import, as a JSON
// string, and some room.
const maxRequest = 2*directory.ImportBytes + 64<<10

// doPath is the one address of this door on the socket.
const doPath = "/do"

// request and reply are what goes over the socket. A reply is lines of JSON,
// the last of which has Result or Error.
type request struct {
	Op     string          `json:"op"`
	Params json.RawMessage `json:"params"`
}

type reply struct {
	Progress int             `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *fault          `json:"error,omitempty"`
}

// fault is an idp.Error on its way. Who is on the other side of the socket runs
// the server, or is root, and may read the cause; who comes over the network
// gets what lines.remote says.
type fault struct {
	Kind   idp.Kind `json:"kind"`
	Reason string   `json:"reason"`
	Code   int      `json:"code,omitempty"`
	Field  string   `json:"field,omitempty"`
	Public string   `json:"public,omitempty"`
	Cause  string   `json:"cause,omitempty"`
}

type peerKey struct{}

// peer is who is at the other end of a connection, or why that is not known.
type peer struct {
	uid uint32
	err error
}

// ConnContext notes who is at the other end of a connection of the socket. It
// is for http.Server.ConnContext; without it Handler refuses everything.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	uid, err := unixpeer.UID(c)
	return context.WithValue(ctx, peerKey{}, peer{uid, err})
}

// Handler serves the operations to the user that runs this process and to
// root (decisions 6.1).
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+doPath, func(w http.ResponseWriter, r *http.Request) {
		out := &lines{w: w}
		actor, err := local(r.Context())
		if err != nil {
			out.fail(http.StatusForbidden, err)
			return
		}
		s.serve(out, r, caller{actor: actor})
	})
	return mux
}

// caller is who asks: the name for the audit, and what the token grants; nil:
// who sits at this machine, and may do everything.
type caller struct {
	actor string
	grant *Grant
}

// local names the peer for the audit, or is Denied.
func local(ctx context.Context) (string, error) {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok || p.err != nil {
		return "", idp.Deniedf("peer_unknown", "peer credentials: %v", p.err).Say("The server cannot tell who you are.")
	}
	if p.uid != 0 && int(p.uid) != os.Geteuid() {
		return "", idp.Deniedf("peer_refused", "uid %d", p.uid).Say("Only the user who runs the server, and root, may do this.")
	}
	return Actor(int(p.uid)), nil
}

// Actor is how the audit names a user of this machine.
func Actor(uid int) string {
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return "cli:" + name
}

func (s *Service) serve(out *lines, r *http.Request, who caller) {
	body, err := io.ReadAll(http.MaxBytesReader(out.w, r.Body, maxRequest))
	if err != nil {
		out.fail(http.StatusBadRequest, idp.Invalidf("unreadable_request", "%w", err).Say("The request is too large or did not arrive whole."))
		return
	}
	in, err := decode[request](body)
	if err != nil {
		out.fail(http.StatusBadRequest, err)
		return
	}
	stop := out.report()
	result, err := s.do(r.Context(), who, in.Op, in.Params, out.progress)
	stop()
	if err != nil {
		out.fail(http.StatusOK, err)
		return
	}
	out.line(reply{Result: result})
}

// lines writes a reply. An operation tells its progress inside a transaction
// and must not wait for whoever reads it, so it only leaves a number, and
// another goroutine writes that now and then.
type lines struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	done int
	told int
	// remote is the request when it came over the network; nil: by the
	// socket. What failed on our side stays in the log then (security.md
	// LOG06), and a stranger learns no cause at all.
	remote *http.Request
	known  bool // who comes over the network holds a token
}

const tellEvery = 200 * time.Millisecond

func (l *lines) progress(done int) {
	l.mu.Lock()
	l.done = done
	l.mu.Unlock()
}

// report writes progress until the function it returns has returned.
func (l *lines) report() (stop func()) {
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				l.tell()
				return
			case <-tick.C:
				l.tell()
			}
		}
	}()
	return func() { close(quit); <-gone }
}

// tell writes the progress if there is some. What is written while the lock
// is not held: only this goroutine writes until report is stopped.
func (l *lines) tell() {
	l.mu.Lock()
	done, news := l.done, l.done != l.told
	l.told = l.done
	l.mu.Unlock()
	if news {
		l.line(reply{Progress: done})
	}
}

func (l *lines) line(r reply) {
	l.w.Header().Set("Content-Type", "application/x-ndjson")
	text, err := json.Marshal(r)
	if err != nil {
		return // nothing of ours fails to marshal
	}
	if _, err := l.w.Write(append(text, '\n')); err != nil {
		return // the other side is gone; the operation is done all the same
	}
	http.NewResponseController(l.w).Flush()
}

// fail phrases an error. status only counts when nothing was written yet.
func (l *lines) fail(status int, err error) {
	e := idp.AsError(err)
	l.mu.Lock()
	fresh := l.told == 0
	l.mu.Unlock()
	if fresh && status != http.StatusOK {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.WriteHeader(status)
	}
	f := &fault{Kind: e.Kind, Reason: e.Reason, Code: e.Code, Field: e.Field, Public: e.Public, Cause: err.Error()}
	if l.remote != nil {
		web.Note(l.remote, err, e.Code)
		l.keepBack(f)
	}
	l.line(reply{Error: f})
}

// keepBack leaves out of a fault what nobody outside may read.
func (l *lines) keepBack(f *fault) {
	ours := f.Kind == idp.Internal || f.Kind == idp.Unavailable
	if ours || !l.known {
		f.Cause = ""
	}
	if ours && f.Public == "" {
		f.Reason, f.Public = string(f.Kind), "Something failed on the server. Its log says what, under the trace id "+web.Trace(l.remote.Context())+"."
	}
}

// Serve answers on l until ctx ends, and then lets what is under way finish.
func (s *Service) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ConnContext: ConnContext, ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stopped := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if server.Shutdown(late) != nil {
			server.Close()
		}
	})
	defer stopped()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the administration socket: %w", err)
	}
	return nil
}
