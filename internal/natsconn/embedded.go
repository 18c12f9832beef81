package natsconn

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

// EmbeddedName is the name of the embedded server, and of one that nats.conf describes.
const EmbeddedName = "zoomstream"

// Limits of the embedded server. nats.conf sets the same ones, and a test compares them.
const (
	embeddedMaxPayload  = 8 << 20   // bytes; above, the server itself warns
	embeddedMaxMemory   = 256 << 20 // bytes of memory streams, which zoomstream does not use
	embeddedMaxStore    = 32 << 30  // bytes on disk; then publishing is refused
	embeddedPing        = 20 * time.Second
	embeddedMaxPings    = 2 // unanswered, then the client counts as gone
	embeddedWaitForPort = 5 * time.Second
)

// DefaultAddr is where an embedded server listens.
const DefaultAddr = "127.0.0.1:4222"

// EmbeddedOptions says where the embedded server keeps its data and where it listens.
type EmbeddedOptions struct {
	DataDir string         // created if missing; the server uses the nats folder in it
	Addr    string         // host and port to listen on, port 0: any free one; empty: DefaultAddr
	Readers *Readable      // what clients without a login may read; nil: the server refuses them
	Log     zerolog.Logger // for the server's log too: its notices at debug, its debug lines at trace
}

// Embedded is a nats-server with JetStream inside this process. Its methods may be used concurrently.
type Embedded struct {
	srv   *server.Server
	log   zerolog.Logger
	lock  *flock.Flock
	dir   string // absolute
	token string // with which a client may do everything

	listener net.Listener
	gate     *gate // has the listener, once there is one

	failed chan error
	stop   sync.Once
}

// StartEmbedded locks the data folder, starts the server in it and returns once clients can connect.
// The lock comes first because nats-server has none: two servers on one folder would both come up and ruin it.
//
// Its clients may do everything if they have the token, which the first start makes and which stays in the file
// nats.url of the folder, readable by this user alone; o.Readers says what others may do.
//
// A folder or a port that another process uses gives an error that wraps [ErrFolderInUse] or [ErrPortInUse] and
// tells how to join that process. ctx is looked at when the server has read its streams back.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (*Embedded, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder %q: %w", o.DataDir, err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	e := &Embedded{log: o.Log, lock: lock, dir: dir, token: cmp.Or(tokenIn(readURLFile(dir)), rand.Text()), failed: make(chan error, 1)}
	opts := embeddedOptions(o, dir)
	who := &logins{token: e.token, password: rand.Text()}
	if o.Readers != nil {
		who.readable = o.Readers.permissions()
	}
	opts.CustomClientAuthentication = who
	if err := e.start(ctx, cmp.Or(o.Addr, DefaultAddr), opts, who); err != nil {
		e.Shutdown()
		return nil, err
	}
	o.Log.Info().Str("code", "nats.embedded").Str("url", e.ClientURL()).Str("data_dir", opts.StoreDir).Msg("embedded NATS started")
	return e, nil
}

func embeddedOptions(o EmbeddedOptions, dir string) *server.Options {
	return &server.Options{
		ServerName:             EmbeddedName,
		MaxPayload:             embeddedMaxPayload,
		PingInterval:           embeddedPing,
		MaxPingsOut:            embeddedMaxPings,
		DontListen:             true, // the gate does
		JetStream:              true,
		StoreDir:               filepath.Join(dir, "nats"),
		SyncAlways:             true, // there is no replica that could hold what the page cache loses
		JetStreamMaxMemory:     embeddedMaxMemory,
		JetStreamMaxStore:      embeddedMaxStore,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // else the library ends the process on SIGINT and SIGTERM by itself
	}
}

func (e *Embedded) start(ctx context.Context, addr string, opts *server.Options, who *logins) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return startError(err, addr, opts)
	}
	e.listener = listener
	listens := listener.Addr().(*net.TCPAddr)
	opts.Host, opts.Port = listens.IP.String(), listens.Port
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	e.srv = srv
	srv.SetLoggerV2(&serverLog{log: e.log.With().Str("component", "nats-server").Logger(), failed: e.failed}, true, false, false)

	srv.Start() // returns when the streams are read back, or has failed
	select {
	case err := <-e.failed:
		return startError(err, addr, opts)
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("embedded NATS: %w", context.Cause(ctx))
	}
	if !srv.ReadyForConnections(embeddedWaitForPort) {
		return errors.New("embedded NATS: not ready for connections")
	}
	e.gate = newGate(listener, srv.InProcessConn, who.password)
	// The files are for other processes only, so a failure is not worth a failed start.
	if err := e.writeURLFile(); err != nil {
		e.log.Warn().Str("code", "nats.embedded_folder").Err(err).Msg("embedded NATS: cannot note its address and token in the data folder")
	}
	return nil
}

