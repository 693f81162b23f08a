package phoneagent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/program"
)

// The whole way is walked against the real server in test/terminal; here is what
// a server would have to misbehave for.

var now = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)

// world is a phone with one account at a server that answers as a test says.
type world struct {
	t      *testing.T
	phone  *Phone
	server *httptest.Server
	answer http.HandlerFunc
	key    *ecdsa.PrivateKey
	pass   *ecdsa.PrivateKey
}

func newWorld(t *testing.T, pin string) *world {
	t.Helper()
	w := &world{t: t}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.answer(rw, r) }))
	t.Cleanup(w.server.Close)
	var err error
	if w.phone, err = New(Config{Folder: filepath.Join(t.TempDir(), "phone"), Now: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	w.key, w.pass = newKey(t), newKey(t)
	raw, err := x509.MarshalPKCS8PrivateKey(w.key)
	if err != nil {
		t.Fatal(err)
	}
	a := account{
		Server: w.server.URL, Tenant: phonewire.Tenant{ID: "t"}, User: phonewire.User{ID: "u", Name: "ada@example.com"}, Phone: "p",
		Key: raw, Passkey: passkey{ID: []byte("passkey"), RPID: "127.0.0.1"},
	}
	if err := a.Passkey.seal(w.pass, pin); err != nil {
		t.Fatal(err)
	}
	if err := w.phone.store.save(&state{Version: stateVersion, Accounts: []account{a}}); err != nil {
		t.Fatal(err)
	}
	return w
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// claims verifies a signed request and gives what it claims.
func (w *world) claims(r *http.Request) (c phonewire.Claims) {
	w.t.Helper()
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Phone ")
	signed, err := gojose.ParseSignedCompact(token, []gojose.SignatureAlgorithm{gojose.ES256})
	if !ok || err != nil {
		w.t.Errorf("%q: %v", token, err)
		return c
	}
	raw, err := signed.Verify(&w.key.PublicKey)
	if err != nil || json.Unmarshal(raw, &c) != nil {
		w.t.Errorf("%q: %v", token, err)
	}
	if head := signed.Signatures[0].Header; head.KeyID != "p" || head.ExtraHeaders["typ"] != phonewire.Type {
		w.t.Errorf("header %+v", head)
	}
	return c
}

func refuse(w http.ResponseWriter, status int, word string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(phonewire.Fault{Error: word, Text: "A sentence."})
}

// A clock that is wrong is put right by the server's, once; and a server that
// says so for ever is believed no further.
func TestClock(t *testing.T) {
	w := newWorld(t, "")
	servers := now.Add(42 * time.Minute)
	var ids []string
	stubborn := false
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		c := w.claims(r)
		ids = append(ids, c.ID)
		rw.Header().Set("Date", servers.Format(http.TimeFormat))
		if stubborn || time.Unix(c.Issued, 0).Sub(servers).Abs() > time.Minute {
			refuse(rw, http.StatusUnauthorized, "clock_off")
			return
		}
		json.NewEncoder(rw).Encode(phonewire.Requests{})
	}
	if _, err := w.phone.Requests(t.Context(), ""); err != nil || len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("%q, %v", ids, err)
	}
	stubborn, ids = true, nil
	if _, err := w.phone.Requests(t.Context(), ""); !errors.Is(err, idp.Unproven) || len(ids) != 2 {
		t.Errorf("%q, %v", ids, err)
	}
}

// What both keys sign is what was shown, and each request says which it is.
func TestApproval(t *testing.T) {
	w := newWorld(t, "2468")
	const context = `{"browser":"Firefox on Linux","known":false,"time":"2026-11-26T09:00:00Z"}`
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		c := w.claims(r)
		body, _ := io.ReadAll(r.Body)
		want := ""
		if len(body) > 0 {
			sum := sha256.Sum256(body)
			want = encode(sum[:])
		}
		if c.Tenant != "t" || c.Method != r.Method || c.URL != w.server.URL+r.URL.Path || c.Issued != now.Unix() || c.Body != want || len(c.ID) < 16 {
			t.Errorf("claims %+v", c)
		}
		if r.Method == http.MethodGet {
			json.NewEncoder(rw).Encode(phonewire.Requests{Requests: []phonewire.Request{{ID: "cmVx", Nonce: "bm9uY2U", Context: context}}})
			return
		}
		w.checkApproval(body, context)
		json.NewEncoder(rw).Encode(phonewire.Result{Result: phonewire.Approved})
	}
	q, err := w.phone.Find(t.Context(), "ADA@example.com", "")
	if err != nil || !q.PIN || q.Context.Browser != "Firefox on Linux" {
		t.Fatalf("%+v, %v", q, err)
	}
	if _, err := w.phone.Approve(t.Context(), q, "47", "1357"); !errors.Is(err, idp.Unproven) {
		t.Errorf("a wrong PIN: %v", err)
	}
	for _, number := range []string{"", "4", "047", "4x", "٤٧"} {
		if _, err := w.phone.Approve(t.Context(), q, number, "2468"); !errors.Is(err, idp.Invalid) {
			t.Errorf("the number %q: %v", number, err)
		}
	}
	if got, err := w.phone.Approve(t.Context(), q, "47", "2468"); err != nil || got != phonewire.Approved {
		t.Errorf("%q, %v", got, err)
	}
}

