package macprofile

// The types of a property list, by the names of its elements.
const (
	tString  = "string"
	tInteger = "integer"
	tBool    = "boolean"
	tArray   = "array"
	tDict    = "dict"
	tData    = "data"
	tReal    = "real"
	tDate    = "date"
	tAny     = "" // whatever it is
)

// key is what Apple has published of one key of a profile.
type key struct {
	name     string
	kind     string
	since    string // the first macOS that reads it; empty: every one with Platform SSO
	required bool
	values   []string // all that are allowed; none: any
	ints     []int64  // the same for integers
	least    int64    // an integer is at least this
	keys     []key    // of a dictionary
	of       *key     // an array's elements, or what any key of a dictionary holds
	means    string   // for people; empty for what only the system needs
}

// The two payloads that the profile has, and what every payload has.
const (
	typeProfile    = "Configuration"
	typeSSO        = "com.apple.extensiblesso"
	typeAssociated = "com.apple.associated-domains"
)

// topKeys, commonKeys, ssoKeys and associatedKeys are Apple's device management
// schema: TopLevel, CommonPayloadKeys, com.apple.extensiblesso and
// com.apple.associated-domains, in the release for macOS 27.2. The keys of
// com.apple.extensiblesso that only iOS or the type Credential has are not among
// them, and what Apple calls optional is required here where its own text, or
// Platform SSO, cannot do without; see apple-platform-sso.md §4.
var topKeys = append([]key{
	{name: "PayloadContent", kind: tArray, required: true, of: &key{kind: tDict}},
	{name: "PayloadScope", kind: tString, values: []string{"System", "User"}, means: "Whether it is for the whole Mac or for one person"},
	{name: "PayloadRemovalDisallowed", kind: tBool, means: "Whether people are kept from removing it"},
	{name: "PayloadExpirationDate", kind: tDate},
	{name: "RemovalDate", kind: tDate},
	{name: "DurationUntilRemoval", kind: tReal},
	{name: "TargetDeviceType", kind: tInteger, ints: []int64{0, 1, 2, 3, 4, 5}, means: "Which kind of device it is for: 5 is a Mac"},
	{name: "ConsentText", kind: tDict, of: &key{kind: tString}},
	{name: "IsEncrypted", kind: tBool},
	{name: "EncryptedPayloadContent", kind: tData},
	{name: "HasRemovalPasscode", kind: tBool},
}, commonKeys...)

var commonKeys = []key{
	{name: "PayloadType", kind: tString, required: true},
	{name: "PayloadVersion", kind: tInteger, required: true, ints: []int64{1}},
	{name: "PayloadIdentifier", kind: tString, required: true, means: "The name by which a newer profile replaces an older one"},
	{name: "PayloadUUID", kind: tString, required: true},
	{name: "PayloadDisplayName", kind: tString, means: "What System Settings calls it"},
	{name: "PayloadDescription", kind: tString, means: "What System Settings says of it"},
	{name: "PayloadOrganization", kind: tString, means: "Whose it is"},
}

var strings1 = &key{kind: tString}

// outerMethods are those that macOS 13 knows; it reads the method outside of
// PlatformSSO, and later releases do not.
var outerMethods = []string{"Password", "UserSecureEnclaveKey"}

var ssoKeys = append([]key{
	{name: "ExtensionIdentifier", kind: tString, required: true, means: "The extension that signs people in"},
	{name: "TeamIdentifier", kind: tString, required: true, means: "The developer team whose signature the extension must have"},
	{name: "Type", kind: tString, required: true, values: []string{"Redirect"}, means: "The extension answers requests for addresses"},
	{name: "URLs", kind: tArray, required: true, of: strings1, means: "Addresses whose requests the Mac hands to the extension"},
	{name: "ExtensionData", kind: tDict, of: &key{kind: tAny}, means: "What the extension is told"},
	{name: "ScreenLockedBehavior", kind: tString, since: "12.0", values: []string{"Cancel", "DoNotHandle"}, means: "What happens to requests while the screen is locked"},
	{name: "DeniedBundleIdentifiers", kind: tArray, since: "12.0", of: strings1, means: "Apps that the extension does not serve"},
	{name: "AuthenticationMethod", kind: tString, since: "13.0", values: outerMethods, means: "How people sign in, for macOS 13"},
	{name: "RegistrationToken", kind: tString, since: "13.0", means: "What lets the Mac register before anybody signs in to it"},
	{name: "PlatformSSO", kind: tDict, since: "14.0", keys: platformKeys, means: "How Platform SSO works on this Mac"},
}, commonKeys...)

