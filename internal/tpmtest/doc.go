// Package tpmtest gives tests TPMs that are emulated (swtpm, a process of its
// own), and makers that certify their endorsement keys. For tests only.
package tpmtest
