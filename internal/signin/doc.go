// Package signin is the corridor: the one way from a door to a session.
//
// It owns Flow (a person's journey, sealed until something is proven) and
// Ceremony (one challenge to one method, answered once, then burnt), asks the
// method rooms for proofs and policy for a decision, and writes everything
// that follows in one transaction that always commits: burn first, then the
// effect or the counted failure. It knows rooms only as method.Method, phrases
// nothing for pages and speaks no outside protocol: doors do.
//
// Doors call Start, Resume, Next, Begin and Answer for pages; Ask, Watch,
// AskAgain and Withdraw for methods whose answer comes by another road; Once for
// protocols whose whole answer is one message, Carried and Bring for what
// devices carry from sign-ins made before, and the account page calls
// BeginRegister, FinishRegister, Rename and Remove. Consent and Later take a
// person's answer to what a finished sign-in still asks. signin/signintest is the
// battery that every room runs through the real corridor.
//
// Specifications: decisions.md 1 and 2, spec/security.md 1.3, 1.6, 1.10 and 1.12;
// ADR 0022.
package signin
