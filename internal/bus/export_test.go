package bus

import "context"

// CatchUp polls once, as Run does every second.
func (b *Bus) CatchUp(ctx context.Context) error {
	return b.catchUp(ctx, b.now().Add(-overlap))
}
