package graph

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// Where certificate authorities are, the flat list that older programs know
// included.
const (
	containersAt = "/directory/publicKeyInfrastructure/certificateBasedAuthConfigurations"
	removedAt    = "/directory/deletedItems"
	classicAt    = "/organization/{organization}/certificateBasedAuthConfiguration"
)

// trustOperations are about certificate authorities. Graph asks for the role of
// a Privileged Authentication Administrator to change them; here that is a
// Global Administrator's to do.
func trustOperations() []operation {
	look := read("PublicKeyInfrastructure.Read.All", "PublicKeyInfrastructure.ReadWrite.All")
	change := write(admins, "PublicKeyInfrastructure.ReadWrite.All")
	lookClassic, changeClassic := read("Organization.Read.All", "Directory.Read.All", "Organization.ReadWrite.All"), write(admins, "Organization.ReadWrite.All")
	containers := strings.TrimPrefix(containersAt, "/")
	one := containersAt + "/{pki}"
	within, set := one+"/certificateAuthorities", containers+"('{pki}')/certificateAuthorities"
	many := options{list: true, count: true, fields: authorityFields}
	return []operation{
		{"GET", containersAt, containers, "List containers of certificate authorities", look, options{list: true, count: true, fields: containerFields}, listContainers},
		{"POST", containersAt, containers, "Make a container", change, options{}, createContainer},
		{"GET", one, containers, "One container", look, options{}, getContainer},
		{"PATCH", one, "", "Give a container another name", change, options{}, updateContainer},
		{"DELETE", one, "", "Remove a container and the authorities in it; each can be restored for 30 days", change, options{}, deleteContainer},
		{"POST", one + "/upload", "", "Add the authorities of a PKCS#7 or PEM file, all or none; the file is in the request", change, options{}, uploadAuthorities},
		{"GET", within, set, "List the authorities in a container", look, many, listAuthorities},
		{"POST", within, set, "Add an authority", change, options{}, createAuthority},
		{"GET", within + "/{authority}", set, "One authority", look, options{}, getAuthority},
		{"PATCH", within + "/{authority}", "", "Change name, kind, addresses of lists, or whether it is on; with If-Match only what was read", change, options{}, updateAuthority},
		{"DELETE", within + "/{authority}", "", "Remove an authority; it can be restored for 30 days", change, options{}, deleteAuthority},
		{"GET", removedAt + "/microsoft.graph.certificateAuthorityDetail", "directory/deletedItems/microsoft.graph.certificateAuthorityDetail",
			"Authorities that can be restored", look, many, listRemovedAuthorities},
		{"POST", removedAt + "/{authority}/restore", "directoryObjects", "Bring an authority back that was removed", change, options{}, restoreAuthority},
		{"GET", classicAt, "organization('{organization}')/certificateBasedAuthConfiguration", "All authorities as one flat list", lookClassic, options{}, listClassic},
		{"POST", classicAt, "organization('{organization}')/certificateBasedAuthConfiguration", "Add authorities to it, all or none", changeClassic, options{}, createClassic},
		{"GET", classicAt + "/{classic}", "organization('{organization}')/certificateBasedAuthConfiguration", "The flat list", lookClassic, options{}, getClassic},
		{"DELETE", classicAt + "/{classic}", "", "Remove all authorities; each can be restored for 30 days", changeClassic, options{}, deleteClassic},
	}
}

// authorities gives the store.
func (c *call) authorities() *trust.Store { return c.cfg.Trust }

// container is the one of the path.
func (c *call) container(ctx context.Context, q sqldb.Querier) (trust.Container, error) {
	id := c.r.PathValue("pki")
	k, err := c.authorities().Container(ctx, q, c.tenant.ID, trust.ContainerID(strings.ToLower(id)))
	return k, missing(err, id)
}

