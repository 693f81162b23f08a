package phone

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// TestApproveRefuses: each of these alone is a reason, and the request is as it
// was, so that the right answer still counts.
func TestApproveRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name   string
			bend   func(u idp.User, a *answer, q asked)
			undo   func(u idp.User)
			kind   idp.Kind
			reason string
		}{
			{"a phone of somebody else", func(_ idp.User, a *answer, _ asked) { a.phone = w.enrol(t, w.Bob) }, nil, idp.NotFound, "request_unknown"},
			{"no such request", func(_ idp.User, a *answer, _ asked) { a.request = "AAAAAAAAAAAAAAAAAAAAAA" }, nil, idp.NotFound, "request_unknown"},
			{"a removed phone", func(u idp.User, a *answer, _ asked) {
				w.enrol(t, u) // so that the request stays
				gone := w.enrol(t, u)
				w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Remove(ctx, tx, u.Tenant, u.ID, gone.id) })
				a.phone = gone
			}, nil, idp.Unproven, "phone_unproven"},
			{"a waiting phone", func(u idp.User, a *answer, _ asked) {
				a.phone = w.enrol(t, u)
				w.exec(t, `update phone set state = 'waiting' where tenant_id = $1 and id = $2`, a.phone.tenant, a.phone.id)
			}, nil, idp.Unproven, "phone_unproven"},
			{"a passkey that is gone", func(_ idp.User, a *answer, _ asked) {
				a.assert = func(context.Context, *sqldb.Tx) error { return idp.Unprovenf("credential_gone", "gone") }
			}, nil, idp.Unproven, "credential_gone"},
			{"a message that was used", func(_ idp.User, a *answer, _ asked) {
				a.burn = func(context.Context, *sqldb.Tx) error { return idp.Expiredf("spent", "used") }
			}, nil, idp.Expired, "spent"},
			{"a person who is disabled", func(u idp.User, _ *answer, _ asked) { w.Enable(t, u, false) },
				func(u idp.User) { w.Enable(t, u, true) }, idp.Denied, "phone_refused"},
			{"the method off", func(idp.User, *answer, asked) { w.Switch(t, w.Tenant.ID, ID, false) },
				func(idp.User) { w.Switch(t, w.Tenant.ID, ID, true) }, idp.Denied, "phone_refused"},
			{"known browsers only, by now", func(idp.User, *answer, asked) {
				w.rules(t, func(r *policy.PhoneRules) { r.From = policy.FromKnown })
			}, func(idp.User) { w.rules(t, func(r *policy.PhoneRules) { r.From = policy.FromAnywhere }) }, idp.Denied, "phone_refused"},
			{"another network", func(idp.User, *answer, asked) {
				w.rules(t, func(r *policy.PhoneRules) { r.From = policy.FromNetwork })
			}, func(idp.User) { w.rules(t, func(r *policy.PhoneRules) { r.From = policy.FromAnywhere }) }, idp.Denied, "phone_refused"},
			{"closed meanwhile", func(u idp.User, _ *answer, _ asked) { w.block(t, u, everywhere) }, func(u idp.User) {
				w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Unblock(ctx, tx, u.Tenant, u.ID) })
			}, idp.Expired, "request_over"},
			{"closed for this address", func(u idp.User, _ *answer, _ asked) { w.block(t, u, "203.0.113.7") }, func(u idp.User) {
				w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Unblock(ctx, tx, u.Tenant, u.ID) })
			}, idp.Expired, "request_over"},
		} {
			u := w.person()
			p := w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			a := w.answer(p, q.Request)
			a.number = q.Number
			c.bend(u, &a, q)
			_, err := w.room.approve(t.Context(), a)
			wantReason(t, c.name, err, c.kind, c.reason)
			wantState(t, c.name, w.state(t, q), pending)
			if w.ready(t, q) {
				t.Errorf("%s: ready", c.name)
			}
			if c.undo != nil {
				c.undo(u)
			}
			if to, err := w.approve(t, p, q.Request, q.Number); err != nil || to != approved {
				t.Errorf("%s: the right answer afterwards: %s, %v", c.name, to, err)
			}
		}
	})
}

func (w *world) block(t testing.TB, u idp.User, address string) {
	t.Helper()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return insertBlock(ctx, tx, request{tenant: u.Tenant, subject: u.ID}, address, w.Now(), w.Now().Add(blockLives))
	})
}

