// Package pkixtest makes certificate authorities, certificates and revocation
// lists for tests.
package pkixtest
