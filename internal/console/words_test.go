package console

import (
	"testing"

	"github.com/signetid/signet/internal/page/pagetest"
)

func TestCatalogue(t *testing.T) {
	pagetest.Catalogue(t, files, "says.", "deed.", "done.", "role.", "ask.", "app.kind.", "app.auth.", "event.", "number.",
		"log.result.", "log.last.", "log.kind.", "log.done.", "log.verdict.", "log.reason.", "log.because.", "log.rule.", "log.about.", "log.mode.", "log.check.",
		"log.title.", "log.try.key.", "log.none.refused.", "log.id.", "log.ways.key.", "report.class.", "report.note.", "report.range.")
}
