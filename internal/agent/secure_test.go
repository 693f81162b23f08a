package agent_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/internal/idp"
)

var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// seat is a device whose people were let in on monday and may do without the
// server for seven days; its clock is moved by the test.
func seat(t *testing.T, v agent.Vault, tpm string) (*agent.Seated, *time.Time) {
	t.Helper()
	now := monday.Add(time.Hour)
	s, err := agent.Seat(v, tpm, filepath.Join(t.TempDir(), "device"), "424289", func() time.Time { return now }, monday, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s, &now
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// An emulator of its own for each test, which Seat's agent opens anew at each
// call; the vault that made the key is closed first.
func seatInTPM(t *testing.T) (*agent.Seated, *time.Time) {
	t.Helper()
	tpm := agenttest.TPM(t)
	v, err := agent.OpenTPM(tpm, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, now := seat(t, v, tpm)
	v.Close()
	return s, now
}

func TestUnlock(t *testing.T) {
	s, now := seatInTPM(t)
	got, err := s.Unlock(t.Context(), "ada@corp.example", s.PIN)
	if err != nil || got.User != "ada@corp.example" || !got.Online.Equal(monday) || !got.Until.Equal(monday.AddDate(0, 0, 7)) {
		t.Fatalf("%+v, %v", got, err)
	}
	*now = monday.AddDate(0, 0, 7).Add(-time.Second)
	if _, err := s.Unlock(t.Context(), "ada@corp.example", s.PIN); err != nil {
		t.Errorf("in the last second: %v", err)
	}
}

// TestSec_DEV_UnlockRefuses: each for its own reason; after each the unlock as
// it should be still works.
func TestSec_DEV_UnlockRefuses(t *testing.T) {
	s, now := seatInTPM(t)
	const ada = "ada@corp.example"
	for _, c := range []struct {
		name   string
		at     time.Duration // after monday
		change func(*agent.Seated)
		user   string
		reason string
	}{
		{"too long ago", 7 * 24 * time.Hour, nil, ada, "offline_over"},
		{"not allowed at all", time.Hour, func(s *agent.Seated) { s.Days(0) }, ada, "offline_off"},
		{"refused last time", time.Hour, func(s *agent.Seated) { s.Online(time.Time{}) }, ada, "offline_refused"},
		{"a sign-in that is over", time.Hour, func(s *agent.Seated) { s.NoPRT() }, ada, "offline_refused"},
		{"the clock is behind the server's last word", -10 * time.Minute, nil, ada, "offline_clock"},
		{"the clock was set back since the last unlock", 2 * time.Hour, func(s *agent.Seated) { s.Unlocked(monday.Add(3 * 24 * time.Hour)) }, ada, "offline_clock"},
		{"no key here", time.Hour, func(s *agent.Seated) { s.NoKey() }, ada, "no_hello"},
		{"no key of theirs here", time.Hour, nil, "bela@corp.example", "no_hello"},
		{"nobody we know", time.Hour, nil, "cleo@corp.example", "nobody"},
		{"two people, and none was named", time.Hour, nil, "", "which_person"},
		{"no device", time.Hour, func(s *agent.Seated) { s.Gone() }, ada, "not_joined"},
		{"a device that leaves", time.Hour, func(s *agent.Seated) { s.Leaves() }, ada, "leaving"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := s.Copy()
			if c.change != nil {
				c.change(changed)
			}
			if err := changed.Write(); err != nil {
				t.Fatal(err)
			}
			*now = monday.Add(c.at)
			if _, err := changed.Unlock(t.Context(), c.user, s.PIN); reasonOf(err) != c.reason {
				t.Errorf("got %v, want %s", err, c.reason)
			}
			*now = monday.Add(time.Hour)
			if err := s.Write(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Unlock(t.Context(), ada, s.PIN); err != nil {
				t.Errorf("as it should be: %v", err)
			}
		})
	}
}

// A minute by which a clock was corrected is no trick.
func TestUnlockClockSlack(t *testing.T) {
	s, now := seatInTPM(t)
	*now = monday.Add(-time.Minute)
	if _, err := s.Unlock(t.Context(), "ada@corp.example", s.PIN); err != nil {
		t.Errorf("a clock that is a minute behind: %v", err)
	}
}

// TestSec_DEV_UnlockMovesOn: whoever sets the clock back gets no further than to
// the last unlock, so that the days run out.
func TestSec_DEV_UnlockMovesOn(t *testing.T) {
	s, now := seatInTPM(t)
	const ada = "ada@corp.example"
	*now = monday.Add(5 * 24 * time.Hour)
	if _, err := s.Unlock(t.Context(), ada, s.PIN); err != nil {
		t.Fatal(err)
	}
	*now = monday.Add(24 * time.Hour)
	if _, err := s.Unlock(t.Context(), ada, s.PIN); reasonOf(err) != "offline_clock" {
		t.Errorf("four days back: %v", err)
	}
	*now = monday.Add(5*24*time.Hour - time.Minute)
	if _, err := s.Unlock(t.Context(), ada, s.PIN); err != nil {
		t.Errorf("a minute back: %v", err)
	}
}

// TestSec_DEV_UnlockWrongPIN: the TPM counts, and after its limit the right PIN
// does not help either.
func TestSec_DEV_UnlockWrongPIN(t *testing.T) {
	s, _ := seatInTPM(t)
	const ada = "ada@corp.example"
	reasons := map[string]int{}
	for range 40 {
		_, err := s.Unlock(t.Context(), ada, "424280")
		reasons[reasonOf(err)]++
		if reasonOf(err) == "pin_locked" {
			break
		}
	}
	if reasons["pin_locked"] != 1 || reasons["pin_wrong"] == 0 || len(reasons) != 2 {
		t.Fatalf("reasons %v", reasons)
	}
	if _, err := s.Unlock(t.Context(), ada, s.PIN); reasonOf(err) != "pin_locked" {
		t.Errorf("the right PIN on a locked TPM: %v", err)
	}
}

// TestSec_DEV_UnlockOtherTPM: the keys of another TPM, or of this one from before
// it was cleared, open nothing.
func TestSec_DEV_UnlockOtherTPM(t *testing.T) {
	s, _ := seatInTPM(t)
	agenttest.Clear(t, s.TPM())
	if _, err := s.Unlock(t.Context(), "ada@corp.example", s.PIN); reasonOf(err) != "tpm_other" {
		t.Errorf("after the TPM was cleared: %v", err)
	}
}

// TestSec_DEV_UnlockSoftware: nothing counts wrong PINs for a key that is a
// file.
func TestSec_DEV_UnlockSoftware(t *testing.T) {
	s, _ := seat(t, agent.Software{}, "")
	if _, err := s.Unlock(t.Context(), "ada@corp.example", s.PIN); reasonOf(err) != "offline_software" {
		t.Errorf("by software keys: %v", err)
	}
}

// TestSec_DEV_TurnedAway: whom the server refused does not come in without it,
// and on a device that it refused nobody does. What says nothing of them
// leaves everybody as they were.
func TestSec_DEV_TurnedAway(t *testing.T) {
	s, _ := seat(t, agent.Software{}, "")
	const ada, bela = "ada@corp.example", "bela@corp.example"
	for _, c := range []struct {
		name      string
		status    int
		code      int
		ada, bela bool // may still come in without the server
	}{
		{"device disabled", 400, 135011, false, false},
		{"device unknown", 400, 50155, false, false},
		{"account disabled", 400, 50057, false, true},
		{"account gone", 400, 50034, false, true},
		{"sign-in taken back", 400, 50173, false, true},
		{"key removed", 400, 130004, false, true},
		{"key of another", 400, 130005, false, true},
		{"key disabled", 400, 130007, false, true},
		{"key of a device that is gone", 400, 130008, false, true},
		{"a rule for one app", 400, 53003, true, true},
		{"a nonce that is old", 400, 140000, true, true},
		{"more proof for one app", 400, 50076, true, true},
		{"too many requests", 429, 50173, true, true},
		{"a server with a fault", 503, 135011, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := s.Write(); err != nil {
				t.Fatal(err)
			}
			err := s.Refuse(t.Context(), ada, c.status, fmt.Sprintf(`{"error":"invalid_grant","error_codes":[%d]}`, c.code))
			if err == nil {
				t.Fatal("the refusal got lost")
			}
			st, err := s.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range st.People {
				if may, want := !p.Online.IsZero(), map[string]bool{ada: c.ada, bela: c.bela}[p.User]; may != want {
					t.Errorf("%s may come in without the server: %t", p.User, may)
				}
			}
		})
	}
}
