package console

import (
	"context"
	"crypto/x509"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// caView is the page of one CA.
type caView struct {
	Path      string
	Tabs      []tabView
	Admin     bool
	Kind      template.HTML
	Off       template.HTML
	State     string
	Ends      template.HTML
	List      revocationView
	PeopleSay template.HTML
	People    []groupLink
	More      template.HTML
	Scope     template.HTML
	Facts     []pair
	Problem   template.HTML
	Form      caForm
}

// caForm is what can be changed of a CA, as it was typed.
type caForm struct {
	Version                string
	Name, CRL, Delta, OCSP string
	Hint, Enabled, Root    bool
	SelfSigned             bool
	Wrong                  map[string]template.HTML // by field
}

// certOne is GET /admin/certificates/{id}.
func (c *Console) certOne(ctx context.Context, v *visit) error {
	a, err := v.authority(ctx)
	if err != nil {
		return err
	}
	return v.certPage(ctx, http.StatusOK, a, nil, "")
}

func (v *visit) certPage(ctx context.Context, status int, a trust.Authority, form *caForm, problem template.HTML) error {
	pg := v.page("certificate", escaped(a.Name), nil)
	lists, err := v.lists(ctx)
	if err != nil {
		return err
	}
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	view := caView{
		Path: certPath(a.ID), Tabs: v.certTabs(pg, certsPath), Admin: v.admin(), Kind: kindOf(pg, a), Problem: problem,
		List: v.listOf(pg, a, lists[a.ID], &p.Certificate), Facts: caFacts(pg, a), Form: caFormOf(a),
	}
	view.List.Facts = listFacts(pg, a, lists[a.ID])
	view.State, view.Ends = v.endOf(pg, a)
	if !a.Enabled {
		view.Off = pg.T("certificates.off")
	}
	if form != nil {
		view.Form = *form
	}
	view.Scope = scopeOf(pg, &p.Certificate, a.Key())
	if err := v.dependents(ctx, pg, a, &view); err != nil {
		return err
	}
	pg.V = view
	return v.show(status, pg)
}

// mostDependents is how many people the page of a CA names.
const mostDependents = 12

// dependents names people who were seen with a certificate that this CA stands
// above.
func (v *visit) dependents(ctx context.Context, pg *page.Page, a trust.Authority, view *caView) error {
	seen, err := v.badges(ctx)
	if err != nil {
		return err
	}
	people := seen.People[a.Key()]
	view.PeopleSay = pg.N("certificates.depend", len(people))
	names := &names{visit: v}
	for _, id := range slices.Sorted(maps.Keys(people)) {
		if len(view.People) == mostDependents {
			break
		}
		name, err := names.of(ctx, id)
		if err != nil {
			return err
		}
		view.People = append(view.People, groupLink{page.Plain(name), "/admin/people/" + string(id)})
	}
	if rest := len(people) - len(view.People); rest > 0 {
		view.More = pg.N("policy.impact.more", rest)
	}
	return nil
}

// scopeOf says to whom the rules keep a CA; empty: to nobody.
func scopeOf(pg *page.Page, r *policy.CertificateRules, key string) template.HTML {
	var all []policy.Target
	for _, s := range r.Scopes {
		if strings.EqualFold(s.Authority, key) {
			all = append(all, s.Target)
		}
	}
	if len(all) == 0 {
		return pg.T("certificates.scope.all")
	}
	return pg.T("certificates.scope", "who", countTargets(pg, all))
}

// caFacts is what the certificate of a CA says.
func caFacts(pg *page.Page, a trust.Authority) []pair {
	c := a.Cert
	var out []pair
	add := func(key string, value template.HTML) {
		if value != "" {
			out = append(out, pair{pg.T("certificates.fact." + key), value})
		}
	}
	add("subject", dn(c.RawSubject))
	if !trust.SelfSigned(c) {
		add("issuer", dn(c.RawIssuer))
	}
	add("valid", pg.T("certificates.fact.from", "from", page.When(c.NotBefore, ""), "to", page.When(c.NotAfter, "")))
	add("key", escaped(keyName509(c)))
	add("keyid", code(a.Key()))
	add("serial", code(c.SerialNumber.Text(16)))
	add("thumbprint", code(trust.Thumbprint(c)))
	add("added", page.When(a.Created, ""))
	return out
}

// dn is a distinguished name, root first.
func dn(raw []byte) template.HTML {
	s, err := pkix.RootFirst(raw)
	if err != nil {
		return ""
	}
	return code(s)
}

// keyName509 names the kind of a public key, and the size of an RSA one.
func keyName509(c *x509.Certificate) string {
	if k, ok := c.PublicKey.(interface{ Size() int }); ok {
		return c.PublicKeyAlgorithm.String() + " " + strconv.Itoa(8*k.Size())
	}
	return c.PublicKeyAlgorithm.String()
}

// listFacts are the particulars of a list.
func listFacts(pg *page.Page, a trust.Authority, l listState) []pair {
	var out []pair
	add := func(key string, value template.HTML) {
		out = append(out, pair{pg.T("certificates.fact." + key), value})
	}
	if a.CRL != "" {
		add("crl", code(a.CRL))
	}
	if a.Delta != "" {
		add("delta", code(a.Delta))
	}
	if l.Number != "" {
		add("list.from", page.When(l.ThisUpdate, ""))
		add("list.to", page.When(l.NextUpdate, ""))
		add("list.fetched", page.When(l.Succeeded, ""))
		add("list.size", pg.N("certificates.fact.list.entries", int(l.Entries), "size", sizeOf(l.Bytes)))
		add("list.number", code(l.Number))
	}
	if d := l.Delta; d != nil && d.Number != "" {
		add("delta.size", pg.N("certificates.fact.list.entries", int(d.Entries), "size", sizeOf(d.Bytes)))
		add("delta.to", page.When(d.NextUpdate, ""))
	}
	if !l.Due.IsZero() && a.CRL != "" {
		add("list.due", page.When(l.Due, ""))
	}
	return out
}

// sizeOf writes a number of bytes as people do.
func sizeOf(n int64) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
	case n >= 1<<10:
		return strconv.FormatInt(n>>10, 10) + " kB"
	}
	return strconv.FormatInt(n, 10) + " B"
}

