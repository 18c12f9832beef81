package record

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// TestGapID: the ids that are made are accepted, for their own subscription only.
func TestGapID(t *testing.T) {
	gap := func(id string) *message.Gap {
		return &message.Gap{Subscription: "sub", From: now.Add(-time.Minute), To: now, Cause: message.GapStart, Replica: "a", PreviousReplica: Unknown, ID: id}
	}
	if id := GapID("sub", "nonce", 6, 2, 7, 1); id != "gap:sub:nonce:6.2-7.1" || !boundGap(gap(id), "sub", now) {
		t.Error(id)
	}
	for _, id := range []string{GapID("other", "nonce", 6, 2, 7, 1), "", "gap:sub", "gap:sub:a b", "gap:sub:\r\nx", "gap:sub:" + strings.Repeat("x", 600)} {
		if boundGap(gap(id), "sub", now) {
			t.Errorf("%q is accepted", id)
		}
	}
}

func TestReadPresence(t *testing.T) {
	if p, err := ReadPresence([]byte(`{"replica":"a","nonce":"n","leaving":true,"fitness":"unfit","subscriptions":["s"]}`)); err != nil || !p.Leaving || p.Fitness != Unfit || len(p.Subscriptions) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, text := range []string{"", "null", "[]", `{"replica":"a"}`, `{"replica":"a b","nonce":"n"}`, `{"replica":"a","nonce":">"}`, `{"replica":"a","nonce":"n","x":"` + strings.Repeat("x", maxPresence) + `"}`} {
		if p, err := ReadPresence([]byte(text)); err == nil {
			t.Errorf("%.100s: %+v", text, p)
		}
	}
}

// FuzzRead: whatever an entry contains, what is read of it is small and possible.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"state":"disconnected","replica":"a","nonce":"n","epoch":7,"connection":1,"since":"2026-11-21T09:00:00Z","cause":"crash","end":"reset",
"last_gap":{"subscription":"sub","from":"2026-11-21T08:00:00Z","to":"2026-11-21T08:01:00Z","cause":"crash","previous_replica":"a","replica":"b","epoch":7,"id":"gap:sub:n:1.1-2.1"},"raised":["late","token"]}`))
	f.Add([]byte(`{"replica":"a","nonce":"n","host":"h","pid":1,"since":"2026-11-21T09:00:00Z","taken":"taken","epoch":7}`))
	f.Add([]byte(`{"replica":"a","nonce":"n","leaving":true,"subscriptions":["sub"]}`))
	f.Add([]byte(`{"state":"connected","replica":"a","nonce":"n","since":"9999-12-31T23:59:59-23:59","now":"0000-01-01T00:00:00+23:59"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if s, _, err := ReadState(value, "sub", now); err == nil {
			checkState(t, s)
			again, complete, err := ReadState(encoded(t, s), "sub", now)
			if err != nil || !complete {
				t.Errorf("%+v is read again as %+v, %t, %v", s, again, complete, err)
			}
		}
		if s, err := ReadAnswer(value, "sub", now); err == nil {
			checkState(t, s)
		}
		if l, err := ReadLease(value); err == nil && (l.Epoch >= message.MaxNumber || len(l.Host) > message.MaxText+3) {
			t.Errorf("%+v", l)
		}
		if p, err := ReadPresence(value); err == nil && !(IsName(p.Replica) && IsName(p.Nonce)) {
			t.Errorf("%+v", p)
		}
	})
}

// TestReadAnswerConvertsTimes of a replica whose clock is ahead, so that they can be compared
// with each other.
func TestReadAnswerConvertsTimes(t *testing.T) {
	const ahead = 40 * time.Second
	at := func(ago time.Duration) time.Time { return now.Add(ahead - ago) }
	theirs := State{
		State: Displaced, Replica: "a", Nonce: "n", Epoch: 7, Connection: 3, Now: at(0), First: at(60 * time.Second), Since: at(5 * time.Second), Ended: at(4 * time.Second),
		LastFrame: at(8 * time.Second), LastEvent: at(9 * time.Second), SafeUntil: at(10 * time.Second),
	}
	gap := func(id string) message.Gap {
		return message.Gap{
			ID: GapID("sub", id, 7, 1, 7, 2), Subscription: "sub", From: at(120 * time.Second), To: at(110 * time.Second), Milliseconds: 10_000, Cause: message.GapDisconnected, Replica: "a", PreviousReplica: "a", Epoch: 7,
		}
	}
	last, first := gap("last"), gap("first")
	first.Epoch = 5 // by the clock of the replica that led then
	theirs.LastGap, theirs.FirstGap, theirs.Unstored = &last, &first, []message.Gap{gap("unstored")}
	text, err := json.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadAnswer(text, "sub", now)
	if err != nil || s.LastGap == nil || s.FirstGap == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	for name, times := range map[string][2]time.Time{
		"First": {s.First, theirs.First}, "Since": {s.Since, theirs.Since}, "Ended": {s.Ended, theirs.Ended}, "LastFrame": {s.LastFrame, theirs.LastFrame},
		"LastEvent": {s.LastEvent, theirs.LastEvent}, "SafeUntil": {s.SafeUntil, theirs.SafeUntil},
		"LastGap.From": {s.LastGap.From, last.From}, "LastGap.To": {s.LastGap.To, last.To},
	} {
		if got := times[1].Sub(times[0]); got != ahead {
			t.Errorf("%s is converted by %s, want %s", name, got, ahead)
		}
	}
	if !s.FirstGap.From.Equal(first.From) {
		t.Errorf("an earlier term's gap is converted by %s", first.From.Sub(s.FirstGap.From))
	}
}

func checkState(t *testing.T, s State) {
	t.Helper()
	for _, at := range []time.Time{s.First, s.Since, s.Ended, s.LastFrame, s.LastEvent, s.SafeUntil} {
		if at.After(now) {
			t.Errorf("%s is still to come", at)
		}
	}
	for _, g := range s.Unstored {
		if g.To.After(now) || g.From.After(g.To) || g.Subscription != "sub" {
			t.Errorf("%+v", g)
		}
	}
	if s.Epoch >= message.MaxNumber || len(s.End) > message.MaxText+3 || len(s.Unstored) > MaxUnstored || len(s.Raised) > len(message.SubscriptionAlarms()) {
		t.Errorf("%+v", s)
	}
}

func encoded(t *testing.T, s State) []byte {
	t.Helper()
	s.Now = time.Time{}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
