package passkeytest

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/signetid/signet/internal/secret"
)

// Flags of authenticator data (WebAuthn Level 3, §6.1).
const (
	FlagUP byte = 1 << 0
	FlagUV byte = 1 << 2
	FlagBE byte = 1 << 3
	FlagBS byte = 1 << 4
	FlagAT byte = 1 << 6
	FlagED byte = 1 << 7
)

// Authenticator is an authenticator and its browser. Set fields before a call,
// not during one; calls themselves may be made in parallel.
type Authenticator struct {
	RPID   string
	Origin string

	Alg      int           // for new keys; 0: the first of the options that it can do, ES256 before others
	AAGUID   [16]byte      // its model
	Private  crypto.Signer // what new keys are, of the algorithm Alg; nil: each a key of its own
	IDLength int           // of credential ids; 0: 32
	Flags    byte          // UP, UV, BE and BS as they are to be reported; New sets UP and UV

	// Attestation is the format of new keys: "none", "packed-self" or
	// "packed" (certified by CA). Empty: as a browser would, none unless
	// the options ask for more and there is a CA.
	Attestation string
	CA          *CA

	Count uint32 // the counter of new keys, and what they report at creation
	Step  uint32 // how much a counter grows at each Get; 0: it never moves

	Transports []string
	RK         *bool  // what credProps says; nil: true
	Name       string // the name sent with a registration

	// Lies. Each changes one thing on its way out; nil: the truth. What
	// is signed is signed after the change.
	ClientData func(map[string]any)             // members of the client data
	RawClient  func([]byte) []byte              // its bytes
	AuthData   func([]byte) []byte              // authenticator data
	Key        func([]byte) []byte              // the COSE key in it
	Statement  func(format string) string       // the name of the attestation format
	Signature  func([]byte) []byte              // signature of an assertion or of packed-self
	Payload    func(payload map[string]any)     // the JSON in the end
	Choose     func(held []Held) (which string) // the id to answer with, whatever was asked for

	mu   sync.Mutex
	keys []*key
}

// Held is a key in the authenticator.
type Held struct {
	ID     string // base64url
	Handle []byte // user handle
	Name   string // user name as of the registration
}

type key struct {
	Held
	id     []byte
	rpID   string
	signer crypto.Signer
	count  uint32
}

// New makes an authenticator that verifies its user, keeps no counter, and sits
// in a browser at origin.
func New(rpID, origin string) *Authenticator {
	return &Authenticator{RPID: rpID, Origin: origin, Flags: FlagUP | FlagUV, Transports: []string{"internal", "hybrid"}}
}

// Held lists the keys, oldest first.
func (a *Authenticator) Held() []Held {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Held, len(a.keys))
	for i, k := range a.keys {
		out[i] = k.Held
	}
	return out
}

// Clone is a second authenticator with the same keys and counters: what a thief
// would have.
func (a *Authenticator) Clone() *Authenticator {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := New(a.RPID, a.Origin)
	c.Alg, c.AAGUID, c.Flags, c.Step, c.Transports = a.Alg, a.AAGUID, a.Flags, a.Step, a.Transports
	for _, k := range a.keys {
		twin := *k
		c.keys = append(c.keys, &twin)
	}
	return c
}

type options struct {
	Challenge string `json:"challenge"`
	RPID      string `json:"rpId"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"user"`
	Params []struct {
		Alg int `json:"alg"`
	} `json:"pubKeyCredParams"`
	Exclude     []listed `json:"excludeCredentials"`
	Allow       []listed `json:"allowCredentials"`
	Attestation string   `json:"attestation"`
}

type listed struct {
	ID string `json:"id"`
}

func parse(raw []byte) (options, error) {
	var show struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := json.Unmarshal(raw, &show); err != nil {
		return options{}, err
	}
	if show.PublicKey != nil {
		raw = show.PublicKey
	}
	var o options
	return o, json.Unmarshal(raw, &o)
}

