package portal

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// BenchmarkWaits opens so many event streams, each of a flow of its own, on the
// handlers as a server has them, and says what one costs in memory and how long
// it takes from a phone's answer to the page's hearing of it. Both ends are in
// this process; the browsers' are bare connections. Run it with -benchtime 1x.
func BenchmarkWaits(b *testing.B) {
	for _, n := range []int{1000, 9000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for range b.N {
				benchWaits(b, n)
			}
		})
	}
}

// rss is the resident memory of this process (proc(5), statm).
func rss(b *testing.B) float64 {
	b.Helper()
	runtime.GC()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}

func benchWaits(b *testing.B, n int) {
	// Both ends of a connection are files of this process.
	files := syscall.Rlimit{Cur: uint64(2*n + 1000), Max: uint64(2*n + 1000)}
	var have syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &have); err != nil {
		b.Fatal(err)
	}
	if have.Cur < files.Cur {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			b.Skipf("%d open files are allowed here, %d are needed: %v", have.Cur, files.Cur, err)
		}
	}
	w := newWorld(b)
	w.phones()
	mux := http.NewServeMux()
	w.portal.Mount(mux)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	server := httptest.NewServer(web.Chain(mux, web.Identify(nil), web.Log(log, web.NewMetrics(prometheus.NewRegistry())), web.Headers(false)))
	defer server.Close()
	const cookie = "abcdefghijklmnopqrstuw"
	flows := make([]signin.Flow, n)
	var group sync.WaitGroup
	for from := range 8 {
		group.Go(func() {
			for i := from; i < n; i += 8 {
				flows[i] = w.benchAsk(b, cookie)
			}
		})
	}
	group.Wait()

	before := rss(b)
	conns := make([]net.Conn, n)
	for i, f := range flows {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		fmt.Fprintf(c, "GET /%s/signin/wait?flow=%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nUser-Agent: %s\r\nCookie: signet-browser=%s\r\n\r\n",
			w.tenant.ID, f.Handle(), firefox, cookie)
	}
	for w.phone.waiting() < n {
		time.Sleep(10 * time.Millisecond)
	}
	after := rss(b)
	b.ReportMetric((after-before)/float64(n)/1024, "KiB/wait")
	b.ReportMetric((after-before)/(1<<20), "MiB/all")

	// Every browser reads what was sent so far, so that the next is the event.
	var tookAll []time.Duration
	for i := range min(n, 300) {
		c := conns[i*(n/min(n, 300))]
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			if strings.HasPrefix(line, "retry") {
				break
			}
		}
		start := time.Now()
		w.phone.sayTo(requestOf(b, flows[i*(n/min(n, 300))]), "", "phone_denied")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			if strings.HasPrefix(line, "event: ready") {
				break
			}
		}
		tookAll = append(tookAll, time.Since(start))
	}
	slices.Sort(tookAll)
	b.ReportMetric(float64(tookAll[len(tookAll)/2].Microseconds())/1000, "ms/wake-p50")
	b.ReportMetric(float64(tookAll[len(tookAll)*99/100].Microseconds())/1000, "ms/wake-p99")
}

// benchAsk is a flow that waits.
func (w *world) benchAsk(b *testing.B, cookie string) signin.Flow {
	peer := signin.Peer{IP: "192.0.2.7", Agent: firefox, Browser: cookie}
	handle, err := w.portal.cfg.Corridor.Start(b.Context(), signin.Flow{Tenant: w.tenant.ID, Door: Door, Browser: signin.BrowserDigest(cookie)})
	if err != nil {
		b.Error(err)
		return signin.Flow{}
	}
	f, err := w.portal.cfg.Corridor.Resume(b.Context(), w.tenant.ID, handle, peer)
	if err == nil {
		var step signin.Step
		step, err = w.portal.cfg.Corridor.Ask(b.Context(), f, "phone", "ada@nordhafen.example", method.Scene{}, peer)
		f = step.Flow
	}
	if err != nil {
		b.Error(err)
	}
	return f
}

// requestOf is the id of what a flow waits for.
func requestOf(b *testing.B, f signin.Flow) string {
	b.Helper()
	var shown shownNumber
	if err := json.Unmarshal(f.Waiting.Show, &shown); err != nil {
		b.Fatal(err)
	}
	return shown.Request
}

// sayTo is a phone's answer to one request.
func (p *phoneStub) sayTo(id string, user idp.UserID, word string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.asked {
		if a.id == id {
			p.answer(a, user, word)
		}
	}
}
