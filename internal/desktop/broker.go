package desktop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/unixpeer"
)

// Device is what the broker asks of the agent.
type Device interface {
	Status(context.Context) (agent.Status, error)
	Renew(ctx context.Context, user string) (agent.PRTResult, error)
	Token(context.Context, agent.TokenOptions) (agent.TokenResult, error)
	BrowserHeader(ctx context.Context, user, address string) (agent.HeaderResult, error)
}

var _ Device = (*agent.Agent)(nil)

// Broker serves the programs of this machine.
type Broker struct {
	Device Device
	// Who says which person the account at the other end is, by user principal
	// name; empty for whoever is alone on this device. An error refuses.
	Who func(uid uint32) (string, error)
	Log *slog.Logger
	// Jitter spreads renewals, so that not all machines of an office ask at
	// the same second; nil: up to ten minutes.
	Jitter func() time.Duration
}

// Timing of renewals. A PRT is due when it is four hours old and good for
// fourteen days, so a night without a network costs nothing.
const (
	lookEvery = 5 * time.Minute
	jitter    = 10 * time.Minute
	waitLeast = time.Minute
	waitMost  = time.Hour
)

// How many programs are served at a time, and how many of one account: one
// must not keep the others waiting.
const (
	mostConns    = 64
	mostConnsOne = 16
)

// acceptPause is waited when the machine has no file left for a connection.
const acceptPause = 100 * time.Millisecond

// workTime is how long one thing may take that the device is asked for. The
// state is locked meanwhile, and somebody at the login waits for it: a network
// that swallows everything must not keep them out of their machine.
const workTime = 20 * time.Second

// Run serves l and renews until ctx ends. It closes l.
func (b *Broker) Run(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { b.keepFresh(ctx) })
	var here guests
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			b.Log.Warn("take a connection", "cause", err)
			sleep(ctx, acceptPause)
			continue
		case err != nil:
			cancel()
			return err
		}
		uid, err := unixpeer.UID(c)
		if err != nil || !here.enter(uid) {
			b.Log.Warn("turned away", "uid", uid, "cause", err)
			c.Close()
			continue
		}
		all.Go(func() {
			defer here.leave(uid)
			b.serve(ctx, c, uid)
		})
	}
}

// guests counts who is served.
type guests struct {
	mu  sync.Mutex
	all int
	of  map[uint32]int
}

func (g *guests) enter(uid uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= mostConns || g.of[uid] >= mostConnsOne {
		return false
	}
	if g.of == nil {
		g.of = make(map[uint32]int)
	}
	g.all++
	g.of[uid]++
	return true
}

func (g *guests) leave(uid uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.of[uid]--; g.of[uid] == 0 {
		delete(g.of, uid)
	}
}

// serve answers one connection of an account, line by line.
func (b *Broker) serve(ctx context.Context, c net.Conn, uid uint32) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	in, out := bufio.NewReaderSize(c, 4096), json.NewEncoder(c)
	// Whoever says nothing for so long is gone.
	idle := time.AfterFunc(askTime, func() { c.Close() })
	defer idle.Stop()
	for {
		idle.Reset(askTime)
		line, err := readLine(in)
		if errors.Is(err, errTooLong) {
			out.Encode(failed(idp.Invalidf("too_long", "%w", err).Say("the request is too long")))
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				b.Log.Debug("read a request", "uid", uid, "cause", err)
			}
			return
		}
		answer, err := b.answer(ctx, uid, line)
		if err != nil {
			b.Log.Info("refused", "uid", uid, "reason", idp.AsError(err).Reason, "cause", err)
			answer = failed(err)
		}
		if err := out.Encode(answer); err != nil {
			return
		}
	}
}

// answer does what one line asks, as the person that the account is.
func (b *Broker) answer(ctx context.Context, uid uint32, line []byte) (Response, error) {
	var r Request
	if err := json.Unmarshal(line, &r); err != nil {
		return Response{}, idp.Invalidf("malformed", "%w", err).Say("the request is no JSON")
	}
	user, err := b.Who(uid)
	if err != nil {
		return Response{}, err
	}
	ctx, stop := context.WithTimeout(ctx, workTime)
	defer stop()
	switch r.Do {
	case "token":
		got, err := b.Device.Token(ctx, agent.TokenOptions{User: user, Resource: r.Resource, Scope: r.Scope, Client: r.Client})
		return Response{Token: &got}, err
	case "header":
		got, err := b.Device.BrowserHeader(ctx, user, r.URL)
		return Response{Header: &got}, err
	case "status":
		got, err := b.standing(ctx, user)
		return Response{Status: &got}, err
	}
	return Response{}, idp.Invalidf("unknown_request", "do %.40q", r.Do).Say("the broker knows token, header and status")
}

func (b *Broker) standing(ctx context.Context, user string) (Standing, error) {
	st, err := b.Device.Status(ctx)
	if err != nil {
		return Standing{}, err
	}
	out := Standing{User: user, Server: st.Server}
	for _, p := range st.People {
		if strings.EqualFold(p.User, user) || user == "" && len(st.People) == 1 {
			out.User, out.SignedIn, out.Expires = p.User, p.PRT, p.Expires
		}
	}
	return out, nil
}

// keepFresh renews what is due. A server that is away is asked again later and
// later. One that refuses is asked again at the next look: a device may be
// switched on again, and a PRT that is over the agent has forgotten.
func (b *Broker) keepFresh(ctx context.Context) {
	spread := b.Jitter
	if spread == nil {
		spread = func() time.Duration { return rand.N(jitter) }
	}
	wait := waitLeast
	for ctx.Err() == nil {
		pause := lookEvery
		away, err := b.renewDue(ctx, spread)
		switch {
		case err != nil:
			b.Log.Warn("look for what is due", "cause", err)
		case away:
			pause = wait
			wait = min(2*wait, waitMost)
		default:
			wait = waitLeast
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

func (b *Broker) renew(ctx context.Context, user string) (agent.PRTResult, error) {
	ctx, stop := context.WithTimeout(ctx, workTime)
	defer stop()
	return b.Device.Renew(ctx, user)
}

func (b *Broker) renewDue(ctx context.Context, spread func() time.Duration) (away bool, err error) {
	st, err := b.Device.Status(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range st.People {
		if !p.PRT || !p.Due {
			continue
		}
		if !sleep(ctx, spread()) {
			return false, nil
		}
		got, err := b.renew(ctx, p.User)
		switch {
		case err == nil:
			b.Log.Info("renewed", "user", p.User, "expires", got.Expires)
		case errors.Is(err, idp.Unavailable), errors.Is(err, idp.Limited):
			b.Log.Info("the server is away", "user", p.User, "cause", err)
			away = true
		default:
			b.Log.Warn("not renewed", "user", p.User, "reason", idp.AsError(err).Reason, "code", idp.AsError(err).Code)
		}
	}
	return away, nil
}

// sleep waits, and says whether the time came before the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
