// Package policy is rules as data and the one function that judges by them.
//
// Decide is pure: the same policy and question give the same decision, and
// what no rule allows is denied. Store keeps one policy a tenant and hands out
// cached snapshots. The package does no I/O while judging, opens no session
// and phrases nothing for a page; the corridor asks it and acts.
//
// Strengths follow entra-behaviours.md §8.1, the rules for passes
// entra-behaviours.md §11 and decisions 2.8, the two times decisions 2.5.
// security.md 1.12 (POL01–POL04, POL08) is what it answers for.
package policy
