package console

import (
	"context"
	"encoding/csv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// last checks the newest record of a change.
func (w *world) last(activity string, actor idp.UserID, detail string) {
	w.t.Helper()
	list, err := w.Audit.List(w.t.Context(), w.DB, w.Tenant.ID, audit.Filter{Of: audit.Changes, Limit: 1})
	if err != nil || len(list) == 0 {
		w.t.Fatal(err, len(list))
	}
	e := list[0]
	if e.Activity != activity || e.Actor != string(actor) || e.Outcome != audit.Success || !slices.ContainsFunc([]string{e.Detail["device"], e.Detail["filter"], detail}, func(s string) bool { return s == detail }) {
		w.t.Errorf("record %s by %s with %v, want %s", e.Activity, e.Actor, e.Detail, activity)
	}
}

func goes(t *testing.T, r reply, to string) {
	t.Helper()
	if r.status != http.StatusSeeOther || !strings.HasPrefix(r.to, to) {
		t.Fatalf("%d to %q (%s), want %q\n%.800s", r.status, r.to, r.page, to, r.body)
	}
}

// TestDeviceDeeds does each deed once: what follows from it is told before and
// happens after.
func TestDeviceDeeds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		path := devicePath(w.laptop.ID)
		prts := func() int {
			list, err := w.prts.OfDevice(t.Context(), w.Tenant.ID, w.laptop.ID)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		ada.get("/admin/devices").want(http.StatusOK, "ws-17", "Debian 13 (Linux)", "In a TPM, proven", w.Bob.DisplayName, "1 device.", `href="/admin/devices/csv"`)
		ada.get(path).want(http.StatusOK, "1 person is signed in with it", "192.0.2.7", "EC P-256", string(w.laptop.ID), "made a Hello key")
		ada.get("/admin/people/"+string(w.Bob.ID)).want(http.StatusOK, "ws-17", "Switch off ws-17.", path+"/ask?what=disable", "Hello key")
		ada.get(path+"/ask?what=disable").want(http.StatusOK, "is signed out on it: 1 primary refresh token (PRT) ends", "within the hour", "1 Hello key on it lets nobody in", "1 person has no other way in", "/admin/people/"+string(w.Bob.ID), "for 7 days at most")
		ada.get(path+"/ask?what=remove").want(http.StatusOK, "is orphaned", "It cannot be taken back.")
		if got := ada.get(path + "/ask?what=explode"); got.page != "error page_unknown" {
			t.Errorf("a question that there is not: %d %s", got.status, got.page)
		}
		goes(t, ada.post(path+"/disable", nil), path+"?done=device-off")
		w.last("device.disable", w.Ada.ID, string(w.laptop.ID))
		if prts() != 0 {
			t.Error("it is switched off and somebody is signed in with it")
		}
		ada.get(path+"?done=device-off").want(http.StatusOK, "Switched off since", "Its device is switched off", "<b>Switched off.</b>")
		ada.get("/admin/devices?state=off").want(http.StatusOK, "ws-17")
		goes(t, ada.post(path+"/enable", nil), path)
		w.last("device.enable", w.Ada.ID, string(w.laptop.ID))
		if ada.get(path).want(http.StatusOK, "Nobody is signed in with it now."); prts() != 0 {
			t.Error("a PRT revived")
		}
		goes(t, ada.post(path+"/name", url.Values{"name": {"<b>desk</b>"}}), path)
		ada.get(path).want(http.StatusOK, "&lt;b&gt;desk&lt;/b&gt;")
		ada.post(path+"/name", url.Values{"name": {" \t "}}).want(http.StatusBadRequest, "A device has a name.", `aria-invalid="true"`)
		goes(t, ada.post(path+"/remove", nil), "/admin/devices?done=device-gone")
		w.last("device.remove", w.Ada.ID, string(w.laptop.ID))
		if got := ada.get(path); got.status != http.StatusNotFound {
			t.Errorf("the page of a removed device: %d", got.status)
		}
		ada.get("/admin/people/"+string(w.Bob.ID)).want(http.StatusOK, "Orphaned: its device is gone", "None has been joined by them.")
		ada.get("/admin").want(http.StatusOK, "1 device key is orphaned")
	})
}