func caFormOf(a trust.Authority) caForm {
	return caForm{
		Version: strconv.FormatInt(a.Version, 10), Name: a.Name, CRL: a.CRL, Delta: a.Delta, OCSP: a.OCSP, Hint: a.Hint, Enabled: a.Enabled, Root: a.Root,
		SelfSigned: trust.SelfSigned(a.Cert),
	}
}

// certSave changes what can be changed of a CA.
func (c *Console) certSave(ctx context.Context, v *visit) error {
	a, err := v.authority(ctx)
	if err != nil {
		return err
	}
	f := caFormOf(a)
	f.Version, f.Name, f.CRL, f.Delta, f.OCSP = v.form.Get("version"), v.form.Get("name"), v.form.Get("crl"), v.form.Get("delta"), v.form.Get("ocsp")
	f.Hint, f.Enabled = ticked(v.form, "hint"), ticked(v.form, "enabled")
	version, err := strconv.ParseInt(f.Version, 10, 64)
	if err != nil || version < 1 {
		return idp.Invalidf("bad_value", "version %.40q", f.Version).On("version")
	}
	err = v.changeAuthority(ctx, "cert-authority.update", func(ctx context.Context, tx *sqldb.Tx) (trust.Authority, error) {
		return c.cfg.Trust.Update(ctx, tx, v.tenant.ID, a.ID, version, trust.Edit{
			Name: &f.Name, CRL: &f.CRL, Delta: &f.Delta, OCSP: &f.OCSP, Hint: &f.Hint, Enabled: &f.Enabled,
		})
	})
	if e := told400(err); e != nil {
		if e.Kind == idp.Conflict {
			f.Version = strconv.FormatInt(a.Version, 10)
		}
		if slices.Contains([]string{"name", "crl", "delta", "ocsp"}, e.Field) {
			f.Wrong = map[string]template.HTML{e.Field: say(e)}
			return v.certPage(ctx, web.Status(e.Kind), a, &f, v.words().N("policy.wrong", 1))
		}
		return v.certPage(ctx, web.Status(e.Kind), a, &f, say(e))
	}
	if err != nil {
		return err
	}
	if f.CRL != "" && f.CRL != a.CRL {
		// At once, so that nobody is refused until the job comes by. What becomes
		// of it is on the page.
		if _, err := v.refresh(ctx, a.ID); err != nil {
			return err
		}
	}
	return v.leave(certPath(a.ID), "authority-saved")
}

