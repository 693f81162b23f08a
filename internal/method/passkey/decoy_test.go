package passkey

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/secret"
)

const nobodysName = "nobody@nordhafen.example"

// offered is the list of ids that a stranger gets for a name.
func (w *world) offered(t testing.TB, name string) [][]byte {
	t.Helper()
	allow, _, err := w.named(t.Context(), tenant, name)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([][]byte, len(allow))
	for i, d := range allow {
		ids[i] = d.ID
	}
	return ids
}

// claiming makes a that answers as if its key had the id.
func claiming(a *passkeytest.Authenticator, id []byte) *passkeytest.Authenticator {
	before := a.Payload
	a.Payload = func(p map[string]any) {
		p["id"], p["rawId"] = string(encodeID(id)), string(encodeID(id))
		if before != nil {
			before(p)
		}
	}
	a.Choose = func(held []passkeytest.Held) string { return held[0].ID }
	return a
}

// counted says how many statements ask runs in the room.
func (w *world) counted(ask func()) int {
	c := &counting{Querier: w.db}
	before := w.db
	w.db = c
	defer func() { w.db = before }()
	ask()
	return c.n
}

// TestSec_WAN10_OfferedIDsAreAnsweredAlike takes every id that the lists of
// three names offer, and asks about it in every way there is: the answer and
// what it cost do not tell a key from a decoy (T34).
func TestSec_WAN10_OfferedIDsAreAnsweredAlike(t *testing.T) {
	w, d := sqliteWorld(t), device()
	w.register(t, ada, d)
	handle := func(v any) func(map[string]any) {
		return func(p map[string]any) {
			if response(p)["userHandle"] = v; v == nil {
				delete(response(p), "userHandle")
			}
		}
	}
	for _, row := range []struct {
		name string
		ask  method.Request
		bend func(map[string]any)
	}{
		{name: "one button", bend: handle("AAAA")},
		{name: "one button, no handle", bend: handle(nil)},
		{name: "ada's name", ask: method.Request{UserName: ada.Name}, bend: handle("AAAA")},
		{name: "ada's name, no handle", ask: method.Request{UserName: ada.Name}, bend: handle(nil)},
		{name: "bo's name, no handle", ask: method.Request{UserName: bo.Name}, bend: handle(nil)},
		{name: "nobody's name, no handle", ask: method.Request{UserName: nobodysName}, bend: handle(nil)},
		{name: "as bo", ask: method.Request{User: bo}, bend: handle("AAAA")},
		{name: "as bo, no handle", ask: method.Request{User: bo}, bend: handle(nil)},
	} {
		type told struct {
			kind       idp.Kind
			code       int
			public     string
			unknown    bool
			statements int
		}
		var first *told
		for _, name := range []string{ada.Name, bo.Name, nobodysName} {
			for _, id := range w.offered(t, name) {
				a := w.begin(t, row.ask)
				stranger := device()
				stranger.Payload = row.bend
				payload := forged(t, stranger, id, a)
				var got told
				got.statements = w.counted(func() {
					_, err := w.verify(a, payload)
					e := idp.AsError(err)
					if e == nil {
						t.Fatalf("%s: a stranger's signature was good", row.name)
					}
					got.kind, got.code, got.public = e.Kind, e.Code, e.Public
					got.unknown = w.Unknown(t.Context(), encodeID(id))
				})
				if first == nil {
					first = &got
				}
				if got != *first {
					t.Errorf("%s: id %s of the list of %s is answered %+v, others %+v", row.name, encodeID(id), name, got, *first)
				}
			}
		}
		if first.unknown || first.kind != idp.Unproven || first.statements != 2 {
			t.Errorf("%s: answered %+v", row.name, *first)
		}
	}
}

