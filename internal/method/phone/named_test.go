package phone

import (
	"strings"
	"testing"
)

// TestPasskeyOfAPhoneIsNamed: after the phone, unless the app has a word for it.
func TestPasskeyOfAPhoneIsNamed(t *testing.T) {
	for _, c := range []struct{ passkey, phone, want string }{
		{`{"id":"x"}`, "Ada's Pixel", `{"id":"x","name":"Passkey on Ada's Pixel"}`},
		{`{"id":"x","name":""}`, "Pixel", `{"id":"x","name":"Passkey on Pixel"}`},
		{`{"id":"x","name":null}`, "Pixel", `{"id":"x","name":"Passkey on Pixel"}`},
		{`{"id":"x","name":"Mine"}`, "Pixel", `{"id":"x","name":"Mine"}`},
	} {
		if got, err := named([]byte(c.passkey), c.phone); err != nil || string(got) != c.want {
			t.Errorf("%s of %s: %s, %v", c.passkey, c.phone, got, err)
		}
	}
	if got, err := named([]byte(`{}`), strings.Repeat("é", 60)); err != nil || len(got) > 64+len(`{"name":""}`) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := named([]byte(`[]`), "Pixel"); err == nil {
		t.Error("a list was named")
	}
}