// certFetch is the button: the list is fetched now, and the page says what
// became of it.
func (c *Console) certFetch(ctx context.Context, v *visit) error {
	a, err := v.authority(ctx)
	if err != nil {
		return err
	}
	if ok, _ := c.listFetches.Allow(string(v.tenant.ID) + " " + string(v.user.ID)); !ok {
		return idp.Limitedf("list_fetches", "%d fetches by %s", listFetches, v.user.ID).Say("That were many downloads. Wait ten minutes.")
	}
	had, err := v.refresh(ctx, a.ID)
	if err != nil {
		return err
	}
	if !had {
		return v.leave(certPath(a.ID), "")
	}
	return v.leave(certPath(a.ID), "list-fetched")
}

// listFetches is how many lists a person may fetch in ten minutes.
const listFetches = 30

// certAsk says what follows before a CA is removed.
func (c *Console) certAsk(ctx context.Context, v *visit) error {
	a, err := v.authority(ctx)
	if err != nil {
		return err
	}
	seen, err := v.badges(ctx)
	if err != nil {
		return err
	}
	pg := v.page("certask", "", nil)
	view := followsView{
		Action: certPath(a.ID) + "/remove", Keep: certPath(a.ID), Lead: pg.T("certificates.ask.lead"), Yes: pg.T("certificates.ask.yes"), No: pg.T("ask.no"),
	}
	add := func(state string, text template.HTML) { view.Effects = append(view.Effects, effect{state, text}) }
	if n := len(seen.People[a.Key()]); n > 0 {
		add("bad", pg.N("certificates.ask.people", n))
	} else {
		add("off", pg.T("certificates.ask.nobody"))
	}
	below, err := v.below(ctx, a)
	if err != nil {
		return err
	}
	if a.Root && below > 0 {
		add("warn", pg.N("certificates.ask.below", below))
	}
	add("good", pg.T("certificates.ask.back"))
	if err := v.strand(ctx, pg, &view, seen.held[a.Key()]); err != nil {
		return err
	}
	pg.Title, pg.V = pg.T("certificates.ask.title", "name", a.Name), view
	return v.show(http.StatusOK, pg)
}

// below counts the CAs of the store that a signed.
func (v *visit) below(ctx context.Context, a trust.Authority) (n int, err error) {
	cas, err := v.authorities(ctx)
	for _, b := range cas {
		if b.ID != a.ID && b.Cert.CheckSignatureFrom(a.Cert) == nil {
			n++
		}
	}
	return n, err
}

func (c *Console) certRemove(ctx context.Context, v *visit) error {
	a, err := v.authority(ctx)
	if err != nil {
		return err
	}
	err = v.changeAuthority(ctx, "cert-authority.remove", func(ctx context.Context, tx *sqldb.Tx) (trust.Authority, error) {
		return c.cfg.Trust.Remove(ctx, tx, v.tenant.ID, a.ID)
	})
	if err != nil {
		return err
	}
	return v.leave(certsPath, "authority-removed")
}

func (c *Console) certRestore(ctx context.Context, v *visit) error {
	a, err := v.authority(ctx)
	if err != nil {
		return err
	}
	err = v.changeAuthority(ctx, "cert-authority.restore", func(ctx context.Context, tx *sqldb.Tx) (trust.Authority, error) {
		return c.cfg.Trust.Restore(ctx, tx, v.tenant.ID, a.ID)
	})
	if err != nil {
		return err
	}
	return v.leave(certPath(a.ID), "authority-restored")
}
