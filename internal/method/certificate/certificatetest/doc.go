// Package certificatetest is the other side of the certificate room: cards that
// sign messages of a device protocol with the key of a certificate. For tests
// only.
package certificatetest
