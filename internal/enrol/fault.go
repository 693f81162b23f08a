package enrol

import "github.com/signetid/signet/internal/idp"

// BadToken is an error of a token that is not good here, whatever of it: the
// client has to get another.
func BadToken(reason, format string, args ...any) *idp.Error {
	return idp.Unprovenf(reason, format, args...).Coded(codeBadToken).Say("The access token is not good here. Sign in again.")
}

// unproven is an error of a token as a door tells it: whatever is wrong with
// one, the client has to get another.
func unproven(err error) error {
	e := idp.AsError(err)
	switch e.Kind {
	case idp.Unproven, idp.Expired, idp.Invalid, idp.NotFound:
		return BadToken(e.Reason, "%w", err)
	}
	return err
}

// remote refuses what was approved in another place than where it takes effect
// (device-protocol.md §15).
func remote() error {
	return idp.Deniedf("device_code_refused", "the sign-in was approved on another device").Coded(codePolicy).
		Say("Sign in on this device itself: a sign-in that is approved elsewhere does not do here.")
}

// sayJoin tells the person why policy refuses; words that are missing are told
// in general.
var sayJoin = map[string]string{
	"devices_off":        "This organisation does not register devices.",
	"guest_may_not_join": "Guests cannot join devices.",
	"excluded":           "Your organisation does not let you join devices.",
	"not_included":       "Your organisation does not let you join devices.",
	"user_disabled":      "This account is disabled.",
}

// SayJoin is the sentence for a reason for which policy refuses a join; empty
// when there is none.
func SayJoin(reason string) string { return sayJoin[reason] }
