// Package report tells what the people of a tenant have registered: how many
// hold what as their strongest way in, today and on each day before, and the
// same person by person.
//
// It owns the one ranking of ways in (Class) and the table report_day. People,
// keys and rules are read through Sources, which the corridor has; the policy
// judges what of it counts today. Nothing here is ever decided by a report.
//
// Specification: entra-behaviours.md §12.3.
package report
