//go:build !race

package pkix_test

const raceFactor = 1
