package outbox

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/outbox/spool"
)

const plenty = 1 << 30

// TestNothingOnDiskInNormalOperation publishes at full speed: nothing goes to disk, unless a busy
// machine lets NATS take too long for a message.
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

// TestOutage takes NATS away while events come: they go to disk at once, in order, behind what was
// unacknowledged. Afterwards the disk is empty.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	r.publish(0, 1000)
	w.down()
	r.publish(1000, 20_000)
	r.safe()
	if st := r.Outbox.Stats(); st.Direct || st.Spooled < 18_000 || st.Publisher.Pending > 4096 {
		t.Errorf("%+v", st)
	}
	w.up()
	for n := 20_000; n < 40_000; n += 100 { // while the outbox catches up
		r.publish(n, n+100)
	}
	w.until("direct again", r.isDirect)
	r.publish(40_000, 41_000)
	w.until("everything is removed", func() bool { return r.Outbox.Stats().Spooled == 0 })
	r.end()
	w.inOrder(41_000)
	if w.used() {
		t.Error("an empty spool leaves its files")
	}
	if st := r.Line.Stats(); st.Acked != 41_000 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
}

// TestRepeatedOutages: NATS comes and goes faster than the spool empties.
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

// TestKillWhileNATSIsAway: the next process first publishes what the killed one left.
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
	if !strings.Contains(w.log.String(), "an earlier run left") {
		t.Errorf("nobody is told\n%s", w.log)
	}
	if st := r.Line.Stats(); st.Acked != 3000 {
		t.Errorf("%+v", st)
	}
}

// TestKillWhileCatchingUp kills the process again and again while it publishes from disk.
func TestKillWhileCatchingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	w.down()
	r.publish(0, 60_000)
	r.safe()
	w.up()
	for range 8 {
		w.until("something is published", func() bool { return r.Outbox.Stats().Publisher.Acked > 3000 })
		r.kill()
		r = w.start("again", plenty)
	}
	r.publish(60_000, 61_000)
	r.end()
	w.inOrder(61_000)
}

// TestStopWhileNATSIsAway: an orderly stop during an outage loses nothing that is on disk.
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

// TestInDoubtAfterARestart restores a disk whose messages have been stored since, after the stream
// has forgotten their ids. They are looked up, and not stored twice.
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

// TestBounds fills memory and disk: Publish waits, nothing is dropped, and everything is stored
// when NATS is back.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", 1<<20)
	w.down()
	accepted := 0
	full := func() bool {
		st := r.Outbox.Stats()
		return errors.Is(st.SpoolErr, spool.ErrFull) && st.Backlog == maxBacklog
	}
	for !full() {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := r.Publish(ctx, numbered(accepted, "1"), Times{})
		cancel()
		if err == nil {
			accepted++
		} else if !errors.Is(err, context.DeadlineExceeded) { // the disk may be slow
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Publish(ctx, numbered(accepted, "1"), Times{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("accepted beyond the bounds: %v", err)
	}
	st := r.Outbox.Stats()
	if st.Bytes > 1<<20 || st.Publisher.Pending > 4096 || st.Backlog > maxBacklog || accepted > st.Spooled+st.Backlog || !errors.Is(st.SpoolErr, spool.ErrFull) {
		t.Errorf("%d accepted: %+v", accepted, st)
	}
	w.up()
	r.publish(accepted, accepted+5000)
	r.end()
	w.inOrder(accepted + 5000)
}

// TestWithoutDisk: without a disk, messages are held in memory.
func TestWithoutDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.begin("1", Options{Stream: "ZOOM", Log: zerolog.New(w.log)})
	w.down()
	r.publish(0, 5000)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Drain(ctx); err == nil || !strings.Contains(err.Error(), "5000 received messages are lost") {
		t.Errorf("%v", err)
	}
	w.up()
	r.publish(5000, 9000)
	r.end()
	w.inOrder(9000)
}

// TestFolderOfAnotherProcess: while another process uses the folder, the outbox goes on in memory,
// and says so. Once the folder is free, the outbox uses it.
func TestFolderOfAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := spool.Lock(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	r := w.begin("1", Options{Stream: "ZOOM", SpoolDir: w.dir, SpoolMax: plenty, Log: zerolog.New(w.log)})
	if !strings.Contains(w.log.String(), "another process uses this folder") || !errors.Is(r.Outbox.Stats().SpoolErr, spool.ErrInUse) {
		t.Errorf("nobody is told\n%s", w.log)
	}
	w.down()
	r.publish(0, 3000)
	if err := other.Unlock(); err != nil {
		t.Fatal(err)
	}
	r.safe()
	w.until("the folder is used", func() bool { return r.Outbox.Stats().SpoolErr == nil })
	r.publish(3000, 4000)
	w.up()
	r.end()
	w.inOrder(4000)
}

// TestSlowPath publishes faster than the link to NATS allows: the rest waits on disk, not in
// memory.
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
		if err := r.Publish(t.Context(), msg, Times{}); err != nil {
			t.Fatal(err)
		}
		st := r.Outbox.Stats()
		worst, backlog, spooled = max(worst, st.Publisher.Pending), max(backlog, st.Backlog), max(spooled, st.Spooled)
	}
	if worst > 4096 || backlog > maxBacklog || spooled == 0 {
		t.Errorf("%d messages at the publisher, %d in the backlog, %d on disk", worst, backlog, spooled)
	}
	w.until("direct again", r.isDirect)
	r.end()
	w.inOrder(count)
}

// TestSilence: NATS falls silent and recovers again and again, while messages come all the time.
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

// TestFolderIsFreedWithALeftOver: another process holds the folder, and frees it with a left-over
// during an outage. Nothing is lost, doubled or out of order.
func TestFolderIsFreedWithALeftOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.start("1", plenty), w.start("2", plenty)
	w.down()
	first.publish(0, 2000)
	first.safe()
	if !errors.Is(second.Outbox.Stats().SpoolErr, spool.ErrInUse) {
		t.Fatal("two use one folder")
	}
	second.publish(2000, 4000)
	first.stop()
	w.until("the second one has the folder", func() bool { return second.Outbox.Stats().SpoolErr == nil && second.unsafeNow() == 0 })
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