// checkApproval verifies both signatures of an approval.
func (w *world) checkApproval(body []byte, context string) {
	w.t.Helper()
	var in phonewire.Approve
	var said struct {
		Response struct{ ClientDataJSON, AuthenticatorData, Signature string }
	}
	err := errors.Join(json.Unmarshal(body, &in), json.Unmarshal(in.Assertion, &said))
	client, data := bytesOf(w.t, said.Response.ClientDataJSON), bytesOf(w.t, said.Response.AuthenticatorData)
	signature := bytesOf(w.t, said.Response.Signature)
	challenge := phonewire.Approval{
		Tenant: "t", User: "u", Request: []byte("req"), Nonce: []byte("nonce"), Number: in.Number, Context: context, Phone: "p",
	}.Challenge()
	if err != nil || !strings.Contains(string(client), `"challenge":"`+encode(challenge)+`"`) {
		w.t.Errorf("client data %s, %v", client, err)
	}
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(slices.Concat(data, hash[:]))
	if !ecdsa.VerifyASN1(&w.pass.PublicKey, sum[:], signature) {
		w.t.Error("the passkey's signature is wrong")
	}
	sum = sha256.Sum256(phonewire.AnswerMessage(challenge, data, signature))
	sig := bytesOf(w.t, in.Signature)
	if len(sig) != 64 || !ecdsa.Verify(&w.key.PublicKey, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		w.t.Error("the phone's signature is wrong")
	}
}

func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Error(err)
	}
	return raw
}

