package passkey

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is how long a name of a passkey, and each name of a person in the
// options, may be: authenticators keep 64 bytes (WebAuthn Level 3, §6.4.1).
const maxName = 64

// models names key models by AAGUID. Display only: unless attested, the AAGUID
// is a claim (trap 4).
var models = map[string]string{
	"7fd635b3-2ef9-4542-8d9d-164f2c771efc": "macOS Platform Credential",
	"de1e552d-db1d-4423-a619-566b625cdc84": "Microsoft Authenticator (Android)",
	"90a3ccdf-635c-4729-a248-9b709135078f": "Microsoft Authenticator (iOS)",
	"08987058-cadc-4b81-b6e1-30de50dcbe96": "Windows Hello",
	"9ddd1817-af5a-4672-a2b9-3e3dd95000a9": "Windows Hello",
	"6028b017-b1d4-4c02-b4b3-afcdafc96bb2": "Windows Hello",
	"2fc0579f-8113-47ea-b116-bb5a8db9202a": "YubiKey 5 NFC",
	"a25342c0-3cdc-4414-8e46-f4807fca511c": "YubiKey 5 NFC",
	"a4e9fc6d-4cbe-4758-b8ba-37598bb5bbaa": "Security Key NFC by Yubico",
	"e77e3c64-05e3-428b-8824-0cbeb04b829d": "Security Key NFC by Yubico",
	"cb69481e-8ff7-4039-93ec-0a2729a154a8": "YubiKey 5",
	"ee882879-721c-4913-9775-3dfcce97072a": "YubiKey 5",
	"fa2b99dc-9e39-4257-8f92-4a30d23c4118": "YubiKey 5 NFC",
	"c5ef55ff-ad9a-4b9f-b580-adebafe026d0": "YubiKey 5Ci",
	"dd4ec289-e01d-41c9-bb89-70fa845d4bf2": "iCloud Keychain (managed)",
	"fbfc3007-154e-4ecc-8c0b-6e020557d7bd": "Apple Passwords",
	"ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4": "Google Password Manager",
	"adce0002-35bc-c60a-648b-0b25f1f05503": "Chrome on Mac",
	"bada5566-a7aa-401f-bd96-45619a55120d": "1Password",
	"d548826e-79b4-db40-a3d8-11116f7e8349": "Bitwarden",
	"531126d6-e717-415c-9320-3d9aa6981239": "Dashlane",
	"53414d53-554e-4700-0000-000000000000": "Samsung Pass",
	"0ea242b4-43c4-4a1b-8b17-dd6d0b6baec6": "Keeper",
	"fdb141b2-5d84-443e-8a35-4698c205a502": "KeePassXC",
}

// suggest is the name of a key that its owner did not name: its model, or what
// its transports tell, with a number when they have one of that name.
func suggest(aaguid string, transports []string, taken []string) string {
	base := models[aaguid]
	if base == "" {
		base = "Passkey"
		switch joined := " " + strings.Join(transports, " ") + " "; {
		case strings.Contains(joined, " internal "):
			base = "This device"
		case strings.Contains(joined, " usb "), strings.Contains(joined, " nfc "):
			base = "Security key"
		case strings.Contains(joined, " hybrid "):
			base = "Phone"
		}
	}
	name := base
	for n := 2; contains(taken, name); n++ {
		name = base + " " + strconv.Itoa(n)
	}
	return name
}

func contains(all []string, name string) bool {
	for _, s := range all {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

// cleanName makes of what somebody typed a name that can stand in any list: no
// control, format or bidirectional characters (they can make one name read as
// another), white space in single spaces, at most 64 bytes.
func cleanName(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	for len(s) > maxName {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return strings.TrimSpace(s)
}
