package demo

import "time"

// The demo tenant. The domain is reserved for examples (RFC 2606), so no mail
// and no name of a person can be meant.
const (
	TenantName   = "Nordhafen"
	TenantDomain = "nordhafen.example"
	AppName      = "Drawings"
	// PassLife is how long the printed passes are good (decisions 6.2).
	PassLife = 24 * time.Hour
)

// Person is somebody of the demo tenant.
type Person struct {
	Name        string // before the @
	DisplayName string
	Role        string // empty: none
}

// People are the administrator and three users. The first without a role is
// whom the printed text suggests to be.
var People = []Person{
	{"ada", "Ada Lindqvist", "administrator"},
	{"bela", "Béla Kovács", ""},
	{"carmen", "Carmen Ortega", ""},
	{"dev", "Dev Patel", ""},
}

// Facts are what demo.json tells scripts. The names of its fields are those of
// the pages' form fields.
type Facts struct {
	BaseURL      string `json:"base_url"`
	AccountURL   string `json:"account_url"`
	AppURL       string `json:"app_url"`
	TenantID     string `json:"tenant_id"`
	TenantDomain string `json:"tenant_domain"`
	TenantName   string `json:"tenant_name"`
	Issuer       string `json:"issuer"`
	ClientID     string `json:"client_id"`
	// TLSBaseURL is where devices register, and CAFile the certificate (PEM)
	// of the authority that they trust there; empty: nothing listens.
	TLSBaseURL string       `json:"tls_base_url,omitempty"`
	CAFile     string       `json:"ca_file,omitempty"`
	Users      []PersonFact `json:"users"`
}

// PersonFact is one user with the pass that was just made.
type PersonFact struct {
	ID          string    `json:"id"`
	UserName    string    `json:"username"`
	DisplayName string    `json:"display_name"`
	Role        string    `json:"role,omitempty"`
	AccessPass  string    `json:"access_pass"`
	Expires     time.Time `json:"expires"`
}
