package graph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

const methodSet = "users('{id}')/authentication/methods"

// helloMethods are the keys that devices keep, macMethods those that Macs keep,
// phoneMethods phones that are asked, and deviceOf what can come along with a key
// (entra-behaviours.md §2.1).
const (
	helloMethods = "windowsHelloForBusinessMethods"
	macMethods   = "platformCredentialMethods"
	phoneMethods = "microsoftAuthenticatorMethods"
	deviceOf     = "device"
)

func methodOperations() []operation {
	look := needs{
		permissions: []string{"UserAuthenticationMethod.Read.All", "UserAuthenticationMethod.ReadWrite.All"}, roles: readers,
		self: []string{"UserAuthenticationMethod.Read", "UserAuthenticationMethod.ReadWrite"},
	}
	remove := needs{
		permissions: []string{"UserAuthenticationMethod.ReadWrite.All"}, roles: helpdesk,
		self: []string{"UserAuthenticationMethod.ReadWrite"}, writes: true,
	}
	give := write(helpdesk, "UserAuthMethod-TAP.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All")
	var out []operation
	for _, who := range []string{"/me", "/users/{user}"} {
		at := who + "/authentication/"
		out = append(out,
			operation{"GET", at + "methods", methodSet, "All that a person can sign in with", look, options{}, listMethods},
			operation{"GET", at + "methods/{method}", methodSet, "One of them", look, options{}, getMethod},
		)
		for _, collection := range []string{"fido2Methods", phoneMethods, "temporaryAccessPassMethods", helloMethods, macMethods} {
			o := options{}
			if collection == helloMethods || collection == macMethods || collection == phoneMethods {
				o.expand = []string{deviceOf}
			}
			out = append(out,
				operation{"GET", at + collection, methodSet, "Methods of one kind", look, o, listMethods},
				operation{"GET", at + collection + "/{method}", methodSet, "One of them", look, o, getMethod},
				operation{"DELETE", at + collection + "/{method}", "", "Take it away; the last way in stays", remove, options{}, removeMethod},
			)
		}
		out = append(out,
			operation{"GET", at + "operations", "users('{id}')/authentication/operations", "What is under way with somebody's methods: nothing takes long here", look, options{}, listUnderWay},
			operation{"GET", at + "operations/{id}", "users('{id}')/authentication/operations", "One of these", look, options{}, getUnderWay},
		)
	}
	return append(out, operation{"POST", "/users/{user}/authentication/temporaryAccessPassMethods", methodSet,
		"Give a Temporary Access Pass; its code is in this answer and nowhere else", give, options{}, givePass})
}

// collection is the kind of methods that the path names; "" for all.
func (c *call) collection() string {
	_, rest, _ := strings.Cut(c.op.path, "/authentication/")
	name, _, _ := strings.Cut(rest, "/")
	if name == "methods" {
		return ""
	}
	return name
}

// credentials lists what the person of the path has registered, of the path's
// collection, with how each looks.
func (c *call) credentials(ctx context.Context) ([]method.Credential, []entity, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := c.cfg.Corridor.Credentials(ctx, c.tenant.ID, u.ID)
	if err != nil {
		return nil, nil, err
	}
	shapes, only := c.cfg.Corridor.Shapes(), c.collection()
	var kept []method.Credential
	var shown []entity
	for _, cred := range all {
		s, ok := shapes[cred.Method]
		if !ok || only != "" && s.Collection != only {
			continue
		}
		e := methodEntity(cred, s)
		if err := c.withDevice(ctx, e, cred); err != nil {
			return nil, nil, err
		}
		kept, shown = append(kept, cred), append(shown, e)
	}
	return kept, shown, nil
}

func methodEntity(cred method.Credential, s method.Shape) entity {
	e := entity{
		"@odata.type": "#microsoft.graph." + s.Type, "id": cred.ID, "createdDateTime": stamp(cred.Created),
	}
	for name, v := range s.Fields(cred) {
		e[name] = v
	}
	return e
}

// withDevice adds the device that keeps a key when $expand asks for it: null
// when it is gone.
func (c *call) withDevice(ctx context.Context, e entity, cred method.Credential) error {
	delete(e, deviceOf)
	for _, x := range c.query.expand {
		e[x.name] = nil
		if cred.Orphaned || cred.Facts.Device == "" {
			continue
		}
		d, err := c.cfg.Devices.Load(ctx, c.cfg.DB, c.tenant.ID, cred.Facts.Device)
		if errors.Is(err, idp.NotFound) {
			continue // removed between the two reads
		}
		if err != nil {
			return err
		}
		shown, err := deviceEntity(d)
		if err != nil {
			return err
		}
		e[x.name] = pick(shown, x.selected)
	}
	return nil
}

func listMethods(ctx context.Context, c *call) (any, error) {
	_, shown, err := c.credentials(ctx)
	return list{items: shown}, err
}

