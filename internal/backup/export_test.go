package backup

import (
	"bytes"
	"testing"
)

// Parse reads a dump that is not encrypted.
var Parse = parse

// Seal encrypts a dump made by hand.
func Seal(t *testing.T, keys Keys, dump string) []byte {
	t.Helper()
	var out bytes.Buffer
	s, err := keys.seal(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte(dump)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