// TestApproveOver: what is over is over, and says so.
func TestApproveOver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name string
			end  func(u idp.User, p phoneRow, q asked)
			want state
		}{
			{"late", func(idp.User, phoneRow, asked) { w.Advance(lives) }, pending},
			{"approved", func(_ idp.User, p phoneRow, q asked) { w.approve(t, p, q.Request, q.Number) }, approved},
			{"wrong number", func(_ idp.User, p phoneRow, q asked) { w.approve(t, p, q.Request, other(q.Number)) }, wrongNumber},
			{"denied", func(_ idp.User, p phoneRow, q asked) { w.deny(t, p, q.Request, false) }, denied},
			{"reported", func(_ idp.User, p phoneRow, q asked) { w.deny(t, p, q.Request, true) }, reported},
			{"displaced", func(u idp.User, _ phoneRow, _ asked) { w.ask(t, u.Name, from("other", u)) }, cancelled},
			{"withdrawn", func(_ idp.User, _ phoneRow, q asked) { w.Write(t, w.room.Withdraw(q.at(w.Now()))) }, cancelled},
			{"used", func(_ idp.User, p phoneRow, q asked) {
				w.approve(t, p, q.Request, q.Number)
				if _, err := w.redeem(t, q); err != nil {
					t.Error(err)
				}
			}, consumed},
		} {
			u := w.person()
			p := w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			c.end(u, p, q)
			wantState(t, c.name, w.state(t, q), c.want)
			_, err := w.approve(t, p, q.Request, q.Number)
			wantReason(t, c.name+": approve", err, idp.Expired, "request_over")
			_, err = w.deny(t, p, q.Request, false)
			wantReason(t, c.name+": deny", err, idp.Expired, "request_over")
			wantState(t, c.name+", afterwards", w.state(t, q), c.want)
		}
	})
}

// TestBurnStays: a message is spent whatever becomes of what it says.
func TestBurnStays(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	burnt := 0
	a := w.answer(p, "AAAAAAAAAAAAAAAAAAAAAA")
	a.burn = func(_ context.Context, tx *sqldb.Tx) error { tx.OnCommit(func() { burnt++ }); return nil }
	if _, err := w.room.approve(t.Context(), a); reason(err) != "request_unknown" || burnt != 1 {
		t.Errorf("approve of nothing: %v, burnt %d", err, burnt)
	}
	if _, err := w.room.deny(t.Context(), a, false); reason(err) != "request_unknown" || burnt != 2 {
		t.Errorf("deny of nothing: %v, burnt %d", err, burnt)
	}
	q := w.ask(t, w.Ada.Name, from("desk"))
	a.request, a.number = q.Request, q.Number
	a.assert = func(context.Context, *sqldb.Tx) error { return idp.Unprovenf("counter_rollback", "x") }
	if _, err := w.room.approve(t.Context(), a); reason(err) != "counter_rollback" || burnt != 3 {
		t.Errorf("a settle that refuses: %v, burnt %d", err, burnt)
	}
	trouble := errors.New("trouble")
	a.assert = func(context.Context, *sqldb.Tx) error { return trouble }
	if _, err := w.room.approve(t.Context(), a); !errors.Is(err, trouble) || burnt != 3 {
		t.Errorf("trouble of our own: %v, burnt %d", err, burnt)
	}
}

// TestNetwork is the rule by which an unknown browser must be where the phone is.
func TestNetwork(t *testing.T) {
	w := sqliteWorld(t)
	w.rules(t, func(r *policy.PhoneRules) { r.From = policy.FromNetwork })
	p := w.enrol(t, w.Ada)
	q := w.ask(t, w.Ada.Name, from("desk"))
	wantState(t, "asked from another network", w.state(t, q), pending)
	a := w.answer(p, q.Request)
	// What the rule refuses learns nothing of the number.
	a.number = other(q.Number)
	_, err := w.room.approve(t.Context(), a)
	wantReason(t, "elsewhere", err, idp.Denied, "phone_refused")
	a.address, a.number = "203.0.113.7", q.Number
	if to, err := w.room.approve(t.Context(), a); err != nil || to != approved {
		t.Errorf("on the same network: %s, %v", to, err)
	}
	// A known browser may be anywhere.
	q = w.ask(t, w.Ada.Name, from("desk", w.Ada))
	if to, err := w.approve(t, p, q.Request, q.Number); err != nil || to != approved {
		t.Errorf("known: %s, %v", to, err)
	}
}

// TestKnownOnly: where only known browsers may ask, others wait for nobody.
func TestKnownOnly(t *testing.T) {
	w := sqliteWorld(t)
	w.enrol(t, w.Ada)
	w.rules(t, func(r *policy.PhoneRules) { r.From = policy.FromKnown })
	wantState(t, "unknown", w.state(t, w.ask(t, w.Ada.Name, from("desk"))), silent)
	wantState(t, "known to somebody else", w.state(t, w.ask(t, w.Ada.Name, from("desk", w.Bob))), silent)
	wantState(t, "known", w.state(t, w.ask(t, w.Ada.Name, from("desk", w.Ada))), pending)
}

