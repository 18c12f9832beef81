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

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/natstest"
	"github.com/zoomstream/zoomstream/internal/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// gap stores the marker of a gap.
func (w *world) gap(subscription string, from time.Time, d time.Duration, id string) {
	w.t.Helper()
	body, err := json.Marshal(bridge.Gap{
		Subscription: subscription, From: from, To: from.Add(d), Milliseconds: d.Milliseconds(),
		Cause: bridge.GapCrash, Certain: true, PreviousReplica: "a", Replica: "b", Epoch: 7, ID: id,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.seq++
	m := nats.NewMsg("zoom._bridge.gap")
	m.Header.Set(nats.MsgIdHdr, fmt.Sprint(id, w.seq)) // as if after the duplicate window
	m.Data = body
	w.store(m)
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
	w.gap("sub-1", now.Add(-time.Hour), 1500*time.Millisecond, "3") // told of twice
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
	calls := "GET " + RESTBase + "/phone/call_history?from=" + last.From + "&to=" + last.To
	if !slices.ContainsFunc(last.Requests, func(q Request) bool { return q.Method+" "+q.URL == calls && q.Family == "phone" }) {
		t.Errorf("%s is not among %v", calls, last.Requests)
	}

	if one, err := s.GapReport(ctx, now.Add(-7*24*time.Hour), "sub-2", "zoomstream"); err != nil || one.Count != 1 || one.Gaps[0].ID != "2" {
		t.Errorf("of sub-2 it tells %+v, %v", one, err)
	}
	if long, err := s.GapReport(ctx, now.Add(-1000*24*time.Hour), "", "elsewhere"); err != nil || long.Count != 3 || !slices.Equal(long.Sharing, []string{"sub-1", "sub-2"}) {
		t.Errorf("of all time it tells %+v, %v", long, err)
	}
}

// TestCovered counts the time that gaps of one subscription share once.
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

// TestNoJetStream says so as status does.
func TestNoJetStream(t *testing.T) {
	s := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := Open(t.Context(), nc, "ZOOM", "zoom"); !errors.Is(err, status.ErrNoJetStream) || !strings.HasPrefix(err.Error(), "stream ZOOM: JetStream is not there") {
		t.Error(err)
	}
}

func TestNoGaps(t *testing.T) {
	w := newWorld(t)
	r, err := w.open().GapReport(t.Context(), time.Now().Add(-time.Hour), "", "zoomstream")
	if err != nil || r.Count != 0 || len(r.Families) != 0 || len(r.Reread) != 0 {
		t.Errorf("of an empty stream it tells %+v, %v", r, err)
	}
	if _, err := Open(t.Context(), w.nc, "NONE", "zoom"); err == nil || !strings.Contains(err.Error(), "no stream NONE") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := w.open()
	cancel()
	if _, err := s.Gaps(ctx, time.Time{}, ""); !errors.Is(err, context.Canceled) {
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

// TestRESTLists checks the table: families that exist, and paths of one form.
func TestRESTLists(t *testing.T) {
	families := map[string]bool{}
	for _, name := range zoomsim.EventNames() {
		family, _, _ := strings.Cut(name, ".")
		families[family] = true
	}
	form := regexp.MustCompile(`^(/[a-z_]+|/\{[a-zA-Z]+\})+(\?([a-z_]+=(past|meeting|webinar|\{from\}|\{to\})&?)+)?$`)
	for family, lists := range restLists {
		if !families[family] {
			t.Errorf("there are no events %s", family)
		}
		for _, l := range lists {
			if !form.MatchString(l.path) || strings.Contains(l.path, "{from}") != strings.Contains(l.path, "{to}") || l.note == "" {
				t.Errorf("%s: %s (%s)", family, l.path, l.note)
			}
		}
		if !strings.Contains(requests(family, "2026-11-20", "2026-11-21")[0].URL, "from=2026-11-20&to=2026-11-21") {
			t.Errorf("the first list of %s does not go by date", family)
		}
	}
}
