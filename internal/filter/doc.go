// Package filter is a small language of conditions over named fields, read
// from the text of an OData $filter and written as SQL.
//
// It owns the grammar, its limits and the SQL; which fields there are, and in
// which columns they live, says the package that has the table. Nothing of the
// text gets into the SQL: names come from Fields, values are arguments.
//
// The grammar is the part of OData 4.01, Part 2 (URL Conventions), Section
// 5.1.1 that clients of directories use: eq, ne, ge, gt, le, lt, in,
// startswith, and, or, not, parentheses, and any() over a list with one
// comparison. security.md ADM05 is what it answers for.
package filter
