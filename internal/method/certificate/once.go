package certificate

import (
	"context"
	"crypto/x509"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// common stands for any tenant in the audience of a message.
const common = "common"

// verifyOnce judges a message that the key of a certificate has signed, of a
// desktop (device-protocol.md §7.2) or a Mac (apple-platform-sso.md §6.3): who
// signed holds the key of the first certificate in it, and all else is as for a
// handshake (security.md PSO04).
func (m *Room) verifyOnce(ctx context.Context, a method.Answer) (method.Verdict, error) {
	expected, fault := assertion.FromKeep(a.Keep[1:])
	if fault != nil {
		return method.Verdict{}, fault
	}
	form, algs := assertion.MacCard, []string{"RS256", "ES256", "RS384", "RS512"}
	if !expected.Mac() {
		form, algs = assertion.Certificate, algs[:2]
		expected.Audiences = []string{common, string(a.Tenant), m.cfg.Issuer(a.Tenant)}
	}
	said, fault := assertion.Read(form, a.Payload, algs...)
	if fault != nil {
		return method.Verdict{}, fault
	}
	chain, fault := certificates(said.Message.Chain)
	if fault == nil {
		fault = said.Judge(expected, a.Now)
	}
	if fault != nil {
		return method.Verdict{}, fault
	}
	if err := said.Verify(chain[0].PublicKey); err != nil {
		return method.Verdict{}, idp.AsError(err)
	}
	return m.judge(ctx, a, chain, directory.Fold(said.Issuer))
}

// certificates reads those that a message brings.
func certificates(chain [][]byte) ([]*x509.Certificate, *idp.Error) {
	var out []*x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, idp.Unprovenf("certificate_malformed", "x5c: %w", err).Coded(codeRefused).Say(say["certificate_malformed"])
		}
		out = append(out, c)
	}
	return out, nil
}

// RegisterOnce implements method.OneShot. There is nothing to register: the
// directory says whose a certificate is.
func (m *Room) RegisterOnce(context.Context, method.Answer) (method.Registration, error) {
	return method.Registration{}, idp.Invalidf("certificate_not_registered", "certificates are mapped, not registered").
		Say("Certificates are not registered here. An administrator says whose they are.")
}
