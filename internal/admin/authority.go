package admin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// authorityView names fields as Graph's certificateAuthorityDetail does, and
// beside them what is ours.
type authorityView struct {
	ID        idp.AuthorityID `json:"id"` // empty: it was only tried
	Name      string          `json:"displayName"`
	Type      string          `json:"certificateAuthorityType"` // "root" or "intermediate"
	Enabled   bool            `json:"isEnabled"`
	Subject   string          `json:"subject"`
	Issuer    string          `json:"issuer"`
	Key       string          `json:"subjectKeyIdentifier"` // lower-case hex
	SHA1      string          `json:"thumbprint"`           // of the certificate, upper-case hex, as other programs show it
	SHA256    string          `json:"thumbprintSha256"`     // lower-case hex
	CRL       string          `json:"certificateRevocationListUrl"`
	Delta     string          `json:"deltaCertificateRevocationListUrl"`
	OCSP      string          `json:"ocspUrl"`
	Hint      bool            `json:"isIssuerHintEnabled"`
	NotBefore string          `json:"startDateTime"`
	NotAfter  string          `json:"expirationDateTime"`
	Created   string          `json:"createdDateTime"`
	Removed   string          `json:"deletedDateTime"` // empty: it is there
	Version   int64           `json:"version"`
	// Standing is what its lists are good for: that of the worse one; "none": it
	// has no address of any.
	Standing string     `json:"listState"`
	Lists    []listView `json:"lists,omitempty"`
	// NoIssuer says of one that is added that whoever issued it is not here.
	NoIssuer bool `json:"issuerMissing,omitempty"`
}

// listView is one revocation list of an authority.
type listView struct {
	Kind       trust.ListKind `json:"kind"` // "complete" or "delta"
	URL        string         `json:"url"`
	Standing   trust.Standing `json:"state"`
	Number     string         `json:"number"`
	Entries    int64          `json:"entries"`
	Bytes      int64          `json:"bytes"`
	ThisUpdate string         `json:"thisUpdate"`
	NextUpdate string         `json:"nextUpdate"`
	Tried      string         `json:"lastTry"`
	Succeeded  string         `json:"lastSuccess"`
	Failure    string         `json:"failure"` // in words; empty: the last try did not fail
	Failures   int64          `json:"failures"`
	Due        string         `json:"nextTry"`
}

// worse orders standings.
var worse = []trust.Standing{trust.InForce, trust.Failing, trust.Over, trust.Missing}

// withLists puts the states of lists into the views of their authorities.
func (c *call) withLists(ctx context.Context, views []authorityView) ([]authorityView, error) {
	all, err := c.Authorities.States(ctx, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	for i := range views {
		for _, s := range all {
			if s.Authority == views[i].ID {
				views[i].add(s, c.Now())
			}
		}
	}
	return views, nil
}

func (v *authorityView) add(s trust.ListState, now time.Time) {
	at := s.At(now)
	v.Lists = append(v.Lists, listView{
		Kind: s.Kind, URL: s.URL, Standing: at, Number: s.Number, Entries: s.Entries, Bytes: s.Bytes, ThisUpdate: stampOr(s.ThisUpdate),
		NextUpdate: stampOr(s.NextUpdate), Tried: stampOr(s.Tried), Succeeded: stampOr(s.Succeeded), Failure: s.Failure, Failures: s.Failures, Due: stampOr(s.Due),
	})
	if slices.Index(worse, at) > slices.Index(worse, trust.Standing(v.Standing)) {
		v.Standing = string(at)
	}
}

func viewAuthority(a trust.Authority) authorityView {
	v := authorityView{
		ID: a.ID, Name: a.Name, Type: "intermediate", Enabled: a.Enabled, Subject: distinguished(a.Cert.RawSubject), Issuer: distinguished(a.Cert.RawIssuer),
		Key: a.Key(), SHA1: trust.SHA1(a.Cert), SHA256: trust.Thumbprint(a.Cert),
		CRL: a.CRL, Delta: a.Delta, OCSP: a.OCSP, Hint: a.Hint,
		NotBefore: stamp(a.Cert.NotBefore), NotAfter: stamp(a.Cert.NotAfter), Created: stampOr(a.Created), Removed: stampOr(a.Removed), Version: a.Version, Standing: "none",
	}
	if a.Root {
		v.Type = "root"
	}
	return v
}

func viewAuthorities(all []trust.Authority) []authorityView {
	out := make([]authorityView, len(all))
	for i, a := range all {
		out[i] = viewAuthority(a)
	}
	return out
}

// distinguished is a name as text, root first; one that cannot be written so
// is left out, for a list must not fail by one name in it.
func distinguished(raw []byte) string {
	text, err := pkix.RootFirst(raw)
	if err != nil {
		return ""
	}
	return text
}

// authorities gives the store, or says that there is none.
func (c *call) authorities() (*trust.Store, error) {
	if c.Authorities == nil {
		return nil, missing("certificate authorities")
	}
	return c.Authorities, nil
}

// oneAuthority finds the one that is named by its id, its name, its key
// identifier or the thumbprint of its certificate, among those that are there
// or among those that were removed.
func (c *call) oneAuthority(ctx context.Context, ref string, removed bool) (trust.Authority, error) {
	s, err := c.authorities()
	if err != nil {
		return trust.Authority{}, err
	}
	list := s.List
	if removed {
		list = s.Removed
	}
	all, err := list(ctx, c.DB, c.tenant.ID)
	if err != nil {
		return trust.Authority{}, err
	}
	hexed := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(ref))
	var found []trust.Authority
	for _, a := range all {
		v := viewAuthority(a)
		if string(a.ID) == ref {
			return a, nil
		}
		if ref != "" && (strings.EqualFold(a.Name, ref) || v.Key == hexed || v.SHA256 == hexed || strings.EqualFold(v.SHA1, hexed)) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return trust.Authority{}, idp.NotFoundf("authority_unknown", "authority %q", audit.Clean(ref, 64)).Say("There is no such certificate authority.")
	case 1:
		return found[0], nil
	}
	return trust.Authority{}, idp.Invalidf("which_authority", "%d authorities", len(found)).On("authority").
		Say("Several certificate authorities could be meant. Use the id: signet admin cert-authority list shows it, or list --removed.")
}

