package status

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// noon is the same time of day in every time zone.
var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.Local)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// ill is an overview with much trouble.
func ill() *Overview {
	return &Overview{
		At: noon, Bucket: "zoomstream", Stream: "ZOOM",
		Subscriptions: []Line{
			{Subscription: Subscription{
				Subscription: "Hk3vQ9xYRz2mT8pLwA1bCd", Role: Leader, Leader: "zoomstream-0", LeaderNonce: "n0", Since: ago(2*time.Hour + 3*time.Minute),
				State: "connected", StateSince: ago(time.Hour), Rate: 12.34, InFlight: 3, Late: Quantiles{10, 0.012, 1.24},
				LastGap: &Gap{To: ago(3 * time.Hour), Duration: 1.2, Certain: true},
			}, Answered: true, From: "zoomstream-0", Standbys: []string{"zoomstream-1", "zoomstream-2"}},
			{Subscription: Subscription{
				Subscription: "sub-2", Role: Leader, Leader: "zoomstream-1", LeaderNonce: "n1", Since: ago(50 * time.Hour),
				State: "disconnected", StateSince: ago(75 * time.Second), Trouble: "dial: refused\x1b[2J\nby \u202ezoom", LastGap: &Gap{To: ago(72 * time.Hour), Duration: 75},
			}, Answered: true, From: "zoomstream-1", Standbys: []string{}},
			{Subscription: Subscription{
				Subscription: "sub-3", Role: Leader, Leader: "gone", LeaderNonce: "n3", Since: ago(time.Hour),
				State: "connected", StateSince: ago(time.Hour), LastFrame: ago(20 * time.Second),
			}, Standbys: []string{"zoomstream-0"}},
			{Subscription: Subscription{Subscription: "sub-4", State: "disconnected", Trouble: "the last replica stopped", LastFrame: ago(48 * time.Hour)}, Standbys: []string{}},
			{Subscription: Subscription{Subscription: "sub-5", Leader: "zoomstream-1", LeaderNonce: "n1", Since: ago(time.Second)}, Standbys: []string{}},
			{Subscription: Subscription{Subscription: "sub-6", Leader: "zoomstream-1", LeaderNonce: "n1", State: "handed_over", StateSince: ago(500 * time.Millisecond)}, Answered: true, Standbys: []string{}},
		},
		Replicas: []Member{
			{Replica: "gone", Nonce: "n3", Host: "node-3", PID: 7, Heard: ago(20 * time.Second), Leads: 1},
			{Replica: "lost", Nonce: "n4"},
			{Replica: "zoomstream-0", Nonce: "n0", Host: "node-0", Version: "v1.2.3", Started: ago(26 * time.Hour), Phase: Ready, Answered: true, Leads: 1, StandsBy: 1,
				Outbox: Outbox{InFlight: 3}},
			{Replica: "zoomstream-1", Nonce: "n1", Host: "node-1", Version: "v1.2.2", Started: ago(time.Minute), Phase: Draining, Answered: true, Leads: 2,
				Outbox: Outbox{Spooled: 1234, Bytes: 5 << 20, Trouble: "the stream is full", Disk: "no space left"}, Token: Token{Trouble: "invalid client"}},
		},
		Alarms: []Alarm{
			{Alarm: "late", Subscription: "Hk3vQ9xYRz2mT8pLwA1bCd", Replica: "zoomstream-0", Since: ago(12 * time.Minute), Detail: "Zoom sends events 2h late"},
			{Alarm: "spooling", Replica: "zoomstream-1", Since: ago(time.Minute), Detail: "\tthe stream is full"},
		},
		Notes: []string{"the answer of zoomstream-0 was too large"},
	}
}

