package console

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// addView is the page on which CAs come in: first the files, then what they
// hold.
type addView struct {
	Tabs    []tabView
	Paste   string
	Problem template.HTML
	Rows    []offerRow // what the files hold; empty: nothing was sent yet
	Title   template.HTML
	Takes   int    // how many can be taken
	Prove   string // where to show first that it is still oneself; empty: no need
}

// offerRow is a certificate of an upload.
type offerRow struct {
	Name    string
	Kind    template.HTML
	Meta    []template.HTML
	Facts   []pair
	Refused template.HTML // why it cannot be taken
	Note    template.HTML // what to know of it
	Value   string        // of the box: the certificate
	On      bool
	Field   string // of the address of its list
	CRL     string
}

// crlField is where the address of the list of a CA stands.
func crlField(c *x509.Certificate) string { return "crl." + trust.Thumbprint(c) }

func (c *Console) certAddPage(_ context.Context, v *visit) error {
	return v.certAddShow(http.StatusOK, addView{})
}

func (v *visit) certAddShow(status int, view addView) error {
	pg := v.page("certadd", v.words().T("certificates.add.title"), nil)
	if view.Title != "" {
		pg.Title = view.Title
	}
	view.Tabs = v.certTabs(pg, certsPath)
	pg.V = view
	return v.show(status, pg)
}

// certPreview reads what was sent, and says what it would be. It keeps nothing.
func (c *Console) certPreview(ctx context.Context, v *visit) error {
	certs, problem := v.certificatesSent("certificates.add.nothing")
	view := addView{Paste: v.pasted(), Problem: problem}
	if problem != "" {
		return v.certAddShow(http.StatusBadRequest, view)
	}
	have, err := v.authorities(ctx)
	if err != nil {
		return err
	}
	if err := v.preview(ctx, &view, trust.Offers(certs, have), have); err != nil {
		return err
	}
	return v.certAddShow(http.StatusOK, view)
}

// certificatesSent reads the files and the text of a form. One file that cannot
// be read refuses all. none is the key of what to say when there is nothing.
func (v *visit) certificatesSent(none string) (certs []*x509.Certificate, problem template.HTML) {
	files := slices.Clone(v.files)
	if text := strings.TrimSpace(v.form.Get("paste")); text != "" {
		files = append(files, web.File{Body: pasted509(text)})
	}
	for _, f := range files {
		some, err := trust.Parse(f.Body)
		if err != nil {
			e := idp.AsError(err)
			if e == nil {
				return nil, v.words().T("certificates.unreadable")
			}
			if f.Name != "" && len(files) > 1 {
				return nil, v.words().T("certificates.file", "file", page.Clip(f.Name, 80), "say", say(e))
			}
			return nil, say(e)
		}
		for _, cert := range some {
			if !slices.ContainsFunc(certs, cert.Equal) {
				certs = append(certs, cert)
			}
		}
	}
	if len(certs) == 0 {
		return nil, v.words().T(none)
	}
	return certs, ""
}

// pasted is the text again, unless it is nothing to show twice.
func (v *visit) pasted() string {
	if text := v.form.Get("paste"); !strings.Contains(text, "PRIVATE KEY") {
		return text
	}
	return ""
}

// pasted509 is text that somebody pasted: PEM as it is, and base64 without its
// lines, which some tools show.
func pasted509(text string) []byte {
	if !strings.Contains(text, "-----BEGIN ") {
		if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
			return der
		}
	}
	return []byte(text)
}

