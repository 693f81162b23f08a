package console

import (
	"testing"

	"github.com/signetid/signet/internal/page/pagetest"
)

func TestCatalogue(t *testing.T) {
	pagetest.Catalogue(t, files, "says.", "deed.", "done.", "role.", "ask.", "app.kind.", "app.auth.", "event.")
}
