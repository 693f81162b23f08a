package graph

import "context"

// operation is one thing that this API can do.
type operation struct {
	method  string
	path    string // below the version, as http.ServeMux writes patterns
	set     string // what it answers, for @odata.context
	about   string // one line for openapi.yaml and the documentation
	needs   needs
	options options
	do      func(context.Context, *call) (any, error)
}

var (
	readers  = []Role{GlobalAdministrator, AuthenticationAdministrator, GlobalReader}
	admins   = []Role{GlobalAdministrator}
	helpdesk = []Role{GlobalAdministrator, AuthenticationAdministrator}
)

// operations is everything that there is. A path that is not here does not
// exist, whoever asks.
func operations() []operation {
	var out []operation
	for _, part := range [][]operation{
		userOperations(), groupOperations(), organizationOperations(), methodOperations(), auditOperations(),
	} {
		out = append(out, part...)
	}
	return out
}

func read(permissions ...string) needs { return needs{permissions: permissions, roles: readers} }

func write(roles []Role, permissions ...string) needs {
	return needs{permissions: permissions, roles: roles, writes: true}
}