func listContainers(ctx context.Context, c *call) (any, error) {
	all, err := c.authorities().Containers(ctx, c.cfg.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	var out []entity
	for _, k := range all {
		out = append(out, containerEntity(k))
	}
	return c.chosen(out)
}

func getContainer(ctx context.Context, c *call) (any, error) {
	k, err := c.container(ctx, c.cfg.DB)
	if err != nil {
		return nil, err
	}
	return containerEntity(k), nil
}

// containerName reads the one thing that may be written of a container.
func (c *call) containerName() (string, error) {
	var in struct {
		head
		DisplayName *string `json:"displayName"`
	}
	if err := c.body(&in); err != nil {
		return "", err
	}
	if err := in.is("certificateBasedAuthPki"); err != nil {
		return "", err
	}
	if in.DisplayName == nil {
		return "", required("displayName")
	}
	return *in.DisplayName, nil
}

func createContainer(ctx context.Context, c *call) (any, error) {
	name, err := c.containerName()
	if err != nil {
		return nil, err
	}
	var k trust.Container
	err = c.change(ctx, "cert-authority.createContainer", "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		if k, err = c.authorities().CreateContainer(ctx, tx, c.tenant.ID, name); err != nil {
			return err
		}
		e.Detail["container"], e.Detail["displayName"] = string(k.ID), k.Name
		return nil
	})
	if err != nil {
		return nil, err
	}
	return created{containerEntity(k), containersAt + "/" + string(k.ID)}, nil
}

func updateContainer(ctx context.Context, c *call) (any, error) {
	name, err := c.containerName()
	if err != nil {
		return nil, err
	}
	err = c.change(ctx, "cert-authority.renameContainer", "", func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		was, err := c.container(ctx, tx)
		if err != nil {
			return err
		}
		k, err := c.authorities().RenameContainer(ctx, tx, c.tenant.ID, was.ID, name)
		e.Detail["container"], e.Detail["displayName"] = string(was.ID), was.Name+" -> "+k.Name
		return err
	})
	return nil, err
}

func deleteContainer(ctx context.Context, c *call) (any, error) {
	return nil, c.changeAuthorities(ctx, "cert-authority.remove", func(ctx context.Context, tx *sqldb.Tx) ([]trust.Authority, error) {
		k, err := c.container(ctx, tx)
		if err != nil {
			return nil, err
		}
		gone, err := c.authorities().RemoveContainer(ctx, tx, c.tenant.ID, k.ID)
		if err != nil {
			return nil, err
		}
		e := c.record(ctx, "cert-authority.removeContainer", "")
		e.Detail["container"], e.Detail["displayName"] = string(k.ID), k.Name
		return gone, c.cfg.Audit.Write(ctx, tx, e)
	})
}

