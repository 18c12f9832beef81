package pipeline

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/alarm"
	"github.com/zoomstream/zoomstream/internal/spool"
)

const plenty = 1 << 30

// TestNothingOnDiskInNormalOperation publishes at full speed. That is no normal
// operation only if NATS takes long for a message, on a machine that is busy.
func TestNothingOnDiskInNormalOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var slowest atomic.Int64
	r := w.begin("1", Options{Stream: "ZOOM", DuplicateWindow: w.dup, SpoolDir: w.dir, SpoolMax: plenty, Log: zerolog.New(w.log), Published: func(took time.Duration) {
		slowest.Store(max(slowest.Load(), int64(took)))
	}})
	for n := 0; n < 20_000; n += 1000 {
		r.publish(n, n+1000)
		w.until("all is stored", func() bool { return r.Line.Stats().Pending == 0 })
	}
	if took := time.Duration(slowest.Load()); took <= stallAfter && (w.used() || !r.isDirect()) {
		t.Errorf("the spool was used, and no message took longer than %v\n%s", took, w.log)
	}
	r.end()
	w.inOrder(20_000)
	if st := r.Line.Stats(); st.Acked != 20_000 || st.Pending != 0 || st.Duplicates != 0 {
		t.Errorf("%+v", st)
	}
}

// TestOutage takes NATS away while events come: they are on disk at once, in
// order, behind what was unacknowledged, and afterwards the disk is empty.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	r.publish(0, 1000)
	w.down()
	r.publish(1000, 20_000)
	r.safe()
	if st := r.Pipeline.Stats(); st.Direct || st.Spooled < 18_000 || st.Publisher.Pending > 4096 {
		t.Errorf("%+v", st)
	}
	w.up()
	for n := 20_000; n < 40_000; n += 100 { // while it catches up
		r.publish(n, n+100)
	}
	w.until("direct again", r.isDirect)
	r.publish(40_000, 41_000)
	w.until("everything is removed", func() bool { return r.Pipeline.Stats().Spooled == 0 })
	r.end()
	w.inOrder(41_000)
	if w.used() {
		t.Error("an empty spool leaves its files")
	}
	if st := r.Line.Stats(); st.Acked != 41_000 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
}

// TestRepeatedOutages has NATS come and go faster than the spool empties.
func TestRepeatedOutages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	n := 0
	for range 6 {
		w.down()
		r.publish(n, n+5000)
		w.up()
		r.publish(n+5000, n+5500)
		n += 5500
		time.Sleep(30 * time.Millisecond)
	}
	r.end()
	w.inOrder(n)
}

// TestKillWhileNATSIsAway: the next process publishes what the one before has
// left, before all else.
func TestKillWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	r.publish(0, 500)
	w.down()
	r.publish(500, 9000)
	r.safe()
	r.kill()

	w.up()
	r = w.start("2", plenty)
	r.publish(9000, 12_000)
	r.end()
	w.inOrder(12_000)
	if !strings.Contains(w.log.String(), "an earlier run has left") {
		t.Errorf("nobody is told\n%s", w.log)
	}
	if st := r.Line.Stats(); st.Acked != 3000 {
		t.Errorf("%+v", st)
	}
}

// TestKillWhileCatchingUp kills the process again and again while it publishes
// from disk.
func TestKillWhileCatchingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	w.down()
	r.publish(0, 60_000)
	r.safe()
	w.up()
	for range 8 {
		w.until("something is published", func() bool { return r.Pipeline.Stats().Publisher.Acked > 3000 })
		r.kill()
		r = w.start("again", plenty)
	}
	r.publish(60_000, 61_000)
	r.end()
	w.inOrder(61_000)
}

// TestStopWhileNATSIsAway ends in an orderly way: what is on disk is not lost.
func TestStopWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	w.down()
	r.publish(0, 3000)
	began := time.Now()
	r.leave()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	w.up()
	r = w.start("2", plenty)
	r.publish(3000, 3100)
	r.end()
	w.inOrder(3100)
}

// TestInDoubtAfterARestart restores a disk from before the messages on it were
// stored, later than the stream remembers ids: they are looked up.
func TestInDoubtAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dup = 200 * time.Millisecond
	js := w.jetstream()
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: w.dup}); err != nil {
		t.Fatal(err)
	}
	r := w.start("1", plenty)
	r.publish(0, 100)
	r.safe()
	w.down()
	r.publish(100, 1000)
	r.safe()
	frozen := w.freeze()
	w.up()
	r.end()
	w.inOrder(1000)
	time.Sleep(2 * w.dup)
	w.dir = frozen
	r = w.start("2", plenty)
	r.publish(1000, 1010)
	r.end()
	w.inOrder(1010)
}

