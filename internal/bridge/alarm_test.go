package bridge

import (
	"slices"
	"testing"

	"github.com/zoomstream/zoomstream/message"
)

// TestAlarmsEndWithTheTerm: a term that has ended gives up its alarms, while it still reads its
// connection to the end. The successor learns of them as soon as it leads.
func TestAlarmsEndWithTheTerm(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, 0)
	s.raiseAlarm(t.Context(), message.AlarmLate, "2 h")
	s.handleTermEnd()
	if all := s.cfg.Alarms.Board.Raised(); len(all) != 0 {
		t.Errorf("%+v are still this term's", all)
	}
	if names := s.raisedAlarms(); !slices.Equal(names, []string{message.AlarmLate}) {
		t.Errorf("the successor learns of %q", names)
	}
}
