package console

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// carried are the hidden fields of a page.
func carriedBy(r reply) url.Values {
	out := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(r.body, -1) {
		out.Add(m[1], m[2])
	}
	return out
}

// orphans leaves n keys of Carol without their devices.
func (w *world) orphans(n int) {
	w.t.Helper()
	if w.carol.ID == "" {
		w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			w.carol, err = w.Directory.CreateUser(ctx, tx, idp.User{Tenant: w.Tenant.ID, Name: "carol@nordhafen.example", DisplayName: "Carol", Enabled: true})
			return err
		})
	}
	for range n {
		d := w.join(w.carol, "gone-1", nil)
		w.key(w.carol, d)
		w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, w.Tenant.ID, d.ID) })
	}
}

func (w *world) held(u idp.User) int {
	w.t.Helper()
	list, err := w.hello.List(w.t.Context(), u.Tenant, u.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// TestCleanByRule: the page before names what goes and what stays; what changed
// since is asked about anew; what went can be given back.
func TestCleanByRule(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.orphans(3)
		ada := w.signedIn(w.Ada)
		ada.get("/admin/keys").want(http.StatusOK, "4 keys of 2 people", "Orphaned: its device is gone", "gone-1", "ws-17")
		if body := ada.get("/admin/keys?show=orphaned").want(http.StatusOK).body; strings.Contains(body, "ws-17") {
			t.Error("the list of orphans has one that is none")
		}
		ada.post("/admin/keys/clean", url.Values{"by": {"rule"}}).want(http.StatusBadRequest, "Say which keys")
		ada.post("/admin/keys/clean", url.Values{"by": {"rule"}, "unused": {"soon"}}).want(http.StatusBadRequest, "Say for how many days", `value="soon"`)
		tried := ada.post("/admin/keys/clean", url.Values{"by": {"rule"}, "orphaned": {"1"}}).want(http.StatusOK, "Remove 3 device keys?", "3 would go", "Remove 3 keys")
		if w.held(w.carol) != 3 {
			t.Fatal("a try removed something")
		}
		form := carriedBy(tried)
		w.orphans(1)
		ada.post("/admin/keys/clean/do", form).want(http.StatusConflict, "Something changed since you looked", "Remove 4 device keys?")
		if w.held(w.carol) != 4 {
			t.Fatal("another list was removed than the one that was shown")
		}
		form.Set("seen", "")
		ada.post("/admin/keys/clean/do", form).want(http.StatusConflict)
		form = carriedBy(ada.post("/admin/keys/clean", url.Values{"by": {"rule"}, "orphaned": {"1"}}))
		goes(t, ada.post("/admin/keys/clean/do", form), "/admin/keys/removed?done=keys-gone")
		if w.held(w.carol) != 0 || w.held(w.Bob) != 1 {
			t.Errorf("Carol holds %d, Bob %d", w.held(w.carol), w.held(w.Bob))
		}
		w.last("hello.remove", w.Ada.ID, "")
		page := ada.get("/admin/keys/removed?done=keys-gone").want(http.StatusOK, "For 30 days", "gone-1", "Give back")
		one := regexp.MustCompile(`name="one" value="([^"]*)"`).FindStringSubmatch(page.body)[1]
		goes(t, ada.post("/admin/keys/restore", url.Values{"one": {one}}), "/admin/keys/removed?done=keys-back")
		if w.held(w.carol) != 1 {
			t.Error("nothing came back")
		}
		if got := ada.post("/admin/keys/restore", url.Values{"one": {one}}); got.page != "error key_not_removed" {
			t.Errorf("given back twice: %d %s", got.status, got.page)
		}
		if got := ada.post("/admin/keys/restore", nil); got.page != "error key_not_removed" {
			t.Errorf("none chosen: %d %s", got.status, got.page)
		}
		ada.post("/admin/keys/clean", url.Values{"by": {"rule"}, "before": {"2001-01-01"}}).want(http.StatusOK, "Nothing fits that could go.")
	})
}

// TestSec_T48_CleanKeepsTheLastWay: nobody loses their last way in by a clean,
// whatever the rule says.
func TestSec_T48_CleanKeepsTheLastWay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Advance(100 * day)
		w.orphans(1)
		ada := w.signedIn(w.Ada)
		tried := ada.post("/admin/keys/clean", url.Values{"by": {"rule"}, "unused": {"90"}}).want(http.StatusOK, "Remove 0 device keys?", "1 would stay", "only way in")
		form := carriedBy(tried)
		goes(t, ada.post("/admin/keys/clean/do", form), "/admin/keys?done=keys-none")
		if w.held(w.Bob) != 1 {
			t.Error("Bob lost his only way in")
		}
		// With another one beside it, it goes.
		w.key(w.Bob, w.join(w.Bob, "second-1", nil))
		form = carriedBy(ada.post("/admin/keys/clean", url.Values{"by": {"rule"}, "unused": {"90"}}).want(http.StatusOK, "Remove 1 device key?"))
		goes(t, ada.post("/admin/keys/clean/do", form), "/admin/keys/removed")
		if w.held(w.Bob) != 1 {
			t.Errorf("Bob holds %d", w.held(w.Bob))
		}
	})
}

