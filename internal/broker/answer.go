package broker

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/token"
)

// reply is a finished answer: JSON, or the JWE around it.
type reply struct{ body []byte }

func (a reply) write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749, Section 5.1
	// That of the JSON inside, also for a JWE: clients look at the text
	// (device-protocol.md §8.5).
	h.Set("Content-Type", "application/json; charset=utf-8")
	w.Write(a.body) // a peer that has gone away is nobody's error
	return nil
}

// prtReply is the answer to a request for a PRT and to a renewal. What is text
// and what a number is as clients read it (device-protocol.md §0 fact 13, §7.4).
type prtReply struct {
	TokenType        string `json:"token_type"`
	ExpiresIn        string `json:"expires_in"`
	ExtExpiresIn     string `json:"ext_expires_in"`
	ExpiresOn        string `json:"expires_on"`
	RefreshToken     string `json:"refresh_token"`
	RefreshExpiresIn int64  `json:"refresh_token_expires_in"`
	SessionKey       string `json:"session_key_jwe,omitempty"`
	IDToken          string `json:"id_token"`
	ClientInfo       string `json:"client_info"`
	DeviceTenant     string `json:"device_tenant_id"`
	TicketAD         string `json:"tgt_ad,omitempty"`
	TicketCloud      string `json:"tgt_cloud,omitempty"`
	// OfflineDays is an extension of ours: for how many days after this a
	// desktop may let its person in without us (policy devices.offlineDays).
	OfflineDays int `json:"offline_unlock_days,omitempty"`
}

// noTicket is the answer to a request for a Kerberos ticket: there are none
// here, and clients insist on the numbers (device-protocol.md §12.2).
const noTicket = `{"keyType":0,"error":"no Kerberos realm","sessionKeyType":0,"accountType":0}`

// tokenReply is the answer to the use of a PRT (device-protocol.md §3.1). Its
// numbers are text on addresses without v2.0.
type tokenReply struct {
	TokenType        string `json:"token_type"`
	Scope            string `json:"scope"`
	Resource         string `json:"resource,omitempty"`
	ExpiresIn        any    `json:"expires_in"`
	ExtExpiresIn     any    `json:"ext_expires_in"`
	ExpiresOn        any    `json:"expires_on,omitempty"`
	NotBefore        any    `json:"not_before,omitempty"`
	AccessToken      string `json:"access_token"`
	RefreshToken     string `json:"refresh_token"`
	RefreshExpiresIn any    `json:"refresh_token_expires_in"`
	IDToken          string `json:"id_token,omitempty"`
	ClientInfo       string `json:"client_info"`
	Family           string `json:"foci,omitempty"`
}

// deliver is the answer that hands a new PRT out.
func (s *Server) deliver(ctx context.Context, q request, made issued) (reply, error) {
	body, err := s.prtBody(ctx, q.exchange, token.Subject{Client: q.client}, made.PRT, made.Value)
	if err != nil {
		return reply{}, err
	}
	if q.protocol == prt.V4 {
		return q.agreed(body)
	}
	body.SessionKey = made.wrapped
	raw, err := json.Marshal(body)
	return reply{raw}, err
}

// prtBody is the answer without the session key. The ID token is always there,
// with the person's name (device-protocol.md §0 facts 13 and 15).
func (s *Server) prtBody(ctx context.Context, x exchange, sub token.Subject, p prt.PRT, value string) (prtReply, error) {
	user, err := s.cfg.Directory.User(ctx, s.cfg.DB, p.Tenant, p.User)
	if err != nil {
		return prtReply{}, err
	}
	sub.Tenant, sub.User, sub.Session, sub.PRT, sub.Device = p.Tenant, user, p.ID, p.ID, p.Device
	sub.Scopes, sub.AuthTime, sub.AMR = []string{"openid", "profile"}, p.ProofTime, amrOf(p.Proofs)
	id, err := s.cfg.Tokens.ID(ctx, sub, "")
	if err != nil {
		return prtReply{}, err
	}
	rests := restsFor(p, s.cfg.Now())
	out := prtReply{
		TokenType: "Bearer", ExpiresIn: text(rests), ExtExpiresIn: "0", ExpiresOn: text(p.Expires.Unix()),
		RefreshToken: value, RefreshExpiresIn: rests, IDToken: id,
		ClientInfo: clientInfo(p.Tenant, p.User), DeviceTenant: string(p.Tenant),
	}
	if strings.EqualFold(x.form.Get("tgt"), "true") {
		out.TicketAD, out.TicketCloud = noTicket, noTicket
	}
	if p.Protocol == prt.V3 {
		rules, err := s.cfg.Policies.Get(ctx, p.Tenant)
		if err != nil {
			return prtReply{}, err
		}
		out.OfflineDays = rules.Devices.OfflineDays
	}
	return out, nil
}