const illTable = `
2026-07-01 12:00:00  bucket zoomstream, stream ZOOM: 5 of 6 subscriptions without a connected leader: sub-2, sub-3, sub-4, sub-5, sub-6

SUBSCRIPTION            LEADER        SINCE  STATE         EVENTS/S  LATE P50/P99  IN FLIGHT  SPOOL  LAST GAP        ALARMS
sub-2                   zoomstream-1  2d2h   disconnected  0         -             0          1234   1m15s?, 3d ago  spooling
sub-3                   gone          1h     no answer     -         -             -          -      none            -
sub-4                   none          -      no leader     -         -             -          -      none            -
sub-5                   zoomstream-1  1.0s   taking over   -         -             -          -      none            spooling
sub-6                   zoomstream-1  -      handed over   0         -             0          1234   none            spooling
Hk3vQ9xYRz2mT8pLwA1bCd  zoomstream-0  2h3m   connected     12.3      12ms/1.2s     3          0      1.2s, 3h ago    late

TROUBLE
sub-2: disconnected for 1m15s: dial: refused\x1b[2J\nby \u202ezoom
sub-3: gone holds the lease and does not answer (host node-3, pid 7); last known to be connected, last frame 11:59:40; standing by: zoomstream-0
sub-4: no replica holds the lease; last known to be disconnected (the last replica stopped), last frame 2026-06-29 12:00:00; no standby answers
sub-5: zoomstream-1 holds the lease and is about to connect; nothing is known of its connection
sub-6: handed over for 500ms
replica zoomstream-1: publishing to the stream is paused: the stream is full
replica zoomstream-1: disk: no space left
replica zoomstream-1: access token: invalid client

STANDBYS                    FOR
none                        4 subscriptions
zoomstream-0                sub-3
zoomstream-1, zoomstream-2  Hk3vQ9xYRz2mT8pLwA1bCd

REPLICA       STATE                          LEADS  STANDS BY  IN FLIGHT  SPOOL         HOST    UP    VERSION
gone          no answer, last seen 11:59:40  1      -          -          -             node-3  -     -
lost          no answer, never seen          0      -          -          -             -       -     -
zoomstream-0  ready                          1      1          3          0             node-0  1d2h  v1.2.3
zoomstream-1  draining                       2      0          0          1234 (5 MiB)  node-1  1m    v1.2.2

ALARM     SUBSCRIPTION            REPLICA       FOR  DETAIL
late      Hk3vQ9xYRz2mT8pLwA1bCd  zoomstream-0  12m  Zoom sends events 2h late
spooling  all                     zoomstream-1  1m   \tthe stream is full

Note: the answer of zoomstream-0 was too large
`

func text(t *testing.T, o *Overview) string {
	t.Helper()
	var b bytes.Buffer
	must(t, o.Table(&b, Look{}))
	return b.String()
}

func TestTable(t *testing.T) {
	if got := text(t, ill()); got != strings.TrimPrefix(illTable, "\n") {
		t.Errorf("the table is\n%s", got)
	}
}