// TestBounds fills memory and disk: Publish waits, nothing is dropped, and all
// goes on when NATS is back.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", 1<<20)
	w.down()
	accepted := 0
	full := func() bool {
		st := r.Pipeline.Stats()
		return errors.Is(st.SpoolErr, spool.ErrFull) && st.Backlog == maxBacklog
	}
	for !full() {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := r.Publish(ctx, numbered(accepted, "1"), Note{})
		cancel()
		if err == nil {
			accepted++
		} else if !errors.Is(err, context.DeadlineExceeded) { // the disk may be slow
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Publish(ctx, numbered(accepted, "1"), Note{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("accepted beyond the bounds: %v", err)
	}
	st := r.Pipeline.Stats()
	if st.Bytes > 1<<20 || st.Publisher.Pending > 4096 || st.Backlog > maxBacklog || accepted > st.Spooled+st.Backlog || !errors.Is(st.SpoolErr, spool.ErrFull) {
		t.Errorf("%d accepted: %+v", accepted, st)
	}
	w.up()
	r.publish(accepted, accepted+5000)
	r.end()
	w.inOrder(accepted + 5000)
}

// TestWithoutDisk goes on in memory.
func TestWithoutDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.begin("1", Options{Stream: "ZOOM", Log: zerolog.New(w.log)})
	w.down()
	r.publish(0, 5000)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Finish(ctx); err == nil || !strings.Contains(err.Error(), "5000 received messages are lost") {
		t.Errorf("%v", err)
	}
	w.up()
	r.publish(5000, 9000)
	r.end()
	w.inOrder(9000)
}

// TestAlarm tells in the stream that events are held back for long, and when they
// no longer are.
func TestAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.begin("1", Options{Stream: "ZOOM", SpoolDir: w.dir, SpoolMax: plenty, Log: zerolog.New(w.log), Alarm: alarmMessage})
	w.down()
	r.publish(0, 10)
	w.until("the alarm is raised", func() bool { return r.Pipeline.Stats().Spooled == 11 })
	r.publish(10, 20)
	w.up()
	w.until("direct again", r.isDirect)
	w.until("the alarm is cleared", func() bool { return r.Pipeline.Stats().Publisher.Acked == 22 })
	r.publish(20, 30)
	r.end()
	if got := w.stored(); len(got) != 32 || got[10] != -1 || got[21] != -2 {
		t.Errorf("%v", got)
	}
}

// alarmMessage makes numbers of alarms.
func alarmMessage(name string, raised bool, detail string) *nats.Msg {
	number := map[string]int{alarm.Spooling: -1, alarm.Spool: -11, alarm.SpoolFull: -11}[name]
	if !raised {
		number--
	}
	return &nats.Msg{Subject: "zoom.alarm", Data: []byte(strconv.Itoa(number)), Header: nats.Header{"Detail": {detail}}}
}

// alarmCount counts alarms that are raised or cleared.
type alarmCount struct{ all, spool atomic.Uint64 }

func (c *alarmCount) message(name string, raised bool, detail string) *nats.Msg {
	if name == alarm.Spool {
		c.spool.Add(1)
	}
	c.all.Add(1)
	return alarmMessage(name, raised, detail)
}

// TestFolderOfAnotherProcess goes on in memory, says so, and uses the folder once
// it is free.
func TestFolderOfAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := spool.Lock(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	var alarms alarmCount
	r := w.begin("1", Options{Stream: "ZOOM", SpoolDir: w.dir, SpoolMax: plenty, Log: zerolog.New(w.log), Alarm: alarms.message})
	w.until("the alarm is stored", func() bool { return r.Pipeline.Stats().Publisher.Acked == 1 })
	if !strings.Contains(w.log.String(), "another process uses this folder") || !errors.Is(r.Pipeline.Stats().SpoolErr, spool.ErrInUse) {
		t.Errorf("nobody is told\n%s", w.log)
	}
	w.down()
	r.publish(0, 3000)
	if err := other.Unlock(); err != nil {
		t.Fatal(err)
	}
	r.safe()
	w.until("the alarm is cleared", func() bool { return r.Pipeline.Stats().SpoolErr == nil })
	r.publish(3000, 4000)
	w.up()
	w.until("all is stored, and the alarms", func() bool {
		return alarms.spool.Load() == 2 && r.Pipeline.Stats().Publisher.Acked == 4000+alarms.all.Load() // perhaps that it took long, too
	})
	r.end()
	count := make(map[int]int)
	for _, n := range w.stored() {
		count[min(n, 0)]++
	}
	if count[0] != 4000 || count[-11] != 1 || count[-12] != 1 {
		t.Errorf("%v", count)
	}
}

