package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/secret"
)

func TestToken(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		tok := secret.Token()
		raw, err := base64.RawURLEncoding.DecodeString(tok)
		if err != nil || len(raw) != 32 {
			t.Fatalf("token %q: %d bytes, %v; want 32 bytes of base64url", tok, len(raw), err)
		}
		if seen[tok] {
			t.Fatalf("token %q came twice", tok)
		}
		seen[tok] = true
	}
}

func TestBytes(t *testing.T) {
	if got := secret.Bytes(16); len(got) != 16 || bytes.Equal(got, secret.Bytes(16)) {
		t.Errorf("Bytes(16) gave %d bytes, or the same twice", len(got))
	}
}

func TestDigestAndEqual(t *testing.T) {
	// FIPS 180-2, appendix B.1.
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	got := secret.Digest("abc")
	if hex.EncodeToString(got) != want {
		t.Errorf("Digest(abc) = %x, want %s", got, want)
	}
	if !secret.Equal(got, secret.Digest("abc")) {
		t.Error("equal digests compare as different")
	}
	for name, other := range map[string][]byte{"another": secret.Digest("abd"), "a prefix": got[:31], "nothing": nil} {
		if secret.Equal(got, other) {
			t.Errorf("a digest equals %s", name)
		}
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-([47])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestUUIDShape(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for version, id := range map[string]string{"4": secret.NewUUID4(), "7": secret.NewUUID7(now)} {
		m := uuid.FindStringSubmatch(id)
		if m == nil || m[1] != version {
			t.Errorf("%q is not a version %s UUID", id, version)
		}
	}
	if a, b := secret.NewUUID4(), secret.NewUUID4(); a == b {
		t.Errorf("NewUUID4 gave %s twice", a)
	}
}

func TestUUID7Time(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 123e6, time.UTC)
	id := strings.ReplaceAll(secret.NewUUID7(now), "-", "")
	if got, want := id[:12], fmt.Sprintf("%012x", now.UnixMilli()); got != want {
		t.Errorf("time field %s, want %s", got, want)
	}
}

func TestUUID7Order(t *testing.T) {
	now := time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)
	ids := make([]string, 0, 20_000)
	for i := range 20_000 { // far more than fit in one millisecond's counter
		at := now
		if i%7 == 0 {
			at = now.Add(-20 * time.Millisecond) // a clock that steps back
		}
		ids = append(ids, secret.NewUUID7(at))
	}
	if !slices.IsSorted(ids) {
		t.Error("ids of one process do not sort in the order they were made")
	}
}

func TestUUID7Parallel(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	now := time.Date(2033, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 8 {
		wg.Go(func() {
			for range 500 {
				id := secret.NewUUID7(now)
				mu.Lock()
				if seen[id] {
					t.Errorf("%s came twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestSeal(t *testing.T) {
	k := secret.RandomKey()
	plain, aad := []byte("the plain text"), []byte("tenant|object|purpose")
	sealed := k.Seal(plain, aad)
	if bytes.Contains(sealed, plain) {
		t.Fatal("sealed value shows the plain text")
	}
	if bytes.Equal(sealed, k.Seal(plain, aad)) {
		t.Error("sealing twice gave the same bytes: the nonce is not random")
	}
	got, err := k.Open(sealed, aad)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Open = %q, %v; want %q", got, err, plain)
	}

	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	nonce := bytes.Clone(sealed)
	nonce[0] ^= 1
	var first string
	for name, c := range map[string]struct {
		key         *secret.Key
		sealed, aad []byte
	}{
		"other key":     {secret.RandomKey(), sealed, aad},
		"flipped tag":   {k, flipped, aad},
		"flipped nonce": {k, nonce, aad},
		"other aad":     {k, sealed, []byte("another tenant")},
		"no aad":        {k, sealed, nil},
		"cut short":     {k, sealed[:len(sealed)-1], aad},
		"a nonce only":  {k, sealed[:12], aad},
		"nothing":       {k, nil, aad},
	} {
		plain, err := c.key.Open(c.sealed, c.aad)
		if err == nil || plain != nil {
			t.Errorf("%s: opened", name)
			continue
		}
		if first == "" {
			first = err.Error()
		}
		if err.Error() != first {
			t.Errorf("%s: error %q differs from %q", name, err, first)
		}
	}
}

func TestNewKeyLength(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		if k, err := secret.NewKey(make([]byte, n)); err == nil || k != nil {
			t.Errorf("a key of %d bytes is accepted", n)
		}
	}
	raw := secret.Bytes(32)
	k, err := secret.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	raw[0] ^= 1
	if bytes.Equal(k.Raw(), raw) {
		t.Error("the key shares its bytes with the caller")
	}
}

func TestMAC(t *testing.T) {
	k := secret.RandomKey()
	a := k.MAC([]byte("ab"), []byte("c"))
	if !bytes.Equal(a, k.MAC([]byte("ab"), []byte("c"))) {
		t.Error("MAC of the same parts differs")
	}
	for name, b := range map[string][]byte{
		"a byte moved":   k.MAC([]byte("a"), []byte("bc")),
		"joined":         k.MAC([]byte("abc")),
		"an empty part":  k.MAC([]byte("ab"), []byte("c"), nil),
		"another key":    secret.RandomKey().MAC([]byte("ab"), []byte("c")),
		"a derived key":  k.Derive("x").MAC([]byte("ab"), []byte("c")),
		"without a part": k.MAC([]byte("ab")),
	} {
		if bytes.Equal(a, b) {
			t.Errorf("%s: same MAC", name)
		}
	}
}

func TestDerive(t *testing.T) {
	raw, _ := hex.DecodeString("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
	k, err := secret.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 5869, appendix A.1: the first 32 bytes of OKM for this PRK and info.
	want := "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
	info, _ := hex.DecodeString("f0f1f2f3f4f5f6f7f8f9")
	if got := hex.EncodeToString(k.Derive(string(info)).Raw()); got != want {
		t.Errorf("Derive = %s, want %s", got, want)
	}
	if bytes.Equal(k.Derive("a").Raw(), k.Derive("b").Raw()) {
		t.Error("two labels give one key")
	}
}

// TestKeyNeverPrints tries every way by which a key gets into a text.
func TestKeyNeverPrints(t *testing.T) {
	k, err := secret.NewKey([]byte("canary-canary-canary-canary-1234"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", k)
		fmt.Fprintf(&out, verb+"\n", struct{ K *secret.Key }{k})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", k, "in", struct{ K *secret.Key }{k})
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", k)
	text := out.String()
	for _, leak := range []string{"canary", hex.EncodeToString([]byte("canary")), "99 97 110"} {
		if strings.Contains(strings.ToLower(text), leak) {
			t.Errorf("the key shows as %q in:\n%s", leak, text)
		}
	}
	if b, err := json.Marshal(k); err == nil {
		t.Errorf("the key became JSON: %s", b)
	}
}

func BenchmarkSeal(b *testing.B) {
	k, plain := secret.RandomKey(), secret.Bytes(256)
	for b.Loop() {
		k.Seal(plain, nil)
	}
}

func BenchmarkUUID7(b *testing.B) {
	now := time.Now()
	for b.Loop() {
		secret.NewUUID7(now)
	}
}
