package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// redeemCode is grant_type=authorization_code (RFC 6749, Section 4.1.3).
//
// Everything is verified before the one transaction, which always commits: it
// burns the code by opening its family of tokens, or burns it and notes the
// failure. Whoever loses the burn holds a code that was redeemed before: then
// what came of it is revoked in that same transaction (RFC 9700, Section
// 4.13; security.md OAU03).
func (s *Server) redeemCode(r *http.Request, x exchange) (tokenReply, error) {
	ctx := r.Context()
	presented := x.params.get("code")
	if presented == "" {
		return tokenReply{}, missing("code")
	}
	if len(presented) > maxToken {
		return tokenReply{}, unreadableCode(idp.Expiredf("code_too_long", "%d bytes", len(presented)))
	}
	sealed, late := s.cfg.Box.Open(ctx, x.tenant.ID, codePurpose, presented)
	if late != nil && idp.AsError(late).Reason != "late" {
		return tokenReply{}, unreadableCode(late)
	}
	var body codeBody
	if err := nonce.Decode(sealed.Payload, &body); err != nil {
		return tokenReply{}, unreadableCode(idp.Expiredf("code_malformed", "%w", err))
	}
	if late != nil {
		return tokenReply{}, s.lateCode(ctx, x, token.CodeID(sealed.ID), body, late)
	}
	subject, verdict := s.judgeCode(ctx, x, body)
	if ours(verdict) {
		return tokenReply{}, verdict // the code stays good
	}
	// The transaction asks whether the session lives, by the tenant's limits:
	// they are read before, so that it holds no second connection for them.
	if _, err := s.cfg.Policies.Get(ctx, x.tenant.ID); err != nil {
		return tokenReply{}, err
	}
	granted, err := s.burnCode(ctx, x, redeemed{token.CodeID(sealed.ID), body.Recorded, "token.code"}, subject, verdict)
	if err != nil {
		return tokenReply{}, err
	}
	return s.issue(ctx, x, granted)
}

// lateCode refuses a code whose minute is over. Was it redeemed in time, then
// it is here for the second time: what came of it is revoked (security.md
// OAU03). A code that was never redeemed leaves no trace.
func (s *Server) lateCode(ctx context.Context, x exchange, id token.CodeID, body codeBody, late error) error {
	answer := unreadableCode(late)
	err := s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		answer = unreadableCode(late)
		ended, err := s.cfg.Tokens.RevokeByCode(ctx, tx, x.tenant.ID, id)
		if err != nil || !ended {
			return err
		}
		answer = spentCode(late)
		return s.cfg.Audit.Write(ctx, tx, audit.Event{
			Tenant: x.tenant.ID, Category: "token", Activity: "token.code_replay", Outcome: "failure",
			Actor: "client:" + string(x.client.ID), Client: x.client.ID, User: body.User, Session: body.Session,
			Reason: idp.AsError(answer).Reason, Code: code(answer), IP: x.ip, Agent: x.agent, Trace: x.trace,
		})
	})
	if err != nil {
		return err
	}
	return answer
}

// onPass says whether a grant stands on an access pass.
func onPass(sub token.Subject) bool {
	return slices.ContainsFunc(sub.Basis, func(b token.Basis) bool {
		return b.Mode == idp.ModeAccessPassOnce || b.Mode == idp.ModeAccessPassMany
	})
}

// redeemed is the code that a request brings.
type redeemed struct {
	id       token.CodeID
	recorded bool // the sign-in that it stands for is in the audit already
	activity string
}

func unreadableCode(err error) error {
	if ours(err) {
		return err
	}
	return fault(idp.Expired, "invalid_grant", codeGrantExpired, "code_unreadable",
		"The code is over, or was not given out here. Start again.", "code: %w", err)
}

// judgeCode compares the code with the request that redeems it and reads what
// the tokens will state. It writes nothing.
func (s *Server) judgeCode(ctx context.Context, x exchange, body codeBody) (token.Subject, error) {
	// RFC 6749, Section 4.1.3: issued to this client, for this address.
	if body.Client != x.client.ID {
		return token.Subject{}, fault(idp.Unproven, "invalid_grant", codeGrantOther, "code_of_other_client",
			"The code was issued to another application.", "code of %s presented by %s", body.Client, x.client.ID)
	}
	if !secret.Equal([]byte(body.Redirect), []byte(x.params.get("redirect_uri"))) {
		return token.Subject{}, fault(idp.Unproven, "invalid_grant", codeGrantOther, "other_redirect",
			"redirect_uri is not the one of the authorization request.", "redirect differs")
	}
	// RFC 7636, Section 4.6.
	if err := x.checkProofKey(body); err != nil {
		return token.Subject{}, err
	}
	// RFC 8707, Section 2.2: the audience may be repeated, not widened.
	if res := x.params.get("resource"); !sameResource(res, body.Audience, x.client) {
		return token.Subject{}, otherResource(res)
	}
	// The person may have been switched off since; a code of theirs dies with
	// them. Of the session the transaction makes sure.
	user, err := s.livingUser(ctx, x.tenant.ID, body.User)
	if err != nil {
		return token.Subject{}, err
	}
	sub := token.Subject{
		Tenant: x.tenant.ID, User: user, Session: body.Session, Client: x.client,
		Scopes: body.Scopes, Audience: body.Audience, AuthTime: time.UnixMilli(body.AuthTime),
		ACR: body.ACR, AMR: body.AMR, Nonce: body.Nonce, Info: body.Info, Basis: body.Basis, Asked: body.Asked,
		Device: body.Device, PRT: body.PRT, Capabilities: body.Caps,
	}
	if body.Until > 0 {
		sub.Until = time.UnixMilli(body.Until)
	}
	return s.presently(ctx, x.tenant, sub)
}

