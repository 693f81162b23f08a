// Package corpustest finds the test vectors that others made. They are not part
// of this repository: a stranger's clone has none, and its tests say so in a line.
package corpustest
