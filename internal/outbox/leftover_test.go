package outbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// shortWindow shortens the stream's duplicate window.
func (w *world) shortWindow(d time.Duration) {
	w.t.Helper()
	w.dup = d
	if _, err := w.jetstream().UpdateStream(w.t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: d}); err != nil {
		w.t.Fatal(err)
	}
}

// once checks that the stream has the numbers from 0 to count-1, each once.
func (w *world) once(count int) {
	w.t.Helper()
	seen := make(map[int]int)
	for _, n := range w.stored() {
		seen[n]++
	}
	for n := range count {
		if seen[n] != 1 {
			w.t.Fatalf("message %d is stored %d times\n%s", n, seen[n], w.log)
		}
	}
	if len(seen) != count {
		w.t.Errorf("%d messages stored, want %d", len(seen), count)
	}
}

// TestStreamCreatedAgain: sequences start from 1 again in a new stream. Messages that were sent to
// it are looked up there after a restart.
func TestStreamCreatedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shortWindow(500 * time.Millisecond)
	r := w.start("1", plenty)
	r.publish(5000, 10_000)
	r.awaitStored()
	// Messages on disk would go to the new stream.
	w.until("nothing is on disk", func() bool { return r.Outbox.Stats().Spooled == 0 })
	js := w.jetstream()
	if err := js.DeleteStream(t.Context(), "ZOOM"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: w.dup}); err != nil {
		t.Fatal(err)
	}
	r.publish(0, 100)
	r.awaitStored()
	w.down()
	r.publish(100, 200)
	r.safe()
	frozen := w.freeze()
	w.up()
	r.end()
	time.Sleep(2 * w.dup)
	w.dir = frozen // as if killed right after the acknowledgements
	r = w.start("2", plenty)
	<-r.known
	r.end()
	w.once(200)
}

// TestLeftOverOpensLate: a left-over that could not be opened at the start is opened during the
// next outage. Neither it nor what has come since is lost.
func TestLeftOverOpensLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	unblock := w.late(3000)
	r := w.start("2", plenty)
	w.down()
	r.publish(3000, 3500)
	w.until("new ones go first", func() bool { return r.Outbox.Stats().Publisher.Pending == 500 })
	unblock()
	r.safe()
	w.up()
	r.publish(3500, 3600)
	r.end()
	w.once(3600)
}

// late leaves messages on disk. The next run cannot read them until unblock is called.
func (w *world) late(count int) (unblock func()) {
	w.t.Helper()
	r := w.start("1", plenty)
	w.down()
	r.publish(0, count)
	r.safe()
	r.kill()
	w.up()
	store, away := filepath.Join(w.dir, "jetstream"), filepath.Join(w.dir, "away")
	if err := os.Rename(store, away); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(store, []byte("no folder"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		if err := os.Remove(store); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(away, store); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestLineSettlesOnce: messages in the publisher are copied to disk behind a left-over that was
// found late, and read again. Their Line hears of each once.
func TestLineSettlesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	unblock := w.late(300)
	r := w.start("2", plenty)
	w.down()
	r.publish(300, 400)
	w.until("new ones go first", func() bool { return r.Outbox.Stats().Publisher.Pending == 100 })
	unblock()
	r.safe()
	w.up()
	r.end()
	if st := r.Line.Stats(); st.Acked != 100 || st.Pending != 0 {
		t.Errorf("%+v of 100 messages", st)
	}
	w.once(400)
}

// TestLateLeftOverKeepsOrder: behind the left-over, the publisher's messages come first on disk,
// and then those that wait.
func TestLateLeftOverKeepsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	unblock := w.late(10)
	r := w.start("2", plenty)
	w.down()
	r.publish(10, 4106)
	w.until("the publisher is full", func() bool { return r.Outbox.Stats().Publisher.Pending == 4096 })
	unblock()
	r.publish(4106, 5306)
	r.safe()
	r.leave()
	w.up()
	r = w.start("3", plenty)
	<-r.known
	r.end()
	w.once(5306)
	if numbers := slices.DeleteFunc(w.stored(), func(n int) bool { return n < 10 }); !slices.IsSorted(numbers) {
		t.Error("they are out of order")
	}
}
