// Package accesspass is a short code that an administrator hands to a person
// who has nothing else yet: a first sign-in, or a lost key.
//
// It proves possession of the code and claims nothing more; policy decides
// what that is good for (registering a method, and no more, unless the tenant
// says otherwise: decisions 2.8). The room owns the table access_pass, at most
// one pass a person. Codes are random, shown once and kept as HMACs; the first
// four characters select the pass, and only tries with the right ones count
// towards the five that it has, so that a stranger cannot use it up
// (decisions 1.5). Delivery of the code is the administrator's affair, and
// throttling by source is the door's.
//
// It does not defend against somebody who reads the code over a shoulder.
//
// Specifications: spec/entra-behaviours.md §11, spec/security.md POL04, T16.
package accesspass
