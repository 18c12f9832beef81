package simulation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/app"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
)

// slot is the place of a replica, like a machine. One replica runs there at a time.
type slot struct {
	n       int
	starts  int
	renamed int
	current *replica
	spool   string // folder on the slot's disk
	crashes int
}

// replica is one run of the connector.
type replica struct {
	name       string // unique; Zoom sees it as the remote address
	configured string // the name in its settings
	slot       *slot
	nats       *pipenet.Link
	zoom       *pipenet.Link
	cancel     context.CancelFunc
	stepDown   chan struct{}
	started    time.Time
	stopped    time.Time // told to stop, or crashed
	dead       bool      // crashed: it reaches nobody any more
	done       chan struct{}
	err        error // valid once done is closed
	ended      time.Time
}

// cuttable lets nats.go dial over a link.
type cuttable struct{ *pipenet.Link }

func (c cuttable) InProcessConn() (net.Conn, error) { return c.DialNow(context.Background()) }

// launch starts a connector in a slot.
func (w *world) launch(s *slot, rename bool) {
	s.starts++
	if rename {
		s.renamed++
	}
	if s.spool == "" {
		s.spool = filepath.Join(w.dir, fmt.Sprintf("spool-%d", s.n+1))
	}
	name := fmt.Sprintf("r%d.%d", s.n+1, s.starts)
	r := &replica{name: name, slot: s, stepDown: make(chan struct{}), started: time.Now(), done: make(chan struct{})}
	r.nats = pipenet.NewLink(w.nats.dial)
	r.zoom = pipenet.NewLink(func(ctx context.Context) (net.Conn, error) { return w.web.Dial(ctx, name) })
	seed := w.seed<<16 + uint64(s.n)<<8 + uint64(s.starts)
	r.nats.Delay(w.natsDelay, w.natsDelay, seed)
	r.zoom.Delay(w.zoomDelay, w.zoomDelay, seed)
	skew := w.skew * time.Duration(s.n%3-1)
	cfg, err := config.Load(w.settings(s), "", nil)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.configured, r.cancel = cfg.Replica, cancel
	s.current = r
	w.ran = append(w.ran, r)
	options := app.Options{
		Config: cfg, Version: "simulation", NATS: cuttable{r.nats}, StepDown: r.stepDown,
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.zoom.Dial(ctx) }}},
		Clock: func(t time.Time) time.Time { return t.Add(skew) },
		Log:   zerolog.New(w.journal.writer(name)).Level(zerolog.DebugLevel),
	}
	w.journal.note("start %s as %s", name, cfg.Replica)
	go func() {
		defer close(r.done)
		r.err = app.Run(ctx, options)
		r.ended = time.Now()
	}()
}

func (w *world) settings(s *slot) config.Settings {
	var urls []string
	for n := range w.subscriptions {
		urls = append(urls, "ws://localhost/ws?subscriptionId="+subscription(n))
	}
	return config.Settings{
		ZoomClientID: clientID, ZoomClientSecret: clientSecret, ZoomSecretToken: secretToken,
		ZoomOAuthURL: "http://localhost/oauth/token", ZoomWebSocketURL: strings.Join(urls, ","),
		Stream: stream, Prefix: prefix, LeaseTTL: leaseTTL.String(), Renew: w.renew, Replica: fmt.Sprintf("replica-%d-%c", s.n+1, 'a'+s.renamed),
		StreamMaxAge: "0", // on fake time, an age limit on disk loses messages
		DataDir:      w.dir + "/data", HTTPAddr: "off", SpoolDir: s.spool,
	}
}

// stop tells the replica to stop in an orderly way.
func (r *replica) stop() {
	if r.stopped.IsZero() {
		r.stopped = time.Now()
	}
	r.cancel()
}

// die ends the process: the kernel resets all its connections.
func (r *replica) die() {
	r.stopped, r.dead = time.Now(), true
	r.slot.freeze()
	r.nats.Cut()
	r.zoom.Cut()
	r.cancel()
}

// vanish ends the machine: its connections go silent.
func (r *replica) vanish() {
	r.stopped, r.dead = time.Now(), true
	r.slot.freeze()
	r.nats.BlackHole()
	r.zoom.BlackHole()
	r.cancel()
}

// freeze keeps the disk as it is now: the next replica does not see what the dead one's goroutines
// still write.
func (s *slot) freeze() {
	s.crashes++
	frozen := fmt.Sprintf("%s-after-crash-%d", strings.SplitN(s.spool, "-after", 2)[0], s.crashes)
	if err := copyFolder(s.spool, frozen); err != nil {
		panic(err)
	}
	s.spool = frozen
}

// copyFolder copies a folder. It skips files that vanish meanwhile.
func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rest, _ := filepath.Rel(from, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rest), 0o700)
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rest), content, 0o600)
	})
}

// running reports whether the replica has been neither stopped nor killed.
func (r *replica) running() bool { return r != nil && r.stopped.IsZero() }
