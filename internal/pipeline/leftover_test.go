package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// shortWindow has the stream forget ids soon.
func (w *world) shortWindow(d time.Duration) {
	w.t.Helper()
	w.dup = d
	if _, err := w.jetstream().UpdateStream(w.t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: d}); err != nil {
		w.t.Fatal(err)
	}
}

// once checks that the stream holds the numbers from 0 on, each once.
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

// TestStreamCreatedAgain counts from 1 again in a new stream: what was sent to that
// one is looked up there.
func TestStreamCreatedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shortWindow(500 * time.Millisecond)
	r := w.start("1", plenty)
	r.publish(5000, 10_000)
	r.safe()
	js := w.jetstream()
	if err := js.DeleteStream(t.Context(), "ZOOM"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: w.dup}); err != nil {
		t.Fatal(err)
	}
	r.publish(0, 100)
	r.safe()
	w.down()
	r.publish(100, 200)
	r.safe()
	frozen := w.freeze()
	w.up()
	r.end()
	time.Sleep(2 * w.dup)
	w.dir = frozen // as if it had been killed right after the acknowledgements
	r = w.start("2", plenty)
	<-r.looked
	r.end()
	w.once(200)
}

// TestCopiesAndOriginalsAreLeft has two records under one id, both in doubt.
func TestCopiesAndOriginalsAreLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shortWindow(time.Second)
	r := w.start("1", plenty)
	w.down()
	r.publish(0, 10)
	r.safe()
	for n := 10; n < 20; n++ {
		r.Keep(numbered(n, "1"))
	}
	w.until("the copies are on disk", func() bool { return r.Pipeline.Stats().Spooled == 20 })
	r.publish(10, 20)
	r.Release()
	r.safe()
	r.kill()
	w.up()
	time.Sleep(w.dup)
	r = w.start("2", plenty)
	<-r.looked
	r.end()
	w.once(20)
}

// TestCopiesAreRemovedTogether has one of the process's own messages, which NATS does not
// take, between the copies: those behind it must not be published first by the next run.
func TestCopiesAreRemovedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	w.down()
	onDisk := func(count int) {
		t.Helper()
		w.until(fmt.Sprint(count, " are on disk"), func() bool { return r.Pipeline.Stats().Spooled == count })
	}
	for n := range 10 {
		r.Keep(numbered(n, "1"))
	}
	onDisk(10)
	own := numbered(100, "1")
	r.Insert(own)
	onDisk(11)
	for n := 10; n < 20; n++ {
		r.Keep(numbered(n, "1"))
	}
	onDisk(21)
	r.publish(0, 20)
	r.Release()
	r.safe()
	r.publish(20, 30)
	r.safe()
	time.Sleep(2 * removePeriod)
	r.kill()
	w.up()
	r = w.start("2", plenty)
	<-r.looked
	r.end()
	if got := slices.DeleteFunc(w.stored(), func(n int) bool { return n == 100 }); len(got) != 30 || !slices.IsSorted(got) {
		t.Errorf("stored are %v", got)
	}
}

// TestLeftOverOpensLate cannot be opened at the start, and is opened during the
// next outage: neither it nor what has come since is lost.
func TestLeftOverOpensLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	w.down()
	r.publish(0, 3000)
	r.safe()
	r.kill()
	store, away := filepath.Join(w.dir, "jetstream"), filepath.Join(w.dir, "away")
	if err := os.Rename(store, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(store, []byte("no folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.up()
	r = w.start("2", plenty)
	w.down()
	r.publish(3000, 3500)
	w.until("new ones go first", func() bool { return r.Pipeline.Stats().Publisher.Pending == 500 })
	if err := os.Remove(store); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, store); err != nil {
		t.Fatal(err)
	}
	r.safe()
	w.up()
	r.publish(3500, 3600)
	r.end()
	w.once(3600)
}

// TestCopiesComeLast on disk, behind what their Line published before.
func TestCopiesComeLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := w.jetstream()
	if err := js.DeleteStream(t.Context(), "ZOOM"); err != nil {
		t.Fatal(err)
	}
	nc := w.connect()
	if _, err := nc.Subscribe("zoom.>", func(*nats.Msg) {}); err != nil { // else the server would say that there is no stream
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	r := w.start("1", plenty)
	r.publish(0, 1000)
	for n := 1000; n < 1100; n++ {
		r.Keep(numbered(n, "1"))
	}
	w.until("all is on disk", func() bool { return r.Pipeline.Stats().Spooled == 1100 })
	r.kill()
	nc.Close()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: w.dup}); err != nil {
		t.Fatal(err)
	}
	r = w.start("2", plenty)
	<-r.looked
	r.end()
	w.inOrder(1100)
}