var platformKeys = []key{
	{name: "AuthenticationMethod", kind: tString, required: true, values: []string{"Password", "UserSecureEnclaveKey", "SmartCard", "OpenID"}, means: "How people sign in"},
	{name: "UseSharedDeviceKeys", kind: tBool, means: "One pair of device keys for all people of the Mac"},
	{name: "AccountDisplayName", kind: tString, means: "What the Mac calls the account"},
	{name: "LoginFrequency", kind: tInteger, least: 3600, means: "Seconds after which a full sign-in is due"},
	{name: "EnableCreateUserAtLogin", kind: tBool, means: "Accounts are made at the login window"},
	{name: "EnableCreateFirstUserDuringSetup", kind: tBool, since: "26.0", means: "The first account is made in Setup Assistant"},
	{name: "EnableAuthorization", kind: tBool, means: "People without an account may answer the Mac's questions for an administrator"},
	{name: "TokenToUserMapping", kind: tDict, keys: []key{{name: "AccountName", kind: tString}, {name: "FullName", kind: tString}}, means: "Which claims name a new account"},
	{name: "NewUserAuthenticationMethods", kind: tArray, since: "26.0", of: &key{kind: tString, values: []string{"Password", "SmartCard", "AccessKey", "OpenID"}}, means: "How new accounts sign in"},
	{name: "NewUserAuthorizationMode", kind: tString, values: []string{"Standard", "Admin", "Groups", "Temporary"}, means: "What new accounts may do"},
	{name: "UserAuthorizationMode", kind: tString, values: []string{"Standard", "Admin", "Groups"}, means: "What accounts may do after each sign-in"},
	{name: "AdministratorGroups", kind: tArray, of: strings1, means: "Groups whose people administer the Mac"},
	{name: "AdditionalGroups", kind: tArray, of: strings1, means: "Groups that exist on the Mac, too"},
	{name: "AuthorizationGroups", kind: tDict, of: strings1, means: "Rights of the Mac that groups have"},
	{name: "FileVaultPolicy", kind: tArray, since: "15.0", of: &key{kind: tString, values: gatePolicies}, means: "What unlocking the disk asks for"},
	{name: "LoginPolicy", kind: tArray, since: "15.0", of: &key{kind: tString, values: gatePolicies}, means: "What the login window asks for"},
	{name: "UnlockPolicy", kind: tArray, since: "15.0", of: &key{kind: tString, values: append([]string{allowTouchUnlock}, gatePolicies...)}, means: "What unlocking the screen asks for"},
	{name: "AlwaysUseLoginUI", kind: tBool, since: "27.2", means: "Platform SSO's own window at every login"},
	{name: "OfflineGracePeriod", kind: tInteger, since: "15.0", means: "Seconds for which a password does without the server"},
	{name: "AuthenticationGracePeriod", kind: tInteger, since: "15.0", means: "Seconds for which unregistered accounts go on"},
	{name: "NonPlatformSSOAccounts", kind: tArray, since: "15.0", of: strings1, means: "Local accounts that are left alone"},
	{name: "AllowDeviceIdentifiersInAttestation", kind: tBool, since: "15.4", means: "Attestations carry serial number and UDID"},
	{name: "SynchronizeProfilePicture", kind: tBool, since: "26.0", means: "The extension is asked for the person's picture"},
	{name: "TemporarySessionQuickLogin", kind: tBool, since: "26.0", means: "Guest sessions begin sooner and are cleaned less"},
	{name: "EnableRegistrationDuringSetup", kind: tBool, since: "26.0", means: "Setup Assistant registers the Mac"},
	{name: "AccessKeyReaderGroupIdentifier", kind: tData, since: "26.0"},
	{name: "AccessKeyTerminalIdentityUUID", kind: tString, since: "26.0"},
	{name: "AccessKeyReaderIssuerCertificateUUID", kind: tString, since: "26.2"},
	{name: "AllowAccessKeyExpressMode", kind: tBool, since: "26.0", means: "Access keys open without a question"},
	{name: "WebLoginURLAllowList", kind: tArray, since: "27.0", of: strings1, means: "Hosts that the web sign-in may load"},
	{name: "AllowWebLoginPasswordSync", kind: tBool, since: "27.0", means: "A password typed on the web becomes the account's"},
	{name: "AdditionalHTTPHeaders", kind: tDict, since: "27.2", of: strings1, means: "Headers that the Mac adds to its requests"},
}

// The values of the three policies.
const (
	attempt          = "AttemptAuthentication"
	require          = "RequireAuthentication"
	allowOffline     = "AllowOfflineGracePeriod"
	allowGrace       = "AllowAuthenticationGracePeriod"
	requireTouch     = "RequireTouchID"
	requireTouchAny  = "RequireTouchIDOrWatch"
	openIDFallback   = "AllowOpenIDForTouchIDFallback"
	allowTouchUnlock = "AllowTouchIDOrWatchForUnlock"
)

var gatePolicies = []string{attempt, require, allowOffline, allowGrace, requireTouch, requireTouchAny, openIDFallback}

var associatedKeys = append([]key{
	{name: "Configuration", kind: tArray, required: true, means: "Which apps belong to which server", of: &key{kind: tDict, keys: []key{
		{name: "ApplicationIdentifier", kind: tString, required: true},
		{name: "AssociatedDomains", kind: tArray, required: true, of: strings1},
		{name: "EnableDirectDownloads", kind: tBool, since: "11.0"},
	}}},
}, commonKeys...)
