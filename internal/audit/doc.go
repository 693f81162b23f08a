// Package audit is the append-only record of who did what.
//
// It owns the table of events. An event is written in the transaction of the
// deed it tells of: both are there or neither (security.md LOG03). Rooms and
// doors write; the account pages and, later, reports read. The one row that
// ever changes is that of anonymous failures beyond a rate, which counts
// (decisions 3.5). Text from outside is made harmless and capped here
// (LOG02); secrets must not reach this package at all.
package audit
