package console

import (
	"testing"

	"github.com/signetid/signet/internal/page/pagetest"
)

func TestCatalogue(t *testing.T) {
	pagetest.Catalogue(t, files, "says.", "deed.", "done.", "role.", "ask.", "app.kind.", "app.auth.", "event.", "number.",
		"picker.filter.", "picker.group.use.", "picker.level.", "policy.because.", "policy.box.", "policy.choice.", "policy.entry.", "policy.fact.list.",
		"policy.fact.synced.", "policy.method.", "policy.models.", "policy.pass.fact.", "policy.targets.", "policy.unit.", "strength.builtin.", "strength.each.",
		"strength.mode.")
}
