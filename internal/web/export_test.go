package web

// LongestKey is the length of the longest key that is kept.
func (l *Limiter) LongestKey() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.keys {
		n = max(n, len(key))
	}
	return n
}
