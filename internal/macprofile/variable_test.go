package macprofile

import "testing"

func TestIsVariable(t *testing.T) {
	for _, good := range []string{"$NAME", "${NAME}", "{{registrationToken}}", "{Name}", "%Name%", "{{ device.token }}"} {
		if !IsVariable(good) {
			t.Errorf("%q is none", good)
		}
	}
	for _, bad := range []string{"", "NAME", "smr_tdc0zJG23GTIs7BG0_dodgRnDesXkpCMz-HhcAlKNa4", "$", "{{a}", "%a", "$A B", "x$NAME"} {
		if IsVariable(bad) {
			t.Errorf("%q is one", bad)
		}
	}
}
