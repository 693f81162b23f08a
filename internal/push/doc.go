// Package push sends messages to phones, by the roads that their systems have:
// Web Push (RFC 8030, 8291, 8292; UnifiedPush endpoints speak it as well), APNs
// and FCM. A message says that something waits, never what.
//
// A message is stored in the transaction that it belongs to, as this node's,
// and leaves from here within milliseconds of the commit. The row is there for
// what may go wrong: a service that is busy, a node that dies. Messages are
// tried again while they are of use, some two minutes, and then dropped. One
// may arrive twice; its Topic makes that one notification.
//
// The key that names this server to push services (VAPID) is made at first use
// and kept sealed. Endpoints are chosen by whoever registers a phone, so only
// the vendors' hosts and those that the operator adds are called: see Check. An
// endpoint lets anybody who has it send, so it is sealed at rest and in no
// error.
//
// Specifications: passkeys-and-phone.md §6.8, §6.9; security.md NET04, PHN06.
package push