// Each refusal says in one sentence what can be done.
func TestRefusals(t *testing.T) {
	w := newWorld(t, "")
	for _, c := range []struct {
		status int
		word   string
		kind   idp.Kind
		want   string
	}{
		{401, "phone_unproven", idp.Unproven, "remove --force"},
		{401, "request_replayed", idp.Unproven, "A sentence."},
		{403, "phone_waiting", idp.Denied, "two words"},
		{403, "phone_refused", idp.Denied, "A sentence."},
		{404, "request_unknown", idp.NotFound, "signet phone requests"},
		{410, "request_over", idp.Expired, "a new number"},
		{429, "too_many", idp.Limited, "in 6s"},
		{400, "request_malformed", idp.Invalid, "A sentence."},
		{503, "unavailable", idp.Unavailable, "in a moment"},
	} {
		w.answer = func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Retry-After", "6")
			refuse(rw, c.status, c.word)
		}
		_, err := w.phone.Test(t.Context(), "")
		var e *idp.Error
		if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Public, c.want) || strings.Contains(e.Public, "\n") {
			t.Errorf("%d %s: %v", c.status, c.word, err)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"a proxy's page":   func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "<html>", http.StatusForbidden) },
		"a redirect":       func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/elsewhere", http.StatusFound) },
		"no JSON":          func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "yes") },
		"a reply too long": func(rw http.ResponseWriter, _ *http.Request) { rw.Write(make([]byte, program.MaxReply+1)) },
	} {
		w.answer = answer
		if got, err := w.phone.Test(t.Context(), ""); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	w.server.Close()
	if _, err := w.phone.Test(t.Context(), ""); !errors.Is(err, idp.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

// A phone that was not confirmed in time is forgotten; one that the server has
// forgotten can be forgotten here.
func TestGone(t *testing.T) {
	w := newWorld(t, "")
	w.answer = func(rw http.ResponseWriter, _ *http.Request) { refuse(rw, 401, "phone_unproven") }
	if all, err := w.phone.List(t.Context()); err != nil || len(all) != 1 || all[0].State != "gone" {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := w.phone.Remove(t.Context(), "", false); !errors.Is(err, idp.Unproven) {
		t.Errorf("remove: %v", err)
	}
	if _, err := w.phone.Await(t.Context(), Added{Account: Account{Phone: "p"}}, time.Hour); !errors.Is(err, idp.Expired) {
		t.Errorf("await: %v", err)
	}
	if all, err := w.phone.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}

	// A server that is away for a moment is waited for.
	w = newWorld(t, "")
	asked := 0
	w.answer = func(rw http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		json.NewEncoder(rw).Encode(phonewire.Self{State: phonewire.Active, Usable: true, Name: "P"})
	}
	added := Added{Account: Account{Phone: "p"}, Until: now.Add(time.Minute)}
	if got, err := w.phone.Await(t.Context(), added, time.Millisecond); err != nil || got.State != phonewire.Active || asked != 3 {
		t.Errorf("await: %+v, %v after %d", got, err, asked)
	}
	asked, added.Until = 0, now
	if _, err := w.phone.Await(t.Context(), added, time.Millisecond); !errors.Is(err, idp.Unavailable) {
		t.Errorf("await for ever: %v", err)
	}

	w.server.Close()
	if got, err := w.phone.Remove(t.Context(), "ada@example.com", true); err != nil || got.Phone != "p" {
		t.Errorf("remove by force: %+v, %v", got, err)
	}
	if _, err := w.phone.Remove(t.Context(), "", true); !errors.Is(err, idp.NotFound) {
		t.Errorf("remove nothing: %v", err)
	}
}

// Links, addresses, and a second account of the same person.
func TestAddRefused(t *testing.T) {
	w := newWorld(t, "")
	w.answer = func(rw http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(rw).Encode(phonewire.Opened{Tenant: phonewire.Tenant{ID: "t"}, User: phonewire.User{ID: "u", Name: "ada@example.com"}})
	}
	for link, kind := range map[string]idp.Kind{
		"https://id.example.com/phone/add":    idp.Invalid,
		"https://id.example.com/phone/add#":   idp.Invalid,
		"http://id.example.com/phone/add#AAA": idp.Invalid,
		"ftp://localhost/phone/add#AAA":       idp.Invalid,
		w.server.URL + "/phone/add#AAA":       idp.Conflict,
	} {
		if _, err := w.phone.Add(t.Context(), AddOptions{Link: link}); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", link, err, kind)
		}
	}
	if err := w.phone.forget("p"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.phone.Add(t.Context(), AddOptions{Server: w.server.URL, Code: "ABCD-EFGH"}); !errors.Is(err, idp.Denied) {
		t.Errorf("no options: %v", err)
	}
	if _, err := w.phone.Add(t.Context(), AddOptions{Server: w.server.URL, Code: "ABCD-EFGH", CA: []byte("no PEM")}); !errors.Is(err, idp.Invalid) {
		t.Errorf("no certificate: %v", err)
	}
	for code, want := range map[string]string{"iEmKo-Xvj6l_t9E5e1RBBA": "iEmKo-Xvj6l_t9E5e1RBBA", "97tv-xe2q": "97TVXE2Q", "o7iL xe2q": "0711XE2Q"} {
		if got := signedCode(code); got != want {
			t.Errorf("%s is signed as %s, want %s", code, got, want)
		}
	}
}

// Whose folder it is, and what is in it.
func TestStore(t *testing.T) {
	w := newWorld(t, "2468")
	folder := w.phone.store.folder
	for path, mode := range map[string]os.FileMode{folder: 0o700, w.phone.store.path(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s is %v, %v", path, info, err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(w.pass)
	if err != nil {
		t.Fatal(err)
	}
	st, err := w.phone.store.load()
	if err != nil || string(st.Accounts[0].Passkey.Private) == string(private) {
		t.Errorf("the passkey lies open, %v", err)
	}
	for text, reason := range map[string]string{"{": "state_damaged", `{"version":2}`: "state_version"} {
		if err := os.WriteFile(w.phone.store.path(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := w.phone.List(t.Context()); err == nil || idp.AsError(err).Reason != reason {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := os.Chmod(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Folder: folder}); !errors.Is(err, idp.Denied) {
		t.Errorf("a folder that others may look into: %v", err)
	}
}
