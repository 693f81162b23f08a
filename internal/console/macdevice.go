package console

import (
	"context"
	"errors"
	"html/template"
	"strings"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// macOf fills in what a device has as a Mac; nothing for any other device.
func (v *visit) macOf(ctx context.Context, m *machine) error {
	if v.cfg.Macs == nil {
		return nil
	}
	found, err := v.cfg.Macs.Registry.Get(ctx, v.cfg.DB, v.tenant.ID, m.ID)
	if errors.Is(err, idp.NotFound) {
		return nil
	}
	if err == nil {
		m.mac = &found
	}
	return err
}

// count is how many of the keys on the device are of a method.
func (m *machine) count(method idp.MethodID) (n int) {
	for _, k := range m.keys {
		if k.Method == method {
			n++
		}
	}
	return n
}

// isMac says whether a device says that it is a Mac.
func isMac(d device.Device) bool { return strings.EqualFold(d.OS, mac.OS) }

// macWord is a key of the catalogue as it is for Macs, when the device is one:
// they have a Secure Enclave, and not a TPM.
func macWord(d device.Device, word, ofMac string) string {
	if isMac(d) {
		return ofMac
	}
	return word
}

// macFacts are the particulars that only Macs have.
func macFacts(pg *page.Page, m mac.Mac) []pair {
	var out []pair
	if m.Serial != "" {
		word := "claimed"
		if m.Proven {
			word = "proven"
		}
		out = append(out, pair{pg.T("mac.fact.serial"), pg.T("mac.fact.serial."+word, "serial", code(m.Serial))})
	}
	if m.UDID != "" {
		out = append(out, pair{pg.T("mac.fact.udid"), code(m.UDID)})
	}
	by := "person"
	if m.Source == mac.ByToken {
		by = "token"
	}
	out = append(out, pair{pg.T("mac.fact.by"), pg.T("mac.fact.by."+by, "when", page.When(m.Registered, ""))})
	for _, k := range m.Keys {
		said := []string{string(code(k.ID.String()))}
		if k.State == mac.Pending {
			said = append(said, string(pg.T("mac.key.pending", "when", page.When(k.Until, ""))))
		}
		if k.Attested {
			said = append(said, string(pg.T("mac.key.attested")))
		}
		out = append(out, pair{pg.T("mac.key." + string(k.Role)), template.HTML(strings.Join(said, "<br>"))})
	}
	return out
}

// ofSerial are conditions by which a search finds the Mac of a serial number.
func (v *visit) ofSerial(ctx context.Context, typed string) (out []string, err error) {
	if v.cfg.Macs == nil || mac.CleanSerial(typed) == "" {
		return nil, nil
	}
	list, err := v.cfg.Macs.Registry.OfSerial(ctx, v.cfg.DB, v.tenant.ID, typed)
	for _, m := range list[:min(len(list), mostOwners)] {
		out = append(out, string(m.Device))
	}
	return out, err
}

// manyMacs says that a person holds many Mac keys; nothing when they do not.
func manyMacs(pg *page.Page, s *someone, p policy.Policy) template.HTML {
	held := 0
	for _, c := range s.creds {
		if c.Method == policy.Platform {
			held++
		}
	}
	if p.Platform.WarnAt == 0 || held < p.Platform.WarnAt {
		return ""
	}
	return pg.T("person.mackeys.many", "n", held, "limit", p.Platform.Limit)
}
