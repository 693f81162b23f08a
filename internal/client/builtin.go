package client

import (
	"context"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pssowire"
)

// Applications that are built in: the ids that published clients of the device
// protocols carry in their programs (device-protocol.md §1.4), our own desktop
// agent, and Macs. They exist in every tenant that has devices on, in no table
// and in no list, and nobody can register one of these ids.
const (
	// Broker signs people in for a whole device; the first client of most.
	Broker idp.ClientID = "29d9ed98-a469-4536-ade2-f981bc1d605e"
	// BrokerInPRT is what a broker calls itself inside messages that are
	// signed with a PRT's key. It has no grant of its own here.
	BrokerInPRT idp.ClientID = "38aa3b87-a06d-4817-b275-7a316988d93b"
	// LinuxBroker is the broker of Linux desktops.
	LinuxBroker idp.ClientID = "b743a22d-6705-4147-8670-d92fa515ee2b"
	// Registration registers devices and enriches what they hold.
	Registration idp.ClientID = "dd762716-544d-4aeb-a526-687b73838a22"
	// Shell is the directory's command line.
	Shell idp.ClientID = "1b730954-1685-4b74-9bfd-dac224a7b894"
	// PortalPages is asked for as a resource, to have a fresh proof made.
	PortalPages idp.ClientID = "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"
	// LinuxBrowser is a browser that is signed in as a whole.
	LinuxBrowser idp.ClientID = "d7b530a4-7680-4c23-a8bf-c52c121d2e87"
	// Enrolment enrols many machines at once.
	Enrolment idp.ClientID = "b90d5b8f-5503-4153-b545-b31cecfaece2"
	// Agent is our own desktop agent: loopback redirect, PKCE, device code.
	Agent idp.ClientID = "114e5d13-4169-4933-b01f-300e4b36e73f"
	// MacSSO is what all Macs are in Platform SSO.
	MacSSO idp.ClientID = pssowire.ClientID
)

// DeviceRegistration is the resource of the device registration service; its
// spelling is compared by clients (device-protocol.md §0.17).
const DeviceRegistration = "urn:ms-drs:enterpriseregistration.windows.net"

// DirectoryAPI is what built-in applications call the administration API; with a
// token for it they read there what the person may read of themselves.
const DirectoryAPI = "https://graph.microsoft.com"

// The other resources that built-in applications may have tokens for, in the
// form that a token's audience has. Nothing here accepts those that begin with
// spn: they are known because clients ask for them on their way.
const (
	resourceOldGraph   = "https://graph.windows.net"
	resourceEnrolment  = "https://enrollment.manage.microsoft.com"
	resourceManagement = "spn:0000000a-0000-0000-c000-000000000000" // [I] the form with spn
	resourceUpdatePRT  = "urn:aad:tb:update:prt"
	resourcePortal     = "spn:" + string(PortalPages) // [I] the form with spn
)

// nativeClientRedirect is the address that native clients share (compat.nativeClientRedirect).
const nativeClientRedirect = "https://login.microsoftonline.com/common/oauth2/nativeclient"

// MacRedirect is where the web view of the extension on a Mac is sent back to.
const MacRedirect = "signet-psso://signed-in"

// aliases are the ids that clients send in the place of a resource.
var aliases = map[string]string{
	"01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9": DeviceRegistration,
	"00000003-0000-0000-c000-000000000000": DirectoryAPI,
	"00000002-0000-0000-c000-000000000000": resourceOldGraph,
	"0000000a-0000-0000-c000-000000000000": resourceManagement,
	string(PortalPages):                    resourcePortal,
}

// Canonical is the one form of a resource that built-in applications ask for
// in several; other names come back as they are.
func Canonical(resource string) string {
	short := strings.TrimRight(resource, "/")
	if c, ok := aliases[strings.ToLower(short)]; ok {
		return c
	}
	for _, known := range everything {
		if strings.EqualFold(known, short) {
			return known
		}
	}
	return resource
}

// everything lists the resources of the brokers.
var everything = []string{
	DeviceRegistration, DirectoryAPI, resourceOldGraph, resourceEnrolment, resourceManagement, resourceUpdatePRT, resourcePortal,
}

// userImpersonation is the one scope that built-in applications have at a
// resource: to act as the person. It gives no role (decisions 4.3).
const userImpersonation = "/user_impersonation"

// DefaultScope is all that a built-in application may have at a resource.
func DefaultScope(resource string) string { return Canonical(resource) + userImpersonation }

// GrantDeviceCode is the device authorization grant (RFC 8628).
const GrantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"

// shortDeviceCode is what administrators may write for it.
const shortDeviceCode = "device_code"

// Devices are the rules of a tenant that built-in applications depend on, as
// its policy has them.
type Devices struct {
	On                   bool // devices.on: there are built-in applications
	NativeClientRedirect bool // compat.nativeClientRedirect
	BrokerWithoutPKCE    bool // compat.brokerWithoutPkce
}

// builtIn is one row of the table.
type builtIn struct {
	id        idp.ClientID
	name      string // as pages and the log show it; nobody else may have it
	redirects []string
	native    bool // nativeClientRedirect, where the tenant allows it
	noPKCE    bool // codes without PKCE, where the tenant allows it
	grants    []string
	resources []string
}

const pluginScheme = "ms-appx-web://Microsoft.AAD.BrokerPlugin/"

