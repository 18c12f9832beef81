package outbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// limitFiles has each write fail, in the whole process, that makes a file larger than size bytes.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDiskFails: the disk fails after some writes while the stream refuses messages. The outbox
// goes on in memory, says why, and tries the disk again. When the stream accepts messages, those on
// disk still come first.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	const child = "PIPELINE_TEST_DISK_FAILS"
	if os.Getenv(child) == "" { // otherwise the limit would apply to the files of go test too
		cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFails$", "-test.timeout=100s")
		cmd.Env = append(os.Environ(), child+"=yes")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	ossignal.Ignore(syscall.SIGXFSZ) // otherwise the system ends the process
	for _, size := range []uint64{0, 100 << 10} {
		for _, heals := range []bool{true, false} {
			t.Run(fmt.Sprintf("size=%d,heals=%v", size, heals), func(t *testing.T) {
				w := newWorld(t)
				js := w.jetstream()
				// In memory, since the limit would apply to its files too.
				closed := jetstream.StreamConfig{Name: "MEMORY", Subjects: []string{"zoom.>"}, Storage: jetstream.MemoryStorage,
					Duplicates: w.dup, Discard: jetstream.DiscardNew, MaxMsgs: 1}
				if err := js.DeleteStream(t.Context(), "ZOOM"); err != nil {
					t.Fatal(err)
				}
				if _, err := js.CreateStream(t.Context(), closed); err != nil {
					t.Fatal(err)
				}
				r := w.begin("1", Options{Stream: "MEMORY", DuplicateWindow: w.dup, SpoolDir: w.dir, SpoolMax: plenty, Log: zerolog.New(w.log)})
				limitFiles(t, size)
				r.publish(0, 2500)
				w.until("the failure is known", func() bool { return r.Outbox.Stats().SpoolErr != nil })
				w.until("it is told", func() bool { return strings.Contains(w.log.String(), "the spool cannot be used") })
				if heals {
					limitFiles(t, 1<<40)
					w.until("all is on disk", func() bool { return r.Outbox.Stats().SpoolErr == nil && r.unsafeNow() == 0 })
				}
				w.until("all that was sent is refused: it would come first when the stream opens", func() bool {
					st := r.nc.Stats()
					return st.InMsgs >= st.OutMsgs
				})
				open := closed
				open.MaxMsgs = -1
				if _, err := js.UpdateStream(t.Context(), open); err != nil {
					t.Fatal(err)
				}
				r.publish(2500, 2600)
				w.until("all is stored", func() bool { return r.Line.Stats().Acked == 2600 })
				limitFiles(t, 1<<40)
				r.end()
				stream, err := js.Stream(t.Context(), "MEMORY")
				if err != nil {
					t.Fatal(err)
				}
				for n := range 2600 {
					msg, err := stream.GetMsg(t.Context(), uint64(n+1))
					if err != nil || string(msg.Data) != fmt.Sprint(n) {
						t.Fatalf("message %d: %v\n%s", n, err, w.log)
					}
				}
			})
		}
	}
}

// TestFolderIsGone: the spool's files are removed while it is in use. The outbox goes on, in order.
func TestFolderIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("1", plenty)
	w.down()
	r.publish(0, 1000)
	r.safe()
	if err := os.RemoveAll(w.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	r.publish(1000, 2000)
	time.Sleep(50 * time.Millisecond)
	w.up()
	r.publish(2000, 3000)
	w.until("all that is not lost with the folder is stored", func() bool { return r.Line.Stats().Acked >= 1000 })
	w.until("direct again", r.isDirect)
	r.end()
	last := -1
	for _, n := range w.stored() {
		if n <= last {
			t.Fatalf("%d after %d", n, last)
		}
		last = n
	}
	if last != 2999 {
		t.Errorf("the last one is %d", last)
	}
}

// TestLeftOverCannotBeRead: the outbox soon goes on without a left-over that cannot be read, and
// says so.
func TestLeftOverCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "jetstream"), []byte("no folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.start("1", plenty)
	r.publish(0, 1000)
	w.until("new messages go first", func() bool { return r.Line.Stats().Acked == 1000 })
	if !strings.Contains(w.log.String(), "the spool cannot be used") {
		t.Errorf("nobody is told\n%s", w.log)
	}
	w.down()
	r.publish(1000, 2000)
	w.up()
	r.publish(2000, 3000)
	r.end()
	w.inOrder(3000)
}
