package zoomsim

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// wire is the connection under a WebSocket. It exists for the faults that no
// WebSocket library can do: to go dead with the connection open, to be reset
// without a close frame, to read slowly.
//
// Its Close unblocks reads and writes at once and leaves the closing of the
// connection below to finish, which the socket's owner calls at the end: a
// frozen connection must stay open whatever happens above it.
type wire struct {
	inner   net.Conn
	timeout time.Duration // of one write
	rate    func() int    // bytes per second that reads may take; 0 is unbounded
	done    chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	frost  *frost // the last freeze, perhaps over
}

// frost is one freeze. until is zero while it stands until lifted.
type frost struct {
	until  time.Time
	lifted chan struct{}
}

func newWire(inner net.Conn, timeout time.Duration, rate func() int) *wire {
	return &wire{inner: inner, timeout: timeout, rate: rate, done: make(chan struct{})}
}

// freeze makes the wire dead, for a duration or (0) until thaw.
func (w *wire) freeze(d time.Duration) {
	w.thaw()
	f := &frost{lifted: make(chan struct{})}
	if d > 0 {
		f.until = time.Now().Add(d)
	}
	w.mu.Lock()
	w.frost = f
	w.mu.Unlock()
}

// thaw ends a freeze, and says whether there was one.
func (w *wire) thaw() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	f := w.frost
	if f == nil || !f.until.IsZero() && !now.Before(f.until) {
		return false
	}
	f.until = now
	close(f.lifted)
	return true
}

// thawedAt says when the last freeze ended: now if it still stands, the zero
// time if there was none.
func (w *wire) thawedAt(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f := w.frost; {
	case f == nil:
		return time.Time{}
	case f.until.IsZero() || now.Before(f.until):
		return now
	default:
		return f.until
	}
}

// wait blocks while the wire is frozen. It returns false if stop was closed
// first.
func (w *wire) wait(stop <-chan struct{}) bool {
	for {
		w.mu.Lock()
		f := w.frost
		var left time.Duration
		forever := false
		if f != nil {
			left, forever = time.Until(f.until), f.until.IsZero()
		}
		w.mu.Unlock()
		if f == nil || !forever && left <= 0 {
			return true
		}
		var over <-chan time.Time
		if !forever {
			over = time.After(left)
		}
		select {
		case <-f.lifted:
		case <-over:
		case <-stop:
			return false
		}
	}
}

// Read reads what the client sent, unless frozen: then nothing, not even the
// end of the connection.
func (w *wire) Read(p []byte) (int, error) {
	if !w.wait(w.done) {
		return 0, net.ErrClosed
	}
	rate := w.rate()
	if rate > 0 {
		p = p[:min(len(p), max(1, rate/10))]
	}
	n, err := w.inner.Read(p)
	if !w.wait(w.done) {
		return 0, net.ErrClosed
	}
	if rate > 0 && n > 0 {
		select {
		case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
		case <-w.done:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

// Write hands bytes to the connection, after the freeze if there is one.
func (w *wire) Write(p []byte) (int, error) {
	if !w.wait(w.done) {
		return 0, net.ErrClosed
	}
	w.mu.Lock()
	if !w.closed { // under the lock, or it could undo Close's deadline
		w.inner.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	w.mu.Unlock()
	n, err := w.inner.Write(p)
	if err != nil && w.isClosed() {
		err = net.ErrClosed // and no missed deadline
	}
	return n, err
}

func (w *wire) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// Close unblocks whoever reads, writes or waits.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	w.closed = true
	close(w.done)
	w.inner.SetDeadline(time.Unix(1, 0))
	return nil
}

// finish closes the connection below, after the freeze or when stop is closed.
func (w *wire) finish(stop <-chan struct{}) {
	w.Close()
	w.wait(stop)
	w.inner.Close()
}

// cut resets the connection: no close frame, and on TCP no FIN either. It cuts
// a frozen one too.
func (w *wire) cut() {
	conn := w.inner
	if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tls.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	w.thaw()
	w.Close()
	conn.Close()
}

// The rest of net.Conn: the WebSocket library asks for a net.Conn and uses
// Read, Write and Close only.

func (w *wire) LocalAddr() net.Addr              { return w.inner.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr             { return w.inner.RemoteAddr() }
func (w *wire) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (w *wire) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (w *wire) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// hijacker puts a wire under the connection that a WebSocket upgrade takes
// over. It works with any http.Server, also over net.Pipe.
type hijacker struct {
	http.ResponseWriter
	make func(net.Conn) *wire
	wire *wire // after the upgrade
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire = h.make(conn)
	return h.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.wire, 8<<10)), nil
}