// preview says of each offer what it is, and which ones are refused and why.
func (v *visit) preview(ctx context.Context, view *addView, offers []trust.Offer, have []trust.Authority) error {
	pg := v.page("certadd", "", nil)
	size := 0
	for _, o := range offers {
		row := offerRow{Name: o.Name, Field: crlField(o.Cert), CRL: o.CRL, Value: base64.StdEncoding.EncodeToString(o.Cert.Raw)}
		row.Meta = []template.HTML{pg.T("certificates.ends", "when", page.When(o.Cert.NotAfter, "")), escaped(keyName509(o.Cert))}
		row.Facts = []pair{{pg.T("certificates.fact.subject"), dn(o.Cert.RawSubject)}, {pg.T("certificates.fact.thumbprint"), code(trust.Thumbprint(o.Cert))}}
		_, err := v.cfg.Trust.Try(ctx, v.cfg.DB, v.tenant.ID, []trust.Offer{o})
		if e := told400(err); e != nil {
			row.Refused = say(e)
		} else if err != nil {
			return err
		} else {
			row.On, row.Kind = true, kindOf(pg, trust.Authority{Root: o.Root})
			row.Note = offerNote(pg, o, offers, have)
			view.Takes++
			size += len(row.Field) + len(row.CRL) + len(row.Value) + len("cert=&") + strings.Count(row.Value, "+")*2 + strings.Count(row.Value, "/")*2
		}
		view.Rows = append(view.Rows, row)
	}
	view.Title = pg.N("certificates.preview.title", len(offers))
	// A form of that size does not come back after a gesture: it is asked for
	// before.
	if size > mostCarried/2 {
		step, err := v.stands(true)
		if err != nil {
			return err
		}
		if step.Kind != signin.Done {
			view.Prove = "/admin/prove?back=" + certAddPath
		}
	}
	return nil
}

// offerNote says what to know of an offer that can be taken.
func offerNote(pg *page.Page, o trust.Offer, offers []trust.Offer, have []trust.Authority) template.HTML {
	if !o.Root && !anchored(o.Cert, offers, have) {
		return pg.T("certificates.preview.unanchored")
	}
	return ""
}

// anchored says whether somebody who is there, or comes too, signed it.
func anchored(c *x509.Certificate, offers []trust.Offer, have []trust.Authority) bool {
	return slices.ContainsFunc(offers, func(o trust.Offer) bool { return !o.Cert.Equal(c) && c.CheckSignatureFrom(o.Cert) == nil }) ||
		slices.ContainsFunc(have, func(a trust.Authority) bool { return c.CheckSignatureFrom(a.Cert) == nil })
}

// certAdd takes in those that are ticked: all of them, or none.
func (c *Console) certAdd(ctx context.Context, v *visit) error {
	var certs []*x509.Certificate
	for _, text := range v.form["cert"] {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return idp.Invalidf("bad_value", "certificate: %w", err).On("cert")
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return idp.Invalidf("bad_value", "certificate: %w", err).On("cert")
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return v.certAddShow(http.StatusBadRequest, addView{Problem: v.words().T("certificates.add.none")})
	}
	have, err := v.authorities(ctx)
	if err != nil {
		return err
	}
	offers := trust.Offers(certs, have)
	for i, o := range offers {
		// What was seen counts: other certificates, which are not kept, may have
		// named the address.
		if address, there := v.form[crlField(o.Cert)]; there {
			offers[i].CRL = strings.TrimSpace(address[0])
		}
	}
	var added []trust.Authority
	err = c.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if added, err = c.cfg.Trust.Add(ctx, tx, v.tenant.ID, "", offers); err != nil {
			return err
		}
		for _, a := range added {
			e := v.event("cert-authority.add")
			e.Method, e.Detail = policy.Certificate, trust.Told(a)
			if err := c.cfg.Audit.Write(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if e := told400(err); e != nil {
		view := addView{Problem: v.words().T("certificates.add.refused", "say", say(e))}
		if err := v.preview(ctx, &view, offers, have); err != nil {
			return err
		}
		return v.certAddShow(web.Status(e.Kind), view)
	}
	if err != nil {
		return err
	}
	for _, a := range added {
		if a.CRL != "" && len(added) <= 5 { // more are the job's to fetch
			if _, err := v.refresh(ctx, a.ID); err != nil {
				return err
			}
		}
	}
	if len(added) == 1 {
		return v.leave(certPath(added[0].ID), "authority-added")
	}
	return v.leave(certsPath, "authorities-added")
}