func amrOf(proofs []idp.Proof) (out []string) {
	seen := map[string]bool{}
	for _, p := range proofs {
		for _, word := range p.AMR {
			if !seen[word] {
				seen[word], out = true, append(out, word)
			}
		}
	}
	return out
}

// clientInfo tells a client whose the tokens are (device-protocol.md §3.1).
func clientInfo(t idp.TenantID, u idp.UserID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"` + string(u) + `","utid":"` + string(t) + `"}`))
}

func text(n int64) string { return strconv.FormatInt(n, 10) }

// n is a number as the address of the request wants it.
func (x exchange) n(v int64) any {
	if x.v2 {
		return v
	}
	return text(v)
}

// tokens is the answer that hands tokens of an application out.
func (s *Server) tokens(ctx context.Context, x exchange, sub token.Subject, refresh string) (tokenReply, error) {
	access, lives, err := s.cfg.Tokens.Access(ctx, sub)
	if err != nil {
		return tokenReply{}, err
	}
	now, seconds := s.cfg.Now(), int64(lives/time.Second)
	out := tokenReply{
		TokenType: "Bearer", Scope: strings.Join(sub.Scopes, " "), ExpiresIn: x.n(seconds), ExtExpiresIn: x.n(seconds),
		AccessToken: access, RefreshToken: refresh, RefreshExpiresIn: x.n(max(int64(sub.Until.Sub(now)/time.Second), 0)),
		ClientInfo: clientInfo(sub.Tenant, sub.User.ID),
	}
	if !x.v2 {
		out.Resource, out.ExpiresOn, out.NotBefore = sub.Audience, text(now.Add(lives).Unix()), text(now.Unix())
	}
	if sub.Shared() {
		out.Family = "1" // [K] the family of the built-in applications
	}
	for _, scope := range sub.Scopes {
		if scope == "openid" {
			out.IDToken, err = s.cfg.Tokens.ID(ctx, sub, access)
		}
	}
	return out, err
}

// seal encrypts an answer under the session key (device-protocol.md §8.5): in
// AES-GCM, unless the tenant lets clients have what they read instead
// (compat.cbcResponses, decisions 4.4).
func (x exchange) seal(o prt.Opened, cbc bool, v any) (reply, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return reply{}, err
	}
	write := jose.SealDirect
	if cbc && x.protocol == prt.Classic {
		write = jose.SealCBC
	}
	body, err := write(o.AnswerKey, raw)
	return reply{body}, err
}

// maxPartyInfo bounds what a device puts into the key of its answer.
const maxPartyInfo = 512

// agreement is how an answer is encrypted to the device (device-protocol.md
// §7.3).
func (q request) agreement(to *ecdsa.PublicKey) (jose.Agreement, error) {
	e := q.Encryption
	apv, err := jose.Unbase64(e.APV)
	if err != nil || len(apv) > maxPartyInfo || e.Alg != "" && e.Alg != "ECDH-ES" || e.Enc != "" && e.Enc != "A256GCM" {
		return jose.Agreement{}, malformed("jwe_crypto", "alg %q, enc %q, apv of %d characters", clip(e.Alg), clip(e.Enc), len(e.APV))
	}
	return jose.Agreement{
		Recipient: to, APV: apv,
		APU: func(point []byte) []byte { return point }, // [I] what the server brings to the key: its ephemeral part
	}, nil
}

// agreed encrypts an answer to the device's transport key.
func (q request) agreed(v any) (reply, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return reply{}, err
	}
	a, err := q.agreement(q.device.Transport.(*ecdsa.PublicKey))
	if err != nil {
		return reply{}, err
	}
	body, err := jose.SealAgreed(a, raw)
	return reply{[]byte(body)}, err
}

// strengthClaims is what a client sends on to the authorization endpoint to
// have a strength proven.
func strengthClaims(acr string) string {
	raw, err := json.Marshal(map[string]any{"id_token": map[string]any{"acr": map[string]any{"essential": true, "values": []string{acr}}}})
	if err != nil {
		return ""
	}
	return string(raw)
}
