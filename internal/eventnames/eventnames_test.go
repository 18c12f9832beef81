package eventnames

import (
	"slices"
	"testing"
)

// TestKnown: names are sorted and known, and an unknown name may be of a known family.
func TestKnown(t *testing.T) {
	all := All()
	if len(all) < 500 || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("%d names, which are to be sorted and different", len(all))
	}
	for _, name := range all {
		if !Known(name) || !KnownFamily(name) {
			t.Errorf("%s is not known", name)
		}
	}
	for name, inFamily := range map[string]bool{"meeting.teleported": true, "meeting": true, "telepathy.started": false, "": false, "Meeting.started": false} {
		if Known(name) || KnownFamily(name) != inFamily {
			t.Errorf("%q: known %t, its family %t", name, Known(name), KnownFamily(name))
		}
	}
}
