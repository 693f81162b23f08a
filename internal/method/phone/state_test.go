package phone

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/idp"
)

// model is what the rules say of a request, told without a database.
type model struct {
	asked
	browser int
	known   bool
	state   state
	created time.Time
	phone   int
}

// machine is one person, three browsers, two phones, and time.
type machine struct {
	w      *world
	user   idp.User
	phones []phoneRow
	all    []*model
	closed time.Time // until when asking is
}

// TestStates drives requests at random, and holds what becomes of them against
// the rules: at most one waits, what is over never changes but to reported or
// used, and nothing opens that was not approved with its number.
func TestStates(t *testing.T) {
	w := sqliteWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{w: w, user: w.person()}
		m.phones = []phoneRow{w.enrol(t, m.user), w.enrol(t, m.user)}
		rt.Repeat(map[string]func(*rapid.T){
			"ask":      func(rt *rapid.T) { m.ask(rt, t) },
			"approve":  func(rt *rapid.T) { m.approve(rt, t) },
			"deny":     func(rt *rapid.T) { m.deny(rt, t) },
			"withdraw": func(rt *rapid.T) { m.withdraw(rt, t) },
			"redeem":   func(rt *rapid.T) { m.redeem(rt, t) },
			"wait": func(rt *rapid.T) {
				w.Advance(rapid.SampledFrom([]time.Duration{time.Second, 40 * time.Second, lives, askWithin, blockLives}).Draw(rt, "for"))
			},
			"": func(rt *rapid.T) { m.check(rt, t) },
		})
	})
}

func (m *machine) late(q *model) bool { return !q.created.Add(lives).After(m.w.Now()) }

func (m *machine) some(rt *rapid.T) *model {
	if len(m.all) == 0 {
		rt.Skip("nothing was asked")
	}
	return rapid.SampledFrom(m.all).Draw(rt, "request")
}

func (m *machine) ask(rt *rapid.T, t *testing.T) {
	browser := rapid.IntRange(0, 2).Draw(rt, "browser")
	scene := from(fmt.Sprint(browser))
	known := rapid.Bool().Draw(rt, "known")
	if known {
		scene.Knows = []idp.UserID{m.user.ID}
	}
	now := m.w.Now()
	q := &model{asked: m.w.ask(t, m.user.Name, scene), browser: browser, known: known, state: pending, created: now}
	lately, unapproved := 0, 0
	for _, o := range m.all {
		if o.state == pending {
			switch {
			case m.late(o):
				o.state = expired
			case o.browser == browser || known && !o.known:
				o.state = cancelled
			default:
				q.state = silent
			}
		}
		if o.state == silent || o.known {
			continue
		}
		if o.created.After(now.Add(-askWithin)) {
			lately++
		}
		if o.created.After(now.Add(-backOffWithin)) && o.state != approved && o.state != consumed {
			unapproved++
		}
	}
	if m.closed.After(now) || !known && (lately >= askMost || unapproved >= backOffAt) {
		q.state = silent
	}
	m.all = append(m.all, q)
}

// told holds an answer against what it should be.
func (m *machine) told(rt *rapid.T, q *model, err error, open bool) {
	want := ""
	switch {
	case q.state == silent:
		want = "request_unknown"
	case !open:
		want = "request_over"
	}
	if reason(err) != want {
		rt.Fatalf("request that is %s (late %t): %v, want %q", q.state, m.late(q), err, want)
	}
}

func (m *machine) approve(rt *rapid.T, t *testing.T) {
	q, phone, typed, to := m.some(rt), rapid.IntRange(0, 1).Draw(rt, "phone"), "", approved
	if typed = q.Number; rapid.Bool().Draw(rt, "wrong") {
		typed, to = other(q.Number), wrongNumber
	}
	open := q.state == pending && !m.late(q) && !m.closed.After(m.w.Now())
	_, err := m.w.approve(t, m.phones[phone], q.Request, typed)
	m.told(rt, q, err, open)
	if open {
		q.state, q.phone = to, phone
	}
}

func (m *machine) deny(rt *rapid.T, t *testing.T) {
	q, report := m.some(rt), rapid.IntRange(0, 3).Draw(rt, "report") == 0
	open := q.state == pending && !m.late(q)
	if report {
		open = q.state == pending || q.state == expired || q.state == denied || q.state == wrongNumber
	}
	_, err := m.w.deny(t, m.phones[0], q.Request, report)
	m.told(rt, q, err, open)
	if !open {
		return
	}
	if q.state = denied; report {
		q.state = reported
		m.closed = m.w.Now().Add(blockLives)
	}
}

func (m *machine) withdraw(rt *rapid.T, t *testing.T) {
	q := m.some(rt)
	m.w.Write(t, m.w.room.Withdraw(q.at(m.w.Now())))
	if q.state == pending && !m.late(q) {
		q.state = cancelled
	}
}

func (m *machine) redeem(rt *rapid.T, t *testing.T) {
	q := m.some(rt)
	opens := q.state == approved && !q.created.Add(lives+grace).Before(m.w.Now())
	proof, err := m.w.redeem(t, q.asked)
	// The very end of the grace is for the one or the other.
	edge := q.created.Add(lives + grace).Equal(m.w.Now())
	if !edge && (err == nil) != opens {
		rt.Fatalf("a request that is %s: %v", q.state, err)
	}
	if err == nil {
		if proof.Credential != m.phones[q.phone].id || proof.User != m.user.ID {
			rt.Fatalf("proof of %s by %s", proof.User, proof.Credential)
		}
		q.state = consumed
	} else if idp.AsError(err).Kind != idp.Unproven {
		rt.Fatal(err)
	}
}

func (m *machine) check(rt *rapid.T, t *testing.T) {
	now := m.w.Now()
	rows, err := scanRequests(m.w.DB.Query(t.Context(), `select `+requestColumns+` from phone_request where tenant_id = $1 and subject = $2`, m.user.Tenant, m.user.ID))
	if err != nil || len(rows) != len(m.all) {
		rt.Fatalf("%d requests, %v, want %d", len(rows), err, len(m.all))
	}
	stored := make(map[string]request, len(rows))
	for _, q := range rows {
		stored[q.id] = q
	}
	open := 0
	for n, q := range m.all {
		got := stored[q.Request]
		if got.state != q.state {
			rt.Fatalf("request %d is %s, want %s", n, got.state, q.state)
		}
		if q.state == pending && !m.late(q) {
			open++
		}
		ready := m.late(q)
		switch q.state {
		case approved, denied, reported, wrongNumber, consumed:
			ready = true
		}
		if got.over(now) != ready {
			rt.Fatalf("request %d, which is %s: ready %t", n, q.state, !ready)
		}
	}
	some, err := m.w.room.waitingFor(t.Context(), m.phones[0], now)
	if err != nil || len(some) != open || open > 1 {
		rt.Fatalf("%d wait, %v, want %d", len(some), err, open)
	}
}
