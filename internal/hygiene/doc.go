// Package hygiene lists the keys that people hold on devices and elsewhere, and
// clears away those that nobody needs any more: by a file that was looked
// through, or by a rule.
//
// Nothing is cleared unless somebody asks for it twice: a clean is tried first.
// What it removes can be restored for thirty days, and nobody loses their last
// way in by it; both are the corridor's to see to. It knows no tables.
//
// The columns of the file are those of existing tools for the same purpose
// (entra-behaviours.md §10), and one more for the last use.
package hygiene
