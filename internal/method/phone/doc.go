// Package phone is the method that asks a person's phone: the page shows a
// number, the phone shows where the request comes from and asks for the number,
// finger or face opens the passkey on it, and the phone signs.
//
// It proves possession of one installation of the app, by a key that cannot be
// taken out of it, and of the passkey beside it, with user verification, both
// over one challenge that holds the tenant, the person, the request, the
// number that was typed and all that was shown (security.md PHN03). Its proofs
// claim user-verified, possession and multi-factor; never phishing-resistant:
// nothing in them names the origin of the browser that asked (PHN10).
//
// What it does not defend: whoever shows a person the genuine number on a page
// of their own gets the session, unless the tenant lets known browsers ask
// only (package browser). See docs/phone-protocol.md, and ADR 0022.
//
// Specifications: passkeys-and-phone.md §6; security.md 1.6; decisions 2.7 to
// 2.10, 5.3.
package phone
