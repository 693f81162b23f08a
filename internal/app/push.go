package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/place"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
)

// Push says how phones are told that something waits. The zero value sends by
// Web Push alone, where BaseURL is a public address.
type Push struct {
	Subject string   // whom push services may ask about this server: mailto:… or https://…; empty: BaseURL, where it is public
	Hosts   []string // push services besides the browsers' makers': push.ParseHost
	CA      string   // PEM file with the authorities of Hosts; empty: the system's
	Proxy   string   // http://… by which push services are reached; empty: directly

	APNsKey   string // the .p8 file of Apple's; empty: nothing is sent by its service
	APNsKeyID string
	APNsTeam  string
	APNsTopic []string // bundle ids of the apps
	FCM       string   // JSON file of a service account of Firebase; empty: nothing is sent by it
}

// Places says where addresses are.
type Places struct {
	Table   string // file of networks; empty: none
	Hosting string // file of the AS numbers of data centres; empty: none
}

func (p Places) check() error {
	if p.Hosting != "" && p.Table == "" {
		return errors.New("place-hosting is given, but it is for the networks of a table: give place-table, too")
	}
	return nil
}

// purposePush is the installation's key for what is stored of notifications.
const purposePush = "push"

func (p Push) check() error {
	var bad []error
	if p.Subject != "" {
		bad = append(bad, sentence(push.CheckSubject(p.Subject)))
	}
	_, err := p.hosts()
	bad = append(bad, err)
	if p.Proxy != "" {
		u, err := url.Parse(p.Proxy)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			// The value may hold a password and is not repeated.
			bad = append(bad, errors.New("push-proxy is no address: write it as http://proxy.example.com:3128"))
		}
	}
	if p.CA != "" && len(p.Hosts) == 0 {
		bad = append(bad, errors.New("push-ca is given, but it is for push services of your own: name them with push-host"))
	}
	apns := 0
	for _, given := range []bool{p.APNsKey != "", p.APNsKeyID != "", p.APNsTeam != "", len(p.APNsTopic) > 0} {
		if given {
			apns++
		}
	}
	if apns != 0 && apns != 4 {
		bad = append(bad, errors.New("apns-key, apns-key-id, apns-team and apns-topic go together: give all four, or none and nothing is sent by Apple's service"))
	}
	return errors.Join(bad...)
}

// sentence is an error of a package below without its reason, for an operator.
func sentence(err error) error {
	if err == nil {
		return nil
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

func (p Push) hosts() ([]push.Host, error) {
	var all []push.Host
	var bad []error
	for _, s := range p.Hosts {
		h, err := push.ParseHost(s)
		if err != nil {
			bad = append(bad, fmt.Errorf("push-host: %w", sentence(err)))
		}
		all = append(all, h)
	}
	return all, errors.Join(bad...)
}

// openPush makes the service that sends to phones.
func (h *House) openPush() (err error) {
	c := h.cfg.Push
	pc := push.Config{
		DB: h.DB, Now: h.cfg.Now, Subject: c.Subject,
		Key: func(ctx context.Context) (*secret.Key, error) {
			return h.Keys.Sealing(ctx, nonce.CommonScope, purposePush)
		},
		Failed: func(err error) { h.cfg.Log.Warn("notification", "cause", err) },
	}
	if pc.Subject == "" {
		pc.Subject = push.SubjectOf(h.base)
	}
	if pc.Hosts, err = c.hosts(); err != nil {
		return err
	}
	if c.Proxy != "" {
		if pc.Proxy, err = url.Parse(c.Proxy); err != nil {
			return errors.New("push-proxy is no address")
		}
	}
	if pc.Roots, err = c.roots(); err != nil {
		return err
	}
	if c.APNsKey != "" {
		key, err := readSecret("key for Apple's service", c.APNsKey)
		if err != nil {
			return err
		}
		pc.APNs = &push.APNsConfig{Key: key, KeyID: c.APNsKeyID, Team: c.APNsTeam, Topics: c.APNsTopic}
	}
	if c.FCM != "" {
		credentials, err := readSecret("credentials for Firebase", c.FCM)
		if err != nil {
			return err
		}
		pc.FCM = &push.FCMConfig{Credentials: credentials}
	}
	h.Push, err = push.New(pc)
	return sentence(err)
}

// roots are the authorities of the operator's own push services, and the
// system's.
func (p Push) roots() (*x509.CertPool, error) {
	if p.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, fmt.Errorf("push-ca cannot be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("push-ca %s has no certificate: give the authority's as a PEM file", p.CA)
	}
	return pool, nil
}

// readSecret reads a file that only its owner may read (security.md KEY07).
func readSecret(what, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %w", what, err)
	}
	if err := ownersOnly(what, path, info); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %w", what, err)
	}
	return text, nil
}

// openPlaces reads the table of networks.
func (h *House) openPlaces() (err error) {
	h.Places, err = place.Open(h.cfg.Places.Table, h.cfg.Places.Hosting)
	return err
}

// sayPush says at the start by which roads phones are told, and what is
// missing.
func (h *House) sayPush() {
	roads := strings.Join(h.Push.Kinds(), " ")
	if why := h.Push.Closed(push.WebPush); why != "" {
		h.cfg.Log.Info("notifications", "by", roads, "missing", why)
		return
	}
	h.cfg.Log.Info("notifications", "by", roads)
}

// refreshPlaces takes in a table that was replaced.
func (h *House) refreshPlaces() {
	changed, err := h.Places.Refresh()
	switch {
	case err != nil:
		h.cfg.Log.Warn("the table of places that was read before stays in use", "cause", err)
	case changed:
		h.cfg.Log.Info("the table of places was read", "ranges", h.Places.Ranges())
	}
}
