package portal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// greeting begins every stream, and comment keeps it open (HTML, 9.2.5).
var (
	greeting = fmt.Sprintf("retry: %d\n\n", retryMS)
	comment  = ":\n\n"
)

// writeWithin is how long a browser may take to accept a few bytes.
const writeWithin = 5 * time.Second

// news is the one event of a stream; nothing while there is none.
func news(s state) string {
	if s == waiting {
		return ""
	}
	return "event: " + string(s) + "\ndata:\n\n"
}

// events sends what the page waits for as server-sent events (HTML, 9.2).
//
// A stream lasts for minutes and says one word. A request that is being served
// costs three times what the connection alone does, so HTTP/1.1 connections are
// taken over: 10,000 of them have to fit (the budget is 200 MB). HTTP/2 has many
// streams in one connection, which cannot be taken.
func (s *sitting) events(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy that collects answers would keep it
	// While the request is here: what comes between the two is not missed.
	st, changed, stop, err := s.look(r.Context())
	if err != nil {
		s.p.waiters.leave(s.chair)
		return err
	}
	rc := http.NewResponseController(w)
	conn, _, err := rc.Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		defer s.p.waiters.leave(s.chair)
		stop()
		return s.stream(w, r, rc)
	}
	if err != nil {
		s.p.waiters.leave(s.chair)
		stop()
		return fmt.Errorf("take over a connection: %w", err)
	}
	var head strings.Builder
	head.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nDate: " + s.p.cfg.Now().UTC().Format(http.TimeFormat) + "\r\n")
	h.Write(&head) // cannot fail: it is a string
	head.WriteString("\r\n" + greeting + news(st))
	// The limits of a request are not those of a wait.
	if conn.SetDeadline(time.Time{}) != nil || tell(conn, head.String()) != nil || st != waiting {
		s.close(conn, stop)
		return nil
	}
	go s.hold(conn, changed, stop)
	return nil
}

// hold waits on a connection that was taken over. It keeps its stack small until
// there is something to say.
func (s *sitting) hold(conn net.Conn, changed <-chan struct{}, stop func()) {
	s.beat = func() error { return tell(conn, comment) }
	if s.pause(changed, nil, nil) {
		stop()
		stop = func() {}
		// An error of our own: the browser connects again, and hears of it.
		if st, err := s.until(context.Background(), nil, nil); err == nil && st != waiting {
			tell(conn, news(st)) // a browser that has gone away is nobody's error
		}
	}
	s.close(conn, stop)
}

func (s *sitting) close(conn net.Conn, stop func()) {
	stop()
	s.p.waiters.leave(s.chair)
	conn.Close()
}

// tell sends a few bytes. The kernel takes them at once, unless the browser has
// not read for long.
func tell(conn net.Conn, text string) error {
	slow := time.AfterFunc(writeWithin, func() { conn.Close() })
	defer slow.Stop()
	_, err := io.WriteString(conn, text)
	return err
}

// stream is events where the connection is not ours to take.
func (s *sitting) stream(w http.ResponseWriter, r *http.Request, rc *http.ResponseController) error {
	if err := errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{})); err != nil {
		return fmt.Errorf("let a request wait: %w", err)
	}
	send := func(text string) error {
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return rc.Flush()
	}
	s.beat = func() error { return send(comment) }
	if send(greeting) == nil {
		if st, err := s.until(r.Context(), r.Context().Done(), nil); err == nil {
			send(news(st))
		}
	}
	return nil // what is wrong the next connection hears: this one has begun to answer
}
