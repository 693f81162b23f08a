package policy

// The stored form, for tests.
var (
	Encode = encode
	Decode = decode
)
