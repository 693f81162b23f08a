package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/test/person"
)

// crowd is people enough for the largest number of callers.
type crowd struct {
	site   *site
	people []*person.Person
	tokens []person.Tokens
}

func newCrowd(ctx context.Context, s *site, size int) (*crowd, error) {
	c := &crowd{site: s}
	for n := range size {
		p, tokens, err := s.newcomer(ctx, fmt.Sprint("caller", n))
		if err != nil {
			return nil, err
		}
		c.people, c.tokens = append(c.people, p), append(c.tokens, tokens)
	}
	return c, nil
}

// operation is one row of the table.
type operation struct {
	name    string
	ceiling func(floor) (us float64, parts string)
	goal    float64                     // the share of the ceiling that must be reached; 0: none
	setup   func(context.Context) error // before the first run; may be nil
	caller  func(n int) op
	stock   *stock // instead of caller, where requests are prepared
}

// callers are so many, each with its own state.
func (o operation) callers(count int) []op {
	caller := o.caller
	if o.stock != nil {
		caller = o.stock.caller
	}
	ops := make([]op, count)
	for i := range ops {
		ops[i] = caller(i)
	}
	return ops
}

// prepare makes what a run of so many callers will send.
func (o operation) prepare(ctx context.Context, callers int, rate float64, length time.Duration) error {
	if o.stock == nil {
		return nil
	}
	return o.stock.prepare(ctx, callers, rate, length)
}

// micro sums parts: microseconds and their names in turn.
func micro(parts ...any) (float64, string) {
	total, words := 0.0, []string{}
	for n := 0; n < len(parts); n += 2 {
		v := parts[n].(float64)
		total += v
		words = append(words, fmt.Sprintf("%s %.1f", parts[n+1], v))
	}
	return total, strings.Join(words, " + ")
}

func (c *crowd) operations() []operation {
	app := c.site.app
	return append([]operation{
		{name: "nonce", goal: 0.70,
			ceiling: func(f floor) (float64, string) { return micro(us(f.PostForm), "form", 0.15, "seal") },
			caller: func(n int) op {
				return func(ctx context.Context) error {
					got, err := app.Ask(ctx, c.people[n].HTTP, "token", url.Values{"grant_type": {"srv_challenge"}})
					return wanted(got.Nonce, got, err)
				}
			}},
		{name: "passkey sign-in", goal: 0.45,
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostJSON), "begin", us(f.PostForm), "answer", us(f.Verify), "assertion", us(f.PostForm), "token request",
					2*us(f.Sign), "two tokens", 2*us(f.Row), "two commits", 8.0, "state, cookies")
			},
			caller: func(n int) op { return c.signIn(n, false) }},
		{name: "refresh, access and ID token", goal: 0.40,
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 1.0, "client", us(f.Row), "commit", 2*us(f.Sign), "two tokens")
			},
			caller: func(n int) op { return c.refresh(n, "") }},
		{name: "refresh, access token only", goal: 0.40,
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 1.0, "client", us(f.Row), "commit", us(f.Sign), "token")
			},
			caller: func(n int) op { return c.refresh(n, "profile") }},
		{name: "client credentials", goal: 0.45,
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 1.0, "client", us(f.Sign), "token")
			},
			caller: func(n int) op {
				return func(ctx context.Context) error {
					got, err := app.Ask(ctx, c.people[n].HTTP, "token", url.Values{"grant_type": {"client_credentials"}})
					return wanted(got.Access, got, err)
				}
			}},
		{name: "whole code flow",
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.Get), "authorize", us(f.PostJSON), "begin", us(f.PostForm), "answer", us(f.Verify), "assertion",
					us(f.PostForm), "token request", 2*us(f.Sign), "two tokens", 2*us(f.Row), "two commits", 8.0, "state, cookies")
			},
			caller: func(n int) op { return c.signIn(n, true) }},
	}, slices.Concat(c.phoneOperations(), c.deviceOperations(), c.badgeOperations(), c.macOperations())...)
}

func wanted(value string, got person.Tokens, err error) error {
	if err == nil && value == "" {
		err = fmt.Errorf("answered %d %s", got.Status, got.Error)
	}
	return err
}

// refresh rotates the caller's own family.
func (c *crowd) refresh(n int, scope string) op {
	return func(ctx context.Context) error {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.tokens[n].Refresh}}
		if scope != "" {
			form.Set("scope", scope)
		}
		got, err := c.site.app.Ask(ctx, c.people[n].HTTP, "token", form)
		if got.Refresh != "" {
			c.tokens[n].Refresh = got.Refresh
		}
		return wanted(got.Refresh, got, err)
	}
}

// signIn signs in as somebody whose browser was known but not signed in, and
// redeems the code. Without the page, one sign-in page serves many rounds: the
// script behind it asks for a new challenge each time, as it does for a person
// who leaves it open.
func (c *crowd) signIn(n int, withPage bool) op {
	var page person.Page
	var verifier string
	rounds := 0
	return func(ctx context.Context) error {
		p := c.people[n]
		p.DropSession()
		if withPage || rounds%200 == 0 {
			var err error
			if page, verifier, err = p.Authorize(ctx, c.site.app, nil); err != nil {
				return err
			}
		}
		rounds++
		done, err := p.UsePasskey(ctx, page)
		if err != nil {
			return err
		}
		code, err := done.Code()
		if err != nil {
			return err
		}
		got, err := c.site.app.Redeem(ctx, p.HTTP, code, verifier)
		return wanted(got.ID, got, err)
	}
}
