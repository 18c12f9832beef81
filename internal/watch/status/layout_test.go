package status

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zoomstream/zoomstream/internal/colour"
)

// crowded is an overview with everything, and with names as long as those of pods.
func crowded() *Overview {
	o := ill()
	const pod = "zoomstream-connector-7d9f8b6c5d-"
	for i := range o.Subscriptions {
		l := &o.Subscriptions[i]
		if l.Leader != "" {
			l.Leader = pod + l.Leader
		}
		for n := range l.Standbys {
			l.Standbys[n] = pod + l.Standbys[n]
		}
	}
	for i := range o.Replicas {
		o.Replicas[i].Replica = pod + o.Replicas[i].Replica
		o.Replicas[i].Host = "ip-10-0-123-45.eu-central-1.compute.internal"
		o.Replicas[i].Version = "v1.2.3-45-gabcdef012345-dirty"
	}
	for i := range o.Alarms {
		o.Alarms[i].Replica = pod + o.Alarms[i].Replica
		o.Alarms[i].Detail = strings.Repeat("what is wrong in so many words, ", 8)
	}
	o.Alarms[0].Detail = strings.Repeat("x", 300)
	o.Consumers = lagging()
	for i := range 30 {
		o.Consumers.Durable = append(o.Consumers.Durable, Consumer{Name: fmt.Sprintf("consumer-with-a-name-that-says-what-it-does-%02d", i), Pending: 1 << 40})
	}
	o.Notes = append(o.Notes, strings.Repeat("a note of many words ", 10))
	return o
}

func render(t *testing.T, o *Overview, look Look) string {
	t.Helper()
	var b strings.Builder
	must(t, o.Table(&b, look))
	return b.String()
}

// TestTableInWindow: whatever is shown, no line is wider than the window, and no sentence is cut.
func TestTableInWindow(t *testing.T) {
	const sentence = "what is wrong in so many words"
	for name, o := range map[string]*Overview{"ill": ill(), "crowded": crowded(), "empty": {At: noon, Bucket: "zoomstream"}} {
		for width := narrowest; width < 260; width++ {
			text := render(t, o, Look{Width: width})
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(line) - 1; n > width || strings.HasSuffix(line, " \n") {
					t.Fatalf("%s has %d columns in %d: %q\n%s", name, n, width, line, text)
				}
			}
			if words := strings.Join(strings.Fields(text), " "); name == "crowded" && strings.Count(words, sentence) != 8 {
				t.Fatalf("the sentence is there %d times in %d columns:\n%s", strings.Count(words, sentence), width, text)
			}
		}
	}
}

// TestTableInUsualWindow: a usual window has room for the replicas' names and states, and an
// explanation of each mark that occurs.
func TestTableInUsualWindow(t *testing.T) {
	const want = `
SUBSCRIPTION  LEADER        STATE         EVENTS/S  LATE P50/P99  LAST GAP
sub-2         zoomstream-1  disconnected  0         -             1m15s?, 3d ago
sub-3         gone          no answer     -         -             none
sub-4         none          no leader     -         -             none
sub-5         zoomstream-1  taking over   -         -             none
sub-6         zoomstream-1  handed over   0         -             none
Hk3vQ9…A1bCd  zoomstream-0  connected     12.3      12ms/1.2s     1.2s, 3h ago
`
	const legend = `
LATE: from an event to its storage, the median and the slowest hundredth
? it may have been connected: nobody could be asked
- none, or not known
… cut; --json has it whole
no room for IN FLIGHT, SPOOL, ALARMS, SINCE, HOST, VERSION: see --json, or a
  wider window
`
	got := render(t, ill(), Look{Width: 80})
	if !strings.Contains(got, want) || !strings.HasSuffix(got, "\n"+legend) {
		t.Errorf("it is\n%s", got)
	}
	wide := render(t, ill(), Look{Width: 200})
	table := strings.TrimPrefix(illTable, "\n")
	if !strings.HasPrefix(wide, table) || strings.Contains(wide, "…") || strings.Contains(wide, "no room") {
		t.Errorf("in a wide one it is\n%s", wide)
	}
}

// TestTablePainted: colours change nothing else, and are there only if wanted.
func TestTablePainted(t *testing.T) {
	painted := []byte(render(t, crowded(), Look{Width: 80, Paint: true}))
	var text strings.Builder
	colour.Around(painted, func(between []byte) []byte {
		text.Write(between)
		return nil
	})
	if text.String() != render(t, crowded(), Look{Width: 80}) {
		t.Errorf("it is\n%s", &text)
	}
	for _, want := range []string{colour.Paint(true).Good("connected"), colour.Paint(true).Bad("no leader"), colour.Paint(true).Bad("TROUBLE"), colour.Paint(true).Bad("late")} {
		if !strings.Contains(string(painted), want) {
			t.Errorf("%q is missing from\n%s", want, painted)
		}
	}
}
