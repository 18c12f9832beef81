package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func lagging() *Consumers {
	return &Consumers{At: noon.UTC(), Ephemeral: 2, More: 3, Durable: []Consumer{
		{Name: "archive", Pending: 7, Sequence: 12, Oldest: 90, LosesIn: 604710},
		{Name: "billing", Pending: 4711, Unacknowledged: 1, Redelivered: 1, Sequence: 3, Oldest: 594000, LosesIn: 10800, LosesBy: LimitAge},
		{Name: "crm", Unacknowledged: 1, Redelivered: 1, Sequence: 99, Oldest: 420, LosesIn: 604380, Stuck: 400},
		{Name: "idle"},
		{Name: "odd\x1b[2J", Pending: 1},
	}}
}

const laggingTable = `
CONSUMER    PENDING  UNACKED  OLDEST  REDELIVERED  NOTE
billing     4711     1        6d21h   1            loses events in 3h
crm         0        1        7m      1            stuck on message 99 for 6m40s
archive     7        0        1m30s   0            -
odd\x1b[2J  1        0        -       0            -
idle        0        0        -       0            -
and 3 more consumers
`

func TestConsumersTable(t *testing.T) {
	var b bytes.Buffer
	must(t, (&Overview{At: noon, Bucket: "zoomstream", Consumers: lagging()}).Table(&b, Look{}))
	if _, got, _ := strings.Cut(b.String(), "\n\n"); "\n"+got != laggingTable {
		t.Errorf("%s", got)
	}
	b.Reset()
	must(t, (&Overview{At: noon, Bucket: "zoomstream", Consumers: &Consumers{Ephemeral: 3}}).Table(&b, Look{}))
	if strings.Contains(b.String(), "CONSUMER") {
		t.Errorf("without a durable one: %s", &b)
	}
}

// TestConsumersMerged: the latest report counts. If it is missing something, a note says why.
func TestConsumersMerged(t *testing.T) {
	old, latest := made("a"), made("b")
	old.Consumers, latest.Consumers = lagging(), &Consumers{At: noon.Add(time.Second), Trouble: (&DeniedError{"$JS.API.CONSUMER.LIST.ZOOM"}).Error()}
	o := merge("zoomstream", noon, map[string]*Replica{old.Nonce: old, latest.Nonce: latest, "c": made("c")}, buckets{}, nil)
	if o.Consumers != latest.Consumers || len(o.Notes) != 1 || !strings.Contains(o.Notes[0], "may not publish to $JS.API.CONSUMER.LIST.ZOOM") {
		t.Errorf("%+v, notes %q", o.Consumers, o.Notes)
	}
}

// TestConsumersShortened: if an answer is too large, consumers with trouble are dropped last.
func TestConsumersShortened(t *testing.T) {
	r := made("a")
	r.Consumers = lagging()
	for i := range 100 {
		r.Consumers.Durable = append(r.Consumers.Durable, Consumer{Name: fmt.Sprintf("%s-%d", strings.Repeat("x", 200), i)})
	}
	for limit, want := range map[int]int{1 << 20: 105, 4 << 10: 2, 700: 0} {
		text, err := encode(r, limit)
		must(t, err)
		var got Replica
		must(t, json.Unmarshal(text, &got))
		n := 0
		if got.Consumers != nil {
			n = len(got.Consumers.Durable)
		}
		if len(text) > limit || n != want {
			t.Errorf("%d bytes: %d consumers in %d", limit, n, len(text))
		}
	}
}
