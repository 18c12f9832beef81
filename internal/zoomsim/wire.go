package zoomsim

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"
)

// wire is the connection under a WebSocket. It implements the faults that no WebSocket library
// offers: going dead while the connection stays open, a reset without a close frame, slow reads.
//
// Its Close unblocks reads and writes at once but leaves the underlying connection open. The socket
// closes that at the end with finish: a frozen connection must stay open whatever happens above it.
type wire struct {
	net.Conn
	socket *socket
	life   context.Context // ends with Close
	end    context.CancelFunc
}

// Read reads what the client sent. While frozen it reads nothing, not even the end of the
// connection.
func (w *wire) Read(p []byte) (int, error) {
	if w.awaitThaw(w.life) != nil {
		return 0, net.ErrClosed
	}
	s := w.socket.sim
	rate := useNow[int](s, faultSlowReader, w.socket.sub.id)
	if rate > 0 {
		p = p[:min(len(p), max(1, rate/10))]
	}
	n, err := w.Conn.Read(p)
	if w.awaitThaw(w.life) != nil {
		return 0, net.ErrClosed
	}
	if rate > 0 && s.sleep(w.life, time.Duration(n)*time.Second/time.Duration(rate)) != nil {
		return 0, net.ErrClosed
	}
	return n, err
}

// Write writes to the connection, after the end of a freeze.
func (w *wire) Write(p []byte) (int, error) {
	if w.awaitThaw(w.life) != nil {
		return 0, net.ErrClosed
	}
	w.SetWriteDeadline(time.Now().Add(w.socket.sim.opt.WriteTimeout))
	if w.life.Err() != nil { // checked after the deadline is set, since Close's deadline must be the last
		return 0, net.ErrClosed
	}
	n, err := w.Conn.Write(p)
	if err != nil && w.life.Err() != nil {
		err = net.ErrClosed // rather than a missed deadline
	}
	return n, err
}

// Close unblocks everybody who reads, writes or waits.
func (w *wire) Close() error {
	w.end()
	return w.SetDeadline(time.Unix(1, 0))
}

// finish closes the underlying connection, after the end of a freeze or of the simulator.
func (w *wire) finish() {
	w.Close()
	w.awaitThaw(w.socket.sim.life)
	w.Conn.Close()
}

// cut resets the connection: no close frame and, on TCP, no FIN.
func (w *wire) cut() {
	if tcp, ok := w.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	w.Close()
	w.Conn.Close()
}

// awaitThaw blocks while the socket is frozen. It returns an error if ctx is done first.
func (w *wire) awaitThaw(ctx context.Context) error {
	return w.socket.sim.waitFor(ctx, func() bool { return time.Until(w.socket.frozenUntil) <= 0 })
}

// hijacker inserts a wire under the connection that a WebSocket upgrade takes over. It works with
// any http.Server, also over net.Pipe.
type hijacker struct {
	http.ResponseWriter
	socket *socket
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w := &wire{Conn: conn, socket: h.socket}
	w.life, w.end = context.WithCancel(context.Background())
	h.socket.wire = w
	return w, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(w, 8<<10)), nil
}
