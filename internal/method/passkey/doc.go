// Package passkey is the room of WebAuthn passkeys: it registers them, proves
// people by them, and owns every WebAuthn row.
//
// A proof of this room is phishing-resistant, user-verified, possession and
// multi-factor; hardware-bound only when the key's model was attested by a
// chain that ends in a root of that model and the key cannot be copied (BE=0). User
// verification is required, always; keys are discoverable; the algorithms
// offered are EdDSA (-8), ES256 (-7) and RS256 (-257).
//
// Specification: W3C Web Authentication Level 3, §5.4, §5.5, §7.1, §7.2, §8.
// Step numbers in comments are those of the edition in which §7.1 has 29 steps
// and §7.2 has 25. Departures: cross-origin frames are never expected (§7.1
// steps 10 and 11, §7.2 steps 13 and 14); origins are compared as exact text;
// a credential may turn backup-eligible once (§7.2 step 19), since real
// passkeys do, unless the tenant refuses synced keys.
//
// It does not open sessions, burn ceremonies, know sources or write the audit
// record of a sign-in: the corridor does. It does not defend against a stolen
// device whose PIN is known, nor does it know key models: the registry of them
// (metadata) comes in by Config and says whose chain proves what. Statements
// are kept as they came, so that a newer list of models can judge them again
// (Rejudge). go-webauthn is used here and nowhere else, for parsing, COSE keys
// and attestation statements; the order of checks and every rule are ours.
//
// # Show and Payload
//
// Challenge, for the page's script:
//
//	{"publicKey": PublicKeyCredentialRequestOptionsJSON, "mediation": "optional"}
//
// The script gives publicKey to PublicKeyCredential.parseRequestOptionsFromJSON.
// For autofill it sets mediation to "conditional" itself; the options are the
// same. The payload that comes back is credential.toJSON(), unchanged.
//
// BeginRegister:
//
//	{"publicKey": PublicKeyCredentialCreationOptionsJSON,
//	 "held": 3, "limit": 20, "warnAt": 15, "warn": false,
//	 "signal": {"rpId", "userId", "name", "displayName", "allAcceptedCredentialIds": []}}
//
// "warn" says that this key would be the warnAt-th or later. The page may set
// publicKey.hints to what the person chose (["client-device"], ["security-key"]
// or ["hybrid"]); nothing is checked by that. The payload is credential.toJSON()
// with one more member, "name" (may be empty or absent: the room suggests one).
//
// "signal" has the members that PublicKeyCredential.signalAllAcceptedCredentials
// and signalCurrentUserDetails take; Room.Signal gives it at any time, and
// Room.Unknown says when signalUnknownCredential is safe.
package passkey
