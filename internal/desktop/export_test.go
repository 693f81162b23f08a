package desktop

import "context"

// What tests look at.
var (
	ParseAccounts = parseAccounts
	ReadNative    = readNative
	ExtensionID   = extensionID
)

func (b *Broker) KeepFresh(ctx context.Context) { b.keepFresh(ctx) }
