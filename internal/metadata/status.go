package metadata

import (
	"strings"
	"time"
)

// report is a status report (MDS §3.1.4), as far as it is used.
type report struct {
	word      string
	effective time.Time // zero: since always
	sunset    time.Time // zero: no end
	url       string
	batch     bool // about some attestation certificates only
}

func (r report) inEffect(now time.Time) bool {
	return !r.effective.After(now) && (r.sunset.IsZero() || r.sunset.After(now))
}

// Words that decide (MDS §3.1.4, AuthenticatorStatus).
const (
	revoked               = "REVOKED"
	attestationCompromise = "ATTESTATION_KEY_COMPROMISE"
)

// verdicts is what each status word means. A word that is not here and is no
// certification was invented after this program: somebody should look, so it
// is a warning.
var verdicts = map[string]Verdict{
	revoked:                        Refuse, // not to be trusted for any reason
	attestationCompromise:          Refuse, // anybody may pass as this model
	"USER_VERIFICATION_BYPASS":     Refuse, // works without its owner
	"USER_KEY_REMOTE_COMPROMISE":   Refuse, // keys can be had from afar
	"USER_KEY_PHYSICAL_COMPROMISE": Warn,   // keys can be had by a thief of the device
	"RETIRED":                      Warn,   // its maker wants it gone
	"NOT_FIDO_CERTIFIED":           Fine,
	"SELF_ASSERTION_SUBMITTED":     Fine,
	"UPDATE_AVAILABLE":             Fine,
	"FIDO_CERTIFIED":               Fine,
}

func verdictOf(r report) Verdict {
	v, known := verdicts[r.word]
	switch {
	case known && r.batch && v == Refuse && r.word == attestationCompromise:
		return Warn // Judge refuses the certificates that are meant
	case known:
		return v
	case strings.HasPrefix(r.word, "FIDO_CERTIFIED_"), strings.HasPrefix(r.word, "FIPS140_CERTIFIED_"):
		return Fine
	}
	return Warn
}

func severity(v Verdict) int {
	switch v {
	case Warn:
		return 1
	case Refuse:
		return 2
	}
	return 0
}

// statusOf is the worst of the reports in effect: a later certification does
// not heal a compromise, only a sunset date ends it.
func statusOf(reports []report, now time.Time) Status {
	worst := Status{Verdict: Fine}
	for _, r := range reports {
		v := verdictOf(r)
		if r.inEffect(now) && severity(v) > severity(worst.Verdict) {
			worst = Status{Verdict: v, Word: r.word, Since: r.effective, URL: r.url}
		}
	}
	return worst
}

// certified is the newest certification in effect of either scheme; of two
// with one date the higher.
func certified(reports []report, now time.Time) (fido, fips string) {
	var fidoAt, fipsAt time.Time
	for _, r := range reports {
		if !r.inEffect(now) {
			continue
		}
		level := levelWord(r.word)
		if level != "" && (r.effective.After(fidoAt) || r.effective.Equal(fidoAt) && Level(level) > Level(fido)) {
			fido, fidoAt = level, r.effective
		}
		if l, ok := strings.CutPrefix(r.word, "FIPS140_CERTIFIED_"); ok && (fips == "" || r.effective.After(fipsAt)) {
			fips, fipsAt = "FIPS 140 "+l, r.effective
		}
	}
	return fido, fips
}

func levelWord(word string) string {
	if word == "FIDO_CERTIFIED" {
		return "FIDO"
	}
	l, ok := strings.CutPrefix(word, "FIDO_CERTIFIED_")
	if l = strings.Replace(l, "plus", "+", 1); ok && Level(l) > 0 {
		return l
	}
	return ""
}
