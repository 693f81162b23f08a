package oddclient

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/test/person"
	"github.com/signetid/signet/test/running"
)

// Two servers on one PostgreSQL: a nonce is good once on both together, a PRT
// of one is good at the other, and so is its end (§4, §11).
func TestTwoServers(t *testing.T) {
	db := sqldbtest.NewPostgres(t)
	if db == "" {
		return
	}
	t.Parallel()
	dir := t.TempDir()
	s := &site{t: t, addr: running.FreeAddr(t), data: filepath.Join(dir, "one"), db: db}
	s.base = "http://localhost" + s.addr[strings.LastIndexByte(s.addr, ':'):]
	s.cmd = s.serve(s.addr, s.data, "off", "error", "--database", db)
	second := running.FreeAddr(t)
	s.serve(second, filepath.Join(dir, "two"), "off", "error", "--database", db, "--kek-file", filepath.Join(s.data, "kek"))

	o := s.organise("corp.example")
	one, two := o.client(DialectB()), o.client(DialectB())
	two.Reaching(second)
	e := o.somebody("ada").enrol(t, one)
	request, err := one.helloRequest(t.Context(), e.device, e.hello)
	if err != nil {
		t.Fatal(err)
	}
	var won, lost atomic.Int64
	clients := []*Client{}
	for range 100 {
		clients = append(clients, one, two)
	}
	each(clients, func(c *Client) {
		a, err := c.askPRT(t.Context(), request)
		if err != nil {
			t.Error(err)
			return
		}
		if a.Status == 200 {
			won.Add(1)
			return
		}
		lost.Add(1)
		want{"invalid_grant", "bad_token", []int{140000}}.check(t, "a loser", a, nil)
	})
	if won.Load() != 1 || lost.Load() != 199 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
	p := e.prt(t, one)
	graph := graphURL + "/.default openid"
	if got, a, err := two.Use(t.Context(), p, brokerID, graph); err != nil || got == nil {
		t.Errorf("the other server: %v, %v", orBody(a), err)
	}
	next, a, err := two.Renew(t.Context(), p)
	if err != nil || next.Token == "" {
		t.Fatalf("renewal at the other server: %v, %v", orBody(a), err)
	}
	if got, a, err := one.Use(t.Context(), next, brokerID, graph); err != nil || got == nil {
		t.Errorf("the renewed PRT: %v, %v", orBody(a), err)
	}
}

// The demo has devices on: everything of a device works there without a
// setting.
func TestDemo(t *testing.T) {
	t.Parallel()
	d := running.StartDemo(t)
	s := &site{t: t, base: d.Base, data: d.Data}
	o := &organisation{site: s, id: d.Tenant}
	o.app = person.App{Issuer: d.Issuer, ID: brokerID, Redirect: "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID,
		Scope: "openid profile offline_access " + drsGUID + "/.default"}
	who := &somebody{org: o, upn: d.Users[0].Name, id: d.Users[0].ID}
	var err error
	if who.Person, err = person.New(d.Base, person.At(strings.TrimPrefix(d.Base, "http://"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := who.FirstDay(t.Context(), o.plain(), who.upn, d.Users[0].Pass); err != nil {
		t.Fatal(err)
	}
	c := o.client(DialectB())
	e := who.enrol(t, c)
	got, a, err := c.Use(t.Context(), e.prt(t, c), brokerID, graphURL+"/.default openid")
	if err != nil || got == nil {
		t.Fatalf("use: %v, %v", orBody(a), err)
	}
	checkTokens(t, "demo", got, e.device.ID)
	// Device codes are on there too.
	c.start(t, brokerID, drsURN)
}
