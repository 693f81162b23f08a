// Package graph is the door for administrators' programs and for people's own
// data: a JSON API with the paths, names and shapes of Microsoft Graph, so that
// clients which exist work against it.
//
// It parses, checks rights, calls one function below and phrases. It owns the
// table of operations (what exists, and who may), the OData options that
// clients use, and the shape of replies and errors. It owns no noun, no SQL
// and no rule: those are the registries' and policy's.
//
// entra-behaviours.md §1, §2, §11, §12 and §15 say what it looks like;
// security.md 1.13 (ADM02–ADM05) is what it answers for. openapi.yaml
// describes it, and a test holds the two together.
package graph
