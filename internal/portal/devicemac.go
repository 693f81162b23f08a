package portal

import (
	"context"
	"strings"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
)

// ofMachine says whether a device keeps the credentials of a method.
func ofMachine(m idp.MethodID) bool { return m == policy.Hello || m == policy.Platform }

// fillSerials fills in the serial numbers of Macs, by which people know theirs.
func (p *Portal) fillSerials(ctx context.Context, v *visit, list []ownDevice) error {
	if p.cfg.Devices.Serials == nil {
		return nil
	}
	ids := make([]idp.DeviceID, len(list))
	for i, m := range list {
		ids[i] = m.ID
	}
	serials, err := p.cfg.Devices.Serials(ctx, v.tenant.ID, ids)
	for i := range list {
		list[i].serial = serials[list[i].ID]
	}
	return err
}

// isMac says whether a device says that it is a Mac: it has a Secure Enclave,
// and not a TPM.
func isMac(d device.Device) bool { return strings.EqualFold(d.OS, "macOS") }

// keyWord is a key of the catalogue about a key that the machine keeps.
func (m *ownDevice) keyWord(word string) string {
	if isMac(m.Device) {
		return strings.Replace(word, "machine.", "machine.mac.", 1)
	}
	return word
}

// heldOf is how many of the credentials are of a method.
func heldOf(creds []method.Credential, m idp.MethodID) (n int) {
	for _, c := range creds {
		if c.Method == m {
			n++
		}
	}
	return n
}