type addAuthoritiesParams struct {
	inTenant
	File   []byte  `json:"file"` // PEM, DER or PKCS#7
	Name   string  `json:"displayName"`
	Type   string  `json:"certificateAuthorityType"` // empty: roots are those that signed themselves
	CRL    *string `json:"certificateRevocationListUrl"`
	Delta  string  `json:"deltaCertificateRevocationListUrl"`
	OCSP   string  `json:"ocspUrl"`
	Hint   bool    `json:"isIssuerHintEnabled"`
	DryRun bool    `json:"dryRun"`
}

// addAuthorities takes all certificates of a file or none. A dry run says what
// would come of it.
func addAuthorities(ctx context.Context, c *call, p addAuthoritiesParams) (any, error) {
	s, err := c.authorities()
	if err != nil {
		return nil, err
	}
	certs, err := trust.Parse(p.File)
	if err != nil {
		return nil, err
	}
	have, err := s.List(ctx, c.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	offers := trust.Offers(certs, have)
	if err := p.apply(offers); err != nil {
		return nil, err
	}
	if p.DryRun {
		made, err := s.Try(ctx, c.DB, c.tenant.ID, offers)
		return viewAdded(made, have), err
	}
	var made []trust.Authority
	err = c.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if made, err = s.Add(ctx, tx, c.tenant.ID, "", offers); err != nil {
			return err
		}
		return c.recordAuthorities(ctx, tx, made)
	})
	if err != nil {
		return nil, err
	}
	return c.withLists(ctx, viewAdded(made, have))
}

// viewAdded says of those that are added which issuers are missing: neither
// there nor among them.
func viewAdded(made, have []trust.Authority) []authorityView {
	views := viewAuthorities(made)
	for i, a := range made {
		views[i].NoIssuer = !a.Root && !slices.ContainsFunc(slices.Concat(have, made), func(o trust.Authority) bool {
			return !o.Cert.Equal(a.Cert) && a.Cert.CheckSignatureFrom(o.Cert) == nil
		})
	}
	return views
}

// apply puts what was asked for into offers. What only one authority can have
// is refused for several.
func (p addAuthoritiesParams) apply(offers []trust.Offer) error {
	if len(offers) > 1 && (p.Name != "" || p.CRL != nil || p.Delta != "" || p.OCSP != "") {
		return idp.Invalidf("several_certificates", "%d certificates", len(offers)).On("file").
			Say("The file has several certificates: a name and addresses are for one. Add them first, and then change each.")
	}
	for i := range offers {
		o := &offers[i]
		switch p.Type {
		case "":
		case "root", "intermediate":
			o.Root = p.Type == "root"
		default:
			return idp.Invalidf("bad_type", "type %q", audit.Clean(p.Type, 64)).On("certificateAuthorityType").Say("A certificate authority is root or intermediate.")
		}
		if p.Name != "" {
			o.Name = p.Name
		}
		if p.CRL != nil {
			o.CRL = *p.CRL
		}
		o.Delta, o.OCSP, o.Hint = p.Delta, p.OCSP, p.Hint
	}
	return nil
}

