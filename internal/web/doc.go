// Package web is what every HTTP door needs and none should write twice: a
// request's trace id and source, handlers that return errors, JSON and form
// bodies with limits, security headers, content-hashed assets, rate limits,
// the access log and the request metrics.
//
// It knows nothing of identity but idp's errors, and it never phrases one:
// each door hands Adapt its own phrasing.
package web
