package admin

import "context"

// WithPeer makes the context of a connection from that user.
func WithPeer(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, peerKey{}, peer{uid: uid})
}
