package policy

import (
	"time"

	"github.com/signetid/signet/internal/idp"
)

// DeviceRules say whether the tenant registers devices, who may join one, and
// what their primary refresh tokens (PRTs) are good for.
type DeviceRules struct {
	// On switches devices on. While it is off there are no applications that
	// are built in, no joining and no PRT. Whether Hello keys sign people in is
	// a method's affair, as with all others.
	On bool `json:"on"`
	// Include and Exclude say who may join or register a device.
	Include []Target `json:"include"`
	Exclude []Target `json:"exclude"`
	Quota   int      `json:"quota"` // devices that one person may own
	// Attestation says how far it must be proven that a device's keys are in
	// a TPM: AttestationNone asks nobody, AttestationPreferred records what
	// comes, AttestationRequired refuses the join without it.
	Attestation Attestation `json:"attestation"`
	// DeviceCode allows the device authorization grant (RFC 8628) to the
	// applications that are registered for it (security.md OAU12).
	DeviceCode bool `json:"deviceCode"`
	// Idle is how long a PRT lives without being renewed, Absolute how long
	// however often it is (security.md DEV08).
	Idle     time.Duration `json:"idle"`
	Absolute time.Duration `json:"absolute"`
	// OfflineDays is for how many days without this server a desktop may let
	// its person in by the device's own key; 0: not at all.
	OfflineDays int         `json:"offlineDays"`
	Compat      CompatRules `json:"compat"`
}

// CompatRules bend strict rules for published clients that break them
// (decisions 4.1, 4.4, 4.5, 4.8). Each is off, and a risk is told where it is
// switched on.
type CompatRules struct {
	// KDFv1 lets PRTs that never used it do without key derivation version 2:
	// whoever once made a device derive keys can go on without it.
	KDFv1 bool `json:"kdfV1"`
	// CBCResponses answers classic requests with AES-CBC that nothing
	// authenticates but TLS.
	CBCResponses bool `json:"cbcResponses"`
	// ExtraRelyingPartyID is one more RP ID, with https://<it> as origin, for
	// which passkeys of desktops are taken; empty: none.
	ExtraRelyingPartyID string `json:"extraRelyingPartyId"`
	// DeviceCodeToPRT lets a sign-in that was approved in another place join a
	// device, and end in a PRT of that device: a phished approval then lasts as
	// long as one, on a machine under its victim's name.
	DeviceCodeToPRT bool `json:"deviceCodeToPrt"`
	// DeviceCodeToHello lets it end in a Hello key, too.
	DeviceCodeToHello bool `json:"deviceCodeToHello"`
	// NativeClientRedirect allows the address that native clients share, which
	// belongs to none of them.
	NativeClientRedirect bool `json:"nativeClientRedirect"`
	// SharedDeviceKey lets one key be device key and transport key.
	SharedDeviceKey bool `json:"sharedDeviceKey"`
	// BrokerWithoutPKCE lets the built-in broker redeem codes that no proof
	// key protects.
	BrokerWithoutPKCE bool `json:"brokerWithoutPkce"`
}

// HelloRules govern user keys that devices keep.
type HelloRules struct {
	Limit  int `json:"limit"`  // keys a user may have
	WarnAt int `json:"warnAt"` // from here on pages say that it is many
}

// PlatformRules govern user keys in the Secure Enclaves of Macs.
type PlatformRules struct {
	Limit  int `json:"limit"`  // keys a user may have
	WarnAt int `json:"warnAt"` // from here on pages say that it is many
}

// MacRules say how Macs sign people in at their login windows (Platform SSO):
// what the profile and the configuration of the extension are made of.
type MacRules struct {
	Method MacMethod `json:"method"`
	// Biometric is the policy that user keys are made with, a sum of bits: 1
	// Touch ID or watch, of who was enrolled then; 2 Touch ID or watch, of
	// anybody enrolled; 4 unlocking the Mac is enough; 8 the password does too. 0:
	// the key is usable while its person is logged in (apple-platform-sso.md §9.1).
	Biometric int `json:"biometric"`
	// LoginFrequency is how old a login gets before the Mac makes a full one.
	LoginFrequency time.Duration `json:"loginFrequency"`
	// AccountName is what the Mac calls the account at its login window; empty:
	// by the name of the tenant.
	AccountName string `json:"accountName"`
}

// MacMethod says by what a Mac signs people in, in Apple's words.
type MacMethod string

// By a key in the Secure Enclave, or by a smart card.
const (
	MacKey  MacMethod = "UserSecureEnclaveKey"
	MacCard MacMethod = "SmartCard"
)

// Bits of MacRules.Biometric.
const (
	BiometricCurrent  = 1 // touchIDOrWatchCurrentSet
	BiometricAny      = 2 // touchIDOrWatchAny
	BiometricReuse    = 4 // reuseDuringUnlock
	BiometricPassword = 8 // passwordFallback
)

// How often a Mac makes a full login (apple-platform-sso.md §3) [A].
const (
	loginFrequency    = 18 * time.Hour
	minLoginFrequency = time.Hour
	maxLoginFrequency = 14 * 24 * time.Hour // what a refresh token lives
)

func defaultMacs() MacRules { return MacRules{Method: MacKey, LoginFrequency: loginFrequency} }

// macs checks what settings have no word for, and what two of them contradict.
func (c *checker) macs() {
	p := &c.p.Macs
	if p.AccountName != "" {
		c.text("macs.accountName", p.AccountName, maxShort)
	}
	if p.Biometric&BiometricCurrent != 0 && p.Biometric&BiometricAny != 0 {
		c.at("macs.biometric", "bad_value", "a key is for who was enrolled when it was made (1), or for anybody enrolled (2), and not for both")
	}
	if p.Biometric&(BiometricReuse|BiometricPassword) != 0 && p.Biometric&(BiometricCurrent|BiometricAny) == 0 {
		c.at("macs.biometric", "bad_value", "4 and 8 say more about 1 or 2, of which neither is set")
	}
	if c.p.Platform.WarnAt > c.p.Platform.Limit {
		c.between("platform.warnAt", "platform.limit", "the warning would come above the limit")
	}
}

// The lives of PRTs, and how many devices a person may own.
const (
	prtIdle     = 14 * 24 * time.Hour // product.md §6
	prtAbsolute = 90 * 24 * time.Hour // [I] device-protocol.md §11
	quota       = 50                  // [K] entra-behaviours.md §6.1
)

func defaultDevices() DeviceRules {
	return DeviceRules{
		Include: []Target{{All: true}}, Quota: quota, Attestation: AttestationPreferred,
		Idle: prtIdle, Absolute: prtAbsolute, OfflineDays: 7,
	}
}

// Join says whether the person may join a device to the tenant, or register
// one.
func (p *Policy) Join(w Who) Refusal {
	d := &p.Devices
	switch {
	case !d.On:
		return refusal("devices.on", "devices_off", CodeJoin)
	case !w.User.Enabled:
		return refusal("user.enabled", "user_disabled", CodeUserDisabled)
	case w.User.Type == idp.Guest:
		return refusal("user.guest", "guest_may_not_join", CodeJoin)
	case among(d.Exclude, &w) >= 0:
		return refusal("devices.exclude", "excluded", CodeJoin)
	case among(d.Include, &w) < 0:
		return refusal("devices.include", "not_included", CodeJoin)
	}
	return Refusal{}
}

// CodeJoin is the AADSTS number of a person who may not join devices.
const CodeJoin = 801002 // [K]
