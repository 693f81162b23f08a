package phone

import (
	"encoding/json"

	"github.com/signetid/signet/internal/idp"
)

// waitKeep is what a ceremony remembers; the corridor seals it, to the flow of one
// browser.
type waitKeep struct {
	ID      string     `json:"i"` // of the request
	Subject idp.UserID `json:"s"` // who was asked, or what stands for nobody
}

func (k waitKeep) bytes() []byte {
	b, err := json.Marshal(k)
	if err != nil {
		panic(err) // strings only
	}
	return b
}

func parseWait(raw []byte) (waitKeep, *idp.Error) {
	var k waitKeep
	if err := json.Unmarshal(raw, &k); err != nil {
		return waitKeep{}, idp.Unprovenf("ceremony_malformed", "kept state: %w", err)
	}
	if k.ID == "" || k.Subject == "" {
		return waitKeep{}, idp.Unprovenf("ceremony_malformed", "kept state names no request")
	}
	return k, nil
}
