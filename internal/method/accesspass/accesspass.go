package accesspass

import (
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of this room.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// ID is the method's id.
const ID idp.MethodID = "accessPass"

// Config is what the room needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	// Key gives the tenant's key under which codes are kept.
	Key func(context.Context, idp.TenantID) (*secret.Key, error)
	// Rules gives the tenant's policy for passes.
	Rules func(context.Context, idp.TenantID) (policy.AccessPassRules, error)
	// May says whether a person may sign in with a pass at all: none is
	// issued that would not work.
	May func(context.Context, idp.TenantID, idp.UserID) (policy.Refusal, error)
	// User finds a person by name, or idp.NotFound.
	User func(ctx context.Context, tenant idp.TenantID, name string) (idp.User, error)
}

// Method is the room.
type Method struct{ cfg Config }

var (
	_ method.Method  = (*Method)(nil)
	_ method.Manager = (*Method)(nil)
	_ method.Viewer  = (*Method)(nil)
	_ method.Worker  = (*Method)(nil)
)

// New makes the room.
func New(c Config) *Method { return &Method{cfg: c} }

// ID is ID.
func (m *Method) ID() idp.MethodID { return ID }

// Challenge asks nothing: the code is typed, whoever types it.
func (m *Method) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{Show: json.RawMessage(`{}`)}, nil
}

// View is the row under "other ways".
func (m *Method) View() method.View {
	return method.View{
		Action:   "signin-access-pass",
		Icon:     "ticket",
		Label:    "method.accessPass.label",
		Note:     "method.accessPass.note",
		Fragment: fragment,
	}
}

// fragment is the field of the code. Browsers must not keep it.
const fragment template.HTML = `<input name="access_pass" autocomplete="off" autocapitalize="characters" spellcheck="false" inputmode="text" maxlength="96">`

// Jobs deletes passes that are over.
func (m *Method) Jobs() []job.Job {
	return []job.Job{{Name: "accesspass.sweep", Every: time.Hour, Run: m.sweep}}
}
