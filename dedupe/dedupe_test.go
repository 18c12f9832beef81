package dedupe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

const tracking = "v=2.0;clid=us02;rid=WEB_0123456789abcdef0123456789abcdef"

func TestID(t *testing.T) {
	sum := sha256.Sum256([]byte("zoom.meeting.started\x00{}"))
	digest := hex.EncodeToString(sum[:])
	for _, c := range []struct {
		mode     Mode
		tracking string
		want     string
	}{
		{Tracking, tracking, tracking + ":" + digest[:16]},
		{Tracking, "", "sha256:" + digest[:32]},
		{Content, tracking, "sha256:" + digest[:32]},
		{Content, "", "sha256:" + digest[:32]},
	} {
		if got := ID(c.mode, c.tracking, "zoom.meeting.started", []byte("{}")); got != c.want {
			t.Errorf("ID(%s, %q) = %s, want %s", c.mode, c.tracking, got, c.want)
		}
	}
}

func TestTwoEventsUnderOneTrackingID(t *testing.T) {
	body := []byte(`{"event":"x"}`)
	ids := map[string]bool{
		ID(Tracking, tracking, "zoom.meeting.ended", body):                    true,
		ID(Tracking, tracking, "zoom.recording.completed", body):              true,
		ID(Tracking, tracking, "zoom.meeting.ended", []byte(`{"event":"y"}`)): true,
		ID(Tracking, "other", "zoom.meeting.ended", body):                     true,
	}
	if len(ids) != 4 {
		t.Errorf("4 different events have %d ids: %v", len(ids), ids)
	}
}

func TestParseMode(t *testing.T) {
	for _, mode := range []Mode{Tracking, Content} {
		if got, err := ParseMode(mode.String()); err != nil || got != mode {
			t.Errorf("ParseMode(%s) = %v, %v", mode, got, err)
		}
	}
	if _, err := ParseMode("Tracking"); err == nil {
		t.Error("ParseMode accepts an unknown mode")
	}
}

func FuzzID(f *testing.F) {
	f.Add(tracking, "zoom.a", []byte("{}"), tracking, "zoom.b", []byte("{}"))
	f.Add("", "s", []byte(nil), "a\r\nNats-Msg-Id: b", "s", []byte(nil))
	f.Add(strings.Repeat("x", 129), "s", []byte("b"), strings.Repeat("x", 130), "s", []byte("b"))
	f.Fuzz(func(t *testing.T, tracking1, subject1 string, body1 []byte, tracking2, subject2 string, body2 []byte) {
		for _, mode := range []Mode{Tracking, Content} {
			a, b := ID(mode, tracking1, subject1, body1), ID(mode, tracking2, subject2, body2)
			if a != ID(mode, tracking1, subject1, body1) {
				t.Fatal("ID is not a pure function")
			}
			for _, id := range []string{a, b} {
				if len(id) > maxTracking+17 || strings.IndexFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
					t.Fatalf("%q does not fit a header", id)
				}
			}
			if strings.ContainsRune(subject1+subject2, 0) {
				continue // not a subject
			}
			same := subject1 == subject2 && bytes.Equal(body1, body2) && (mode == Content || tracking1 == tracking2)
			if (a == b) != same {
				t.Fatalf("%s: ids %q and %q, but the events being the same is %t", mode, a, b, same)
			}
		}
	})
}

func TestWindow(t *testing.T) {
	start := time.Unix(0, 0)
	w := NewWindow(3, time.Minute)
	for i := range 3 {
		if w.Seen(fmt.Sprint(i), start) {
			t.Errorf("%d seen before it was added", i)
		}
	}
	if !w.Seen("0", start.Add(59*time.Second)) {
		t.Error("0 forgotten within the window")
	}
	w.Seen("3", start) // the fourth pushes the first out of the window
	if w.Seen("0", start) {
		t.Error("0 remembered although the window holds 3")
	}
	if !w.Seen("3", start) || !w.Seen("2", start) {
		t.Error("the newest are forgotten")
	}
	if w.Seen("3", start.Add(time.Minute)) {
		t.Error("3 remembered beyond the window's duration")
	}
	if !w.Seen("3", start.Add(61*time.Second)) {
		t.Error("3 was added anew, and is forgotten")
	}
}

func TestWindowIsBounded(t *testing.T) {
	w := NewWindow(10, time.Hour)
	for i := range 1000 {
		w.Seen(fmt.Sprint(i), time.Unix(int64(i), 0))
	}
	if len(w.seen) != 10 || len(w.order) != 10 {
		t.Errorf("holds %d and %d ids, want 10", len(w.seen), len(w.order))
	}
	if NewWindow(0, time.Hour).Seen("a", time.Unix(0, 0)) {
		t.Error("a window of size 0 has seen something")
	}
}

func BenchmarkID(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	for b.Loop() {
		ID(Tracking, tracking, "zoom.meeting.participant_joined", body)
	}
}