// changeAuthorities runs fn and writes the record of each authority that it
// gives, in one transaction.
func (c *call) changeAuthorities(ctx context.Context, activity string, fn func(context.Context, *sqldb.Tx) ([]trust.Authority, error)) error {
	return c.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		all, err := fn(ctx, tx)
		if err != nil {
			return err
		}
		for _, a := range all {
			e := c.record(ctx, activity, "")
			e.Detail = trust.Told(a)
			if err := c.cfg.Audit.Write(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// uploadAuthorities adds a whole file. Graph's own action names an address from
// which the file is fetched later; here the file comes with the request.
func uploadAuthorities(ctx context.Context, c *call) (any, error) {
	var in struct {
		head
		URL  *string `json:"uploadUrl"`
		Hash *string `json:"sha256FileHash"`
		File *string `json:"@signet.file"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if in.URL != nil || in.Hash != nil {
		return nil, badProperty("uploadUrl", "Files are not fetched from an address here: send the file itself, in base64, as '@signet.file'.")
	}
	if in.File == nil {
		return nil, required("@signet.file")
	}
	raw, err := base64.StdEncoding.DecodeString(*in.File)
	if err != nil {
		return nil, badProperty("@signet.file", "The property '@signet.file' is not base64.")
	}
	certs, err := trust.Parse(raw)
	if err != nil {
		return nil, err
	}
	return nil, c.changeAuthorities(ctx, "cert-authority.add", func(ctx context.Context, tx *sqldb.Tx) ([]trust.Authority, error) {
		k, err := c.container(ctx, tx)
		if err != nil {
			return nil, err
		}
		have, err := c.authorities().List(ctx, tx, c.tenant.ID)
		if err != nil {
			return nil, err
		}
		return c.authorities().Add(ctx, tx, c.tenant.ID, k.ID, trust.Offers(certs, have))
	})
}

func listAuthorities(ctx context.Context, c *call) (any, error) {
	k, err := c.container(ctx, c.cfg.DB)
	if err != nil {
		return nil, err
	}
	all, err := c.authorities().List(ctx, c.cfg.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	var out []entity
	for _, a := range all {
		if a.Container == k.ID {
			out = append(out, authorityEntity(a))
		}
	}
	return c.chosen(out)
}

func listRemovedAuthorities(ctx context.Context, c *call) (any, error) {
	all, err := c.authorities().Removed(ctx, c.cfg.DB, c.tenant.ID)
	if err != nil {
		return nil, err
	}
	var out []entity
	for _, a := range all {
		out = append(out, removedEntity(a))
	}
	return c.chosen(out)
}

// authority is the one of the path, in the container of the path.
func (c *call) authority(ctx context.Context, q sqldb.Querier) (trust.Authority, error) {
	id := c.r.PathValue("authority")
	k, err := c.container(ctx, q)
	if err != nil {
		return trust.Authority{}, err
	}
	a, err := c.authorities().Get(ctx, q, c.tenant.ID, authorityID(id))
	if err == nil && (a.Container != k.ID || !a.Removed.IsZero()) {
		err = missing(idp.NotFound, id)
	}
	return a, missing(err, id)
}

func getAuthority(ctx context.Context, c *call) (any, error) {
	a, err := c.authority(ctx, c.cfg.DB)
	if err != nil {
		return nil, err
	}
	return authorityEntity(a), nil
}

func createAuthority(ctx context.Context, c *call) (any, error) {
	var in authorityBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	var made trust.Authority
	err := c.changeAuthorities(ctx, "cert-authority.add", func(ctx context.Context, tx *sqldb.Tx) ([]trust.Authority, error) {
		k, err := c.container(ctx, tx)
		if err != nil {
			return nil, err
		}
		have, err := c.authorities().List(ctx, tx, c.tenant.ID)
		if err != nil {
			return nil, err
		}
		o, err := in.offer(have)
		if err != nil {
			return nil, err
		}
		all, err := c.authorities().Add(ctx, tx, c.tenant.ID, k.ID, []trust.Offer{o})
		if err == nil {
			made = all[0]
		}
		return all, err
	})
	if err != nil {
		return nil, err
	}
	return created{authorityEntity(made), containersAt + "/" + string(made.Container) + "/certificateAuthorities/" + string(made.ID)}, nil
}

func updateAuthority(ctx context.Context, c *call) (any, error) {
	var in authorityBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	return nil, c.changeAuthority(ctx, "cert-authority.update", func(ctx context.Context, tx *sqldb.Tx, a trust.Authority) (trust.Authority, error) {
		edit, err := in.edit(a)
		if err != nil {
			return a, err
		}
		return c.authorities().Update(ctx, tx, c.tenant.ID, a.ID, a.Version, edit)
	})
}

func deleteAuthority(ctx context.Context, c *call) (any, error) {
	return nil, c.changeAuthority(ctx, "cert-authority.remove", func(ctx context.Context, tx *sqldb.Tx, a trust.Authority) (trust.Authority, error) {
		return c.authorities().Remove(ctx, tx, c.tenant.ID, a.ID)
	})
}

// changeAuthority changes the one of the path, if it is still what the caller
// has read.
func (c *call) changeAuthority(ctx context.Context, activity string, fn func(context.Context, *sqldb.Tx, trust.Authority) (trust.Authority, error)) error {
	var now trust.Authority
	err := c.changeAuthorities(ctx, activity, func(ctx context.Context, tx *sqldb.Tx) ([]trust.Authority, error) {
		a, err := c.authority(ctx, tx)
		if err != nil {
			return nil, err
		}
		if !matches(c.ifMatch(), authorityTag(a)) {
			return nil, idp.Conflictf(stale, "authority %s is of version %d", a.ID, a.Version).
				Say("The certificate authority was changed after you read it. Read it again, and make your change to that.")
		}
		now, err = fn(ctx, tx, a)
		return []trust.Authority{now}, err
	})
	if err == nil {
		c.w.Header().Set("ETag", authorityTag(now))
	}
	return err
}

func restoreAuthority(ctx context.Context, c *call) (any, error) {
	id := c.r.PathValue("authority")
	var back trust.Authority
	err := c.changeAuthorities(ctx, "cert-authority.restore", func(ctx context.Context, tx *sqldb.Tx) (_ []trust.Authority, err error) {
		back, err = c.authorities().Restore(ctx, tx, c.tenant.ID, authorityID(id))
		return []trust.Authority{back}, err
	})
	if err != nil {
		return nil, missing(err, id)
	}
	return removedEntity(back), nil
}

// classic is the flat list of all authorities, if the path names the tenant.
func (c *call) classic(ctx context.Context, q sqldb.Querier) ([]trust.Authority, error) {
	if id := c.r.PathValue("organization"); !strings.EqualFold(id, string(c.tenant.ID)) {
		return nil, missing(idp.NotFound, id)
	}
	if id := c.r.PathValue("classic"); id != "" && !strings.EqualFold(id, classicID) {
		return nil, missing(idp.NotFound, id)
	}
	return c.authorities().List(ctx, q, c.tenant.ID)
}

func classicList(all []trust.Authority) entity {
	flat := []entity{}
	for _, a := range all {
		flat = append(flat, classicEntity(a))
	}
	return entity{"id": classicID, "certificateAuthorities": flat}
}

func listClassic(ctx context.Context, c *call) (any, error) {
	all, err := c.classic(ctx, c.cfg.DB)
	if err != nil || len(all) == 0 {
		return list{}, err
	}
	return list{items: []entity{classicList(all)}}, nil
}

func getClassic(ctx context.Context, c *call) (any, error) {
	all, err := c.classic(ctx, c.cfg.DB)
	if err == nil && len(all) == 0 {
		err = missing(idp.NotFound, c.r.PathValue("classic"))
	}
	if err != nil {
		return nil, err
	}
	return classicList(all), nil
}

// classicBody is what may be written of the flat list.
type classicBody struct {
	head
	Authorities []struct {
		ODataType   *string `json:"@odata.type"`
		Root        *bool   `json:"isRootAuthority"`
		Certificate *string `json:"certificate"`
		CRL         orEmpty `json:"certificateRevocationListUrl"`
		Delta       orEmpty `json:"deltaCertificateRevocationListUrl"`
		Issuer      *string `json:"issuer"`    // follows from the certificate
		SKI         *string `json:"issuerSki"` // likewise
	} `json:"certificateAuthorities"`
}

func (in classicBody) offers(have []trust.Authority) ([]trust.Offer, error) {
	var out []trust.Offer
	for i, one := range in.Authorities {
		if one.Certificate == nil {
			return nil, required(index("certificateAuthorities", i) + "/certificate")
		}
		o, err := oneOffer(*one.Certificate, have)
		if err != nil {
			return nil, err
		}
		give(&o.Root, one.Root)
		give(&o.CRL, one.CRL.said)
		give(&o.Delta, one.Delta.said)
		out = append(out, o)
	}
	if len(out) == 0 {
		return nil, required("certificateAuthorities")
	}
	return out, nil
}

func createClassic(ctx context.Context, c *call) (any, error) {
	var in classicBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	var all []trust.Authority
	err := c.changeAuthorities(ctx, "cert-authority.add", func(ctx context.Context, tx *sqldb.Tx) ([]trust.Authority, error) {
		have, err := c.classic(ctx, tx)
		if err != nil {
			return nil, err
		}
		offers, err := in.offers(have)
		if err != nil {
			return nil, err
		}
		made, err := c.authorities().Add(ctx, tx, c.tenant.ID, "", offers)
		all = slices.Concat(have, made)
		return made, err
	})
	if err != nil {
		return nil, err
	}
	return created{classicList(all), strings.Replace(classicAt, "{organization}", string(c.tenant.ID), 1) + "/" + classicID}, nil
}

func deleteClassic(ctx context.Context, c *call) (any, error) {
	return nil, c.changeAuthorities(ctx, "cert-authority.remove", func(ctx context.Context, tx *sqldb.Tx) ([]trust.Authority, error) {
		all, err := c.classic(ctx, tx)
		if err != nil {
			return nil, err
		}
		for i, a := range all {
			if all[i], err = c.authorities().Remove(ctx, tx, c.tenant.ID, a.ID); errors.Is(err, idp.NotFound) {
				continue // somebody else has
			} else if err != nil {
				return nil, err
			}
		}
		return all, nil
	})
}