// TestSec_ADM04_DeviceOfRoles: the help desk switches off and removes what
// nobody with a role owns or signs in with, and nothing else.
func TestSec_ADM04_DeviceOfRoles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hedda := w.signedIn(w.hedda)
		own := w.join(w.Ada, "ada-1", nil)
		shared := w.join(w.Bob, "shared-1", nil)
		w.key(w.Ada, shared)
		lent := w.join(w.Bob, "lent-1", nil)
		w.signInWith(w.Ada, lent)
		made := w.changes()
		for name, d := range map[string]device.Device{"owned": own, "with a Hello key": shared, "with a PRT": lent} {
			path := devicePath(d.ID)
			hedda.get(path).want(http.StatusOK, "Only an administrator can switch it off")
			for _, what := range []string{"/disable", "/remove"} {
				if got := hedda.post(path+what, nil); got.page != "error target_is_administrator" {
					t.Errorf("%s %s: %d %s", what, name, got.status, got.page)
				}
			}
			if got := hedda.get(path + "/ask?what=disable"); got.page != "error target_is_administrator" {
				t.Errorf("asked about one %s: %d %s", name, got.status, got.page)
			}
		}
		if w.changes() != made {
			t.Error("something was changed")
		}
		goes(t, hedda.post(devicePath(w.laptop.ID)+"/disable", nil), devicePath(w.laptop.ID))
		w.last("device.disable", w.hedda.ID, string(w.laptop.ID))
		if got := hedda.post(devicePath(w.laptop.ID)+"/enable", nil); got.page != "error role_missing" {
			t.Errorf("switched on by the help desk: %d %s", got.status, got.page)
		}
		goes(t, hedda.post(devicePath(w.laptop.ID)+"/remove", nil), "/admin/devices")
	})
}

// TestSec_ADM04_RoleGivenMeanwhileToOwner: the role counts that the owner has in
// the transaction.
func TestSec_ADM04_RoleGivenMeanwhileToOwner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hedda := w.signedIn(w.hedda)
		v := &visit{Console: w.console, session: hedda.session, user: w.hedda, tenant: w.Tenant, role: directory.Helpdesk}
		m := &machine{Device: w.laptop}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.SetRole(ctx, tx, w.Tenant.ID, w.Bob.ID, directory.Administrator)
		})
		err := v.changeDevice(t.Context(), "device.remove", m, func(ctx context.Context, tx *sqldb.Tx, _ *audit.Event) error {
			t.Error("it is done")
			return nil
		})
		if e := idp.AsError(err); e == nil || e.Reason != "target_is_administrator" {
			t.Errorf("a device of a new administrator: %v", err)
		}
	})
}

// TestSec_ADM01_DeviceOfOtherTenant: nothing of it is seen or touched.
func TestSec_ADM01_DeviceOfOtherTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		d := w.join(w.Eve, "eves-laptop", nil)
		before := w.changes()
		for _, at := range []string{"", "/ask?what=disable"} {
			if got := ada.get(devicePath(d.ID) + at); got.status != http.StatusNotFound {
				t.Errorf("%q: %d %s", at, got.status, got.page)
			}
		}
		for _, what := range []string{"/disable", "/enable", "/remove", "/name"} {
			if got := ada.post(devicePath(d.ID)+what, url.Values{"name": {"mine"}}); got.status != http.StatusNotFound {
				t.Errorf("%s: %d %s", what, got.status, got.page)
			}
		}
		for _, list := range []string{"/admin/devices", "/admin/devices?q=" + string(d.ID), "/admin/devices/csv"} {
			if strings.Contains(ada.get(list).want(http.StatusOK).body, "eves-laptop") {
				t.Errorf("%s has it", list)
			}
		}
		if got, err := w.devices.Load(t.Context(), w.DB, w.Other.ID, d.ID); err != nil || !got.Enabled || w.changes() != before+1 { // the export
			t.Errorf("it was touched: %+v %v, %d changes", got, err, w.changes()-before)
		}
	})
}

