package idp

import "time"

// UserType says whether a person is at home in the tenant.
type UserType string

// The two types, spelled as Graph spells userType.
const (
	Member UserType = "member"
	Guest  UserType = "guest"
)

// Tenant is an organisation. Every row but this one belongs to a tenant.
type Tenant struct {
	ID      TenantID
	Name    string // shown on pages
	Domain  string // the first verified domain name, lower case
	Created time.Time
}

// User is a person of a tenant.
type User struct {
	ID          UserID
	Tenant      TenantID
	Name        string // user principal name, as typed when created: ada@nordhafen.example
	DisplayName string
	Enabled     bool
	Type        UserType
	Created     time.Time
}

// Known says whether u names a person at all; the zero User does not.
func (u User) Known() bool { return u.ID != "" }
