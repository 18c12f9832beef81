package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// gap stores a gap marker.
func (w *world) gap(subscription string, from time.Time, d time.Duration, id string) {
	w.t.Helper()
	body, err := json.Marshal(message.Gap{
		Subscription: subscription, From: from, To: from.Add(d), Milliseconds: d.Milliseconds(),
		Cause: message.GapCrash, Certain: true, PreviousReplica: "a", Replica: "b", Epoch: 7, ID: id,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.seq++
	m := nats.NewMsg("zoom._bridge.gap")
	m.Header.Set(nats.MsgIdHdr, fmt.Sprint(id, w.seq)) // as if the duplicate window had passed
	m.Data = body
	w.store(m)
}

// TestFamilyOfKeys: keys behind a name do not change its family, whatever the setting was at the
// time.
func TestFamilyOfKeys(t *testing.T) {
	s := &Stream{prefix: "acme.zoom"}
	long := strings.Repeat("é", 99)
	for name, want := range map[string]string{"meeting.started": "meeting", "app_deauthorized": "app_deauthorized", "_odd one.x": "_odd one", "a.": "a", "": ""} {
		subject := subjects.Subject("acme.zoom", name)
		for _, keys := range []subjects.Keys{{}, {Object: true}, {Account: true, Object: true}} {
			for _, key := range []string{"", "86017254931", "a.b", long} {
				if got := s.family(keys.Append(subject, key, key)); got != want {
					t.Errorf("%s is of the family %q, want %q", keys.Append(subject, key, key), got, want)
				}
			}
		}
	}
}

func TestGapReport(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create(jetstream.StreamConfig{Name: "KV_zoomstream-state", Subjects: []string{"$KV.zoomstream-state.>"}})
	for _, subscription := range []string{"sub-1", "sub-2"} {
		if _, err := w.js.Publish(ctx, "$KV.zoomstream-state.state."+subscription, nil); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC()
	w.gap("sub-1", now.Add(-time.Hour), 1500*time.Millisecond, "3")
	w.gap("sub-1", now.Add(-time.Hour), 1500*time.Millisecond, "3") // a second marker for the same gap
	w.gap("sub-2", now.Add(-40*time.Hour), time.Minute, "2")
	w.gap("sub-1", now.Add(-9*24*time.Hour), time.Minute, "1") // ended too long ago
	bad := nats.NewMsg("zoom._bridge.gap")
	bad.Data = []byte("no gap")
	w.store(bad)
	for _, name := range []string{"meeting.started", "phone.caller_ringing", "app_deauthorized", "node.server_stat", "strange one.x"} {
		w.store(w.event(name, "", zoomsim.Body(name)))
	}
	w.store(w.event("meeting.ended", "", zoomsim.Body("meeting.ended")))

	s := w.open()
	r, err := s.GapReport(ctx, now.Add(-7*24*time.Hour), "", "zoomstream")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, g := range r.Gaps {
		ids = append(ids, g.ID)
	}
	if !slices.Equal(ids, []string{"2", "3"}) || r.Count != 2 || r.Total != 61.5 {
		t.Errorf("gaps %v, %d, %v s", ids, r.Count, r.Total)
	}
	if g := r.Gaps[1]; g.Subscription != "sub-1" || !g.From.Equal(now.Add(-time.Hour)) || g.Duration != 1.5 || g.Cause != "crash" || !g.Certain ||
		g.PreviousReplica != "a" || g.Replica != "b" || g.Epoch != 7 || g.Sequence != 1 || time.Since(g.Stored) > time.Minute {
		t.Errorf("the gap is %+v", g)
	}
	if want := []Family{{"app_deauthorized", 1}, {"meeting", 2}, {"node", 1}, {"phone", 1}, {"strange one", 1}}; !slices.Equal(r.Families, want) {
		t.Errorf("families %v, want %v", r.Families, want)
	}
	if !slices.Equal(r.Sharing, []string{"sub-1", "sub-2"}) {
		t.Errorf("subscriptions %v", r.Sharing)
	}
	last := r.Reread[len(r.Reread)-1]
	if !slices.Equal(last.Nothing, []string{"app_deauthorized", "node", "strange one"}) {
		t.Errorf("no list for %v", last.Nothing)
	}
	until := "&to=" + now.Add(-time.Hour+1500*time.Millisecond+margin).Format(time.RFC3339)
	if !slices.ContainsFunc(last.Requests, func(q Request) bool {
		return q.Method == "GET" && strings.HasPrefix(q.URL, RESTBase+"/phone/voice_mails?") && strings.HasSuffix(q.URL, until) && q.Family == "phone" && q.Scope != ""
	}) {
		t.Errorf("no voicemails%s among %v", until, last.Requests)
	}

	if one, err := s.GapReport(ctx, now.Add(-7*24*time.Hour), "sub-2", "zoomstream"); err != nil || one.Count != 1 || one.Gaps[0].ID != "2" {
		t.Errorf("of sub-2 it tells %+v, %v", one, err)
	}
	if long, err := s.GapReport(ctx, now.Add(-1000*24*time.Hour), "", "elsewhere"); err != nil || long.Count != 3 || !slices.Equal(long.Sharing, []string{"sub-1", "sub-2"}) {
		t.Errorf("of all time it tells %+v, %v", long, err)
	}
}

// TestCovered: time that gaps of one subscription share counts once.
func TestCovered(t *testing.T) {
	gap := func(subscription string, from, to int) Gap {
		at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
		return Gap{Subscription: subscription, From: at.Add(time.Duration(from) * time.Second), To: at.Add(time.Duration(to) * time.Second)}
	}
	for name, c := range map[string]struct {
		gaps []Gap
		want time.Duration
	}{
		"none":              {nil, 0},
		"apart":             {[]Gap{gap("a", 0, 10), gap("a", 20, 25)}, 15 * time.Second},
		"touching":          {[]Gap{gap("a", 0, 10), gap("a", 10, 25)}, 25 * time.Second},
		"overlapping":       {[]Gap{gap("a", 0, 10), gap("a", 5, 15)}, 15 * time.Second},
		"one in another":    {[]Gap{gap("a", 0, 10), gap("a", 2, 4), gap("a", 8, 12)}, 12 * time.Second},
		"two subscriptions": {[]Gap{gap("a", 0, 10), gap("b", 0, 10), gap("b", 5, 15)}, 25 * time.Second},
	} {
		if got := covered(c.gaps); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestNoJetStream: the error without JetStream is the same as that of status.
func TestNoJetStream(t *testing.T) {
	s := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := Open(t.Context(), natstest.JetStream(t, nc), "ZOOM", "zoom"); !errors.Is(err, status.ErrNoJetStream) || !strings.HasPrefix(err.Error(), "stream ZOOM: JetStream is not available") {
		t.Error(err)
	}
}

func TestNoGaps(t *testing.T) {
	w := newWorld(t)
	r, err := w.open().GapReport(t.Context(), time.Now().Add(-time.Hour), "", "zoomstream")
	if err != nil || r.Count != 0 || len(r.Families) != 0 || len(r.Reread) != 0 {
		t.Errorf("of an empty stream it tells %+v, %v", r, err)
	}
	if _, err := Open(t.Context(), natstest.JetStream(t, w.nc), "NONE", "zoom"); err == nil || !strings.Contains(err.Error(), "no stream NONE") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := w.open()
	cancel()
	if _, _, err := s.Gaps(ctx, time.Time{}, ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestDays(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for name, c := range map[string]struct {
		gaps []Gap
		want []string
	}{
		"none":           {nil, nil},
		"within a day":   {[]Gap{{From: at("2026-11-20T10:00:00Z"), To: at("2026-11-20T10:00:01Z")}}, []string{"2026-11-20 2026-11-20 1"}},
		"over midnight":  {[]Gap{{From: at("2026-11-20T23:59:59Z"), To: at("2026-11-21T00:00:01Z")}}, []string{"2026-11-20 2026-11-21 1"}},
		"not UTC":        {[]Gap{{From: at("2026-11-20T23:00:00-05:00"), To: at("2026-11-20T23:00:01-05:00")}}, []string{"2026-11-21 2026-11-21 1"}},
		"next day":       {[]Gap{{From: at("2026-11-20T10:00:00Z"), To: at("2026-11-20T10:00:01Z")}, {From: at("2026-11-21T10:00:00Z"), To: at("2026-11-21T10:00:01Z")}}, []string{"2026-11-20 2026-11-21 2"}},
		"day after next": {[]Gap{{From: at("2026-11-20T10:00:00Z"), To: at("2026-11-20T10:00:01Z")}, {From: at("2026-11-22T10:00:00Z"), To: at("2026-11-22T10:00:01Z")}}, []string{"2026-11-20 2026-11-20 1", "2026-11-22 2026-11-22 1"}},
		"one in another": {[]Gap{{From: at("2026-11-20T10:00:00Z"), To: at("2026-11-23T10:00:00Z")}, {From: at("2026-11-21T10:00:00Z"), To: at("2026-11-21T11:00:00Z")}}, []string{"2026-11-20 2026-11-23 2"}},
		"over a month":   {[]Gap{{From: at("2026-10-01T10:00:00Z"), To: at("2026-11-03T10:00:00Z")}}, []string{"2026-10-01 2026-10-30 1", "2026-10-31 2026-11-03 0"}},
	} {
		var got []string
		for _, d := range days(c.gaps) {
			got = append(got, fmt.Sprintf("%s %s %d", d.from.Format(time.DateOnly), d.to.Format(time.DateOnly), d.gaps))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestRESTLists: each family of events has a list or says that there is none, and all paths have
// the same form.
func TestRESTLists(t *testing.T) {
	families := map[string]bool{}
	for _, name := range eventnames.All() {
		family, _, _ := strings.Cut(name, ".")
		families[family] = true
		if _, said := restLists[family]; !said {
			t.Errorf("%s: is there a list of family %s?", name, family)
		}
	}
	form := regexp.MustCompile(`^(/[a-z_]+|/\{[a-zA-Z]+\})+(\?([a-z_]+=([a-zA-Z_0-9%:]+|\{(from|to)(Time)?\})(&|$))+)?$`)
	scope := regexp.MustCompile(`^[a-z_]+:read:[a-z_]+:admin$`)
	for family, lists := range restLists {
		if !families[family] {
			t.Errorf("there are no events %s", family)
		}
		for _, l := range lists {
			if !form.MatchString(l.path) || l.note == "" || l.scope != "" && !scope.MatchString(l.scope) {
				t.Errorf("%s: %+v", family, l)
			}
			for _, pair := range [][2]string{{"{from}", "{to}"}, {"{fromTime}", "{toTime}"}} {
				if strings.Contains(l.path, pair[0]) != strings.Contains(l.path, pair[1]) {
					t.Errorf("%s: %s has one end of a time", family, l.path)
				}
			}
			if (l.byStart || l.days > 0) && !strings.Contains(l.path, "{from") {
				t.Errorf("%s: %s does not go by time", family, l.path)
			}
		}
	}
}

// TestRequests: times have the form that each list wants.
func TestRequests(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	short := [2]time.Time{at("2026-11-20T10:00:00Z"), at("2026-11-20T10:05:00Z")}
	days := [2]time.Time{at("2026-11-01T10:00:00Z"), at("2026-11-20T10:00:00Z")}
	midnight := [2]time.Time{at("2026-11-20T23:58:00Z"), at("2026-11-20T23:59:30Z")}
	for _, c := range []struct {
		family string
		gap    [2]time.Time
		want   []string // the URL of each request
	}{
		{"meeting", short, []string{
			"/report/meeting_activities?from=2026-11-20&to=2026-11-20&activity_type=All%20Activities",
			"/report/history_meetings?from=2026-11-20&to=2026-11-20&date_type=start_time&meeting_type=meeting",
			"/report/history_meetings?from=2026-11-20&to=2026-11-20&date_type=end_time&meeting_type=meeting",
			"/metrics/meetings?type=past&from=2026-11-19T09:59:00Z&to=2026-11-20T10:06:00Z",
			"/metrics/meetings?type=pastOne&from=2026-11-19T09:59:00Z&to=2026-11-20T10:06:00Z",
			"/meetings/meeting_summaries?from=2026-11-20T09:59:00Z&to=2026-11-20T10:06:00Z&time_filter_field=summary_created_time",
		}},
		{"webinar", midnight, []string{
			"/report/history_meetings?from=2026-11-20&to=2026-11-21&date_type=end_time&meeting_type=webinar",
		}},
		{"contact_center", short, []string{"/contact_center/engagements?from=2026-11-19T09:59:00Z&to=2026-11-20T10:06:00Z&timezone=%2B00:00"}},
		{"recording", days, []string{
			"/users/{userId}/recordings?from=2026-10-31&to=2026-11-20",
			"/archive_files?from=2026-11-01T09:59:00Z&to=2026-11-07T23:59:59Z&query_date_type=archive_complete_time",
			"/archive_files?from=2026-11-08T00:00:00Z&to=2026-11-14T23:59:59Z&query_date_type=archive_complete_time",
			"/archive_files?from=2026-11-15T00:00:00Z&to=2026-11-20T10:01:00Z&query_date_type=archive_complete_time",
		}},
		{"chat_channel", [2]time.Time{days[0], days[0].Add(72 * time.Hour)}, []string{
			"/chat/activities/channels?from=2026-11-01T09:59:00Z&to=2026-11-03T23:59:59Z",
			"/chat/activities/channels?from=2026-11-04T00:00:00Z&to=2026-11-04T10:01:00Z",
		}},
		{"revenue_accelerator", short, []string{"/zra/conversations?from=2026-11-20T09:59:00Z&to=2026-11-20T10:06:00Z&period_type=iqProcessedTime"}},
		{"calendar", days, []string{"/calendars/{calendarId}/events"}},
	} {
		got := map[string]int{}
		for _, q := range requests(c.family, c.gap[0], c.gap[1]) {
			got[q.URL]++
		}
		for _, want := range c.want {
			if got[RESTBase+want] != 1 {
				t.Errorf("%s: %s is not in %v", c.family, want, got)
			}
		}
	}
	for _, family := range []string{"rtms", "node", "unheard_of"} {
		if got := requests(family, short[0], short[1]); len(got) > 0 {
			t.Errorf("%s: %v", family, got)
		}
	}
}

// TestRequestsCover: no list is asked for less than a gap, or for a longer time than it accepts.
func TestRequestsCover(t *testing.T) {
	from := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)
	for family, lists := range restLists {
		for _, lasted := range []time.Duration{0, time.Minute, 25 * time.Hour, 8 * day, 29 * day, 70 * day} {
			to := from.Add(lasted)
			for _, l := range lists {
				pieces := windows(from.Add(-margin-l.before()), to.Add(margin), l.longest())
				if first, last := pieces[0], pieces[len(pieces)-1]; first.from.After(from) || last.to.Before(to) {
					t.Errorf("%s, %s: %s to %s", l.path, lasted, first.from, last.to)
				}
				for i, p := range pieces {
					if touched := int(p.to.Truncate(day).Sub(p.from.Truncate(day))/day) + 1; touched > l.longest() {
						t.Errorf("%s, %s: a request for %d days", family, l.path, touched)
					}
					if i > 0 && p.from.Sub(pieces[i-1].to) > time.Second {
						t.Errorf("%s, %s: nothing asks for the time before %s", family, l.path, p.from)
					}
				}
			}
		}
	}
}

// TestAbsurdMarkers: forged markers take neither much time nor much memory.
func TestAbsurdMarkers(t *testing.T) {
	w := newWorld(t)
	w.create(jetstream.StreamConfig{Name: "KV_zoomstream-state", Subjects: []string{"$KV.zoomstream-state.>"}})
	const huge = 9_000
	const longest = 10 * 365 * day
	text := strings.Repeat("\u202e\x1b[31m", huge/9)
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	real := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	for i, body := range []string{
		`{"subscription":"s1","from":"0001-01-01T00:00:00Z","to":"9999-12-31T00:00:00Z","duration_ms":1,"cause":"crash","id":"z"}`,
		`{"subscription":"s1","from":"0000-01-01T00:00:00+23:59","to":"9999-12-31T23:59:59-23:59","id":"y"}`,
		`{"subscription":"s1","from":"2999-01-01T00:00:00Z","to":"2998-01-01T00:00:00Z","id":"x"}`,
		`{"subscription":"s1","from":"` + real.Format(time.RFC3339) + `","to":"` + real.Add(-time.Hour).Format(time.RFC3339) + `","id":"w"}`,
		`{"subscription":"s1","from":"0000-01-01T00:00:00+23:59","to":"0000-01-01T00:00:00+23:59","id":"v"}`,
		`{"subscription":` + string(quoted) + `,"to":"` + real.Format(time.RFC3339) + `","cause":` + string(quoted) + `,"id":` + string(quoted) + `,"detail":` + string(quoted) + `}`,
		`{"subscription":"s1","from":"2026-13-41T00:00:00Z","to":1}`, `{"to":"` + real.Format(time.RFC3339) + `"`, strings.Repeat("[", huge), "\xff\xfe", "",
		`{"subscription":"s1","to":"` + real.Format(time.RFC3339) + `","x":"` + strings.Repeat("x", 150_000) + `"}`,
	} {
		m := nats.NewMsg("zoom._bridge.gap")
		m.Header.Set(nats.MsgIdHdr, fmt.Sprint("absurd", i))
		m.Data = []byte(body)
		w.store(m)
	}
	w.gap("s2", real, 1500*time.Millisecond, "real")
	for i := range 3000 {
		if _, err := w.js.PublishMsgAsync(w.event(fmt.Sprintf("family%d%s.x", i, strings.Repeat("y", 80)), "", []byte("{}")), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	w.store(w.event("meeting.started", "", zoomsim.Body("meeting.started")))

	for _, since := range []time.Time{{}, real.Add(-time.Hour)} {
		r, err := w.open().GapReport(t.Context(), since, "", "zoomstream")
		if err != nil {
			t.Fatal(err)
		}
		answer, err := json.MarshalIndent(r, "", "  ")
		if err != nil || len(answer) > 200_000 {
			t.Errorf("%d bytes, %v", len(answer), err)
		}
		if r.Count != 6 || r.Gaps[len(r.Gaps)-1].To.After(time.Now().Add(2*time.Minute)) || r.Total > (3*longest).Seconds() {
			t.Errorf("it tells of %d gaps, %v s, the last one %+v", r.Count, r.Total, r.Gaps[len(r.Gaps)-1])
		}
		for _, g := range r.Gaps {
			if g.From.After(g.To) || g.To.Sub(g.From) > longest || g.Impossible == (g.ID == "real") {
				t.Errorf("a gap from %s to %s, %t: %s", g.From, g.To, g.Impossible, g.ID)
			}
		}
		if i := slices.IndexFunc(r.Gaps, func(g Gap) bool { return g.ID == "real" }); i < 0 || !r.Gaps[i].From.Equal(real) || r.Gaps[i].Duration != 1.5 {
			t.Errorf("the real gap is not among %+v", r.Gaps)
		}
		if len(r.Families) != maxFamilies+1 || r.MoreFamilies != 3000-maxFamilies || len(r.Reread) > maxReread {
			t.Errorf("%d families and %d more, %d times", len(r.Families), r.MoreFamilies, len(r.Reread))
		}
	}
}

// TestLongGap: a connector may have been switched off for a year. Only the latest months are asked
// for.
func TestLongGap(t *testing.T) {
	stored := time.Now().UTC().Truncate(time.Second)
	from := stored.Add(-400 * day)
	body, err := json.Marshal(message.Gap{Subscription: "s", From: from, To: stored, Cause: message.GapStart, ID: "gap:s:1"})
	if err != nil {
		t.Fatal(err)
	}
	g, ok := gapOf(&Message{Body: body, Stored: stored})
	if !ok || g.Impossible || !g.From.Equal(from) {
		t.Errorf("%v, %+v", ok, g)
	}
	spans := days([]Gap{g})
	if len(spans) != maxReread || !spans[maxReread-1].to.Equal(stored) {
		t.Errorf("%d spans of time: %v", len(spans), spans)
	}
}

// TestManyMarkers: the latest markers are kept, and the number of older ones is reported.
func TestManyMarkers(t *testing.T) {
	w := newWorld(t)
	const markers = 2*maxGaps + 500
	from := time.Now().UTC().Add(-markers * time.Hour)
	for i := range markers {
		body, err := json.Marshal(message.Gap{Subscription: "s", From: from.Add(time.Duration(i) * time.Hour), To: from.Add(time.Duration(i)*time.Hour + time.Second), ID: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.js.PublishAsync("zoom._bridge.gap", body, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-w.js.PublishAsyncComplete()
	w.store(w.event("meeting.started", "", zoomsim.Body("meeting.started")))
	r, err := w.open().GapReport(t.Context(), time.Time{}, "", "zoomstream")
	if err != nil || r.Older+r.Count != markers || r.Count > maxGaps || len(r.Reread) > maxReread {
		t.Fatalf("%d gaps and %d older ones, %d times, %v", r.Count, r.Older, len(r.Reread), err)
	}
	if last := r.Gaps[r.Count-1]; last.ID != fmt.Sprint(markers-1) {
		t.Errorf("the last one is %s", last.ID)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.open().Gaps(ctx, time.Time{}, ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestUnknownSubscription: the error names the known subscriptions, from markers and both buckets.
func TestUnknownSubscription(t *testing.T) {
	w := newWorld(t)
	report := func(subscription string) error {
		_, err := w.open().GapReport(t.Context(), time.Now().Add(-time.Hour), subscription, "zoomstream")
		return err
	}
	if err := report("typo"); err == nil || !strings.Contains(err.Error(), "there is no subscription typo") || !strings.Contains(err.Error(), "no subscription is known here yet") {
		t.Error(err)
	}
	for _, bucket := range []string{"zoomstream", "zoomstream-state"} {
		w.create(jetstream.StreamConfig{Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"}})
	}
	for _, key := range []string{"zoomstream.lease.of-lease", "zoomstream-state.state.of-state"} {
		if _, err := w.js.Publish(t.Context(), "$KV."+key, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	w.gap("of-gap", time.Now().Add(-10*day), time.Second, "old") // before the time that is asked for
	err := report("typo")
	unknown, ok := errors.AsType[*UnknownSubscriptionError](err)
	if !ok || !slices.Equal(unknown.Known, []string{"of-gap", "of-lease", "of-state"}) || !strings.HasSuffix(err.Error(), "known are of-gap, of-lease, of-state") {
		t.Error(err)
	}
	for _, known := range []string{"of-gap", "of-lease", "of-state", ""} {
		if err := report(known); err != nil {
			t.Errorf("%s: %v", known, err)
		}
	}
}