// writeURLFile writes the address with the token, and that a server runs there. The address stays when it has stopped: a
// replica that joins it may start before it does.
func (e *Embedded) writeURLFile() error {
	file, err := os.CreateTemp(e.dir, "nats.url-*") // readable by this user alone
	if err != nil {
		return err
	}
	_, err = file.WriteString(e.URL() + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), URLFile(e.dir))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.WriteFile(pidFile(e.dir), fmt.Appendln(nil, os.Getpid()), 0o600)
}

func startError(err error, addr string, opts *server.Options) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("embedded NATS in %s: %w", opts.StoreDir, err)
	}
	return fmt.Errorf("embedded NATS: %w: something listens on %s already; if it is another zoomstream's NATS server, join it "+
		"with NATS_URL_FILE=<its ZOOMSTREAM_DATA_DIR>/nats.url, if one of your own, with NATS_URL=nats://%[2]s, else stop it",
		ErrPortInUse, addr)
}

// lockFolder creates the data folder and takes its lock, which the system drops with the process, however that ends.
func lockFolder(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder: %w; make it writable or set ZOOMSTREAM_DATA_DIR", err)
	}
	lock := flock.New(filepath.Join(dir, "nats.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder: %w; make it writable or set ZOOMSTREAM_DATA_DIR", err)
	}
	if locked {
		_ = os.Remove(pidFile(dir)) // left behind by a killed process; written anew in a moment
		return lock, nil
	}
	return nil, fmt.Errorf("embedded NATS: %w: another process runs its NATS server in %s; join it with NATS_URL_FILE=%s, "+
		"or give this process another ZOOMSTREAM_DATA_DIR", ErrFolderInUse, dir, URLFile(dir))
}

// EmbeddedURL is where the embedded server of a process with this data folder listens, with its token, if that is
// noted; else where it would, by addr of its [EmbeddedOptions]. It runs there unless it was killed.
func EmbeddedURL(dataDir string, addr string) (url string, runs bool) {
	if url = readURLFile(dataDir); url == "" {
		return "nats://" + cmp.Or(addr, DefaultAddr), false
	}
	_, err := os.Stat(pidFile(dataDir))
	return url, err == nil
}

// URLFile is the file in a data folder that holds the address of its embedded server, with the token.
func URLFile(dataDir string) string { return filepath.Join(dataDir, "nats.url") }

// readURLFile is what that file holds; empty if there is none.
func readURLFile(dir string) string {
	text, _ := secretfile.Read(URLFile(dir), secretfile.MaxSecret)
	return strings.TrimSpace(string(text))
}

// pidFile is there while the server of a data folder runs.
func pidFile(dir string) string { return filepath.Join(dir, "nats.pid") }

// ClientURL is the address for clients, such as nats://127.0.0.1:4222.
func (e *Embedded) ClientURL() string { return e.srv.ClientURL() }

// URL is the address with the token: for clients that may do everything. It is a secret.
func (e *Embedded) URL() string { return withToken(e.ClientURL(), e.token) }

// URLFile is the absolute path of the file that holds URL.
func (e *Embedded) URLFile() string { return URLFile(e.dir) }

// Server is the server itself, to look at.
func (e *Embedded) Server() *server.Server { return e.srv }

// Inside is o for a connection inside the process, which needs no socket and may do everything. Its answers go to an
// inbox that a client without a login can neither read nor have the server write to.
func (e *Embedded) Inside(o Options) Options {
	o.InProcess, o.User, o.Password = e.srv, embeddedUser, e.token
	return o
}

// Failed gives a fatal error that the server reported after its start. The library itself goes on running then,
// so whoever started it has to end the process.
func (e *Embedded) Failed() <-chan error { return e.failed }

// Shutdown stops the server, waits until its files are closed and releases the folder. Close connections first:
// they would try to reconnect. Further calls do nothing.
func (e *Embedded) Shutdown() {
	e.stop.Do(func() {
		if e.gate != nil {
			e.gate.close()
		} else if e.listener != nil {
			e.listener.Close() //nolint:errcheck // nothing can be done
		}
		if e.srv != nil {
			e.srv.Shutdown()
			e.srv.WaitForShutdown()
		}
		if err := errors.Join(os.RemoveAll(pidFile(e.dir)), e.lock.Unlock()); err != nil {
			e.log.Warn().Str("code", "nats.embedded_folder").Err(err).Msg("embedded NATS: cannot release the data folder")
		}
	})
}