// TestDevicesFilter: each filter finds what it names, and the file has the same.
func TestDevicesFilter(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		w.join(w.Ada, "old-windows", func(c *device.Candidate) {
			c.OS, c.OSVersion, c.Assurance = "Windows", "10.0.26100", device.Unattested
		})
		w.join(w.Ada, "files =cmd", func(c *device.Candidate) {
			c.OS, c.OSVersion, c.Software, c.Assurance = "macOS", "16", true, device.Unproven
		})
		w.join(w.Bob, "waiting", func(c *device.Candidate) { c.OS, c.OSVersion, c.Pending = "Plan 9", "", w.Now().Add(time.Hour) })
		names := func(q string) string {
			t.Helper()
			r := ada.get("/admin/devices/csv?" + q).want(http.StatusOK)
			rows, err := csv.NewReader(strings.NewReader(r.body)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, row := range rows[1:] {
				out = append(out, row[1])
			}
			slices.Sort(out)
			return strings.Join(out, ",")
		}
		for q, want := range map[string]string{
			"os=windows": "old-windows", "os=linux": "ws-17", "os=mac": "files =cmd", "os=other": "waiting",
			"keys=software": "files =cmd", "keys=unattested": "old-windows", "keys=unproven": "", "keys=attested": "waiting,ws-17",
			"state=pending": "waiting", "state=off": "", "state=on": "files =cmd,old-windows,ws-17",
		} {
			w.console.exports = newExports(w.Now)
			if got := names(q); got != want {
				t.Errorf("%s: %q, want %q", q, got, want)
			}
		}
		w.console.exports = newExports(w.Now)
		for q, want := range map[string]string{
			"q=old": "old-windows", "q=" + w.Bob.DisplayName: "waiting,ws-17", "q=" + string(w.laptop.ID): "ws-17", "owner=" + string(w.Ada.ID): "files =cmd,old-windows",
			"seen=quiet": "", "seen=week": "", "joined=week": "files =cmd,old-windows,waiting,ws-17", "os=nonsense&keys=x&state=y": "files =cmd,old-windows,waiting,ws-17",
		} {
			if got := names(q); got != want {
				t.Errorf("%s: %q, want %q", q, got, want)
			}
		}
		w.Advance(quiet + time.Hour)
		ada = w.signedIn(w.Ada)
		w.console.exports = newExports(w.Now)
		if got := names("seen=quiet&os=windows"); got != "old-windows" {
			t.Errorf("quiet: %q", got)
		}
		body := ada.get("/admin/devices?os=windows&seen=quiet").want(http.StatusOK, "Not seen for 90 days", "1 device.").body
		if strings.Contains(body, "ws-17") {
			t.Error("the list has more than was asked for")
		}
		ada.get("/admin/devices?q=nothing-is-called-so").want(http.StatusOK, "No device fits this.")
		ada.get("/admin/devices?q=%27)+or+(1+eq+1").want(http.StatusOK, "No device fits this.")
		if got := ada.get("/admin/devices?after=garbage"); got.status != http.StatusBadRequest {
			t.Errorf("a cursor that is none: %d", got.status)
		}
	})
}

// TestDeviceRules: what saving would do stands there before, and switching off
// what is in use is asked about once more.
func TestDeviceRules(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.signedIn(w.Ada)
		const path = "/admin/devices/rules"
		ada.get(path).want(http.StatusOK, "Nothing is changed yet", "Risk: who catches such a code can redeem it.")
		saved := func() policy.Policy {
			p, err := w.Policies.Load(t.Context(), w.DB, w.Tenant.ID)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		form := func(change func(*deviceDraft)) url.Values {
			d := devicesDraftOf(saved())
			change(&d)
			return d.values()
		}
		v := form(func(d *deviceDraft) { d.Compat["kdfV1"], d.Numbers["quota"] = true, "0" })
		ada.post(path, v).want(http.StatusOK, "This cannot be saved as it stands")
		if got := ada.post(path+"/save", with(v, "save")); got.status != http.StatusBadRequest || saved().Devices.Compat.KDFv1 {
			t.Errorf("a quota of nothing: %d", got.status)
		}
		v = form(func(d *deviceDraft) {
			d.Compat["kdfV1"], d.Numbers["quota"], d.Numbers["helloLimit"], d.Attestation = true, "1", "4", string(policy.AttestationRequired)
			d.Numbers["helloWarnAt"], d.Idle = "3", span{"2", "d"}
		})
		ada.post(path, with(v, "check")).want(http.StatusOK, "What follows at once", "go on using them without it", "0 devices in use show nothing", "who is over the new time signs in anew")
		goes(t, ada.post(path+"/save", with(v, "save")), path)
		if p := saved(); !p.Devices.Compat.KDFv1 || p.Devices.Quota != 1 || p.Hello.Limit != 4 || p.Hello.WarnAt != 3 || p.Devices.Idle != 48*time.Hour || p.Devices.Attestation != policy.AttestationRequired || !p.Devices.On {
			t.Errorf("saved %+v %+v", p.Devices, p.Hello)
		}
		v = form(func(d *deviceDraft) { d.On = false })
		ada.post(path+"/save", with(v, "save")).want(http.StatusOK, "Switch devices off?", "1 device stops")
		if !saved().Devices.On {
			t.Fatal("switched off without a word")
		}
		goes(t, ada.post(path+"/save", with(v, "save"+sure)), path)
		if saved().Devices.On {
			t.Error("it is still on")
		}
		if got := ada.post(path+"/save", with(v, "save")); got.status != http.StatusConflict {
			t.Errorf("an old form: %d", got.status)
		}
	})
}
