package phone

import (
	"net/netip"
	"time"

	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
)

// Words of phonewire.Context.Warn.
const (
	warnCountry = "country" // none of the person's phones was there last
	warnHosting = "hosting" // a data centre, where people seldom sit
)

// placeCountry is the kind of a place whose country is known.
const placeCountry = "country"

// scene is what phones show of where a request comes from, as far as the rules
// let them.
func (m *Room) scene(s method.Scene, r policy.PhoneFor, phones []phoneRow, known bool, now time.Time) phonewire.Context {
	out := phonewire.Context{Browser: page.AgentWords(s.Agent), Known: known, Time: now}
	if r.ShowApp {
		out.App = s.App
	}
	if !r.ShowPlace {
		return out
	}
	at := m.cfg.Place(s.IP)
	out.Place = &phonewire.Place{Kind: at.Kind, Country: at.Country, IP: s.IP}
	out.Network = at.Network
	if at.Hosting {
		out.Warn = append(out.Warn, warnHosting)
	}
	if at.Kind == placeCountry && m.abroad(at.Country, phones) {
		out.Warn = append(out.Warn, warnCountry)
	}
	return out
}

// abroad says that phones are known to be in other countries, and none in this.
func (m *Room) abroad(country string, phones []phoneRow) bool {
	elsewhere := false
	for _, p := range phones {
		switch at := m.cfg.Place(p.address); {
		case at.Kind != placeCountry:
		case at.Country == country:
			return false
		default:
			elsewhere = true
		}
	}
	return elsewhere
}

// sameNetwork says that two addresses are of one network, as far as addresses
// tell: one public IPv4 address, behind which a network hides; one /48 of IPv6,
// which is what a site gets; one /24 of private IPv4 addresses, for servers
// inside (passkeys-and-phone.md §6.7). Loopback is one host, and one network.
func sameNetwork(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	if err != nil || err2 != nil {
		return false
	}
	x, y = x.Unmap().WithZone(""), y.Unmap().WithZone("")
	switch {
	case x.Is4() != y.Is4():
		return false
	case x.IsLoopback() && y.IsLoopback():
		return true
	case x.Is6():
		return within(x, y, 48)
	case x.IsPrivate() && y.IsPrivate():
		return within(x, y, 24)
	}
	return x == y
}

func within(x, y netip.Addr, bits int) bool {
	p, err := x.Prefix(bits)
	return err == nil && p.Contains(y)
}
