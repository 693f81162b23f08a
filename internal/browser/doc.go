// Package browser remembers in which browsers a person has proven themselves
// phishing-resistantly, and by which key such a browser shows that it is the
// same one: a key that its scripts can use and not read, on our origin only. A
// proxy on another origin has neither the cookie nor the key
// (passkeys-and-phone.md §6.7).
//
// What a browser shows is no proof of a person. It says only where a sign-in is
// asked from, to rules that ask that.
package browser
