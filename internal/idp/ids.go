package idp

// Every kind of id has a type of its own, so that mixing two does not compile.
// Ids are not secrets. Those of directory objects are UUIDv4 text without a
// prefix; those of appended rows (sessions, refresh families, audit events)
// are UUIDv7 text, which sorts by time.
type (
	TenantID     string // an organisation
	UserID       string // a person of a tenant; Graph's object id
	GroupID      string // a named set of users
	ClientID     string // an application; OAuth's client_id
	CredentialID string // one thing a user registered for a method
	DeviceID     string // a registered machine
	KeyID        string // a signing or sealing key
	SessionID    string // what a browser holds after a flow
	FamilyID     string // refresh tokens that descend from one another
	FlowID       string // one journey from a door to an outcome
	CeremonyID   string // one challenge to one method in a flow
	EventID      string // one audit record
	AuthorityID  string // a certificate authority that a tenant trusts
	MethodID     string // "passkey", "accessPass", …: the room's own word
)
