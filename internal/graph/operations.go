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
		userOperations(), groupOperations(), applicationOperations(), organizationOperations(), methodOperations(), provisionOperations(), auditOperations(), reportOperations(), policyOperations(), strengthOperations(), roleOperations(), deviceOperations(), joinOperations(), keyOperations(), trustOperations(),
	} {
		out = append(out, part...)
	}
	return out
}

func read(permissions ...string) needs { return needs{permissions: permissions, roles: readers} }

func write(roles []Role, permissions ...string) needs {
	return needs{permissions: permissions, roles: roles, writes: true}
}

// Operation is one row of the table of rights, for documentation and tests.
type Operation struct {
	Method, Path, About string
	Permissions         []string // one of them, granted to the application
	Roles               []Role   // one of them, for a person or a token of the command line
	Self                []string // enough for people to do it to themselves
	Fresh               bool     // a person needs a fresh phishing-resistant proof
}

// Operations lists all that this API can do, in the order of its table.
func Operations() []Operation {
	var out []Operation
	for _, o := range operations() {
		out = append(out, Operation{
			Method: o.method, Path: o.path, About: o.about,
			Permissions: o.needs.permissions, Roles: o.needs.roles, Self: o.needs.self, Fresh: o.needs.writes,
		})
	}
	return out
}
