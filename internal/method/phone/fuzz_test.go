package phone_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/phonewire"
)

// bodies are some that no address takes for an answer.
var bodies = []string{
	"", "null", "[]", "{}", `{"code":""}`, `{"code":null}`, `{"code":"ABCD-EFGH"}`, `{"code":"AAAAAAAAAAAAAAAAAAAAAA"}`, `{"number":"00"}`,
	`{"number":"00","assertion":{},"signature":""}`, `{"code":"ABCDEFGH","key":{"kty":"EC","crv":"P-256"},"passkey":{"id":"AA"}}`,
	strings.Repeat(`{"a":`, 100), "\xff\xfe",
}

// sees is a server that has no trouble of its own, whatever it is sent.
func sees(t *testing.T, err error) {
	t.Helper()
	var r *phonetest.Refusal
	if errors.As(err, &r) && (r.Status >= 500 || r.Fault.Error == "" || r.Text == "") {
		t.Fatalf("%v", err)
	}
}

// FuzzOpen sends bodies to the address that opens codes: nobody guesses one.
func FuzzOpen(f *testing.F) {
	w := onSQLite(f)
	w.begin(f, w.Session(f, w.Ada))
	for _, b := range bodies {
		f.Add([]byte(b))
	}
	p, n := w.device(), 0
	f.Fuzz(func(t *testing.T, body []byte) {
		n++ // the limit of guesses is not what is tried
		p.Address = fmt.Sprintf("[2001:db8:%x:%x::1]", n>>16, n&0xffff)
		err := p.Call("POST", "/enrolments/open", body, false, nil)
		if sees(t, err); err == nil {
			t.Fatalf("%q opened an enrolment", body)
		}
	})
}

// FuzzFinish answers an open code with members of its own: none makes a phone.
func FuzzFinish(f *testing.F) {
	w := onSQLite(f)
	s := w.Session(f, w.Ada)
	open := func(t testing.TB) (*phonetest.Phone, begun) {
		p, b := w.device(), w.begin(t, s)
		if err := p.Open(b.Link); err != nil {
			t.Fatal(err)
		}
		return p, b
	}
	p, b := open(f)
	in, err := p.Answer(b.Link)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(in.Key), []byte(in.Passkey), []byte(nil), in.Signature)
	f.Add([]byte(in.Key), []byte(nil), []byte(in.Passkey), in.Signature)
	f.Add([]byte(`{"kty":"EC"}`), []byte(`{}`), []byte(`{}`), "")
	f.Add([]byte(`null`), []byte(`null`), []byte(`[]`), "AA")
	f.Add([]byte(`{"kty":"oct","k":"AA"}`), []byte(`{"id":"AA","type":"public-key","response":{}}`), []byte(`null`), strings.Repeat("A", 86))
	f.Fuzz(func(t *testing.T, key, made, used []byte, signature string) {
		p, b := open(t)
		body, err := json.Marshal(phonewire.Finish{
			Code: phonetest.Code(b.Link), Key: raw(key), Passkey: raw(made), Reuse: raw(used), Signature: signature,
		})
		if err != nil {
			return // no JSON: FuzzOpen
		}
		err = p.Call("POST", "/enrolments/finish", body, false, nil)
		if sees(t, err); err == nil {
			t.Fatalf("%q made a phone", body)
		}
	})
}

// raw is JSON, or nothing where there is none.
func raw(b []byte) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	return b
}

// FuzzApprove sends bodies, well signed, for a request that waits: none opens
// it, and the person's own approval still does.
func FuzzApprove(f *testing.F) {
	w := onSQLite(f)
	p := w.enrol(f, w.Ada)
	shown, _ := w.ask(f, w.Ada)
	in, err := p.Approval(waiting(f, p), shown.Number)
	if err != nil {
		f.Fatal(err)
	}
	in.Signature = strings.Repeat("A", 86)
	bad, err := json.Marshal(in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bad)
	for _, b := range bodies {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w.Advance(20 * minute)
		shown, _ := w.ask(t, w.Ada)
		if len(body) > 60<<10 {
			return
		}
		err := p.Call("POST", "/requests/"+shown.Request+"/approve", body, true, nil)
		if sees(t, err); err == nil {
			t.Fatalf("%q approved", body)
		}
		if got, err := p.Approve(waiting(t, p), shown.Number); err != nil || got != phonewire.Approved {
			t.Fatalf("afterwards: %q, %v", got, err)
		}
	})
}

// FuzzAuthorization sends headers: none is taken for a phone's.
func FuzzAuthorization(f *testing.F) {
	w := onSQLite(f)
	p := w.enrol(f, w.Ada)
	token, err := p.Token("GET", base+"/phone/v1/self", nil)
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(token, ".")
	for _, h := range []string{
		"", "Phone", "Phone ", "Phone ..", "Bearer " + token, "Phone " + parts[0] + "." + parts[1] + ".", "Phone " + parts[0] + ".." + parts[2],
		"Phone " + parts[0] + ".e30." + parts[2], "Phone e30.e30.e30", "Phone " + parts[1] + "." + parts[0] + "." + parts[2],
	} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		w.Advance(2 * minute) // the good one is late by now, and failures are forgotten
		r := httptest.NewRequest("GET", base+"/phone/v1/self", nil)
		r.Header["Authorization"] = []string{header}
		got := httptest.NewRecorder()
		w.mux.ServeHTTP(got, r)
		body, _ := io.ReadAll(got.Body)
		var fault phonewire.Fault
		if got.Code != http.StatusUnauthorized || json.Unmarshal(body, &fault) != nil || fault.Error == "" {
			t.Fatalf("%q is answered %d, %s", header, got.Code, body)
		}
	})
}
