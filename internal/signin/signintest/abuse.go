package signintest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

// flips is how many places of an answer are spoilt.
const flips = 24

// flip spoils one bit, spread over the answer.
func flip(answer []byte, n int) []byte {
	out := bytes.Clone(answer)
	if len(out) > 0 {
		out[n*len(out)/flips%len(out)] ^= 1
	}
	return out
}

func flipped(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	spoil := b.Flip
	if spoil == nil {
		spoil = flip
	}
	for n := range flips {
		c := b.begin(t)
		var bad []byte
		if held.Spoil != nil {
			bad = held.Spoil(t, c.Show, n)
		} else {
			bad = spoil(held.Answer(t, c.Show), n)
		}
		if _, err := b.answer(t, c, bad); !errors.Is(err, idp.Unproven) {
			t.Errorf("flip %d, %q: %v, want unproven", n, bad, err)
		}
	}
	b.wantNobody(t)
}

// nasty are payloads that no method can take for an answer.
func nasty() [][]byte {
	return [][]byte{
		nil, {}, []byte(" "), {0}, []byte("{}"), []byte("null"), []byte("[]"), []byte("0"), []byte(`""`), []byte(`{"`),
		[]byte("\xff\xfe\xfd"), bytes.Repeat([]byte("["), 10_000), bytes.Repeat([]byte(`{"a":`), 5_000),
		bytes.Repeat([]byte{'A'}, 64<<10), bytes.Repeat([]byte{'A'}, 64<<10+1),
		[]byte(`{"id":"` + strings.Repeat("A", 4096) + `"}`), []byte("\x30\x84\xff\xff\xff\xff"), []byte("\xbf\x5f\x9f"),
	}
}

func garbage(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	for _, payload := range nasty() {
		c := b.begin(t)
		step, err := b.answer(t, c, payload)
		b.wantRefused(t, fmt.Sprintf("%.40q (%d bytes)", payload, len(payload)), step, err)
	}
	b.wantNobody(t)
}

func ceremonyGarbage(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	last := []byte(c.Ceremony)
	last[len(last)/2] ^= 1
	for _, value := range []string{"", "x", c.Ceremony[:40], c.Ceremony + "AAAA", string(last), c.flow.Handle(), strings.Repeat("A", 100_000)} {
		_, err := b.answer(t, begun{signin.Begun{Ceremony: value}, c.flow}, payload)
		wantKind(t, "ceremony "+value[:min(len(value), 20)], err, idp.Expired)
	}
	_, err := b.Corridor.Resume(t.Context(), b.Tenant.ID, c.Ceremony, b.peer)
	wantKind(t, "a ceremony as a flow", err, idp.Expired)
	b.wantNobody(t)
	if _, err := b.answer(t, c, payload); err != nil {
		t.Errorf("the right one afterwards: %v", err)
	}
}

// racers is how many do the same at once.
const racers = 120

// race runs do at once in all racers and returns the errors.
func race(do func(n int) error) []error {
	var wg sync.WaitGroup
	errs := make([]error, racers)
	start := make(chan struct{})
	for n := range racers {
		wg.Go(func() {
			<-start
			errs[n] = do(n)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// oneAnswered checks that all but one were told Expired, whatever they had.
func oneAnswered(t *testing.T, errs []error) (answered error) {
	t.Helper()
	var other []error
	for _, err := range errs {
		if !errors.Is(err, idp.Expired) {
			other, answered = append(other, err), err
		}
	}
	if len(other) != 1 {
		t.Errorf("%d of %d were answered, want 1: %v", len(other), len(errs), other)
	}
	return answered
}

func parallel(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) {
		return
	}
	c := b.begin(t)
	payload := held.Answer(t, c.Show)
	won := oneAnswered(t, race(func(int) error {
		_, err := b.answer(t, c, payload)
		return err
	}))
	if won != nil {
		t.Errorf("the one that was answered: %v, want success", won)
	}
	if n := b.Count(t, "session", b.Tenant.ID); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

func parallelMixed(t *testing.T, b *bench) {
	held := b.Enrol(t, b.Ada)
	if !b.pages(t, held) || held.Wrong == nil {
		return
	}
	c := b.begin(t)
	right, wrong := held.Answer(t, c.Show), held.Wrong(t, c.Show)
	won := oneAnswered(t, race(func(n int) error {
		payload := right
		if n%2 == 0 {
			payload = wrong
		}
		_, err := b.answer(t, c, payload)
		return err
	}))
	want := 1
	if won != nil {
		want = 0
		wantKind(t, "a wrong answer that was first", won, idp.Unproven)
	}
	if n := b.Count(t, "session", b.Tenant.ID); n != want {
		t.Errorf("%d sessions, want %d", n, want)
	}
}
