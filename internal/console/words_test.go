package console

import (
	"testing"

	"github.com/signetid/signet/internal/page/pagetest"
)

func TestCatalogue(t *testing.T) {
	pagetest.Catalogue(t, files, "says.", "deed.", "done.", "role.", "ask.", "app.kind.", "app.auth.", "event.", "number.",
		"picker.filter.", "picker.group.use.", "picker.level.", "policy.because.", "policy.box.", "policy.choice.", "policy.entry.", "policy.fact.list.",
		"policy.fact.synced.", "policy.fact.mode.", "policy.method.", "policy.models.", "policy.pass.fact.", "policy.targets.", "policy.unit.", "policy.phone.fact.", "phone.road.", "log.phone.says.", "log.phone.then.", "strength.builtin.", "strength.each.",
		"strength.mode.",
		"log.cert.", "meta.counts.", "certificates.tab.", "certificates.step.", "certificates.binding.", "certificates.name.", "certificates.fact.", "certificates.test.good.",
		"policy.certificate.field.", "policy.certificate.property.", "policy.certificate.affinity.", "policy.certificate.counts.", "policy.certificate.needs.", "policy.certificate.tied.", "policy.certificate.fact.",
		"devices.state.", "devices.by.", "devices.os.", "devices.keys.", "devices.seen.", "devices.joined.", "device.join.", "device.meaning.", "device.ask.", "device.effect.",
		"macs.step.", "macs.way.", "macs.fact.", "macs.need.", "macs.todo.", "macs.give.", "macs.week.", "macs.where.", "macs.tokens.state.", "mac.fact.", "mac.key.", "mac.effect.", "mac.meaning.",
		"keys.show.", "keys.none.", "overview.devices.", "policy.risk.",
		"log.result.", "log.last.", "log.kind.", "log.done.", "log.verdict.", "log.reason.", "log.because.", "log.rule.", "log.about.", "log.mode.", "log.check.",
		"log.title.", "log.try.key.", "log.none.refused.", "log.id.", "log.ways.key.", "report.class.", "report.note.", "report.range.")
}
