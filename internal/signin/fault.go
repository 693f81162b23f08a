package signin

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// AADSTS numbers of the corridor (entra-behaviours §13).
const (
	codeUnproven  = 130005 // unknown person, unknown key and wrong signature alike (decisions 2.7)
	codeOver      = 50089  // the flow or its ceremony has expired
	codeDisabled  = 50057
	codeFresh     = 50078 // a proof that is too old for what is asked
	codeNoConsent = 65001
)

// The sentences that a stranger may see (design §5).
const (
	sayUnproven  = "That did not let you in. The name or the proof does not match. Try again, or ask the help desk." // text 3
	sayOver      = "The time is up, or this was used before. Nobody was let in. Start again."
	sayLast      = "This is your only way in, so it stays. Add another first, then remove this one." // text 17
	sayStronger  = "Show that it is still you with a passkey. You are changing how you sign in, and this needs one you already have."
	sayNewHere   = "This browser is new to us. Add a method from one in which you have signed in before, or with a pass from the help desk."
	sayOther     = "This was proven for somebody else than before, so it ends here. Nobody was let in. Start again."
	sayHint      = "The app asked for somebody else. Sign in as the person it named, or start again from the app."
	sayDisabled  = "You may not sign in. An administrator has switched this off. Ask the help desk."
	sayKey       = "This key cannot be used here. Your organisation allows only certain models, and this is another one. The help desk can give you one that fits." // text 8
	sayWithdrawn = "This key cannot be used any more. A security fault was found in all keys of its model. Nobody was let in. The help desk can give you another."
	sayForced    = "Your organisation asks for this now, and it cannot be put off any more. Add it, and you are where you wanted to be."
	sayMethod    = "Your organisation does not let you use this way. Choose another, or ask the help desk."
	sayBrowser   = "This sign-in was begun in another browser. Nobody was let in. Start again here."
)

// refusal says whether err is an answer about the request itself, which burns
// and is counted. Everything else (the database is down, a plain error) says
// nothing about the proof: nothing is burnt then, and it may be sent again.
func refusal(err error) bool {
	switch idp.AsError(err).Kind {
	case idp.Internal, idp.Unavailable:
		return false
	}
	return true
}

// unproven makes of a room's refusal the one that strangers see: one kind, one
// number and one sentence, unless the room has a sentence of its own, which may
// have a number of its own. Policy's
// refusals (Denied, Limited) are told as they are: they follow a good proof.
func unproven(err error) error {
	e := idp.AsError(err)
	switch e.Kind {
	case idp.Internal, idp.Unavailable, idp.Denied, idp.Limited, idp.Expired:
		return err
	}
	out := &idp.Error{Kind: idp.Unproven, Reason: e.Reason, Code: codeUnproven, Public: sayUnproven, Err: err}
	if e.Kind == idp.Unproven && e.Public != "" {
		out.Public, out.Code = e.Public, cmp.Or(e.Code, codeUnproven)
	}
	return out
}

// refusedKey makes of a refusal of policy the error of a method or a key that
// somebody may not use.
func refusedKey(r policy.Refusal) *idp.Error {
	say := sayMethod
	if r.Code == policy.CodeKey {
		say = sayKey
	}
	if r.Help.OtherModel {
		say = sayWithdrawn
	}
	return idp.Deniedf(r.Reason, "rule %s", r.Rule).Coded(r.Code).Say(say)
}

// over marks an Expired with its number and sentence.
func over(err error) error {
	if !errors.Is(err, idp.Expired) {
		return err
	}
	e := idp.AsError(err)
	return &idp.Error{Kind: idp.Expired, Reason: e.Reason, Code: codeOver, Public: sayOver, Err: err}
}

// stale refuses a change of how one signs in, by a gesture that was made so
// long ago (design §5, text 18).
func stale(who idp.UserID, age time.Duration) *idp.Error {
	minutes := int(age / time.Minute)
	old := "less than a minute"
	switch {
	case minutes == 1:
		old = "1 minute"
	case minutes > 1:
		old = fmt.Sprintf("%d minutes", minutes)
	}
	return idp.Deniedf("fresh_proof_needed", "proof of user %s is %s old", who, age).Coded(codeFresh).
		Say("Show that it is still you. You are changing how you sign in, and your last proof is " + old + " old.")
}
