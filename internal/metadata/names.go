package metadata

// bundledName is what is known of a model without the MDS.
type bundledName struct{ name, vendor string }

// PlatformCredential is the AAGUID of the macOS Platform Credential. It counts
// as verified only by comparing public keys (decisions 5.1), never by a chain.
const PlatformCredential = "7fd635b3-2ef9-4542-8d9d-164f2c771efc"

// Zero is the AAGUID of a key that does not tell its model.
const Zero = "00000000-0000-0000-0000-000000000000"

// bundled names well-known models, most of which are not in the MDS, so that a
// server without it shows names. Facts that their makers publish.
var bundled = map[string]bundledName{
	PlatformCredential:                     {"macOS Platform Credential", "Apple"},
	"de1e552d-db1d-4423-a619-566b625cdc84": {"Microsoft Authenticator (Android)", "Microsoft"},
	"90a3ccdf-635c-4729-a248-9b709135078f": {"Microsoft Authenticator (iOS)", "Microsoft"},
	"08987058-cadc-4b81-b6e1-30de50dcbe96": {"Windows Hello", "Microsoft"},
	"9ddd1817-af5a-4672-a2b9-3e3dd95000a9": {"Windows Hello", "Microsoft"},
	"6028b017-b1d4-4c02-b4b3-afcdafc96bb2": {"Windows Hello", "Microsoft"},
	"d3452668-01fd-4c12-926c-83a4204853aa": {"Microsoft Password Manager", "Microsoft"},
	"771b48fd-d3d4-4f74-9232-fc157ab0507a": {"Edge on Mac", "Microsoft"},
	"2fc0579f-8113-47ea-b116-bb5a8db9202a": {"YubiKey 5 NFC", "Yubico"},
	"a25342c0-3cdc-4414-8e46-f4807fca511c": {"YubiKey 5 NFC", "Yubico"},
	"fa2b99dc-9e39-4257-8f92-4a30d23c4118": {"YubiKey 5 NFC", "Yubico"},
	"cb69481e-8ff7-4039-93ec-0a2729a154a8": {"YubiKey 5", "Yubico"},
	"ee882879-721c-4913-9775-3dfcce97072a": {"YubiKey 5", "Yubico"},
	"c5ef55ff-ad9a-4b9f-b580-adebafe026d0": {"YubiKey 5Ci", "Yubico"},
	"a4e9fc6d-4cbe-4758-b8ba-37598bb5bbaa": {"Security Key NFC by Yubico", "Yubico"},
	"e77e3c64-05e3-428b-8824-0cbeb04b829d": {"Security Key NFC by Yubico", "Yubico"},
	"dd4ec289-e01d-41c9-bb89-70fa845d4bf2": {"iCloud Keychain (managed)", "Apple"},
	"fbfc3007-154e-4ecc-8c0b-6e020557d7bd": {"Apple Passwords", "Apple"},
	"f24a8e70-d0d3-f82c-2937-32523cc4de5a": {"Apple device (attested)", "Apple"},
	"ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4": {"Google Password Manager", "Google"},
	"adce0002-35bc-c60a-648b-0b25f1f05503": {"Chrome on Mac", "Google"},
	"b5397666-4885-aa6b-cebf-e52262a439a2": {"Chromium browser", "Chromium"},
	"bada5566-a7aa-401f-bd96-45619a55120d": {"1Password", "1Password"},
	"d548826e-79b4-db40-a3d8-11116f7e8349": {"Bitwarden", "Bitwarden"},
	"531126d6-e717-415c-9320-3d9aa6981239": {"Dashlane", "Dashlane"},
	"53414d53-554e-4700-0000-000000000000": {"Samsung Pass", "Samsung"},
	"0ea242b4-43c4-4a1b-8b17-dd6d0b6baec6": {"Keeper", "Keeper"},
	"b84e4048-15dc-4dd0-8640-f4f60813c8af": {"NordPass", "Nord Security"},
	"f3809540-7f14-49c1-a8b3-8f813b225541": {"Enpass", "Enpass"},
	"50726f74-6f6e-5061-7373-50726f746f6e": {"Proton Pass", "Proton"},
	"b78a0a55-6ef8-d246-a042-ba0f6d55050c": {"LastPass", "LastPass"},
	"fdb141b2-5d84-443e-8a35-4698c205a502": {"KeePassXC", "KeePassXC"},
	"66a0ccb3-bd6a-191f-ee06-e375c50b9846": {"Thales PIN (iOS)", "Thales"},
}

// BundledName is the bundled name of a model, or "". The AAGUID is in lower
// case.
func BundledName(aaguid string) string { return bundled[aaguid].name }

// vendors tells makers by words in the names of their models: a metadata
// statement does not name its maker. First match wins.
var vendors = []struct{ word, vendor string }{
	{"yubi", "Yubico"}, {"security key by yubico", "Yubico"}, {"security key nfc by yubico", "Yubico"},
	{"windows hello", "Microsoft"}, {"microsoft", "Microsoft"},
	{"feitian", "Feitian"}, {"epass", "Feitian"}, {"biopass", "Feitian"}, {"iepass", "Feitian"},
	{"titan", "Google"}, {"google", "Google"}, {"android", "Google"},
	{"token2", "Token2"}, {"crescendo", "HID Global"}, {"hid ", "HID Global"},
	{"thales", "Thales"}, {"safenet", "Thales"}, {"etoken", "Thales"}, {"idprime", "Thales"}, {"gemalto", "Thales"},
	{"ishield", "Swissbit"}, {"swissbit", "Swissbit"}, {"ledger", "Ledger"}, {"trezor", "Trezor"},
	{"digipass", "OneSpan"}, {"onespan", "OneSpan"}, {"verimark", "Kensington"}, {"kensington", "Kensington"},
	{"nitrokey", "Nitrokey"}, {"solo ", "SoloKeys"}, {"solokeys", "SoloKeys"}, {"hideez", "Hideez"},
	{"idmelon", "IDmelon"}, {"cryptnox", "Cryptnox"}, {"arculus", "Arculus"}, {"atkey", "AuthenTrend"},
	{"authentrend", "AuthenTrend"}, {"excelsecu", "Excelsecu"}, {"esecu", "Excelsecu"}, {"hyperfido", "Hypersecu"},
	{"hypersecu", "Hypersecu"}, {"trustkey", "TrustKey"}, {"ellipticsecure", "Elliptic Secure"}, {"mira", "Elliptic Secure"},
	{"neowave", "Neowave"}, {"winkeo", "Neowave"}, {"badgeo", "Neowave"}, {"octatco", "Octatco"}, {"ezfinger", "Octatco"},
	{"samsung", "Samsung"}, {"apple", "Apple"}, {"rsa ", "RSA"}, {"idemia", "IDEMIA"}, {"ensurity", "Ensurity"},
	{"thinc", "Ensurity"}, {"gotrust", "GoTrust"}, {"idem key", "GoTrust"}, {"keyxentic", "KeyXentic"}, {"veridium", "VeridiumID"},
	{"vincss", "VinCSS"}, {"eviden", "Eviden"}, {"cardos", "Eviden"}, {"giesecke", "Giesecke+Devrient"}, {"starsign", "Giesecke+Devrient"},
}
