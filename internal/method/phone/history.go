package phone

import (
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/web"
)

// getHistory tells what became of the last requests.
func (m *Room) getHistory(w http.ResponseWriter, r *http.Request, s signed) error {
	past, err := m.past(r.Context(), s.phone, s.now)
	if err != nil {
		return err
	}
	phones, err := phonesOf(r.Context(), m.db, s.phone.tenant, s.phone.user)
	if err != nil {
		return err
	}
	names := map[idp.CredentialID]string{}
	for _, p := range phones {
		names[p.id] = p.name
	}
	out := phonewire.History{Entries: make([]phonewire.Entry, len(past))}
	for n, q := range past {
		when := q.answered
		if when.IsZero() {
			when = q.expires
		}
		out.Entries[n] = phonewire.Entry{
			ID: q.id, Context: q.context, Result: q.result(), Time: when.UTC(),
			Here: q.phone == s.phone.id, Phone: names[q.phone],
		}
	}
	return web.JSON(w, http.StatusOK, out)
}