// TestSlowPath publishes faster than the path to NATS takes it: the rest waits on
// disk, not in memory.
func TestSlowPath(t *testing.T) {
	t.Parallel()
	const count, size = 12_000, 1024
	w := newWorld(t)
	slow := pipe(t, w.port, 2<<20)
	fast := w.port
	w.port = slow.port
	r := w.start("1", plenty)
	w.port = fast
	var worst, backlog, spooled int
	for n := range count {
		msg := numbered(n, "1")
		msg.Header["Filler"] = []string{strings.Repeat("x", size)}
		if err := r.Publish(t.Context(), msg, Note{}); err != nil {
			t.Fatal(err)
		}
		st := r.Pipeline.Stats()
		worst, backlog, spooled = max(worst, st.Publisher.Pending), max(backlog, st.Backlog), max(spooled, st.Spooled)
	}
	if worst > 4096 || backlog > maxBacklog || spooled == 0 {
		t.Errorf("%d messages at the publisher, %d in the backlog, %d on disk", worst, backlog, spooled)
	}
	w.until("direct again", r.isDirect)
	r.end()
	w.inOrder(count)
}

// TestSilence has NATS stop answering, and go on, again and again, while messages
// come all the time.
func TestSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := pipe(t, w.port, 0)
	direct := w.port
	w.port = link.port
	r := w.start("1", plenty)
	w.port = direct
	n := 0
	for range 4 {
		link.stop()
		for range 300 {
			r.publish(n, n+1)
			n++
			time.Sleep(4 * time.Millisecond)
		}
		link.goOn()
		for range 100 {
			r.publish(n, n+1)
			n++
			time.Sleep(2 * time.Millisecond)
		}
	}
	r.end()
	w.inOrder(n)
	if strings.Contains(w.log.String(), "damaged") {
		t.Errorf("nothing is damaged\n%s", w.log)
	}
}

// TestFolderIsFreedWithALeftOver locks a folder in which another process has left
// something, and frees it during an outage: nothing is mixed up.
func TestFolderIsFreedWithALeftOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.start("1", plenty), w.start("2", plenty)
	w.down()
	first.publish(0, 2000)
	first.safe()
	if !errors.Is(second.Pipeline.Stats().SpoolErr, spool.ErrInUse) {
		t.Fatal("two use one folder")
	}
	second.publish(2000, 4000)
	first.stop()
	w.until("the second one has the folder", func() bool { return second.Pipeline.Stats().SpoolErr == nil && second.unsafeNow() == 0 })
	second.publish(4000, 5000)
	w.up()
	second.end()
	count, last := make(map[int]int), -1
	for _, n := range w.stored() {
		count[n]++
		if n >= 2000 && n <= last {
			t.Fatalf("%d after %d", n, last)
		}
		if n >= 2000 {
			last = n
		}
	}
	for n := range 5000 {
		if count[n] != 1 {
			t.Fatalf("message %d is stored %d times\n%s", n, count[n], w.log)
		}
	}
	if w.used() {
		t.Error("the spool is not empty")
	}
}

// TestSpoolAlarmIsCleared fills the spool, with alarms.
func TestSpoolAlarmIsCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var alarms alarmCount
	r := w.begin("1", Options{Stream: "ZOOM", SpoolDir: w.dir, SpoolMax: 1 << 20, Log: zerolog.New(w.log), Alarm: alarms.message})
	w.down()
	accepted := 0
	for alarms.all.Load() < 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if r.Publish(ctx, numbered(accepted, "1"), Note{}) == nil {
			accepted++
		}
		cancel()
	}
	w.up()
	w.until("the alarms are cleared", func() bool { return r.Pipeline.Stats().Publisher.Acked == uint64(accepted+4) })
	r.end()
	count := make(map[int]int)
	for _, n := range w.stored() {
		count[min(n, 0)]++
	}
	if count[0] != accepted || count[-1] != 1 || count[-2] != 1 || count[-11] != 1 || count[-12] != 1 {
		t.Errorf("%v of %d", count, accepted)
	}
}
