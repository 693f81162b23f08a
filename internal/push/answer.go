package push

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/outbound"
)

// maxAfter bounds what a service may ask us to wait.
const maxAfter = time.Hour

// gone, later and faulty make results with their sentences.
func gone(reason, format string, args ...any) Result {
	return Result{Outcome: Gone, Err: idp.NotFoundf(reason, format, args...).
		Say("The phone has ended its subscription. Open the app there once: it makes a new one.")}
}

func later(after time.Duration, reason, public, format string, args ...any) Result {
	return Result{Outcome: Later, After: after, Err: idp.Unavailablef(reason, format, args...).Say(public)}
}

func faulty(reason, public, format string, args ...any) Result {
	return Result{Outcome: Faulty, Err: idp.Invalidf(reason, format, args...).Say(public)}
}

// unsent is what a request came to that got no answer. The address in the
// client's error is left out: it lets anybody send.
func unsent(err error, host string) Result {
	var in *url.Error
	for errors.As(err, &in) {
		err = in.Err
	}
	var refused *idp.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		return faulty(refused.Reason, refusals[strings.TrimPrefix(refused.Reason, "push_")], "%s: %w", host, refused.Err)
	case errors.As(err, &untrusted):
		return faulty("push_certificate", "The push service "+shown(host)+" shows a certificate that this server does not trust (push-ca).", "%s: %w", host, err)
	case errors.Is(err, context.DeadlineExceeded):
		return later(0, "push_slow", "The push service "+shown(host)+" did not answer in time.", "%s: %w", host, err)
	}
	return later(0, "push_unreachable", "The push service "+shown(host)+" cannot be reached from this server: look at its firewall and name server.", "%s: %w", host, err)
}

// refusals are the sentences for what package outbound refuses.
var refusals = map[string]string{
	"url_refused":     "The push service is not on https and its own port, and is not called.",
	"address_refused": "The push service is at an address in a private network, and is not called. If it is your own, add it to push-host with /private.",
	"redirect":        "The push service redirects, which is not followed.",
}

// reply is an answer of a service, read as far as it is worth reading.
type reply struct {
	status int
	header http.Header
	body   []byte
	host   string
}

// call sends a request and reads the answer; the Result is for what got none.
func call(client doer, req *http.Request) (reply, *Result) {
	host := req.URL.Hostname()
	res, err := client.Do(req)
	if err != nil {
		r := unsent(err, host)
		return reply{}, &r
	}
	return read(res, host)
}

// doer is what is needed of an http.Client.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

func read(res *http.Response, host string) (reply, *Result) {
	defer res.Body.Close()
	body, err := outbound.Read(res.Body, bodyLimit)
	// What is too long is no answer that we understand; its status counts.
	if err != nil && !errors.Is(err, outbound.ErrTooLong) && res.StatusCode/100 != 2 {
		r := unsent(err, host)
		return reply{}, &r
	}
	return reply{res.StatusCode, res.Header, body, host}, nil
}

// excerpt is the start of a body, for the log.
func (r reply) excerpt() string {
	text := r.body[:min(len(r.body), 200)]
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '.'
		}
		return c
	}, string(text))
}

// later is a Result of a service that is busy or down.
func (r reply) later(now time.Time) Result {
	public := "The push service " + shown(r.host) + " is down at the moment."
	if r.status == http.StatusTooManyRequests {
		public = "The push service " + shown(r.host) + " has had too many messages; it wants a pause."
	}
	return later(retryAfter(r.header.Get("Retry-After"), now), "push_busy", public, "%s: %d %s", r.host, r.status, r.excerpt())
}

// retryAfter reads the header of that name: seconds, or a date (RFC 9110,
// Section 10.2.3). What is neither is 0.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxAfter)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxAfter)
}
