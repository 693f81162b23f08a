// Package graphsdk administers the running server with Microsoft's own client
// library for Graph. It is a module of its own, because that library is larger
// than everything else together, and its tests run without the race detector.
package graphsdk
