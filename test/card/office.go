package card

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/running"
)

// The policies that a card's issuer asserts: what an administrator believes of
// them is in Office.Rules.
const (
	SoftPolicy = "1.3.6.1.4.1.99999.1.1" // a key somewhere
	CardPolicy = "1.3.6.1.4.1.99999.1.2" // a card with a PIN
)

// Office is a running demo whose organisation has an authority of its own, and
// cards from it.
type Office struct {
	*running.Demo
	t     *testing.T
	Lists *Lists
	Root  *pkixtest.Authority // its list is at "root"
	Cards *pkixtest.Authority // the one that issues; its list is at "cards"
	IDs   map[string]string   // of authorities in the trust store, by name
}

// NewOffice starts one. Its authorities are in the trust store, a root and one
// below it that issues; certificates name their person by user name, and count
// for several factors when they assert CardPolicy.
func NewOffice(t *testing.T) *Office {
	t.Helper()
	o := &Office{t: t, Lists: NewLists(t), IDs: map[string]string{}}
	// The lists are on this machine, which is nowhere that a server goes unless
	// its operator says so.
	o.Demo = running.StartDemo(t, "--crl-private-host", "127.0.0.1")
	now := time.Now()
	o.Root = pkixtest.Root(t, "Nordhafen Root", now)
	o.Cards = o.Root.Sub("Nordhafen Cards", now, Policies("2.5.29.32.0"))
	o.Trust(o.Root, "root", "--crl", o.Lists.Publish("root", o.Root.CRL(now, 1)))
	o.Trust(o.Cards, "cards", "--crl", o.Lists.Publish("cards", o.Cards.CRL(now, 1)))
	o.Rules(nil)
	return o
}

// Trust adds an authority to the trust store, under a name of this test's, with
// more flags if any, and has its lists fetched.
func (o *Office) Trust(a *pkixtest.Authority, name string, flags ...string) {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), name+".pem")
	if err := os.WriteFile(file, pkixtest.PEM(a.Cert), 0o600); err != nil {
		o.t.Fatal(err)
	}
	var added []struct{ ID string }
	o.Admin(o.t, &added, append([]string{"cert-authority", "add", file}, flags...)...)
	if len(added) != 1 || added[0].ID == "" {
		o.t.Fatalf("%s: added %+v", name, added)
	}
	o.IDs[name] = added[0].ID
	o.Refresh(name)
}

// Rules saves the policies of a demo with certificates switched on, after a
// change of the part about certificates.
func (o *Office) Rules(change func(certificate map[string]any)) {
	o.t.Helper()
	certificate := map[string]any{
		"bindings": []any{Binding("PrincipalName", "userPrincipalName", 1, "low")},
		"levels":   []any{map[string]any{"policy": CardPolicy, "mode": "x509CertificateMultiFactor", "affinity": "low"}},
	}
	if change != nil {
		change(certificate)
	}
	on := map[string]any{"on": true, "include": []any{map[string]any{"all": true}}}
	whole := map[string]any{
		"methods":     map[string]any{"certificate": on, "passkey": on, "accessPass": on, "phone": on},
		"certificate": certificate,
	}
	text, err := json.Marshal(whole)
	if err != nil {
		o.t.Fatal(err)
	}
	file := filepath.Join(o.t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.Admin(o.t, nil, "policy", "apply", file, "--yes")
}

// Binding is a binding as a policy file has it.
func Binding(field, property string, priority int, affinity string) map[string]any {
	return map[string]any{"field": field, "property": property, "priority": priority, "affinity": affinity}
}

// Policies is a change that asserts certificate policies.
func Policies(ids ...string) pkixtest.Change {
	return func(c *x509.Certificate) {
		for _, id := range ids {
			oid, err := x509.ParseOID(id)
			if err != nil {
				panic(err)
			}
			c.Policies = append(c.Policies, oid)
		}
	}
}

// Refresh fetches the lists of an authority now, and says nothing of how that
// went: a sign-in does.
func (o *Office) Refresh(name string) {
	o.t.Helper()
	cmd := exec.Command(o.Binary, "admin", "cert-authority", "refresh", o.IDs[name], "--tenant", o.Tenant, "--data", o.Data)
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Logf("refresh of %s: %s", name, out)
	}
}

// Another is another organisation on the same server, without people.
func (o *Office) Another(name, domain string) *Office {
	o.t.Helper()
	var made struct{ ID string }
	o.Demo.Admin(o.t, &made, "tenant", "create", name, "--domain", domain)
	d := *o.Demo
	d.Tenant = made.ID
	return &Office{t: o.t, Demo: &d, Lists: o.Lists, IDs: map[string]string{}}
}

// Admin is the demo's, in this organisation.
func (o *Office) Admin(t *testing.T, into any, args ...string) {
	t.Helper()
	o.Demo.Admin(t, into, append(args, "--tenant", o.Tenant)...)
}