// Create answers creation options with a new key: the JSON that
// navigator.credentials.create().toJSON() gives, and the name.
func (a *Authenticator) Create(optionsJSON []byte) ([]byte, error) {
	o, err := parse(optionsJSON)
	if err != nil {
		return nil, err
	}
	if o.RP.ID != a.RPID {
		return nil, errors.New("SecurityError: RP ID is not this site's")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range o.Exclude {
		if a.byID(e.ID) != nil {
			return nil, errors.New("InvalidStateError: already registered here")
		}
	}
	k, alg, err := a.newKey(o)
	if err != nil {
		return nil, err
	}
	client, err := a.clientData("webauthn.create", o.Challenge)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(client)
	object, data, err := a.attestationObject(k, alg, o, hash[:])
	if err != nil {
		return nil, err
	}
	a.keys = append(a.keys, k)
	rk := a.RK == nil || *a.RK
	return a.payload(k, map[string]any{
		"clientDataJSON": encode(client), "attestationObject": encode(object), "authenticatorData": encode(data),
		"transports": a.Transports, "publicKeyAlgorithm": alg,
	}, map[string]any{"credProps": map[string]any{"rk": rk}}, a.Name)
}

func (a *Authenticator) newKey(o options) (*key, int, error) {
	alg := a.Alg
	if alg == 0 {
		alg = ES256
	}
	if a.Alg == 0 && !slices.ContainsFunc(o.Params, func(p struct {
		Alg int `json:"alg"`
	}) bool {
		return p.Alg == alg
	}) {
		return nil, 0, errors.New("NotSupportedError: no algorithm in common")
	}
	signer, err := a.Private, error(nil)
	if signer == nil {
		signer, err = newSigner(alg)
	}
	if err != nil {
		return nil, 0, err
	}
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		return nil, 0, errors.New("TypeError: user.id is not base64url")
	}
	length := a.IDLength
	if length == 0 {
		length = 32
	}
	id := secret.Bytes(length)
	return &key{
		Held: Held{ID: encode(id), Handle: handle, Name: o.User.Name},
		id:   id, rpID: a.RPID, signer: signer, count: a.Count,
	}, alg, nil
}

// attestationObject builds authenticator data with the new key and a statement
// on it (WebAuthn Level 3, §6.5).
func (a *Authenticator) attestationObject(k *key, alg int, o options, clientHash []byte) (object, data []byte, err error) {
	format := a.Attestation
	if format == "" {
		format = "none"
		if a.CA != nil && o.Attestation != "none" && o.Attestation != "" {
			format = "packed"
		}
	}
	if data, err = a.newData(k, alg); err != nil {
		return nil, nil, err
	}
	statement, err := a.statement(format, k, alg, data, clientHash)
	if err != nil {
		return nil, nil, err
	}
	name := map[string]string{"none": "none", "packed-self": "packed", "packed": "packed"}[format]
	if a.Statement != nil {
		name = a.Statement(name)
	}
	return cbor([]pair{{"fmt", name}, {"attStmt", statement}, {"authData", data}}), data, nil
}

// newData is authenticator data with a new key.
func (a *Authenticator) newData(k *key, alg int) ([]byte, error) {
	cose, err := coseKey(k.signer.Public(), alg)
	if err != nil {
		return nil, err
	}
	if a.Key != nil {
		cose = a.Key(cose)
	}
	data := a.authData(a.Flags|FlagAT, k.count)
	data = append(data, a.AAGUID[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id)))
	data = append(append(data, k.id...), cose...)
	if a.AuthData != nil {
		data = a.AuthData(data)
	}
	return data, nil
}

// Bare is what an authenticator gives its platform for a new key, before a
// browser makes a registration of it (CTAP 2.1, §6.1.2).
type Bare struct {
	AuthData, ID, Sig []byte
	Chain             [][]byte // nil: the key signed for itself
	Private           []byte   // PKCS #8, for an authenticator whose memory is a file
}

// GetBare signs with a key that CreateBare gave out, as an authenticator does
// for a platform that knows the hash of the client data only (CTAP 2.1, §6.2.2).
func (a *Authenticator) GetBare(private, clientHash []byte) (authData, sig []byte, err error) {
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New("passkeytest: a key that does not sign")
	}
	data := a.authData(a.Flags, a.Count)
	sig, err = sign(signer, slices.Concat(data, clientHash))
	return data, sig, err
}