// TestTableFits: with usual names and no trouble, a line fits a usual window.
func TestTableFits(t *testing.T) {
	o := ill()
	o.Subscriptions, o.Replicas, o.Notes = o.Subscriptions[:1], o.Replicas[2:3], nil
	o.Alarms = o.Alarms[:1]
	for line := range strings.Lines(text(t, o)) {
		if n := utf8.RuneCountInString(line) - 1; n > 120 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestNothingRawForATerminal(t *testing.T) {
	const evil = "a\x1b[31m\x07\r\n\u009b\u202e\x7f\xff\tb"
	o := &Overview{At: noon, Bucket: evil, Stream: evil, Notes: []string{evil},
		Subscriptions: []Line{{Subscription: Subscription{Subscription: evil, Leader: evil, LeaderNonce: evil, State: evil, Trouble: evil}, Standbys: []string{evil}},
			{Subscription: Subscription{Subscription: evil + "2", Leader: evil, LeaderNonce: evil, State: evil, Trouble: evil}, Answered: true}},
		Replicas: []Member{{Replica: evil, Nonce: evil, Host: evil, Version: evil, Phase: evil, Answered: true,
			Outbox: Outbox{Trouble: evil, Disk: evil}, Token: Token{Trouble: evil}}, {Replica: evil, Host: evil, Heard: noon}},
		Alarms: []Alarm{{Alarm: evil, Subscription: evil, Replica: evil, Detail: evil}},
	}
	table := text(t, o)
	js, err := o.JSON("  ")
	must(t, err)
	for name, output := range map[string]string{"table": table, "JSON": string(js)} {
		for _, r := range strings.ReplaceAll(output, "\n", "") {
			if hidden(r) || r == utf8.RuneError && name == "table" {
				t.Errorf("the %s has %q", name, r)
			}
		}
	}
	if !strings.Contains(table, `a\x1b[31m\a\r\n\u009b\u202e\x7f\xff\tb`) {
		t.Errorf("it is not shown what it is:\n%s", table)
	}
	var back Overview
	must(t, json.Unmarshal(js, &back))
	if want := strings.ReplaceAll(evil, "\xff", "\ufffd"); back.Bucket != want || back.Alarms[0].Detail != want {
		t.Errorf("the JSON has another text: %q", back.Bucket)
	}
}

func TestJSONIsOneLine(t *testing.T) {
	text, err := ill().JSON("")
	must(t, err)
	if strings.Count(string(text), "\n") != 1 || !bytes.HasSuffix(text, []byte("\n")) {
		t.Errorf("it is %s", text)
	}
	if _, err := (&Overview{Subscriptions: []Line{{Subscription: Subscription{Rate: math.Inf(1)}}}}).JSON(""); err == nil {
		t.Error("what is no JSON is no error")
	}
}

func TestHuman(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "<1ms", 999 * time.Microsecond: "<1ms", 12*time.Millisecond + 999*time.Microsecond: "12ms", 1240 * time.Millisecond: "1.2s",
		59900 * time.Millisecond: "59s", time.Minute: "1m", 75 * time.Second: "1m15s", 2*time.Hour + 3*time.Minute + 59*time.Second: "2h3m",
		24 * time.Hour: "1d", 50*time.Hour + 30*time.Minute: "2d2h", 1000 * time.Hour: "41d16h",
	} {
		if got := duration(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 20: "5 MiB", 1 << 34: "16 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for r, want := range map[float64]string{0: "0", 0.001: "<0.01", 0.5: "0.50", 12.34: "12.3", 1234.5: "1234"} {
		if got := rate(r); got != want {
			t.Errorf("%v is %q, want %q", r, got, want)
		}
	}
}

// TestKept: what a pause in publishing means for the messages.
func TestKept(t *testing.T) {
	for want, p := range map[string]Outbox{
		"nothing is lost: 8 events are kept on disk, 6.5 KiB of 1 GiB":               {Spooled: 8, InFlight: 8, Bytes: 6656, Max: 1 << 30},
		"nothing is lost: 1 event is kept on disk, 900 B of 1.5 GiB":                 {NATS: true, Trouble: "x", Spooled: 1, Bytes: 900, Max: 3 << 29},
		"nothing is lost as long as this process lives: 3 events are kept in memory": {InFlight: 3, Disk: "full"},
		"nothing is lost as long as this process lives: 1 event is kept in memory":   {NATS: true, InFlight: 1, Trouble: "x"},
	} {
		r := made("a", leads("sub-1", "a", 1))
		r.Outbox = p
		o := Alone("zoomstream", r)
		var table strings.Builder
		if err := o.Table(&table, Look{}); err != nil || o.Replicas[0].Outbox.Kept != want || !strings.Contains(table.String(), "\nreplica a: "+want+"\n") {
			t.Errorf("%+v: %q\n%s", p, o.Replicas[0].Outbox.Kept, &table)
		}
	}
	for _, p := range []Outbox{{}, {NATS: true, InFlight: 5}, {NATS: true, Trouble: "x"}} {
		if kept := p.kept(); kept != "" {
			t.Errorf("%+v: %q", p, kept)
		}
	}
}
