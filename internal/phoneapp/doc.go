// Package phoneapp is the web app that a phone opens: the pages, the style, the
// scripts, the manifest and the service worker below /phone. The app can be
// put on the home screen and opens without a connection.
//
// The door knows nobody: every page is the same for everyone, and all that is
// about a person goes over /phone/v1 between the page's script and the phone
// room (docs/phone-protocol.md). Keys, accounts and the history that is shown
// without a connection stay in the browser's own database on the phone.
//
// The service worker's scope is /phone/: it sees no other page, so it can
// never stand between a person and a sign-in. It keeps the app's own files,
// by version, and nothing that a request was answered with.
//
// Specifications: passkeys-and-phone.md §6.2, §6.5, §6.8, §7; design.md §4
// "Phone app"; W3C Web Application Manifest, Service Workers, Push API,
// Trusted Types; Declarative Web Push as of Safari 18.4.
package phoneapp
