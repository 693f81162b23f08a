package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

// CRL bounds what is fetched of revocation lists (security.md CBA05). Zero is
// the default.
type CRL struct {
	Bytes   int64         // of one list
	Time    time.Duration // of one download
	Private []string      // hosts in networks of the operator's own, with or without a port
}

// Bounds of the bounds: a list has to fit into memory a few times over, and a
// job must come to an end.
const (
	leastCRL = 4 << 10
	mostCRL  = 256 << 20
	longest  = 10 * time.Minute
)

func (c CRL) check() error {
	var bad []error
	if c.Bytes != 0 && (c.Bytes < leastCRL || c.Bytes > mostCRL) {
		bad = append(bad, fmt.Errorf("crl-bytes is %d: use a number between %d and %d (256 MiB)", c.Bytes, leastCRL, mostCRL))
	}
	if c.Time != 0 && (c.Time < time.Second || c.Time > longest) {
		bad = append(bad, fmt.Errorf("crl-time is %s: use a time between 1s and 10m", c.Time))
	}
	for _, h := range c.Private {
		if !isHost(h) {
			bad = append(bad, fmt.Errorf("crl-private-host is %q: write it as crl.internal or crl.internal:8080", h))
		}
	}
	return errors.Join(bad...)
}

// isHost says whether a text is a host name or an address, with or without a
// port, and nothing besides.
func isHost(s string) bool {
	u, err := url.Parse("http://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || strings.ContainsAny(s, " ,*") {
		return false
	}
	if _, port, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.Atoi(port)
		return err == nil && n > 0 && n < 1<<16
	}
	return !strings.HasSuffix(s, ":")
}

func (c CRL) trust(db *sqldb.DB, b *bus.Bus, now func() time.Time) trust.Config {
	return trust.Config{DB: db, Bus: b, Now: now, Limits: trust.Limits{CRLBytes: c.Bytes, CRLTime: c.Time}, Private: c.Private}
}
