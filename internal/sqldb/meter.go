package sqldb

import (
	"context"
	"sync/atomic"
)

// Meter counts the statements that calls with its context run, in transactions
// or outside. What a message may cost is part of what some packages promise;
// their tests measure it with this.
type Meter struct {
	Reads  atomic.Int64 // queries
	Writes atomic.Int64 // all else
}

type meterKey struct{}

// WithMeter gives a context whose statements m counts.
func WithMeter(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

func countRead(ctx context.Context) {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.Reads.Add(1)
	}
}

func countWrite(ctx context.Context) {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.Writes.Add(1)
	}
}
