// Package push sends messages to phones, by the roads that their systems have:
// Web Push (RFC 8030, 8291, 8292; UnifiedPush endpoints speak it as well), APNs
// and FCM. A message says that something waits, never what.
//
// Messages wait in the database and are sent by a job, at once after the
// transaction that queued them and again until they are of no use. The keys
// that name this server to push services (VAPID) are made at first use and
// kept sealed.
//
// Endpoints of Web Push are chosen by whoever registers a phone: see Allowed.
//
// Specifications: passkeys-and-phone.md §6.8, §6.9; security.md NET04, PHN06.
package push
