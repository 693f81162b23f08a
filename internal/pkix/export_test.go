package pkix

// Canonical and Quick are the two ways in which names are compared.
var (
	Canonical = canonical
	Quick     = quick
)
