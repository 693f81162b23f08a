// Package platform is the room of the keys that Macs keep for their people in
// the Secure Enclave: Platform Credentials, by which macOS signs somebody in at
// the login window (Platform SSO, method UserSecureEnclaveKey). It registers
// them, proves people by them, and owns their rows.
//
// A proof of this room is phishing-resistant, possession and multi-factor: the
// Mac's own login opens the key. It is user-verified only when the key was made
// to ask for a finger or a watch at every use, and hardware-bound only when the
// key was attested. There is nothing of it on a page: it is the method of one
// message (method.OneShot). The door verifies the Mac and opens the nonces, the
// room judges the assertion that the user key signed. One key a person and Mac:
// a new one takes the place of the old. A removed key is kept for thirty days
// and can be restored; a key whose Mac was removed is orphaned, proves nobody
// any more and is deleted after as many.
//
// It issues nothing, burns nothing and knows no policy. Smart cards are the
// certificate room's. It does not defend against a Mac whose login is known,
// and what a biometric policy says of a key only the extension knows: it is
// written down as the registration had it.
//
// # Payloads
//
// Verify takes the embedded assertion of a login request
// (apple-platform-sso.md §6.3), compact, and as OnceRequest.Nonce the
// assertion.Expected of the door, by Keep:
//
//	header  {"typ": "platformsso-login-assertion+jwt", "alg": "ES256", "kid": "…"}
//	payload {"iss": "ada@example.com", "sub": "ada@example.com", "aud": "https://…/psso", "iat": …, "exp": …,
//	         "nonce": "…", "request_nonce": "…", "scope": "openid offline_access urn:apple:platformsso"}
//
// "kid" is base64, in any alphabet, of SHA-256 over the key's 65 bytes (ANSI
// X9.63, uncompressed).
//
// RegisterOnce takes an Offer, as JSON, and as OnceRequest.Nonce an Expected, by
// its Keep: what the door has verified of the Mac's message, and the proofs in
// the Offer must repeat. A proof is a message of pssowire.TypeUserKey by the new
// key, and in a rotation another one by the old.
//
// Specifications: apple-platform-sso.md §2, §6.3, §6.4, §9, §10;
// entra-behaviours.md §2.1, §7; decisions 2.10 to 2.12, 5.1, 5.4.
package platform
