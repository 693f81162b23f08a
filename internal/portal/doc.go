// Package portal is the door for people: the pages on which they sign in, add
// and remove what they sign in with, allow applications, see their sessions,
// and are told what went wrong and what to do.
//
// It owns templates, style, scripts, words and the phrasing of errors for
// pages. It decides nothing: every page load asks signin.Corridor what comes
// next, and what comes next for an application is done by that application's
// own door (Config.Resume). Other doors hand a flow to SignIn, a sign-out to
// ConfirmLogout, and an error to ErrorPage.
//
// No page has an inline script, style or handler; without script the access
// pass, the account page and all questions work. The handles that tests may
// rely on are those of product.md §5.
//
// Specifications: passkeys-and-phone.md §3, §5, §7; security.md 1.10, 1.11;
// WebAuthn Level 3, §5.1 (JSON forms and signals); WCAG 2.2 AA.
package portal