// TestVerify: what a browser is told in the end, and when.
func TestVerify(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name   string
			end    func(u idp.User, p phoneRow, q asked)
			ready  bool
			reason string
		}{
			{"nobody answered yet", func(idp.User, phoneRow, asked) {}, false, "phone_waiting"},
			{"displaced", func(u idp.User, _ phoneRow, _ asked) { w.ask(t, u.Name, from("other", u)) }, false, "phone_waiting"},
			{"late", func(idp.User, phoneRow, asked) { w.Advance(lives) }, true, "phone_late"},
			{"denied", func(_ idp.User, p phoneRow, q asked) { w.deny(t, p, q.Request, false) }, true, "phone_denied"},
			{"reported", func(_ idp.User, p phoneRow, q asked) { w.deny(t, p, q.Request, true) }, true, "phone_reported"},
			{"wrong number", func(_ idp.User, p phoneRow, q asked) { w.approve(t, p, q.Request, other(q.Number)) }, true, "phone_wrong_number"},
			{"approved, and the phone removed", func(u idp.User, p phoneRow, q asked) {
				w.approve(t, p, q.Request, q.Number)
				w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.room.Remove(ctx, tx, u.Tenant, u.ID, p.id) })
			}, true, "credential_gone"},
			{"approved, and its passkey removed", func(_ idp.User, p phoneRow, q asked) {
				w.approve(t, p, q.Request, q.Number)
				w.keys.gone[p.passkey] = true
			}, true, "credential_gone"},
			{"approved, and long ago", func(_ idp.User, p phoneRow, q asked) {
				w.approve(t, p, q.Request, q.Number)
				w.Advance(lives + grace + time.Millisecond)
			}, true, "phone_late"},
			{"of somebody else", func(_ idp.User, p phoneRow, q asked) {
				w.approve(t, p, q.Request, q.Number)
				w.exec(t, `update phone_request set subject = $3 where tenant_id = $1 and id = $2`, p.tenant, q.Request, w.Bob.ID)
			}, true, "other_user"},
			{"swept", func(_ idp.User, p phoneRow, q asked) {
				w.exec(t, `delete from phone_request where tenant_id = $1 and id = $2`, p.tenant, q.Request)
			}, true, "phone_late"},
		} {
			u := w.person()
			p := w.enrol(t, u)
			q := w.ask(t, u.Name, from("desk"))
			c.end(u, p, q)
			if got := w.ready(t, q); got != c.ready {
				t.Errorf("%s: ready %t, want %t", c.name, got, c.ready)
			}
			v, err := w.verify(t, q)
			wantReason(t, c.name, err, idp.Unproven, c.reason)
			if v.Settle != nil || v.Genuine {
				t.Errorf("%s: verdict %+v", c.name, v)
			}
		}
		_, err := w.verify(t, asked{})
		wantReason(t, "no ceremony", err, idp.Unproven, "ceremony_malformed")
		a := asked{}
		a.Tenant, a.Keep = w.Tenant.ID, waitKeep{ID: "x"}.bytes()
		_, err = w.verify(t, a)
		wantReason(t, "half a ceremony", err, idp.Unproven, "ceremony_malformed")
	})
}

// TestLastMoment: an approval of the last moment still comes to its browser.
func TestLastMoment(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	q := w.ask(t, w.Ada.Name, from("desk"))
	w.Advance(lives - time.Millisecond)
	at := w.Now()
	if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
		t.Fatal(err)
	}
	w.Advance(grace)
	proof, err := w.redeem(t, q)
	if err != nil || !proof.Time.Equal(at) {
		t.Errorf("proof of %s, %v, want one of %s", proof.Time, err, at)
	}
}

// TestProvenPerson: in a flow that knows its person the request is theirs.
func TestProvenPerson(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	q := w.ask(t, w.Ada.Name, from("desk"))
	if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
		t.Fatal(err)
	}
	q.User = w.Bob
	_, err := w.verify(t, q)
	wantReason(t, "Ada's approval in Bob's flow", err, idp.Unproven, "other_user")
	q.User = w.Ada
	if _, err := w.verify(t, q); err != nil {
		t.Error(err)
	}
}

// TestSpendGone: the phone goes between the verdict and the transaction.
func TestSpendGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		q := w.ask(t, w.Ada.Name, from("desk"))
		if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
			t.Fatal(err)
		}
		v, err := w.verify(t, q)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, p.id)
		})
		wantReason(t, "settle", w.DB.Write(t.Context(), v.Settle), idp.Unproven, "credential_gone")
		wantState(t, "afterwards", w.state(t, q), approved)
		p = w.enrol(t, w.Bob)
		q = w.ask(t, w.Bob.Name, from("desk"))
		if _, err := w.approve(t, p, q.Request, q.Number); err != nil {
			t.Fatal(err)
		}
		if v, err = w.verify(t, q); err != nil {
			t.Fatal(err)
		}
		w.keys.gone[p.passkey] = true
		wantReason(t, "settle without the passkey", w.DB.Write(t.Context(), v.Settle), idp.Unproven, "credential_gone")
		wantState(t, "afterwards", w.state(t, q), approved)
	})
}

