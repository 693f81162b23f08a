// Package policy is rules as data and the one evaluator that judges by them.
//
// Policy says who may use which method, with which keys, and which proofs meet
// which strength. Judge rules on one person, method and credential; Decide on a
// flow, by asking Judge about each proof; Preview and LocksOut on a change, by
// asking Judge under both policies. So registration, sign-in, reports and
// previews cannot disagree. All of it is pure: the same input gives the same
// answer, what no rule allows is refused, and every refusal names its rule.
//
// Check finds what contradicts itself, Parse and Format are the form that
// people write, Store keeps one policy a tenant and hands out cached
// snapshots. The package opens no session and phrases nothing for a page.
//
// Methods, targets and profiles follow entra-behaviours.md §1, strengths §8,
// passes §11 and decisions 2.8, the two times decisions 2.5, the Platform
// Credential decisions 5.1. security.md 1.12 (POL01–POL04, POL08) and WAN07,
// WAN09 are what it answers for.
package policy
