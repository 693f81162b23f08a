package jose_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/corpustest"
	"github.com/signetid/signet/internal/jose"
)

// ours are all algorithms that we verify with somewhere.
var ours = []string{"ES256", "ES384", "EdDSA", "RS256", "PS256"}

// asSet wraps a single key; what is a set already stays one.
func asSet(key json.RawMessage) []byte {
	var set struct {
		Keys json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(key, &set); err == nil && set.Keys != nil {
		return key
	}
	return []byte(`{"keys":[` + string(key) + `]}`)
}

// accept does all that a door does with a message and a registered key set.
func accept(set []byte, compact string) error {
	m, err := jose.Parse(compact, ours...)
	if err != nil {
		return err
	}
	keys, err := jose.ParseKeys(set)
	if err != nil {
		return err
	}
	key, err := jose.Find(keys, m)
	if err != nil {
		return err
	}
	_, err = m.Payload(m.Alg, key.Key)
	return err
}

// foreign says why we refuse a message that is valid in itself: an algorithm
// that is not ours (security.md TOK12), or an empty payload, which holds no
// claims.
func foreign(compact string) string {
	parts := strings.Split(compact, ".")
	if len(parts) == 3 && parts[1] == "" {
		return "empty payload"
	}
	if alg := algorithm(compact); !slices.Contains(ours, alg) {
		return "algorithm " + alg
	}
	return ""
}

func algorithm(compact string) string {
	var h struct {
		Alg string `json:"alg"`
	}
	head, _, _ := strings.Cut(compact, ".")
	_ = json.Unmarshal(decode(head), &h)
	return h.Alg
}

func TestWycheproof(t *testing.T) {
	dir := corpustest.Folder(t, "wycheproof")
	if dir == "" {
		return
	}
	for _, name := range []string{"json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json"} {
		t.Run(name, func(t *testing.T) {
			var file struct {
				TestGroups []struct {
					Comment string          `json:"comment"`
					Public  json.RawMessage `json:"public"`
					Private json.RawMessage `json:"private"`
					Tests   []struct {
						ID      int             `json:"tcId"`
						Comment string          `json:"comment"`
						JWS     json.RawMessage `json:"jws"`
						Result  string          `json:"result"`
					} `json:"tests"`
				} `json:"testGroups"`
			}
			corpustest.Read(t, filepath.Join(dir, name), &file)
			good, bad, refused := 0, 0, 0
			for _, g := range file.TestGroups {
				key := g.Public
				if key == nil {
					key = g.Private // a symmetric key: nobody may register one
				}
				for _, c := range g.Tests {
					if c.JWS == nil {
						continue // an encrypted message
					}
					var compact string
					if err := json.Unmarshal(c.JWS, &compact); err != nil {
						compact = string(c.JWS) // the JSON serialisation, as it is
					}
					err := accept(asSet(key), compact)
					why := foreign(compact)
					switch {
					case c.Result == "valid" && why != "":
						refused++
						if err == nil {
							t.Errorf("%d %s %s: accepted in spite of its %s", c.ID, g.Comment, c.Comment, why)
						}
					case c.Result == "valid":
						good++
						if err != nil {
							t.Errorf("%d %s %s: %v", c.ID, g.Comment, c.Comment, err)
						}
					default:
						bad++
						if err == nil {
							t.Errorf("%d %s %s: accepted", c.ID, g.Comment, c.Comment)
						}
					}
				}
			}
			if good+bad+refused == 0 {
				t.Error("no cases")
			}
			t.Logf("%d valid accepted, %d invalid refused, %d valid of algorithms or shapes that we do not take", good, bad, refused)
		})
	}
}

// TestCookbook reads the examples of RFC 7520, RFC 7797 and RFC 8037 that have
// a compact form.
func TestCookbook(t *testing.T) {
	dir := corpustest.Folder(t, "jose-cookbook")
	if dir == "" {
		return
	}
	var files []string
	for _, pattern := range []string{"jws/*.json", "rfc7797/*.json", "curve25519/jws.json"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	verified := 0
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var f struct {
				Input struct {
					Payload string          `json:"payload"`
					Key     json.RawMessage `json:"key"`
				} `json:"input"`
				Output struct {
					Compact string `json:"compact"`
				} `json:"output"`
			}
			corpustest.Read(t, path, &f)
			if f.Output.Compact == "" {
				return // more than one signature, unprotected headers, or b64 false: no compact form
			}
			// The input is the private key.
			var all map[string]any
			if err := json.Unmarshal(f.Input.Key, &all); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi"} {
				delete(all, secret)
			}
			public, err := json.Marshal(all)
			if err != nil {
				t.Fatal(err)
			}
			err = accept(asSet(public), f.Output.Compact)
			if why := foreign(f.Output.Compact); why != "" {
				if err == nil {
					t.Errorf("accepted in spite of its %s", why)
				}
				return
			}
			if err != nil {
				t.Error(err)
			}
			verified++
		})
	}
	if verified == 0 {
		t.Error("no example was verified")
	}
}
