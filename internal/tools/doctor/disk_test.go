package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/outbox/spool"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

func TestFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	dir := t.TempDir()
	r := w.run("ZOOMSTREAM_SPOOL_DIR=" + filepath.Join(dir, "a", "b"))
	r.has(SpoolFolder, Pass, "can be created")
	r.has(SpoolSpace, Pass, "16.0 MiB")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
	w.run("ZOOMSTREAM_SPOOL_DIR="+dir).has(SpoolFolder, Pass, "is writable")
	r = w.run("ZOOMSTREAM_SPOOL_DIR=/dev/null/spool")
	r.failed(false)
	r.has(SpoolFolder, Fail, "ZOOMSTREAM_SPOOL_DIR")
	r.has(Heartbeat, Pass) // the other checks still run
	r = w.run("ZOOMSTREAM_SPOOL_MAX=1000TiB")
	r.has(SpoolSpace, Warn, "1000.0 TiB", "ZOOMSTREAM_SPOOL_MAX")
}

// TestLeftOver: doctor reports what a spool holds, and leaves it there.
func TestLeftOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	dir := t.TempDir()
	folder, err := spool.Lock(dir)
	must(t, err)
	log, err := folder.Open(t.Context(), 1<<20, zerolog.Nop())
	must(t, err)
	must(t, log.Append(t.Context(), []*nats.Msg{{Subject: "zoom.a", Data: make([]byte, 2000)}}, 0))
	look := func() report { return w.run("ZOOMSTREAM_SPOOL_DIR=" + dir) }
	if runtime.GOOS == "linux" { // on other systems nobody can say who holds the lock
		r := look()
		r.fine()
		r.has(SpoolFolder, Pass, fmt.Sprintf("process %d uses it", os.Getpid()))
		r.has(SpoolLeftOver, Pass, "holds 2.", fmt.Sprintf("process %d, which uses the folder, publishes it", os.Getpid()))
	}
	must(t, errors.Join(log.Close(), folder.Unlock()))
	look().has(SpoolLeftOver, Warn, "holds 2.", "KiB", "otherwise start one")

	folder, err = spool.Lock(dir)
	must(t, err)
	log, err = folder.Open(t.Context(), 1<<20, zerolog.Nop())
	must(t, err)
	if log.First() != log.Last() {
		t.Errorf("it holds %d to %d", log.First(), log.Last())
	}
	must(t, log.Remove(t.Context(), log.Last()))
	must(t, errors.Join(log.Close(), folder.Unlock()))
	for _, c := range w.run("ZOOMSTREAM_SPOOL_DIR=" + dir).Checks {
		if c.Check == SpoolLeftOver {
			t.Errorf("nothing is left, and it says %q", c.Detail)
		}
	}
}

// TestEmbedded: without a NATS setting, doctor joins the server of the zoomstream that runs in the
// data folder.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := []string{"NATS_URL=", "NATS_USER=", "NATS_PASSWORD="}
	dir := t.TempDir()
	embedded, err := natsconn.StartEmbedded(t.Context(), natsconn.EmbeddedOptions{DataDir: dir, Addr: "127.0.0.1:0"})
	must(t, err)
	settings := append(own, "ZOOMSTREAM_DATA_DIR="+dir)
	r := w.run(settings...)
	r.fine()
	r.has(DataFolder, Pass, "is writable")
	r.has(Server, Pass, "server zoomstream")
	r.has(Heartbeat, Pass)
	if runtime.GOOS == "linux" {
		r.has(DataFolder, Pass, fmt.Sprintf("process %d uses it", os.Getpid()))
		note := filepath.Join(dir, "nats.url") // as before the server listens
		must(t, os.Rename(note, note+".later"))
		r = w.run(settings...)
		r.failed(false)
		r.has(Server, Fail, fmt.Sprintf("process %d holds the lock of %s", os.Getpid(), dir))
		r.has(Connection, Warn, "--connect")
		must(t, os.Rename(note+".later", note))
	}

	embedded.Shutdown()
	r = w.run(append(own, "ZOOMSTREAM_DATA_DIR="+filepath.Join(dir, "other"))...)
	r.has(DataFolder, Pass, "can be created")
	r.has(Server, Skip, "runs its own")
	// Nobody can say who is connected.
	r.has(Connection, Warn, "--connect")
	must(t, os.WriteFile(filepath.Join(dir, "nats.url"), []byte("nats://127.0.0.1:1\n"), 0o600)) // left by a killed process
	w.run(settings...).has(Server, Skip, "none runs in "+dir)

	usual := fmt.Sprintf("nats://127.0.0.1:%d", w.port)
	natstest.Run(t, t.TempDir(), w.port)
	w.run(settings...).has(Server, Fail, "something else listens at "+usual, "NATS_URL="+usual)
	w.sockets(1)
}

// TestEmbeddedIsJoined: a second replica needs the token of the embedded server.
func TestEmbeddedIsJoined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	embedded, err := natsconn.StartEmbedded(t.Context(), natsconn.EmbeddedOptions{
		DataDir: t.TempDir(), Addr: "127.0.0.1:0", Readers: &natsconn.Readable{Prefix: "zoom", Stream: "ZOOM", Bucket: "zoomstream"},
	})
	must(t, err)
	defer embedded.Shutdown()
	r := w.run("NATS_URL="+embedded.ClientURL(), "NATS_USER=", "NATS_PASSWORD=")
	r.failed(true)
	r.has(Permissions, Fail, `may not publish "zoom.>"`, "NATS_URL_FILE=<its ZOOMSTREAM_DATA_DIR>/nats.url")
	w.run("NATS_URL=", "NATS_URL_FILE="+embedded.URLFile(), "NATS_USER=", "NATS_PASSWORD=").fine()
}