// recordAuthorities writes the event of each, as if it had come alone.
func (c *call) recordAuthorities(ctx context.Context, tx *sqldb.Tx, all []trust.Authority) error {
	for _, a := range all {
		e := c.event()
		e.Detail = trust.Told(a)
		if err := c.Audit.Write(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

type listAuthoritiesParams struct {
	inTenant
	Removed bool `json:"removed"`
}

func listAuthorities(ctx context.Context, c *call, p listAuthoritiesParams) (any, error) {
	s, err := c.authorities()
	if err != nil {
		return nil, err
	}
	list := s.List
	if p.Removed {
		list = s.Removed
	}
	all, err := list(ctx, c.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	return c.withLists(ctx, viewAuthorities(all))
}

type authorityParams struct {
	inTenant
	Authority string `json:"authority"`
}

func showAuthority(ctx context.Context, c *call, p authorityParams) (any, error) {
	a, err := c.oneAuthority(ctx, p.Authority, false)
	if err != nil {
		return nil, err
	}
	views, err := c.withLists(ctx, []authorityView{viewAuthority(a)})
	if err != nil {
		return nil, err
	}
	return views[0], nil
}

// refreshAuthority fetches its lists now. That one could not be had is an
// error, and in the state of the list, too.
func refreshAuthority(ctx context.Context, c *call, p authorityParams) (any, error) {
	a, err := c.oneAuthority(ctx, p.Authority, false)
	if err != nil {
		return nil, err
	}
	if _, err := c.Authorities.Refresh(ctx, a.Tenant, a.ID); err != nil {
		return nil, err
	}
	return showAuthority(ctx, c, p)
}

// onAuthority changes one, and records it as it is then.
func (c *call) onAuthority(ctx context.Context, ref string, removed bool, fn func(context.Context, *sqldb.Tx, trust.Authority) (trust.Authority, error)) (any, error) {
	a, err := c.oneAuthority(ctx, ref, removed)
	if err != nil {
		return nil, err
	}
	now := a
	err = c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		if now, err = fn(ctx, tx, a); err != nil {
			return err
		}
		e.Detail = trust.Told(now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	views, err := c.withLists(ctx, []authorityView{viewAuthority(now)})
	if err != nil {
		return nil, err
	}
	return views[0], nil
}

type updateAuthorityParams struct {
	authorityParams
	Name  *string `json:"displayName"`
	Type  *string `json:"certificateAuthorityType"`
	CRL   *string `json:"certificateRevocationListUrl"`
	Delta *string `json:"deltaCertificateRevocationListUrl"`
	OCSP  *string `json:"ocspUrl"`
	Hint  *bool   `json:"isIssuerHintEnabled"`
}

func updateAuthority(ctx context.Context, c *call, p updateAuthorityParams) (any, error) {
	e := trust.Edit{Name: p.Name, CRL: p.CRL, Delta: p.Delta, OCSP: p.OCSP, Hint: p.Hint}
	if p.Type != nil {
		root := *p.Type == "root"
		if !root && *p.Type != "intermediate" {
			return nil, idp.Invalidf("bad_type", "type %q", audit.Clean(*p.Type, 64)).On("certificateAuthorityType").Say("A certificate authority is root or intermediate.")
		}
		e.Root = &root
	}
	return c.onAuthority(ctx, p.Authority, false, func(ctx context.Context, tx *sqldb.Tx, a trust.Authority) (trust.Authority, error) {
		return c.Authorities.Update(ctx, tx, a.Tenant, a.ID, 0, e)
	})
}

func (c *call) switchAuthority(ctx context.Context, ref string, on bool) (any, error) {
	return c.onAuthority(ctx, ref, false, func(ctx context.Context, tx *sqldb.Tx, a trust.Authority) (trust.Authority, error) {
		return c.Authorities.Update(ctx, tx, a.Tenant, a.ID, 0, trust.Edit{Enabled: &on})
	})
}

func disableAuthority(ctx context.Context, c *call, p authorityParams) (any, error) {
	return c.switchAuthority(ctx, p.Authority, false)
}

func enableAuthority(ctx context.Context, c *call, p authorityParams) (any, error) {
	return c.switchAuthority(ctx, p.Authority, true)
}

func removeAuthority(ctx context.Context, c *call, p authorityParams) (any, error) {
	return c.onAuthority(ctx, p.Authority, false, func(ctx context.Context, tx *sqldb.Tx, a trust.Authority) (trust.Authority, error) {
		return c.Authorities.Remove(ctx, tx, a.Tenant, a.ID)
	})
}

func restoreAuthority(ctx context.Context, c *call, p authorityParams) (any, error) {
	return c.onAuthority(ctx, p.Authority, true, func(ctx context.Context, tx *sqldb.Tx, a trust.Authority) (trust.Authority, error) {
		return c.Authorities.Restore(ctx, tx, a.Tenant, a.ID)
	})
}

// endAuthoritySessions ends what people have by certificates below an authority,
// also one that was removed.
func endAuthoritySessions(ctx context.Context, c *call, p authorityParams) (any, error) {
	if c.EndAuthority == nil {
		return nil, missing("certificates")
	}
	a, err := c.oneAuthority(ctx, p.Authority, false)
	if errors.Is(err, idp.NotFound) {
		a, err = c.oneAuthority(ctx, p.Authority, true)
	}
	if err != nil {
		return nil, err
	}
	return c.EndAuthority(ctx, a.Tenant, a.Key(), c.event(), c.progress)
}
