package app

// deviceAddresses are those that published clients of the device protocols
// spell in many ways (device-protocol.md §0.8, §1.3, §1.5). Requests for them
// are brought into this spelling before the mux sees them; for all other
// addresses one spelling is right and the others are not.
var deviceAddresses = []string{
	"/{t}/oauth2/authorize", "/{t}/oauth2/v2.0/authorize",
	"/{t}/oauth2/token", "/{t}/oauth2/v2.0/token",
	"/{t}/oauth2/devicecode", "/{t}/oauth2/v2.0/devicecode",
	"/{t}/.well-known/openid-configuration", "/{t}/v2.0/.well-known/openid-configuration",
	"/{t}/discovery/keys", "/{t}/discovery/v2.0/keys", "/{t}/discovery/instance",
	"/{t}/UserRealm/{upn}",
	"/odc/v2.1/federationProvider",
	"/{t}/Discover",
	"/EnrollmentServer/nonce/{t}/",
	"/EnrollmentServer/device/", "/EnrollmentServer/device/{id}",
	"/EnrollmentServer/key/", "/EnrollmentServer/key/{id}",
	"/EnrollmentServer/attestation",
}
