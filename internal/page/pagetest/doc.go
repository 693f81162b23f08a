// Package pagetest holds the tests that the words of every door must pass.
package pagetest
