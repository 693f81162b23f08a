package desktop

import "context"

// What tests look at.
var (
	ParseAccounts = parseAccounts
	ReadNative    = readNative
	ExtensionID   = extensionID
	Trusted       = trusted
)

type Guests = guests

func (g *guests) Enter(uid uint32) bool { return g.enter(uid) }
func (g *guests) Leave(uid uint32)      { g.leave(uid) }

func (b *Broker) KeepFresh(ctx context.Context) { b.keepFresh(ctx) }
