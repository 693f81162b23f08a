// Package nonce makes sealed values: server nonces, flows, ceremonies and
// authorization codes, carried by whoever asked and readable only here.
//
// Making one writes nothing, so that strangers cannot fill the store. What a
// value allows must happen once: Burn inserts its row into the table spent, in
// the transaction that gives the effect, and of several callers one wins, over
// all nodes. There is no used-set in memory anywhere (decisions 1.1 to 1.4).
//
// A value is bound to tenant, purpose and epoch; it does not know who carries
// it: what else must match goes into the payload, and its reader checks it.
package nonce
