package alarm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/message"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))

// board returns a Board, and what it reports and logs.
func board(t *testing.T) (b *Board, raised *[]string, log *bytes.Buffer) {
	t.Helper()
	raised, log = new([]string), &bytes.Buffer{}
	return NewBoard("replica-1", func(name string) { *raised = append(*raised, name) }, nil, zerolog.New(log)), raised, log
}

func TestRaisedOnce(t *testing.T) {
	b, raised, log := board(t)
	b.Raise(message.AlarmLate, "sub-1", 3, "2 h", at)
	b.Raise(message.AlarmLate, "sub-1", 3, "3 h", at.Add(time.Minute)) // only the detail is new
	all := b.Raised()
	want := Alarm{Alarm: message.AlarmLate, Subscription: "sub-1", Replica: "replica-1", Epoch: 3, Since: at.UTC(), Detail: "3 h"}
	if len(all) != 1 || all[0] != want || all[0].Since.Location() != time.UTC {
		t.Errorf("%+v", all)
	}
	b.Clear(message.AlarmLate, "sub-1", 3, "on time", at)
	b.Clear(message.AlarmLate, "sub-1", 3, "on time", at)
	b.Clear(message.AlarmSilent, "sub-1", 3, "never was", at)
	if all := b.Raised(); all == nil || len(all) != 0 {
		t.Errorf("%+v", all)
	}
	b.Raise(message.AlarmLate, "sub-1", 3, "again", at)
	if len(*raised) != 2 || strings.Count(log.String(), `"alarm.raised"`) != 2 || strings.Count(log.String(), `"alarm.cleared"`) != 1 {
		t.Errorf("%v\n%s", *raised, log)
	}
}

// TestLaterTermHasIt: once a later term has raised an alarm, an earlier one has no say in it.
func TestLaterTermHasIt(t *testing.T) {
	b, raised, log := board(t)
	b.Raise(message.AlarmLate, "sub-1", 3, "of 3", at)
	b.Raise(message.AlarmLate, "sub-1", 5, "of 5", at.Add(time.Hour))
	b.Clear(message.AlarmLate, "sub-1", 3, "of 3", at)
	b.Leave("sub-1", 3)
	if all := b.Raised(); len(all) != 1 || all[0].Epoch != 5 || all[0].Detail != "of 5" || !all[0].Since.Equal(at) {
		t.Fatalf("%+v", all)
	}
	b.Raise(message.AlarmLate, "sub-1", 3, "old news", at)
	if all := b.Raised(); all[0].Epoch != 5 {
		t.Errorf("%+v", all)
	}
	b.Leave("sub-1", 5)
	if len(b.Raised()) != 0 || b.Clear(message.AlarmLate, "sub-1", 5, "", at) {
		t.Error("this process answers for it still")
	}
	if got := b.Of("sub-1", 5); !slices.Equal(got, []string{message.AlarmLate}) {
		t.Errorf("the successor learns of %q", got)
	}
	if len(*raised) != 1 || strings.Contains(log.String(), "cleared") {
		t.Errorf("%v\n%s", *raised, log)
	}
}

// TestWhatIsNew: Raise and Clear return true only for what the stream must report, so that each
// alarm is raised and cleared in turn there.
func TestWhatIsNew(t *testing.T) {
	b, _, _ := board(t)
	for n, step := range []struct {
		clear bool
		epoch uint64
		want  bool
	}{
		{epoch: 3, want: true},
		{epoch: 3, want: false},
		{epoch: 5, want: false},              // the term continues it
		{clear: true, epoch: 3, want: false}, // the earlier term has no say any more
		{clear: true, epoch: 5, want: true},
		{clear: true, epoch: 5, want: false},
		{epoch: 5, want: true},
	} {
		got := false
		if step.clear {
			got = b.Clear(message.AlarmLate, "sub-1", step.epoch, "", at)
		} else {
			got = b.Raise(message.AlarmLate, "sub-1", step.epoch, "", at)
		}
		if got != step.want {
			t.Errorf("step %d: %t", n, got)
		}
	}
	b.Leave("sub-1", 5) // another term may have cleared it since
	if !b.Raise(message.AlarmLate, "sub-1", 7, "", at) {
		t.Error("a term that has not inherited the alarm does not tell of it")
	}
}

// TestEarlierTermDoesNotReword: a detail from an earlier term does not replace that of the present
// one.
func TestEarlierTermDoesNotReword(t *testing.T) {
	b, _, _ := board(t)
	b.Raise(message.AlarmLate, "sub-1", 5, "of 5", at)
	b.Raise(message.AlarmLate, "sub-1", 3, "of 3", at)
	if all := b.Raised(); all[0].Detail != "of 5" {
		t.Errorf("epoch 5 now says %q", all[0].Detail)
	}
}

func TestKeysAndOrder(t *testing.T) {
	b, _, log := board(t)
	b.Raise(message.AlarmSilent, "sub-2", 1, "", at.Add(2*time.Second))
	b.Raise(message.AlarmSilent, "sub-1", 1, "", at.Add(2*time.Second))
	b.Raise(message.AlarmLate, "sub-2", 1, "", at.Add(2*time.Second))
	b.Raise(message.AlarmToken, "", 0, "", at.Add(time.Second))
	b.Raise(message.AlarmStream, "", 0, "", at.Add(3*time.Second))
	var order []string
	for _, a := range b.Raised() {
		order = append(order, a.Alarm+" "+a.Subscription)
	}
	if got := strings.Join(order, ","); got != "token ,late sub-2,silent sub-1,silent sub-2,stream " {
		t.Errorf("%s", got)
	}
	b.Clear(message.AlarmSilent, "sub-1", 1, "", at)
	b.Clear(message.AlarmToken, "", 0, "", at)
	if len(b.Raised()) != 3 {
		t.Errorf("%+v", b.Raised())
	}
	if strings.Contains(log.String(), `"subscription":""`) {
		t.Errorf("%s", log)
	}
	all := b.Raised()
	all[0].Detail = "changed" // Raised returns a copy
	if b.Raised()[0].Detail != "" {
		t.Error("the caller changes the board")
	}
}

// TestMayLookAround: the function that is told of an alarm may call the Board.
func TestMayLookAround(t *testing.T) {
	var b *Board
	seen := 0
	b = NewBoard("replica-1", func(string) { seen = len(b.Raised()) }, nil, zerolog.Nop())
	b.Raise(message.AlarmLate, "sub-1", 1, "", at)
	if seen != 1 {
		t.Errorf("%d", seen)
	}
}

func TestConcurrently(t *testing.T) {
	var mu sync.Mutex
	told := make(map[string]int)
	b := NewBoard("replica-1", func(name string) {
		mu.Lock()
		defer mu.Unlock()
		told[name]++
	}, nil, zerolog.Nop())
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			own := fmt.Sprintf("sub-%d", n)
			for range 500 {
				b.Raise(message.AlarmLate, own, uint64(n), "", at)
				b.Raise(message.AlarmContested, "shared", 1, "", at)
				b.Raised()
				b.Clear(message.AlarmContested, "shared", 1, "", at)
				b.Clear(message.AlarmLate, own, uint64(n), "", at)
			}
		})
	}
	all.Wait()
	if left := b.Raised(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	if told[message.AlarmLate] != 8*500 {
		t.Errorf("told %d times", told[message.AlarmLate])
	}
}
