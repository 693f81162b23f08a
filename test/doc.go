// Package test is a module of its own for tests that need heavy or foreign
// modules: a real browser, a second relying party. Nothing in it enters the
// product's module graph.
package test