// CreateBare makes a key as Create does, for a platform that knows the hash of
// the client data only. The statement is of the format packed.
func (a *Authenticator) CreateBare(clientHash []byte, handle []byte, name string) (Bare, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var o options
	o.User.ID, o.User.Name = encode(handle), name
	o.Params = append(o.Params, struct {
		Alg int `json:"alg"`
	}{ES256})
	k, alg, err := a.newKey(o)
	if err != nil {
		return Bare{}, err
	}
	data, err := a.newData(k, alg)
	if err != nil {
		return Bare{}, err
	}
	made := Bare{AuthData: data, ID: k.id}
	if made.Private, err = x509.MarshalPKCS8PrivateKey(k.signer); err != nil {
		return Bare{}, err
	}
	message := slices.Concat(data, clientHash)
	if a.CA != nil {
		made.Sig, made.Chain, err = a.CA.attest(a.AAGUID, message)
	} else {
		made.Sig, err = sign(k.signer, message)
	}
	a.keys = append(a.keys, k)
	return made, err
}

func (a *Authenticator) statement(format string, k *key, alg int, data, clientHash []byte) ([]pair, error) {
	message := slices.Concat(data, clientHash)
	switch format {
	case "none":
		return nil, nil
	case "packed-self":
		sig, err := sign(k.signer, message)
		if err == nil && a.Signature != nil {
			sig = a.Signature(sig)
		}
		return []pair{{"alg", alg}, {"sig", sig}}, err
	case "packed":
		if a.CA == nil {
			return nil, errors.New("passkeytest: packed needs a CA")
		}
		sig, chain, err := a.CA.attest(a.AAGUID, message)
		if err == nil && a.Signature != nil {
			sig = a.Signature(sig)
		}
		return []pair{{"alg", ES256}, {"sig", sig}, {"x5c", chain}}, err
	}
	return nil, errors.New("passkeytest: attestation " + format)
}

// Get answers request options: the JSON of navigator.credentials.get().toJSON().
// With allowCredentials the first of the keys held that is listed answers, else
// the newest.
func (a *Authenticator) Get(optionsJSON []byte) ([]byte, error) {
	o, err := parse(optionsJSON)
	if err != nil {
		return nil, err
	}
	if o.RPID != a.RPID {
		return nil, errors.New("SecurityError: RP ID is not this site's")
	}
	client, err := a.clientData("webauthn.get", o.Challenge)
	if err != nil {
		return nil, err
	}
	k, data := a.touch(o)
	if k == nil {
		return nil, errors.New("NotAllowedError: no passkey here")
	}
	if a.AuthData != nil {
		data = a.AuthData(data)
	}
	hash := sha256.Sum256(client)
	sig, err := sign(k.signer, slices.Concat(data, hash[:]))
	if err != nil {
		return nil, err
	}
	if a.Signature != nil {
		sig = a.Signature(sig)
	}
	return a.payload(k, map[string]any{
		"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(sig),
		"userHandle": encode(k.Handle),
	}, map[string]any{}, "")
}

// touch picks the key that answers and counts.
func (a *Authenticator) touch(o options) (*key, []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.pick(o)
	if k == nil {
		return nil, nil
	}
	k.count += a.Step
	return k, a.authData(a.Flags, k.count)
}

func (a *Authenticator) pick(o options) *key {
	if a.Choose != nil {
		held := make([]Held, len(a.keys))
		for i, k := range a.keys {
			held[i] = k.Held
		}
		return a.byID(a.Choose(held))
	}
	for _, l := range o.Allow {
		if k := a.byID(l.ID); k != nil {
			return k
		}
	}
	if len(o.Allow) > 0 || len(a.keys) == 0 {
		return nil
	}
	return a.keys[len(a.keys)-1]
}

func (a *Authenticator) byID(id string) *key {
	for _, k := range a.keys {
		if k.ID == id {
			return k
		}
	}
	return nil
}

func (a *Authenticator) authData(flags byte, count uint32) []byte {
	hash := sha256.Sum256([]byte(a.RPID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), count)
}

func (a *Authenticator) clientData(ceremony, challenge string) ([]byte, error) {
	m := map[string]any{"type": ceremony, "challenge": challenge, "origin": a.Origin, "crossOrigin": false}
	if a.ClientData != nil {
		a.ClientData(m)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	raw := bytes.TrimRight(b.Bytes(), "\n")
	if a.RawClient != nil {
		raw = a.RawClient(raw)
	}
	return raw, nil
}

func (a *Authenticator) payload(k *key, response, extensions map[string]any, name string) ([]byte, error) {
	p := map[string]any{
		"id": k.ID, "rawId": k.ID, "type": "public-key", "response": response,
		"clientExtensionResults": extensions, "authenticatorAttachment": "platform",
	}
	if name != "" {
		p["name"] = name
	}
	if a.Payload != nil {
		a.Payload(p)
	}
	return json.Marshal(p)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
