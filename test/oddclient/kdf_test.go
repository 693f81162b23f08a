package oddclient

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sequence is n bytes that count up from first.
func sequence(first byte, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = first + byte(i)
	}
	return out
}

// The published vectors of SP 800-108 in counter mode.
func TestCounterKDF(t *testing.T) {
	root := os.Getenv("SIGNET_CORPORA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "corpora")
	}
	text, err := os.ReadFile(filepath.Join(root, "kdf", "sp800-108-ctr-hmac.json"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Logf("the vectors are not here, name their place in SIGNET_CORPORA: %v", err)
		return
	}
	var file struct {
		Vectors []struct {
			PRF, CounterLocation string
			RlenBits, Count, L   int
			KI, FixedInput, KO   string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 100 {
		t.Fatalf("only %d vectors", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		prf, ok := prfs[v.PRF]
		if !ok || v.CounterLocation != "BEFORE_FIXED" || v.RlenBits != 32 {
			t.Errorf("%s %s %d: not the shape of this function", v.PRF, v.CounterLocation, v.RlenBits)
			continue
		}
		if got := counterKDF(prf, unhex(t, v.KI), unhex(t, v.FixedInput), v.L); !bytes.Equal(got, unhex(t, v.KO)) {
			t.Errorf("%s count %d L %d: %x, want %s", v.PRF, v.Count, v.L, got, v.KO)
		}
	}
}

// The known answers of device-protocol.md §8.2.
var (
	knownPayload = []byte(`{"scope":"openid aza","request_nonce":"n-1"}`)
	knownV1      = "261704508fac96248f7d3be91a017495fc867b984effbbd36059d69719da6375"
	knownV2      = "54eede2e62bbf21ec05453c32db699256340663ad930c28e916c2ba33d0baf63"
	knownContext = "008d5e2597acba5204d3915133a59649dc81f91d07d017d3076601e19f1cdb0f"
)

func TestDerive(t *testing.T) {
	session, ctx := sequence(0, 32), sequence(0x40, 24)
	if got := hex.EncodeToString(contextV2(ctx, knownPayload)); got != knownContext {
		t.Errorf("context %s", got)
	}
	for version, want := range map[int]string{1: knownV1, 2: knownV2} {
		got, err := derive(version, session, ctx, knownPayload)
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("version %d: %x, %v", version, got, err)
		}
	}
	for _, version := range []int{-1, 0, 3} {
		if _, err := derive(version, session, ctx, knownPayload); err == nil {
			t.Errorf("version %d derives", version)
		}
	}
}
