package admin

import (
	"context"
	"time"
)

// WithPeer makes the context of a connection from that user.
func WithPeer(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, peerKey{}, peer{uid: uid})
}

// RemoteWithin sets how long one operation by token may take, and gives back
// what puts it right again.
func RemoteWithin(d time.Duration) (restore func()) {
	was := remoteWithin
	remoteWithin = d
	return func() { remoteWithin = was }
}
