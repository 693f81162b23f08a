package oddclient

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"testing"
)

// A Hello key comes in on the road of §6, in each dialect, and signs in.
func TestHello(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example", "devices.compat.kdfV1", "true")
	for _, d := range []Dialect{DialectA(), DialectB(), DialectC()} {
		t.Run(d.Name, func(t *testing.T) {
			c := o.client(d)
			e := o.somebody("ada-"+d.Name).enrol(t, c)
			token := c.registrationToken(t, e.first, e.device)
			claims, err := claimsOf(token)
			if err != nil {
				t.Fatal(err)
			}
			if amr, _ := claims["amr"].([]any); claims["aud"] != drsURN || claims["deviceid"] != e.device.ID || claims["upn"] != e.upn || !slices.Contains(amr, any("ngcmfa")) {
				t.Errorf("the token for the key says %v", claims)
			}
			// A second key with the same token: a person may have one on each
			// device, the newer one counts.
			e.hello.Key = s.key()
			a, err := c.RegisterHello(t.Context(), token, &e.hello.Key.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK || len(got["kid"].(string)) != 36 || got["upn"] != e.upn || len(a.Header.Get("request-id")) != 36 {
				t.Errorf("a second key with the same token: %d %v %.300s, %v", a.Status, a.Header, a.Body, err)
			}
			p := e.prt(t, c)
			out, a, err := c.Use(t.Context(), p, brokerID, graphURL+"/.default openid")
			if err != nil || out == nil {
				t.Fatalf("use: %v, %v", orBody(a), err)
			}
			access, err := claimsOf(out["access_token"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if amr, _ := access["amr"].([]any); !slices.Contains(amr, any("rsa")) || !slices.Contains(amr, any("mfa")) {
				t.Errorf("amr after Hello is %v", access["amr"])
			}
		})
	}
}

// A newer key of the same person on the same device takes the older one's place,
// and what the older one signed in is over (§11).
func TestHelloReplaced(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	e := o.somebody("ada").enrol(t, c)
	p := e.prt(t, c)
	old := e.hello
	e.hello.Key = s.key()
	a, err := c.RegisterHello(t.Context(), c.registrationToken(t, e.first, e.device), &e.hello.Key.PublicKey)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("the newer key: %d %.300s, %v", a.Status, a.Body, err)
	}
	e.prt(t, c)
	request, err := c.helloRequest(t.Context(), e.device, old)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = c.askPRT(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if a.Status == http.StatusOK {
		return // both stand side by side: nothing was removed
	}
	want{"invalid_grant", "bad_token", []int{130004, 130005}}.check(t, "the older key", a, err)
	_, a, err = c.Use(t.Context(), p, brokerID, graphURL+"/.default openid")
	want{"invalid_grant", "bad_token", []int{50173}}.check(t, "the PRT of the older key", a, err)
}

// helloRefused checks an error of the key service (§6).
func helloRefused(t *testing.T, name string, a Answer, err error, statuses ...int) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var got struct {
		Code, Message, Response, Time string
		Error                         struct{ Code, Message string }
	}
	if jerr := json.Unmarshal([]byte(a.Body), &got); jerr != nil || !slices.Contains(statuses, a.Status) || got.Response != "ERROR" ||
		got.Code == "" || got.Message == "" || got.Time == "" || got.Error.Code == "" || got.Error.Message == "" {
		t.Errorf("%s: got %d %.300q, want one of %v with the members of §6", name, a.Status, a.Body, statuses)
	}
}

// What a key registration refuses (§6, §5.4, §15; decisions 2.5, 4.3).
func TestHelloRefused(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	c := o.client(DialectB())
	ada := o.somebody("ada")
	tokens := ada.tokens(t)
	key := &s.key().PublicKey
	a, err := c.RegisterHello(t.Context(), tokens.Access, key)
	helloRefused(t, "a token without a device", a, err, 401)
	a, err = c.RegisterHello(t.Context(), "", key)
	helloRefused(t, "no token", a, err, 401)

	e := ada.enrol(t, c)
	good := c.registrationToken(t, e.first, e.device)
	elsewhere, a, err := c.Use(t.Context(), e.first, brokerID, graphURL+"/.default openid")
	if err != nil || elsewhere == nil {
		t.Fatalf("use: %v, %v", orBody(a), err)
	}
	a, err = c.RegisterHello(t.Context(), elsewhere["access_token"].(string), key)
	helloRefused(t, "a token for another resource", a, err, 401)
	a, err = c.RegisterHello(t.Context(), bent(good), key)
	helloRefused(t, "a bit of the signature", a, err, 401)

	blob := rsaBlob(key)
	std := base64.StdEncoding.EncodeToString
	for name, body := range map[string]string{
		"no key": `{}`, "not base64": `{"kngc":"§"}`, "a duplicate member": `{"kngc":"` + std(blob) + `","kngc":"` + std(blob) + `"}`, "no JSON": "kngc=x",
		"another magic": `{"kngc":"` + std(append([]byte("RSA3"), blob[4:]...)) + `"}`, "cut short": `{"kngc":"` + std(blob[:200]) + `"}`,
		"more behind": `{"kngc":"` + std(append(bytes.Clone(blob), 1)) + `"}`, "exponent 3": `{"kngc":"` + std(blobOf(key.N, 3)) + `"}`,
		"even modulus": `{"kngc":"` + std(blobOf(new(big.Int).Lsh(new(big.Int).Rsh(key.N, 1), 1), 65537)) + `"}`, "1024 bits": `{"kngc":"` + std(blobOf(oddNumber(t, 1024), 65537)) + `"}`,
	} {
		a, err := c.sendJSON(t.Context(), s.base+"/EnrollmentServer/key/?api-version=1.0", good, []byte(body))
		helloRefused(t, name, a, err, 400)
	}
	body := mustJSON(t, map[string]string{"kngc": std(blob)})
	for _, query := range []string{"", "?api-version=2.0"} {
		a, err = c.sendJSON(t.Context(), s.base+"/EnrollmentServer/key/"+query, good, body)
		helloRefused(t, "api-version "+query, a, err, 400)
	}
	a, err = c.RegisterHello(t.Context(), good, &e.hello.Key.PublicKey)
	helloRefused(t, "a key for the second time", a, err, 400, 403, 409)
	bob := o.somebody("bob").enrol(t, c)
	a, err = c.RegisterHello(t.Context(), c.registrationToken(t, bob.first, bob.device), &e.hello.Key.PublicKey)
	helloRefused(t, "another's key", a, err, 400, 403, 409)
	a, err = c.RegisterHello(t.Context(), good, &e.device.Transport.PublicKey)
	helloRefused(t, "the device's transport key", a, err, 400, 403, 409)

	// Everything above was refused for its own reason: the token is good, in
	// odd spelling too.
	a, err = c.sendJSON(t.Context(), s.base+"//enrollmentserver/KEY?api-version=1.0", good, body)
	if err != nil || a.Status != http.StatusOK {
		t.Errorf("the good token: %d %.300s, %v", a.Status, a.Body, err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
