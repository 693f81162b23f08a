// Package page is what the pages of all doors have in common: how a page is
// made of a template, words of a catalogue, a frame and files; what headers
// it goes out with; its base style, icons and mark.
//
// A door owns its views, words and style and makes a Set of them. This package
// knows no address and decides nothing.
//
// Specifications: passkeys-and-phone.md §7; security.md 1.11; ../design.
package page
