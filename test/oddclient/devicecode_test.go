package oddclient

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/test/person"
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
	for _, d := range []Dialect{DialectA(), DialectB()} {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			codeToTokens(t, o.client(d), o.somebody("ada-"+d.Name))
		})
	}
}

func codeToTokens(t *testing.T, c *Client, who *somebody) {
	got := c.start(t, brokerID, drsGUID)
	who.answerCode(t, c, got, true)
	a := c.poll(t, brokerID, got)
	if a.Status != http.StatusOK {
		t.Fatalf("after: %v", orBody(a))
	}
	tokens, err := a.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"access_token", "refresh_token", "id_token", "token_type"} {
		if v, ok := tokens[member].(string); !ok || v == "" {
			t.Errorf("%s is %v", member, tokens[member])
		}
	}
	// One exchange for another resource follows (§9.7).
	a, err = c.form(t.Context(), c.login("oauth2/v2.0/token"), "client_id", brokerID, "grant_type", "refresh_token",
		"refresh_token", tokens["refresh_token"].(string), "scope", drsGUID+"/.default openid profile offline_access")
	if err != nil || a.Status != http.StatusOK {
		t.Errorf("exchange: %v, %v", orBody(a), err)
	}
	want{anything, "", nil}.check(t, "once more", c.poll(t, brokerID, got), nil)

	got = c.start(t, brokerID, drsGUID)
	who.answerCode(t, c, got, false)
	want{"authorization_declined", "", nil}.check(t, "declined", c.poll(t, brokerID, got), nil)
	a, err = c.Poll(t.Context(), brokerID, "nonsense")
	want{anything, "", []int{70018, 70019}}.check(t, "not a code", a, err)
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
	tokens := ada.byCode(t, c)
	if claims, err := claimsOf(tokens.Access); err != nil || strings.Contains(string(mustJSON(t, claims["amr"])), "ngcmfa") {
		t.Errorf("amr of a device code sign-in: %v, %v", claims["amr"], err)
	}
	// A device to try it with: that of whoever sent the code to ada.
	device, _ := o.somebody("mallory").join(t, c)
	ask := func(refresh string) (Answer, error) {
		request, err := c.outer(device, c.nonce(t), byRefresh(refresh))
		if err != nil {
			return Answer{}, err
		}
		return c.askPRT(t.Context(), request)
	}
	a, err = ask(tokens.Refresh)
	want{anything, anything, nil}.check(t, "a PRT by a device code's refresh token", a, err)

	// The switch lets in the device that joined with a token of that same
	// sign-in, and no other (§15, clause b).
	o.set("devices.compat.deviceCodeToPrt", "true")
	a, err = ask(ada.byCode(t, c).Refresh)
	want{anything, anything, nil}.check(t, "a PRT by a device code's refresh token for another device", a, err)
	own, a, err := c.Join(t.Context(), tokens.Access, c.joining(t, false))
	if err != nil || own == nil {
		t.Fatalf("join by device code: %d %.300s, %v", a.Status, a.Body, err)
	}
	p, err := c.PRTByRefresh(t.Context(), own, tokens.Refresh)
	if err != nil {
		t.Fatalf("a PRT under the switch: %v", err)
	}
	// No Hello key comes of it.
	key := s.key()
	token := c.hopeful(t, p, own)
	a, err = c.RegisterHello(t.Context(), token, &key.PublicKey)
	helloRefused(t, "a Hello key after a device code", a, err, 401, 403)
	o.set("devices.compat.deviceCodeToHello", "true")
	a, err = c.RegisterHello(t.Context(), c.registrationToken(t, p, own), &key.PublicKey)
	if err != nil || a.Status != http.StatusOK {
		t.Errorf("a Hello key after a device code under the switch: %d %.300s, %v", a.Status, a.Body, err)
	}
}

// byCode are tokens for device registration by device code.
func (s *somebody) byCode(t *testing.T, c *Client) person.Tokens {
	t.Helper()
	got := c.start(t, brokerID, drsURN)
	s.answerCode(t, c, got, true)
	a := c.poll(t, brokerID, got)
	var tokens person.Tokens
	if err := json.Unmarshal([]byte(a.Body), &tokens); err != nil || tokens.Access == "" {
		t.Fatalf("poll: %v, %v", orBody(a), err)
	}
	return tokens
}

// hopeful is a token for device registration with ngcmfa if there is one to be
// had, else without, else none.
func (c *Client) hopeful(t *testing.T, p PRT, d *Device) string {
	t.Helper()
	for _, more := range [][]string{{"amr_values", "ngcmfa"}, nil} {
		a, err := c.registrationAnswer(t.Context(), p, d, more...)
		var got struct {
			Token string `json:"access_token"`
		}
		if err == nil && json.Unmarshal([]byte(a.Body), &got) == nil && got.Token != "" {
			return got.Token
		}
	}
	return ""
}

// poll polls, and waits where the server says that it was too soon.
func (c *Client) poll(t *testing.T, clientID string, got started) Answer {
	t.Helper()
	for {
		a, err := c.Poll(t.Context(), clientID, got.DeviceCode)
		if err != nil {
			t.Fatal(err)
		}
		if a.Refusal().Error != "slow_down" {
			return a
		}
		time.Sleep(time.Duration(*got.Interval) * time.Second)
	}
}

// The fields of the page where codes are typed.
var (
	askingID      = regexp.MustCompile(`name="id" value="([^"]*)"`)
	asksToConfirm = regexp.MustCompile(`name="handle" value="`)
)

// answerCode types the code into the page that the device names, and allows or
// denies once the device has polled.
func (s *somebody) answerCode(t *testing.T, c *Client, got started, allow bool) {
	t.Helper()
	ctx := t.Context()
	page, err := s.Get(ctx, got.URI)
	if err != nil {
		t.Fatal(err)
	}
	session, err := page.Session()
	if err != nil {
		t.Fatal(err)
	}
	if page, err = s.Post(ctx, "/device", url.Values{"session": {session}, "user_code": {got.UserCode}}); err != nil || page.Status != http.StatusOK {
		t.Fatalf("type the code: %d %.300s, %v", page.Status, page.Text, err)
	}
	pending.check(t, c.Name+": before the answer", c.poll(t, brokerID, got), nil)
	if page, err = s.Get(ctx, page.URL.String()); err != nil {
		t.Fatal(err)
	}
	id := askingID.FindStringSubmatch(page.Text)
	if id == nil {
		t.Fatalf("nobody asks: %.2000s", page.Text)
	}
	decision := "deny"
	if allow {
		decision = "allow"
	}
	page, err = s.Post(ctx, "/device/answer", url.Values{"session": {session}, "id": {html.UnescapeString(id[1])}, "decision": {decision}})
	if err == nil && asksToConfirm.MatchString(page.Text) {
		page, err = s.UsePasskey(ctx, page)
	}
	if err != nil || page.Status != http.StatusOK {
		t.Fatalf("answer %s: %d %.300s, %v", decision, page.Status, page.Text, err)
	}
}
