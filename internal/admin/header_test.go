package admin

import (
	"strings"
	"testing"
)

func TestOriginOf(t *testing.T) {
	const tenant = "8d7df663-cdc9-4833-ab15-5c45a6bcd640"
	head := "# tenant: " + tenant + "\n# version: 12\n"
	for form, want := range map[string]origin{
		"# The policies\n#\n" + head + "\npasskey: {}\n": {tenant, 12, true},
		head:                                    {tenant, 12, true},
		strings.ReplaceAll(head, "\n", " \r\n"): {tenant, 12, true},
		"":                                      {},
		"passkey: {}\n" + head:                  {}, // no header, a comment somewhere
		"# version: 12\n":                       {},
		"# tenant: x\n# version: 12\n":          {},
		"# tenant: " + tenant + "\n# version: 1x\n":  {},
		"# tenant: " + tenant + "\n# version: -1\n":  {},
		"# tenant: " + tenant + "\n\n# version: 1\n": {},
	} {
		if got := originOf(form); got != want {
			t.Errorf("%q: got %+v, want %+v", form, got, want)
		}
	}
}

func FuzzOriginOf(f *testing.F) {
	f.Add("# tenant: 8d7df663-cdc9-4833-ab15-5c45a6bcd640\n# version: 12\npasskey: {}\n")
	f.Fuzz(func(t *testing.T, form string) {
		from := originOf(form)
		if from.known && (from.version < 0 || len(from.tenant) != 36 || !strings.Contains(form, "# tenant: "+string(from.tenant))) {
			t.Fatalf("%+v", from)
		}
	})
}