// checkProofKey demands the verifier of every code. One that was given without
// a challenge is good only while its client still may do so, and never with a
// verifier (security.md OAU02).
func (x exchange) checkProofKey(body codeBody) error {
	if verifier := x.params.get("code_verifier"); body.Challenge != "" || verifier != "" || needsChallenge(x.client, body.Device != "") {
		return checkVerifier(verifier, body.Challenge)
	}
	return nil
}

func otherResource(res string) error {
	return fault(idp.Denied, "invalid_target", codeBadResource, "other_resource",
		"The resource is not the one that was granted.", "resource %q", clip(res))
}

// livingUser reads the person and refuses who is gone or switched off.
func (s *Server) livingUser(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
	user, err := s.cfg.Directory.User(ctx, s.cfg.DB, t, id)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return user, err
	}
	if err != nil || !user.Enabled {
		return user, fault(idp.Denied, "invalid_grant", codeUserGone, "user_disabled",
			"The account is switched off or gone.", "user %s", id)
	}
	return user, nil
}

// burnCode is the one transaction. It records every refusal, and a success
// unless the sign-in that led to it was recorded with this client: of a code
// that an open session gave without asking anybody this is the only record.
func (s *Server) burnCode(ctx context.Context, x exchange, spent redeemed, subject token.Subject, verdict error) (token.Subject, error) {
	var out token.Subject
	var answer error
	err := s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		out, answer = subject, verdict
		event := audit.Event{
			Tenant: x.tenant.ID, Category: "token", Activity: spent.activity, Outcome: "success",
			Actor: "client:" + string(x.client.ID), Client: x.client.ID, User: subject.User.ID, UserName: subject.User.Name,
			Session: subject.Session, IP: x.ip, Agent: x.agent, Trace: x.trace,
		}
		if answer == nil {
			answer, err = s.standing(ctx, tx, subject)
		}
		if answer == nil && err == nil {
			out.Family, err = s.cfg.Tokens.OpenFamily(ctx, tx, subject, spent.id)
		} else if err == nil {
			err = s.cfg.Tokens.VoidCode(ctx, tx, x.tenant.ID, x.client.ID, spent.id)
		}
		if errors.Is(err, idp.Expired) {
			answer, event.Activity = spentCode(err), spent.activity+"_replay"
			_, err = s.cfg.Tokens.RevokeByCode(ctx, tx, x.tenant.ID, spent.id)
		}
		if err != nil {
			return err
		}
		if answer == nil && spent.recorded {
			return nil
		}
		if answer != nil {
			event.Outcome, event.Reason, event.Code = "failure", idp.AsError(answer).Reason, code(answer)
		}
		return s.cfg.Audit.Write(ctx, tx, event)
	})
	if err != nil {
		return out, err
	}
	return out, answer
}

// standing refuses a code whose session has ended, or whose person has taken
// back what they allowed the application.
func (s *Server) standing(ctx context.Context, tx *sqldb.Tx, sub token.Subject) (answer, err error) {
	alive, err := s.cfg.Sessions.Alive(ctx, tx, sub.Tenant, sub.Session)
	if err != nil {
		return nil, err
	}
	if !alive {
		return fault(idp.Expired, "invalid_grant", codeFreshProof, "session_over",
			"The session has ended. Sign in again.", "session %s", sub.Session), nil
	}
	if sub.Client.FirstParty {
		return nil, nil
	}
	allowed, err := s.cfg.Clients.Consent(ctx, tx, sub.Tenant, sub.User.ID, sub.Client.ID)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(sub.Scopes, func(one string) bool { return !slices.Contains(allowed, one) }) {
		return fault(idp.Denied, "invalid_grant", codeNoConsent, "consent_gone",
			"The person has taken back what they allowed this application.", "scopes %v, allowed %v", sub.Scopes, allowed), nil
	}
	return nil, nil
}

func spentCode(err error) error {
	return fault(idp.Unproven, "invalid_grant", codeGrantSpent, "code_replayed",
		"The code was redeemed before. What came of it is revoked.", "code: %w", err)
}

// reply mints the tokens of a grant. A refresh token goes out only with
// offline_access (OpenID Connect Core 1.0, Section 11), an ID token only with
// openid.
func (s *Server) reply(ctx context.Context, x exchange, sub token.Subject, refresh string) (tokenReply, error) {
	access, lives, err := s.cfg.Tokens.Access(ctx, sub)
	if err != nil {
		return tokenReply{}, err
	}
	out := tokenReply{AccessToken: access, ExpiresIn: int64(lives.Seconds()), Scope: joined(sub.Scopes)}
	if slices.Contains(sub.Scopes, offlineAccess) {
		out.RefreshToken = refresh
	}
	if slices.Contains(sub.Scopes, "openid") {
		shown := sub
		shown.Scopes = idScopes(sub.Scopes, sub.Info)
		if out.IDToken, err = s.cfg.Tokens.ID(ctx, shown, access); err != nil {
			return tokenReply{}, err
		}
	}
	out.extras, err = s.extras(x, sub, out)
	return out, err
}