// forged is an answer to a by a key that nobody registered, with id.
func forged(t testing.TB, stranger *passkeytest.Authenticator, id []byte, a asked) []byte {
	t.Helper()
	bend := stranger.Payload
	stranger.Payload = nil
	if _, err := stranger.Create([]byte(`{"rp":{"id":"` + rpID + `"},"user":{"id":"AAAA"},"challenge":"AAAA","pubKeyCredParams":[{"alg":-7}]}`)); err != nil {
		t.Fatal(err)
	}
	stranger.Payload = bend
	payload, err := claiming(stranger, id).Get(a.Show)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestSec_WAN10_RegisteringAnOfferedID: whoever has an account may try to
// register the ids of somebody's list. All are taken.
func TestSec_WAN10_RegisteringAnOfferedID(t *testing.T) {
	w := sqliteWorld(t)
	w.register(t, ada, device())
	asBo := func(id []byte) error {
		_, err := w.tryRegister(t, bo, withID(device(), id))
		return err
	}
	for _, name := range []string{ada.Name, nobodysName} {
		for _, id := range w.offered(t, name) {
			wantReason(t, asBo(id), idp.Conflict, "credential_exists")
		}
	}
	if list, _ := w.List(t.Context(), tenant, bo.ID); len(list) != 0 {
		t.Errorf("bo has %d passkeys", len(list))
	}
	// An id with an end of its own is nobody's: it is unknown, and registers.
	free := slices.Clone(w.offered(t, nobodysName)[0])
	free[len(free)-1] ^= 1
	if !w.Unknown(t.Context(), encodeID(free)) {
		t.Error("an id that was never offered is not unknown")
	}
	if err := asBo(free); err != nil {
		t.Errorf("an id that was never offered: %v", err)
	}
	if w.Unknown(t.Context(), encodeID(free)) {
		t.Error("a registered id is unknown")
	}
}

// withID makes a an authenticator whose next key has the id.
func withID(a *passkeytest.Authenticator, id []byte) *passkeytest.Authenticator {
	a.IDLength = len(id)
	a.AuthData = func(b []byte) []byte { copy(b[offsetID:], id); return b }
	a.Payload = func(p map[string]any) { p["id"], p["rawId"] = string(encodeID(id)), string(encodeID(id)) }
	return a
}

// TestSec_WAN10_MarkIsOfTheInstallation: a decoy of one tenant is asked about
// in another, where ids are looked up, too; and a mark of elsewhere is none.
func TestSec_WAN10_MarkIsOfTheInstallation(t *testing.T) {
	w := sqliteWorld(t)
	allow, _, err := w.named(t.Context(), "22222222-2222-4222-8222-222222222222", nobodysName)
	if err != nil {
		t.Fatal(err)
	}
	other := sqliteWorld(t)
	for _, d := range allow {
		if w.Unknown(t.Context(), encodeID(d.ID)) {
			t.Errorf("a decoy of another tenant is unknown: %s", encodeID(d.ID))
		}
		if !other.Unknown(t.Context(), encodeID(d.ID)) {
			t.Errorf("a decoy of another installation is not unknown: %s", encodeID(d.ID))
		}
	}
	// A key that cannot be had is no reason to call anything unknown.
	w.cfg.Mark = func(context.Context) (*secret.Key, error) { return nil, errors.New("no key") }
	if w.Unknown(t.Context(), "AAAAAAAAAAAAAAAAAAAAAA") {
		t.Error("unknown without looking")
	}
}

// spellings are ways to write name, letter by letter: some the directory takes
// for the same name and some it does not.
func spellings(name string) []string {
	out := []string{strings.ToUpper(name), strings.ToTitle(name), name + ".", "x" + name}
	for _, space := range []string{" ", "\t", "\n", "\u00a0", "\u0085", "\u3000", "\u200b", "\ufeff", "\x00", "\xff"} {
		out = append(out, space+name, name+space, name[:2]+space+name[2:])
	}
	for at, r := range name {
		before, after := name[:at], name[at+1:] // names are ASCII
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			out = append(out, before+string(other)+after)
		}
		out = append(out, before+string(r)+"\u0301"+after, before+string(r)+"\u0307"+after)
		if r > ' ' && r < 0x7f {
			out = append(out, before+string(r-'!'+'\uff01')+after) // full width
		}
		switch r {
		case 'i':
			out = append(out, before+"\u0130"+after, before+"\u0131"+after)
		case 's':
			out = append(out, before+"\u00df"+after, before+"\u1e9e"+after)
		}
	}
	return out
}

