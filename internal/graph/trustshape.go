package graph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/trust"
)

// Certificate authorities in Graph's shapes, and read back (entra-behaviours.md
// §5.7). All of it is pure.

// classicID is that of the one flat configuration that a tenant has [K].
const classicID = "29728ade-6ae4-4ee9-9103-412912537da5"

var (
	containerFields = filter.Fields{
		"id":          {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
		"displayName": {Kind: filter.Text, Column: "displayName", Fold: strings.ToLower},
	}
	authorityFields = filter.Fields{
		"id":                         {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
		"displayName":                {Kind: filter.Text, Column: "displayName", Fold: strings.ToLower},
		"issuerSubjectKeyIdentifier": {Kind: filter.Text, Column: "issuerSubjectKeyIdentifier", Fold: strings.ToLower},
		"thumbprint":                 {Kind: filter.Text, Column: "thumbprint", Fold: strings.ToLower},
		"certificateAuthorityType":   {Kind: filter.Text, Column: "certificateAuthorityType", Words: map[string]any{"root": "root", "intermediate": "intermediate"}},
	}
)

func containerEntity(k trust.Container) entity {
	return entity{
		"id": string(k.ID), "displayName": k.Name, "status": "succeeded", "statusDetails": "", "lastModifiedDateTime": stamp(k.Changed), "deletedDateTime": stamp(k.Removed),
	}
}

func authorityEntity(a trust.Authority) entity {
	return entity{
		"@odata.etag": authorityTag(a), "id": string(a.ID), "displayName": a.Name, "certificateAuthorityType": authorityType(a.Root),
		"certificate": base64.StdEncoding.EncodeToString(a.Cert.Raw), "certificateRevocationListUrl": orNull(a.CRL), "deltaCertificateRevocationListUrl": orNull(a.Delta),
		// The issuer is that of the certificate, the key identifier the
		// certificate's own: it is what other objects name the authority by.
		"issuer": nameOf(a.Cert.RawIssuer), "issuerSubjectKeyIdentifier": strings.ToUpper(a.Key()), "thumbprint": trust.SHA1(a.Cert),
		"createdDateTime": stamp(a.Created), "expirationDateTime": stamp(a.Cert.NotAfter), "deletedDateTime": stamp(a.Removed), "isIssuerHintEnabled": a.Hint,
		"@signet.isEnabled": a.Enabled, "@signet.ocspUrl": orNull(a.OCSP), "@signet.subject": nameOf(a.Cert.RawSubject),
	}
}

// classicEntity is one of the flat store.
func classicEntity(a trust.Authority) entity {
	return entity{
		"isRootAuthority": a.Root, "certificate": base64.StdEncoding.EncodeToString(a.Cert.Raw), "certificateRevocationListUrl": orNull(a.CRL),
		"deltaCertificateRevocationListUrl": orNull(a.Delta), "issuer": nameOf(a.Cert.RawIssuer), "issuerSki": strings.ToUpper(a.Key()),
	}
}

func authorityType(root bool) string {
	if root {
		return "root"
	}
	return "intermediate"
}

func authorityTag(a trust.Authority) string { return `W/"` + strconv.FormatInt(a.Version, 10) + `"` }

// nameOf is a name as text; one that cannot be written so is left out.
func nameOf(raw []byte) string {
	text, err := pkix.RootFirst(raw)
	if err != nil {
		return ""
	}
	return text
}

// authorityBody is what may be written of an authority. What only we have may
// come back as it was read; of what cannot be written, too, what it says is
// looked at.
type authorityBody struct {
	head
	DisplayName *string `json:"displayName"`
	Type        *string `json:"certificateAuthorityType"`
	Certificate *string `json:"certificate"`
	CRL         orEmpty `json:"certificateRevocationListUrl"`
	Delta       orEmpty `json:"deltaCertificateRevocationListUrl"`
	Hint        *bool   `json:"isIssuerHintEnabled"`
	Enabled     *bool   `json:"@signet.isEnabled"`
	OCSP        orEmpty `json:"@signet.ocspUrl"`
}

// orEmpty is a text that null empties; nil: it was not said.
type orEmpty struct{ said *string }

// UnmarshalJSON reads a text or null.
func (o *orEmpty) UnmarshalJSON(raw []byte) error {
	o.said = new(string)
	return json.Unmarshal(raw, o.said) // null leaves it empty
}

func (in authorityBody) root() (*bool, error) {
	if in.Type == nil {
		return nil, nil
	}
	root := *in.Type == "root"
	if !root && *in.Type != "intermediate" {
		return nil, badProperty("certificateAuthorityType", "The property 'certificateAuthorityType' is root or intermediate.")
	}
	return &root, nil
}

// offer is what a body asks to add.
func (in authorityBody) offer(have []trust.Authority) (trust.Offer, error) {
	if err := in.is("certificateAuthorityDetail"); err != nil {
		return trust.Offer{}, err
	}
	if in.Certificate == nil {
		return trust.Offer{}, required("certificate")
	}
	o, err := oneOffer(*in.Certificate, have)
	if err != nil {
		return o, err
	}
	root, err := in.root()
	if err != nil {
		return o, err
	}
	give(&o.Root, root)
	give(&o.Name, in.DisplayName)
	give(&o.CRL, in.CRL.said)
	give(&o.Delta, in.Delta.said)
	give(&o.OCSP, in.OCSP.said)
	give(&o.Hint, in.Hint)
	o.Disabled = in.Enabled != nil && !*in.Enabled
	return o, nil
}

func give[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// oneOffer reads the one certificate of a property.
func oneOffer(text string, have []trust.Authority) (trust.Offer, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return trust.Offer{}, badProperty("certificate", "The property 'certificate' is not base64.")
	}
	certs, err := trust.Parse(raw)
	if err != nil {
		return trust.Offer{}, err
	}
	if len(certs) != 1 {
		return trust.Offer{}, badProperty("certificate", "The property 'certificate' has "+strconv.Itoa(len(certs))+" certificates, and is for one: upload takes several.")
	}
	return trust.Offers(certs, have)[0], nil
}

// edit is what a body asks to change of an authority.
func (in authorityBody) edit(a trust.Authority) (trust.Edit, error) {
	if err := in.is("certificateAuthorityDetail"); err != nil {
		return trust.Edit{}, err
	}
	if in.Certificate != nil {
		if raw, err := base64.StdEncoding.DecodeString(*in.Certificate); err != nil || !bytes.Equal(raw, a.Cert.Raw) {
			return trust.Edit{}, badProperty("certificate", "The certificate of an authority cannot be changed: add the other one.")
		}
	}
	root, err := in.root()
	return trust.Edit{Name: in.DisplayName, Root: root, Enabled: in.Enabled, CRL: in.CRL.said, Delta: in.Delta.said, OCSP: in.OCSP.said, Hint: in.Hint}, err
}

// chosen is the page that was asked for of what the filter lets pass.
func (c *call) chosen(items []entity) (list, error) {
	items = slices.DeleteFunc(items, func(e entity) bool {
		return !c.query.where.Holds(func(column string) any {
			if s, ok := e[column].(string); ok && column != "certificateAuthorityType" {
				return strings.ToLower(s)
			}
			return e[column]
		})
	})
	out, err := c.part(items)
	out.total = int64(len(items))
	return out, err
}

// removedEntity is one of those that were removed.
func removedEntity(a trust.Authority) entity {
	e := authorityEntity(a)
	e["@odata.type"] = "#microsoft.graph.certificateAuthorityDetail"
	return e
}

// authorityID is an id of a path, as ids are written.
func authorityID(s string) idp.AuthorityID { return idp.AuthorityID(strings.ToLower(s)) }
