package method

import (
	"encoding/base64"
	"encoding/json"
	"errors"
)

// ChallengeShown finds the challenge in the options of a registration that a
// room shows to a browser (WebAuthn Level 3, §5.1.8, in "publicKey"): the name
// under which the answer comes back to a door that keeps no page.
func ChallengeShown(show []byte) (string, error) {
	var in struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(show, &in); err != nil {
		return "", err
	}
	return some(in.PublicKey.Challenge)
}

// ChallengeSigned finds it in the client data that came back, base64url
// without padding (WebAuthn Level 3, §5.8.1). What it finds is what a stranger
// says, and only good for looking up.
func ChallengeSigned(clientData string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(clientData)
	if err != nil {
		return "", err
	}
	var in struct {
		Challenge string `json:"challenge"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return "", err
	}
	return some(in.Challenge)
}

func some(challenge string) (string, error) {
	if challenge == "" {
		return "", errors.New("no challenge")
	}
	return challenge, nil
}
