package certificate

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/secret"
)

// A ticket names a ceremony at the handshake's address: 16 random bytes, when it
// ends, and a MAC of both by a key of the tenant. So nothing is kept of a
// handshake that belongs to no sign-in of ours, and nothing has to be asked.
const (
	ticketRandom = 16
	ticketMAC    = 16
	ticketSize   = ticketRandom + 8 + ticketMAC
	ticketLabel  = "certificate ticket"
)

func sealTicket(key *secret.Key, until time.Time) string {
	raw := make([]byte, 0, ticketSize)
	raw = append(raw, secret.Bytes(ticketRandom)...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(until.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(append(raw, markTicket(key, raw)...))
}

func markTicket(key *secret.Key, raw []byte) []byte {
	return key.MAC([]byte(ticketLabel), raw)[:ticketMAC]
}

// openTicket checks that a ticket is ours and not over. Errors are Expired for
// one that is late, Invalid for one that is none.
func openTicket(key *secret.Key, text string, now time.Time) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != ticketSize || len(text) != base64.RawURLEncoding.EncodedLen(ticketSize) { // the decoder passes over line breaks
		return idp.Invalidf("ticket_malformed", "ticket of %d characters", len(text))
	}
	said, mac := raw[:ticketSize-ticketMAC], raw[ticketSize-ticketMAC:]
	if !secret.Equal(mac, markTicket(key, said)) {
		return idp.Invalidf("ticket_foreign", "ticket is none of ours")
	}
	if until := time.UnixMilli(int64(binary.BigEndian.Uint64(said[ticketRandom:]))); !now.Before(until) {
		return idp.Expiredf("ticket_late", "ticket ended %s", until.UTC())
	}
	return nil
}

// lives is how long a handshake may be made for: a card has to be found, and a
// PIN remembered.
const lives = 5 * time.Minute

// A Keep begins with what it is the Keep of, so that an answer of a page is none
// of a message and the other way round.
const (
	keepPage = 'p'
	keepOnce = 'n'
)

// pageKeep is what a ceremony remembers; the corridor seals it, to the flow of
// one browser.
type pageKeep struct {
	Ticket string `json:"t"`
	// Typed is the user name that somebody typed, folded; empty: none.
	Typed string `json:"n,omitempty"`
}

func (k pageKeep) bytes() []byte {
	b, err := json.Marshal(k)
	if err != nil {
		panic(err) // strings only
	}
	return append([]byte{keepPage}, b...)
}

func parseKeep(raw []byte) (pageKeep, *idp.Error) {
	var k pageKeep
	if len(raw) == 0 || raw[0] != keepPage {
		return k, idp.Unprovenf("ceremony_malformed", "kept state of another kind")
	}
	if err := json.Unmarshal(raw[1:], &k); err != nil || k.Ticket == "" {
		return k, idp.Unprovenf("ceremony_malformed", "kept state of %d bytes: %w", len(raw), err)
	}
	return k, nil
}

// Challenge implements method.Method: it sends the browser to where handshakes
// are made. Nothing of it depends on who is named.
func (m *Room) Challenge(ctx context.Context, r method.Request) (method.Challenge, error) {
	base, err := m.cfg.Address(ctx, r.Tenant)
	if err != nil {
		return method.Challenge{}, fmt.Errorf("address of handshakes: %w", err)
	}
	if base == "" {
		return method.Challenge{}, idp.Unavailablef("certificate_no_listener", "nothing here asks for certificates").
			Say("This server does not ask for certificates. Choose another way, or ask the help desk.")
	}
	key, err := m.cfg.Key(ctx, r.Tenant)
	if err != nil {
		return method.Challenge{}, fmt.Errorf("key of tickets: %w", err)
	}
	ticket := sealTicket(key, r.Now.Add(lives))
	show, err := json.Marshal(map[string]string{
		"go": strings.TrimSuffix(base, "/") + "/" + string(r.Tenant) + Path + "?" + url.Values{"ceremony": {ticket}}.Encode(),
	})
	if err != nil {
		return method.Challenge{}, err
	}
	keep := pageKeep{Ticket: ticket, Typed: directory.Fold(r.UserName)}
	return method.Challenge{Show: show, Keep: keep.bytes(), Lives: lives}, nil
}

// KeepFrom implements method.OneShot: nonce is the value that the message must
// carry as its request_nonce, and that the door has opened; for a Mac's,
// assertion.Expected.Keep.
func (m *Room) KeepFrom(nonce []byte) []byte { return append([]byte{keepOnce}, nonce...) }
