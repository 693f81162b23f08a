package oddclient

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// started reads the start of a device code sign-in (§9.7).
type started struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Message    string `json:"message"`
	ExpiresIn  *int   `json:"expires_in"`
	Interval   *int   `json:"interval"`
}

func (c *Client) start(t *testing.T, clientID, resource string) started {
	t.Helper()
	a, err := c.DeviceCode(t.Context(), clientID, resource)
	if err != nil {
		t.Fatal(err)
	}
	var got started
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%s: start: %d %.300q, %v", c.Name, a.Status, a.Body, err)
	}
	if got.DeviceCode == "" || got.UserCode == "" || got.Message == "" || got.ExpiresIn == nil || *got.ExpiresIn <= 0 || got.Interval == nil ||
		!strings.HasPrefix(got.URI, c.Base) || !strings.Contains(got.Message, got.UserCode) || strings.Trim(got.DeviceCode, safeAlphabet) != "" {
		t.Errorf("%s: start: %.400s", c.Name, a.Body)
	}
	return got
}

var pending = want{"authorization_pending", "", []int{70016}}

// The device code grant in the spellings of both clients that have it, from
// start to tokens (§0.23, §9.7).
func TestDeviceCode(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example", "devices.deviceCode", "true")
	ada := o.somebody("ada")
	for _, d := range []Dialect{DialectA(), DialectB()} {
		c := o.client(d)
		got := c.start(t, brokerID, enrollmentURL)
		a, err := c.Poll(t.Context(), brokerID, got.DeviceCode)
		pending.check(t, d.Name+": before", a, err)
		ada.answerCode(t, got, true)
		if a, err = c.Poll(t.Context(), brokerID, got.DeviceCode); err != nil || a.Status != http.StatusOK {
			t.Errorf("%s: after: %v, %v", d.Name, orBody(a), err)
			continue
		}
		tokens, err := a.JSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"access_token", "refresh_token", "id_token", "token_type"} {
			if v, ok := tokens[member].(string); !ok || v == "" {
				t.Errorf("%s: %s is %v", d.Name, member, tokens[member])
			}
		}
		// One exchange for another resource follows (§9.7).
		a, err = c.form(t.Context(), c.login("oauth2/v2.0/token"), "client_id", brokerID, "grant_type", "refresh_token",
			"refresh_token", tokens["refresh_token"].(string), "scope", enrollmentURL+"/.default openid profile offline_access")
		if err != nil || a.Status != http.StatusOK {
			t.Errorf("%s: exchange: %v, %v", d.Name, orBody(a), err)
		}
		a, err = c.Poll(t.Context(), brokerID, got.DeviceCode)
		want{anything, "", nil}.check(t, d.Name+": once more", a, err)

		got = c.start(t, brokerID, enrollmentURL)
		ada.answerCode(t, got, false)
		a, err = c.Poll(t.Context(), brokerID, got.DeviceCode)
		want{"authorization_declined", "", nil}.check(t, d.Name+": declined", a, err)
		a, err = c.Poll(t.Context(), brokerID, "nonsense")
		want{anything, "", []int{70018, 70019}}.check(t, d.Name+": not a code", a, err)
	}
}

// The defences against phishing by device code (§15): off for the broker, no
// PRT, no Hello key, each until its switch is on.
func TestDeviceCodePhishing(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	c := o.client(DialectB())
	a, err := c.DeviceCode(t.Context(), brokerID, drsURN)
	want{anything, anything, nil}.check(t, "device code is off", a, err)

	o.set("devices.deviceCode", "true")
	got := c.start(t, brokerID, drsURN)
	ada.answerCode(t, got, true)
	a, err = c.Poll(t.Context(), brokerID, got.DeviceCode)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("poll: %v, %v", orBody(a), err)
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(a.Body), &tokens); err != nil {
		t.Fatal(err)
	}
	if claims, err := claimsOf(tokens.Access); err != nil || strings.Contains(string(mustJSON(t, claims["amr"])), "ngcmfa") {
		t.Errorf("amr of a device code sign-in: %v, %v", claims["amr"], err)
	}
	// A device to try it with, joined by an ordinary sign-in.
	device, _ := ada.join(t, c)
	ask := func() (Answer, error) {
		request, err := c.outer(device, c.nonce(t), byRefresh(tokens.Refresh))
		if err != nil {
			return Answer{}, err
		}
		return c.askPRT(t.Context(), request)
	}
	a, err = ask()
	want{anything, anything, nil}.check(t, "a PRT by a device code's refresh token", a, err)
}

// answerCode types the code into the page that the device names, and allows or
// denies.
func (s *somebody) answerCode(t *testing.T, got started, allow bool) {
	t.Helper()
	page, err := s.Get(t.Context(), got.URI)
	if err != nil {
		t.Fatal(err)
	}
	_ = url.Values{}
	t.Fatalf("no way to answer %s yet: %d %.300s", got.UserCode, page.Status, page.Text)
}
