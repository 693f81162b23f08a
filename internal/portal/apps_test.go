package portal

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// allow registers an app and puts a consent to it on record.
func (w *world) allow(u idp.User, c client.Client, scopes ...string) client.Client {
	w.t.Helper()
	c.Tenant, c.Kind, c.Auth, c.Enabled = w.tenant.ID, client.Web, client.AuthNone, true
	c.RedirectURIs = []string{"https://drawings.example/cb"}
	w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if c, _, err = w.clients.Create(ctx, tx, c); err != nil {
			return err
		}
		return w.clients.GrantConsent(ctx, tx, w.tenant.ID, u.ID, c.ID, scopes)
	})
	return c
}

// TestSec_OAU19_TakeBack: what was allowed is shown in words and can be taken back,
// with a question before, a record after, and the app's tokens in between.
func TestSec_OAU19_TakeBack(t *testing.T) {
	w := newWorld(t)
	ada := w.newUser("ada@nordhafen.example", "Ada Lindqvist")
	b := w.newBrowser()
	b.firstDay(ada, "Blue key").want(t, 200, "Apps you allowed", "You have allowed no app")
	drawings := w.allow(ada, client.Client{Name: "Drawings"}, "openid", "profile", "offline_access", "api://drawings/read")
	w.allow(ada, client.Client{Name: "Wiki"}, "openid")
	w.allow(ada, client.Client{Name: "Own app", FirstParty: true}, "openid")
	page := b.get("/account").want(t, 200, "Drawings", "Wiki", "allowed since 23 Nov 2026", "See your name and your user name", "Stay connected",
		"Use what it calls <code>api://drawings/read</code>")
	if strings.Contains(page.text(), "Own app") {
		t.Error("the page offers to take back what an app of the organisation does not ask for")
	}
	if !strings.Contains(page.body, `<template data-app-remove="`+string(drawings.ID)+`">`) {
		t.Error("the question is not there for the dialog")
	}

	form := b.get(rowLink(page, "Drawings", "remove")).want(t, 200, "Take back what Drawings may do?", "it must ask you again")
	if !form.hasAction("confirm") || !form.hasAction("cancel") {
		t.Error("no confirm, or no cancel")
	}
	in := url.Values{"session": {form.field("session")}, "app": {form.field("app")}}

	w.noTake = errors.New("the tokens stay")
	b.post("/account/take-back", in).want(t, 500)
	b.get("/account").want(t, 200, "Drawings") // not one without the other
	w.noTake = nil

	page = b.follow(b.post("/account/take-back", in)).want(t, 200, "Taken back. The app must ask you again.", "Took back what Drawings may do", "Wiki")
	if rowLink(page, "Drawings", "remove") != "" {
		t.Error("it is still on the page")
	}
	if want := string(ada.ID) + " " + string(drawings.ID); len(w.taken) != 1 || w.taken[0] != want {
		t.Errorf("ended %v, want %s", w.taken, want)
	}
	b.post("/account/take-back", in).want(t, 404, "It is not there any more")
	b.get("/account/take-back?app="+url.QueryEscape(string(drawings.ID))).want(t, 404, "It is not there any more")
}

// TestTakeBackIsOnesOwn: neither another person's form nor a session that a
// pass opened takes anything back.
func TestTakeBackIsOnesOwn(t *testing.T) {
	w := newWorld(t)
	ada, kai := w.newUser("ada@nordhafen.example", "Ada Lindqvist"), w.newUser("kai@nordhafen.example", "Kai Ohlsen")
	b, other := w.newBrowser(), w.newBrowser()
	mine := b.firstDay(ada, "Blue key").field("session")
	theirs := other.firstDay(kai, "Kai’s key").field("session")
	drawings := w.allow(ada, client.Client{Name: "Drawings"}, "openid")
	in := url.Values{"session": {theirs}, "app": {string(drawings.ID)}}
	other.post("/account/take-back", in).want(t, 404, "It is not there any more")
	in.Set("session", mine)
	if r := other.post("/account/take-back", in).want(t, 303); r.Header.Get("Location") != "/account" {
		t.Errorf("led to %s", r.Header.Get("Location"))
	}
	w.newBrowser().get("/account/take-back?app="+string(drawings.ID)).want(t, 303)

	w.later(time.Second) // what was registered before a pass was used may be lost
	third := w.newBrowser()
	page := third.follow(third.get("/" + string(w.tenant.ID) + "/signin?to=account"))
	page = third.follow(third.usePass(page, ada.Name, w.newPass(ada))).want(t, 200, "Add a passkey")
	in.Set("session", page.field("session"))
	third.post("/account/take-back", in).want(t, 403, "A pass opens only this")
	b.get("/account").want(t, 200, "Drawings")
	if len(w.taken) != 0 {
		t.Errorf("ended %v", w.taken)
	}
}
