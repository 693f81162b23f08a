package oidc

// What tests in the package's shadow look at.
var (
	TypedCode   = typedCode
	ShownCode   = shownCode
	NewUserCode = newUserCode
)
