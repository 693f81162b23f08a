package agent

import (
	"slices"

	"github.com/signetid/signet/internal/jose"
)

// identity is who an ID token is about.
type identity struct {
	ObjectID  string `json:"oid"`
	Tenant    string `json:"tid"`
	Preferred string `json:"preferred_username"`
	UPN       string `json:"upn"`
	Name      string `json:"name"`
	Nonce     string `json:"nonce"`
}

func (i identity) name() string {
	if i.UPN != "" {
		return i.UPN
	}
	return i.Preferred
}

// who reads an ID token that came from the token endpoint.
func who(idToken string) (identity, error) {
	var i identity
	err := jose.Unverified(idToken, &i)
	return i, err
}

// fresh says whether an access token shows a gesture of minutes ago, as the
// registration of a user key asks for.
func fresh(accessToken string) bool {
	var claims struct {
		AMR []string `json:"amr"`
	}
	return jose.Unverified(accessToken, &claims) == nil && slices.Contains(claims.AMR, "ngcmfa")
}

// ofDevice says whether an access token speaks for a device.
func ofDevice(accessToken string) bool {
	var claims struct {
		Device string `json:"deviceid"`
	}
	return jose.Unverified(accessToken, &claims) == nil && claims.Device != ""
}