// TestHistory: what is over, newest first, and nothing that nobody was told of.
func TestHistory(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		var want []string
		end := func(result string, do func(q asked)) {
			t.Helper()
			w.Advance(3 * minute)
			do(w.ask(t, w.Ada.Name, from("desk", w.Ada)))
			if result != "" {
				want = append([]string{result}, want...)
			}
		}
		end("approved", func(q asked) { w.approve(t, p, q.Request, q.Number); w.redeem(t, q) })
		end("approved", func(q asked) { w.approve(t, p, q.Request, q.Number) })
		end("wrong_number", func(q asked) { w.approve(t, p, q.Request, other(q.Number)) })
		end("denied", func(q asked) { w.deny(t, p, q.Request, false) })
		end("expired", func(asked) { w.Advance(lives) })
		end("cancelled", func(q asked) { w.Write(t, w.room.Withdraw(q.at(w.Now()))) })
		end("expired", func(asked) { w.Advance(lives) }) // and nobody asks again
		w.block(t, w.Ada, everywhere)
		end("", func(q asked) { wantState(t, "closed", w.state(t, q), silent) })
		got, err := w.room.past(t.Context(), p, w.Now())
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d entries, %v, want %d", len(got), err, len(want))
		}
		for n, q := range got {
			if q.result() != want[n] {
				t.Errorf("entry %d: %s, want %s", n, q.result(), want[n])
			}
		}
		w.Advance(historyKept)
		if got, err := w.room.past(t.Context(), p, w.Now()); err != nil || len(got) != 0 {
			t.Errorf("after 30 days: %+v, %v", got, err)
		}
	})
}

// TestEvents: each answer is one record, of who gave it and where from.
func TestEvents(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		answers := []func(q asked){
			func(q asked) { w.approve(t, p, q.Request, q.Number) },
			func(q asked) { w.approve(t, p, q.Request, other(q.Number)) },
			func(q asked) { w.deny(t, p, q.Request, false) },
			func(q asked) { w.deny(t, p, q.Request, true) },
		}
		for n, do := range answers {
			q := w.ask(t, w.Ada.Name, from("desk", w.Ada))
			do(q)
			do(q) // which changes nothing
			list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Limit: 10})
			if err != nil || len(list) != n+1 {
				t.Fatalf("%d events after %d answers, %v", len(list), n+1, err)
			}
			e, want := list[0], "phone."+string(w.state(t, q))
			if e.Activity != want || e.Category != audit.SignIn || e.Outcome != audit.Interrupted || e.User != w.Ada.ID || e.Actor != string(w.Ada.ID) ||
				e.Method != ID || e.Credential != p.id || e.IP != "198.51.100.9" || e.Detail["request"] != q.Request || e.Detail["asked"] != "203.0.113.7" {
				t.Errorf("event %+v, want %s", e, want)
			}
			w.Advance(time.Second)
		}
	})
}

// TestUnanswered: a request that nobody answers is one record, whoever looks
// and however it went out of the way; one that was answered, taken back or told
// to nobody is none.
func TestUnanswered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		records := func() (n int) {
			t.Helper()
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if err := w.room.Unanswered(t.Context(), w.Now()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Limit: 50})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				if e.Activity != "phone.expired" {
					continue
				}
				n++
				if e.User != w.Ada.ID || e.Actor != "" || e.Method != ID || e.Credential != "" || e.Detail["asked"] != "203.0.113.7" || e.Outcome != audit.Interrupted {
					t.Errorf("event %+v", e)
				}
			}
			return n
		}
		q := w.ask(t, w.Ada.Name, from("desk", w.Ada))
		w.ask(t, "nobody@nordhafen.example", from("desk"))
		if n := records(); n != 0 {
			t.Fatalf("%d records while it waits", n)
		}
		w.Advance(lives)
		if n := records(); n != 1 || w.state(t, q) != expired {
			t.Fatalf("%d records of one that ran out, which is %s", n, w.state(t, q))
		}
		w.ask(t, w.Ada.Name, from("desk", w.Ada))
		w.Advance(lives)
		w.ask(t, w.Ada.Name, from("desk", w.Ada)) // takes the place of the late one
		if n := records(); n != 2 {
			t.Errorf("%d records after one more that another displaced", n)
		}
		w.Advance(askWithin)
		if n := records(); n != 3 {
			t.Errorf("%d records after the third", n)
		}
		q = w.ask(t, w.Ada.Name, from("desk", w.Ada))
		w.deny(t, p, q.Request, false)
		w.Advance(lives)
		if n := records(); n != 3 {
			t.Errorf("%d records after one that was answered", n)
		}
	})
}