// TestCleanByFile: the file that the list gives is understood again; a wrong
// line stops it all, and is named.
func TestCleanByFile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.orphans(2)
		ada := w.signedIn(w.Ada)
		file := ada.get("/admin/keys/csv?show=orphaned").want(http.StatusOK, "userPrincipalName,Tenant,DeviceId,Usage,Id,CreationTime,RocaVulnerable,Orphaned,LastUsed").body
		if strings.Count(file, "\r\n") != 3 {
			t.Fatalf("a file of %q", file)
		}
		w.last("keys.export", w.Ada.ID, "show=orphaned")
		form := carriedBy(ada.post("/admin/keys/clean", url.Values{"by": {"file"}, "file": {file}}).want(http.StatusOK, "Remove 2 device keys?"))
		form.Set("file", file) // a field of more than one line
		goes(t, ada.post("/admin/keys/clean/do", form), "/admin/keys/removed")
		if w.held(w.carol) != 0 {
			t.Error("they are still there")
		}
		ada.post("/admin/keys/clean", url.Values{"by": {"file"}, "file": {file}}).want(http.StatusBadRequest, "2 lines of the file are wrong", "no such key", file[:40])
		ada.post("/admin/keys/clean", url.Values{"by": {"file"}, "file": {"a,b\n1,2"}}).want(http.StatusBadRequest, "The column userPrincipalName is missing.")
		ada.post("/admin/keys/clean", url.Values{"by": {"file"}, "file": {""}}).want(http.StatusBadRequest, "has no header line")
		key := w.listed(w.Eve)
		ada.post("/admin/keys/clean", url.Values{"by": {"file"}, "file": {"userPrincipalName,Id\n" + w.Eve.Name + "," + key}}).want(http.StatusBadRequest, "there is no such person")
	})
}

// listed gives somebody of another tenant a Hello key.
func (w *world) listed(u idp.User) string {
	w.t.Helper()
	w.Policy(w.t, u.Tenant, func(p *policy.Policy) {
		p.Methods[policy.Hello] = policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{All: true}}}}
	})
	return string(w.key(u, w.join(u, "far-1", nil)).ID)
}

// TestCleanChosen: the ticked ones, of this tenant, and no others.
func TestCleanChosen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.orphans(2)
		ada := w.signedIn(w.Ada)
		list, err := w.hello.List(t.Context(), w.Tenant.ID, w.carol.ID)
		if err != nil {
			t.Fatal(err)
		}
		far := w.listed(w.Eve)
		in := url.Values{"by": {"picked"}, "key": {keyName(w.carol.ID, list[0].ID), keyName(w.Eve.ID, idp.CredentialID(far)), "nonsense"}}
		tried := ada.post("/admin/keys/clean", in).want(http.StatusOK, "Remove 1 device key?")
		goes(t, ada.post("/admin/keys/clean/do", carriedBy(tried)), "/admin/keys/removed")
		if w.held(w.carol) != 1 || w.held(w.Eve) != 1 {
			t.Errorf("Carol holds %d, Eve %d", w.held(w.carol), w.held(w.Eve))
		}
		ada.post("/admin/keys/clean", url.Values{"by": {"picked"}}).want(http.StatusOK, "Nothing fits that could go.")
	})
}

// TestManyKeys: from the number on that the rules say, pages say that it is
// many; the help desk looks and changes nothing.
func TestManyKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello = policy.HelloRules{Limit: 3, WarnAt: 2} })
		w.key(w.Bob, w.join(w.Bob, "second-1", nil))
		hedda := w.signedIn(w.hedda)
		body := hedda.get("/admin/keys").want(http.StatusOK, "1 person holds 2 keys or more", "2 of 3").body
		if strings.Contains(body, "/admin/keys/csv") || strings.Contains(body, `name="key"`) {
			t.Error("the help desk is offered what it may not do")
		}
		hedda.get("/admin/people/"+string(w.Bob.ID)).want(http.StatusOK, "They hold 2 of 3 Hello keys.")
		hedda.get("/admin/keys/removed").want(http.StatusOK, "No key was removed in the last 30 days.")
		ada := w.signedIn(w.Ada)
		ada.get("/admin").want(http.StatusOK, "1 person holds 2 Hello keys or more", "seen in the last 7 days")
	})
}

// TestKeysInPages: the list goes on behind a page, each key once.
func TestKeysInPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello.Limit = 50 })
		for range 30 {
			w.key(w.Bob, w.join(w.Bob, "ws", func(c *device.Candidate) { c.Quota = 100 }))
			w.key(w.Ada, w.join(w.Ada, "ws", func(c *device.Candidate) { c.Quota = 100 }))
		}
		ada := w.signedIn(w.Ada)
		seen := map[string]bool{}
		at := "/admin/keys"
		for pages := 0; at != ""; pages++ {
			if pages > 3 {
				t.Fatal("the pages go round")
			}
			body := ada.get(at).want(http.StatusOK).body
			for _, m := range regexp.MustCompile(`name="key" value="([^"]*)"`).FindAllStringSubmatch(body, -1) {
				if seen[m[1]] {
					t.Errorf("%s twice", m[1])
				}
				seen[m[1]] = true
			}
			next := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(body)
			if at = ""; next != nil {
				at = strings.ReplaceAll(next[1], "&amp;", "&")
			}
		}
		if len(seen) != 61 {
			t.Errorf("%d keys, want 61", len(seen))
		}
	})
}
