package audit

// Crowd makes l tell only so many sources apart.
func (l *Log) Crowd(size int) { l.crowd.size = size }
