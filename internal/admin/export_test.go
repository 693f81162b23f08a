package admin

import (
	"context"
	"time"
)

// WithPeer makes the context of a connection from that user.
func WithPeer(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, peerKey{}, peer{uid: uid})
}

// RemoteWithin sets how long one operation by token may take.
func (s *Service) RemoteWithin(d time.Duration) { s.remoteWithin = d }
