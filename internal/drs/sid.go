package drs

import (
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"

	"github.com/signetid/signet/internal/idp"
)

// localAdministrators is the group of a machine's administrators.
const localAdministrators = "S-1-5-32-544"

// The two roles that administer joined machines besides their owner: the
// template ids of Global Administrator and of the local administrator of
// joined devices. [K]
const (
	roleGlobalAdministrator = "62e90394-69f5-4237-9190-012177145e10"
	roleDeviceAdministrator = "9f06204d-73c1-4d4c-880a-6edb90606fd8"
)

// administrators are the SIDs that a joined machine makes its administrators.
func administrators(owner idp.UserID) []string {
	var out []string
	for _, id := range []string{string(owner), roleGlobalAdministrator, roleDeviceAdministrator} {
		if sid, ok := cloudSID(id); ok {
			out = append(out, sid)
		}
	}
	return out
}

// cloudSID makes a SID of an object id: its four 32-bit words, in Microsoft's
// order of bytes (device-protocol.md §5.1).
func cloudSID(id string) (string, bool) {
	u, err := uuid.Parse(id)
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("S-1-12-1-%d-%d-%d-%d",
		binary.BigEndian.Uint32(u[0:]),
		uint32(binary.BigEndian.Uint16(u[6:]))<<16|uint32(binary.BigEndian.Uint16(u[4:])),
		binary.LittleEndian.Uint32(u[8:]), binary.LittleEndian.Uint32(u[12:])), true
}
