// Package cache keeps a bounded number of values that seldom change: tenants,
// policies, applications.
//
// It owns no rule about when a value is stale: registries subscribe to the bus
// and drop what changed. A value that was read before a drop never enters the
// cache after it. Errors are not kept.
package cache
