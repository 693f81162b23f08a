package web

import "encoding/json"

// LongestKey is the length of the longest key that is kept.
func (l *Limiter) LongestKey() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.keys {
		n = max(n, len(key))
	}
	return n
}

// Plainly and Slowly are the two ways in which Strict reads.
var Plainly = plainly

func Slowly(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	return OneReading(data, v)
}
