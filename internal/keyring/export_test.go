package keyring

// Remembered counts the tenants that the ring has in memory.
func (r *Ring) Remembered() (n int) {
	r.tenants.Range(func(any, any) bool { n++; return true })
	return n
}