// TestSec_WAN10_SpellingsOfAName: a spelling has the list of a name when the
// directory takes it for that name, and another list when it does not: then
// the two differ whether or not there is such a person.
func TestSec_WAN10_SpellingsOfAName(t *testing.T) {
	w := sqliteWorld(t)
	const name = "mark.ilves-strass@nordhafen.example"
	mark := idp.User{ID: ada.ID, Tenant: tenant, Name: name, Enabled: true}
	w.cfg.UserByName = func(_ context.Context, t idp.TenantID, typed string) (idp.User, error) {
		if t == tenant && directory.Fold(typed) == directory.Fold(mark.Name) {
			return mark, nil
		}
		return idp.User{}, idp.NotFoundf("user_missing", "%s", typed)
	}
	w.register(t, mark, device())
	list := func(name string) string {
		var all []string
		for _, id := range w.offered(t, name) {
			all = append(all, string(encodeID(id)))
		}
		return strings.Join(all, " ")
	}
	same := 0
	for _, base := range []string{name, "kiss" + name} { // somebody and nobody
		for _, typed := range spellings(base) {
			one := directory.Fold(typed) == directory.Fold(base)
			if one {
				same++
			}
			if (list(typed) == list(base)) != one {
				t.Errorf("%+q and %q: one list %t, one name %t", typed, base, !one, one)
			}
		}
	}
	if same < 50 {
		t.Errorf("only %d spellings of one name", same)
	}
}

// TestMoreThanTwentyKeys: where the tenant allows more, a typed name lists all
// that somebody holds; where it allows fewer now, the newest.
func TestMoreThanTwentyKeys(t *testing.T) {
	w := sqliteWorld(t)
	w.rules.Limit = 1000 // no list holds so many: what counts is maxKeys
	var keys []*passkeytest.Authenticator
	for range maxKeys {
		keys = append(keys, device())
		w.now = w.now.Add(time.Second)
		w.register(t, ada, keys[len(keys)-1])
		if n := len(keys); n != 21 && n != maxKeys {
			continue
		}
		a := w.begin(t, method.Request{UserName: ada.Name})
		for i, d := range keys {
			if _, err := d.Get(a.Show); err != nil {
				t.Errorf("key %d of %d, for its owner's name: %v", i+1, len(keys), err)
			}
		}
	}
	_, err := w.BeginRegister(t.Context(), method.Request{Tenant: tenant, User: ada, Now: w.now})
	wantReason(t, err, idp.Denied, "passkey_limit")

	w.rules.Limit = 20
	a := w.begin(t, method.Request{UserName: ada.Name})
	for i, d := range keys {
		if _, err := d.Get(a.Show); (err == nil) != (i >= maxKeys-20) {
			t.Errorf("key %d of %d, where 20 are allowed now: %v", i+1, len(keys), err)
		}
	}
}

// TestSec_WAN10_LongLists: where somebody may have a list of a size, nobody
// has one of it now and then.
func TestSec_WAN10_LongLists(t *testing.T) {
	key, err := secret.NewKey(bytes.Repeat([]byte{7}, secret.KeySize)) // the same names at every run
	if err != nil {
		t.Fatal(err)
	}
	marks := secret.RandomKey()
	for limit, want := range map[int][]int{1: {4, 8, 20}, 20: {4, 8, 20}, 21: {4, 8, 20, 50}, 50: {4, 8, 20, 50}} {
		met := map[int]int{}
		for i := range 1500 {
			met[len(cover(key, marks, strconv.Itoa(i), nil, limit))]++
		}
		for _, size := range want {
			if met[size] == 0 {
				t.Errorf("limit %d: of 1500 names of nobody none has a list of %d: %v", limit, size, met)
			}
		}
		if len(met) != len(want) || met[4] < 1300 {
			t.Errorf("limit %d: lists of %v, want %v", limit, met, want)
		}
	}
}