// one finds the method of the path.
func (c *call) one(ctx context.Context) (method.Credential, entity, error) {
	id := c.r.PathValue("method")
	kept, shown, err := c.credentials(ctx)
	if err != nil {
		return method.Credential{}, nil, err
	}
	for i, cred := range kept {
		if string(cred.ID) == id {
			return cred, shown[i], nil
		}
	}
	return method.Credential{}, nil, missing(idp.NotFound, id)
}

// listUnderWay is the list of long-running operations, which clients of Graph
// poll: every change here is done when it is answered.
func listUnderWay(ctx context.Context, c *call) (any, error) {
	_, err := c.person(ctx)
	return list{}, err
}

func getUnderWay(ctx context.Context, c *call) (any, error) {
	if _, err := c.person(ctx); err != nil {
		return nil, err
	}
	return nil, missing(idp.NotFound, c.r.PathValue("id"))
}

func getMethod(ctx context.Context, c *call) (any, error) {
	_, e, err := c.one(ctx)
	if err != nil {
		return nil, err
	}
	return e, nil
}

func removeMethod(ctx context.Context, c *call) (any, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	cred, _, err := c.one(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.overAdministrators(ctx, u); err != nil {
		return nil, err
	}
	return nil, c.cfg.Corridor.RemoveFor(ctx, c.tenant.ID, u.ID, cred.Method, cred.ID, c.caller.actor(), c.peer())
}

func (c *call) peer() signin.Peer {
	return signin.Peer{IP: web.ClientIP(c.r), Agent: audit.Clean(c.r.UserAgent(), 256), Trace: web.Trace(c.r.Context())}
}

// overAdministrators keeps the help desk from taking over those who stand
// above it (security.md ADM04): a pass or a removed key of an administrator
// needs an administrator.
func (c *call) overAdministrators(ctx context.Context, target idp.User) error {
	if !c.helps(target) {
		return nil
	}
	roles, err := c.cfg.Directory.Roles(ctx, c.tenant.ID, target.ID)
	if err != nil || len(roles) == 0 {
		return err
	}
	return notByHelpDesk()
}

// stillOver is overAdministrators in the transaction of the deed: somebody may
// be given a role at this moment.
func (c *call) stillOver(ctx context.Context, tx *sqldb.Tx, target idp.User) error {
	if !c.helps(target) {
		return nil
	}
	role, err := c.cfg.Directory.RoleIn(ctx, tx, c.tenant.ID, target.ID)
	if err != nil || role == "" {
		return err
	}
	return notByHelpDesk()
}

// helps says whether it is the help desk that acts on somebody else.
func (c *call) helps(target idp.User) bool {
	self := c.caller.user == target.ID && c.me()
	return !self && c.caller.holds([]Role{AuthenticationAdministrator}) && !c.caller.holds(admins)
}

func notByHelpDesk() error {
	return denied("target_is_administrator", "The person has a role; only a Global Administrator may do this.")
}

// passBody is what may be said of a new pass (entra-behaviours.md §11).
type passBody struct {
	Type     *string    `json:"@odata.type"`
	Start    *time.Time `json:"startDateTime"`
	Lifetime *int       `json:"lifetimeInMinutes"`
	Once     *bool      `json:"isUsableOnce"`
}

func givePass(ctx context.Context, c *call) (any, error) {
	var in passBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	u, err := c.person(ctx)
	switch {
	case err != nil:
		return nil, err
	case c.caller.user == u.ID:
		return nil, denied("pass_for_oneself", "Nobody can give a Temporary Access Pass to themselves.")
	case in.Start != nil && in.Start.After(c.cfg.Now().Add(time.Minute)):
		return nil, badProperty("startDateTime", "A pass begins now; one that begins later cannot be made yet.")
	}
	if err := c.overAdministrators(ctx, u); err != nil {
		return nil, err
	}
	if err := c.cfg.PreparePass(ctx, c.tenant.ID); err != nil {
		return nil, err
	}
	lifetime := time.Duration(0)
	if in.Lifetime != nil {
		if *in.Lifetime < 10 || *in.Lifetime > 43200 {
			return nil, badProperty("lifetimeInMinutes", "lifetimeInMinutes is 10 to 43200.")
		}
		lifetime = time.Duration(*in.Lifetime) * time.Minute
	}
	var code string
	var cred method.Credential
	err = c.change(ctx, "tap.issue", u.ID, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if err = c.stillOver(ctx, tx, u); err != nil {
			return err
		}
		if code, cred, err = c.cfg.IssuePass(ctx, tx, c.tenant.ID, u.ID, lifetime, in.Once); err != nil {
			return err
		}
		e.UserName, e.Method, e.Credential = u.Name, policy.AccessPass, cred.ID
		return nil
	})
	if err != nil {
		return nil, err
	}
	shape, ok := c.cfg.Corridor.Shapes()[policy.AccessPass]
	if !ok {
		return nil, errors.New("access passes have no shape")
	}
	e := methodEntity(cred, shape)
	e["temporaryAccessPass"] = code
	return created{e, fmt.Sprintf("/users/%s/authentication/temporaryAccessPassMethods/%s", u.ID, cred.ID)}, nil
}