var (
	interactive = []string{GrantCode, GrantRefresh}
	alsoByCode  = []string{GrantCode, GrantRefresh, GrantDeviceCode}
)

// table is device-protocol.md §1.4, and ours. Redirect URIs are compared byte for byte;
// those of private schemes have no port that could vary.
var table = []builtIn{
	{
		id: Broker, name: "Device sign-in", native: true, noPKCE: true, grants: alsoByCode, resources: everything,
		redirects: []string{"msauth://Microsoft.AAD.BrokerPlugin", "ms-aadj-redir://auth/drs", pluginScheme + string(Broker), pluginScheme + "DRS"},
	},
	{id: BrokerInPRT, name: "Device sign-in broker", resources: everything},
	{
		id: LinuxBroker, name: "Linux desktop sign-in", native: true, noPKCE: true, grants: alsoByCode, resources: everything,
		redirects: []string{"companyportal://com.microsoft.CompanyPortal", "himmelblau://Himmelblau.EntraId.BrokerPlugin", pluginScheme + string(LinuxBroker)},
	},
	{
		id: Registration, name: "Device registration", native: true, grants: alsoByCode,
		resources: []string{DeviceRegistration, resourceUpdatePRT},
		redirects: []string{pluginScheme + string(Registration), pluginScheme + "DRS"},
	},
	{
		id: Shell, name: "Directory command line", native: true, grants: alsoByCode,
		resources: []string{DeviceRegistration, DirectoryAPI, resourceOldGraph},
		redirects: []string{pluginScheme + string(Shell)},
	},
	{
		id: LinuxBrowser, name: "Linux browser", native: true, grants: interactive, resources: []string{DirectoryAPI},
		redirects: []string{pluginScheme + string(LinuxBrowser)},
	},
	{
		id: Enrolment, name: "Device enrolment", native: true, grants: interactive, resources: []string{DeviceRegistration},
		redirects: []string{pluginScheme + string(Enrolment)},
	},
	{id: PortalPages, name: "Sign-in portal"},
	{
		id: Agent, name: "Signet desktop agent", grants: alsoByCode, resources: []string{DeviceRegistration},
		redirects: []string{"http://127.0.0.1/", "http://[::1]/"},
	},
	{
		// The scheme is that of our extension's web view; the loopback is for
		// what stands in for a Mac. [ours]
		id: MacSSO, name: "macOS Platform SSO", grants: interactive, resources: []string{DeviceRegistration},
		redirects: []string{MacRedirect, "http://127.0.0.1/", "http://[::1]/"},
	},
}

// client is the application of a tenant with these rules.
func (b builtIn) client(d Devices) Client {
	c := Client{
		ID: b.id, Name: b.name, Kind: Native, Auth: AuthNone, Alg: "ES256", Subject: SubjectPublic, Sector: string(b.id),
		RedirectURIs: slices.Clone(b.redirects), ResponseModes: []string{ModeQuery}, Grants: slices.Clone(b.grants),
		FirstParty: true, Enabled: true, BuiltIn: true, WithoutPKCE: b.noPKCE && d.BrokerWithoutPKCE,
	}
	if b.native && d.NativeClientRedirect {
		c.RedirectURIs = append(c.RedirectURIs, nativeClientRedirect)
	}
	for _, res := range b.resources {
		c.Scopes = append(c.Scopes, res+userImpersonation)
	}
	return c
}

// IsBuiltIn says whether the id is one that is built in, whether or not the
// tenant has devices on.
func IsBuiltIn(id idp.ClientID) bool {
	return slices.ContainsFunc(table, func(b builtIn) bool { return strings.EqualFold(string(b.id), string(id)) })
}

// builtIns are the applications under every set of rules, made once.
type builtIns map[Devices]map[idp.ClientID]Client

func newBuiltIns() builtIns {
	out := make(builtIns)
	for _, d := range []Devices{
		{On: true},
		{On: true, NativeClientRedirect: true},
		{On: true, BrokerWithoutPKCE: true},
		{On: true, NativeClientRedirect: true, BrokerWithoutPKCE: true},
	} {
		out[d] = make(map[idp.ClientID]Client, len(table))
		for _, b := range table {
			out[d][b.id] = b.client(d)
		}
	}
	return out
}

// builtIn finds an application that is built in: NotFound while the tenant has
// devices off, whatever a table says.
func (r *Registry) builtIn(ctx context.Context, t idp.TenantID, id idp.ClientID) (Client, error) {
	if r.cfg.Devices == nil {
		return Client{}, nothing(id)
	}
	d, err := r.cfg.Devices(ctx, t)
	if err != nil {
		return Client{}, err
	}
	c, ok := r.builtIns[d][idp.ClientID(strings.ToLower(string(id)))]
	if !ok {
		return Client{}, nothing(id)
	}
	c.Tenant = t
	return c, nil
}

// BuiltIn lists the applications that are built in, in the order of the
// protocol's table: none while the tenant has devices off. List has them not.
func (r *Registry) BuiltIn(ctx context.Context, t idp.TenantID) ([]Client, error) {
	if r.cfg.Devices == nil {
		return nil, nil
	}
	d, err := r.cfg.Devices(ctx, t)
	if err != nil || !d.On {
		return nil, err
	}
	var out []Client
	for _, b := range table {
		c := r.builtIns[d][b.id]
		c.Tenant = t
		out = append(out, c)
	}
	return out, nil
}
