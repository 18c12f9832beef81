package pipenet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// conn is the near end of a connection over a link.
//
//	Write --> out --pumpOut--> far
//	Read  <-- in  <--pumpIn--- far
type conn struct {
	link    *Link
	far     net.Conn
	prompt  time.Time // what is sent at this instant arrives at once
	in, out *queue
}

// pumpIn reads what the other side sends, so that it never blocks, and keeps it until it is due.
func (c *conn) pumpIn() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.far.Read(buf)
		if n > 0 {
			c.in.push(buf[:n], c.link.due(c.prompt))
		}
		if err != nil {
			c.in.end(io.EOF, c.link.due(c.prompt))
			return
		}
	}
}

// pumpOut passes on what is due, and closes the far end afterwards.
func (c *conn) pumpOut() {
	defer c.link.forget(c)
	defer c.far.Close()
	for {
		data, err := c.out.take(nil, c.link)
		if err != nil {
			return
		}
		if _, err := c.far.Write(data); err != nil {
			c.out.reset(syscall.EPIPE)
			return
		}
	}
}

func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	data, err := c.in.take(p, c.link)
	return len(data), err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.out.push(p, c.link.due(c.prompt)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close closes the near end at once. The far end sees that after what was written before.
func (c *conn) Close() error {
	c.in.reset(net.ErrClosed)
	c.out.end(net.ErrClosed, c.link.due(c.prompt))
	return nil
}

func (c *conn) reset() {
	c.in.reset(syscall.ECONNRESET)
	c.out.reset(syscall.ECONNRESET)
	c.far.Close()
}

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(t) // a write never blocks
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *conn) SetWriteDeadline(time.Time) error  { return nil }
func (c *conn) LocalAddr() net.Addr               { return c.far.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr              { return c.far.RemoteAddr() }

// queue is one direction of a connection, of unlimited size.
type queue struct {
	mu       sync.Mutex
	chunks   []chunk
	last     time.Time     // when the last chunk is due
	err      error         // returned by every push
	gone     chan struct{} // closed by reset: what is queued is dropped
	changed  chan struct{} // of capacity one
	deadline time.Time
	timer    *time.Timer // used by take
}

// chunk is data, or its end.
type chunk struct {
	data []byte
	due  time.Time
	err  error
}

func newQueue() *queue {
	return &queue{gone: make(chan struct{}), changed: make(chan struct{}, 1), timer: time.NewTimer(forever)}
}

func (q *queue) push(p []byte, due time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	q.add(chunk{data: append([]byte(nil), p...), due: due})
	return nil
}

// end appends err to what is queued.
func (q *queue) end(err error, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
		q.add(chunk{due: due, err: err})
	}
}

// add appends a chunk. The caller holds q.mu.
func (q *queue) add(c chunk) {
	if c.due.Before(q.last) {
		c.due = q.last
	}
	q.last = c.due
	q.chunks = append(q.chunks, c)
	q.signal()
}

// reset drops what is queued; from then on the queue returns err.
func (q *queue) reset(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.gone:
		return
	default:
	}
	q.err = err
	q.chunks = nil
	close(q.gone)
}

func (q *queue) setDeadline(t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deadline = t
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// take waits for a chunk that is due and that the link lets through. It fills p, or returns a whole
// chunk if p is nil.
func (q *queue) take(p []byte, link *Link) ([]byte, error) {
	for {
		hole, mended := link.silent()
		data, wait, err := q.next(p, hole)
		if data != nil || err != nil {
			return data, err
		}
		q.timer.Reset(wait)
		select {
		case <-q.changed:
		case <-q.gone:
		case <-mended:
		case <-q.timer.C:
		}
	}
}

// next returns what is available now, or otherwise how long to wait.
func (q *queue) next(p []byte, hole bool) (data []byte, wait time.Duration, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.gone:
		return nil, 0, q.err
	default:
	}
	wait = forever
	if !q.deadline.IsZero() {
		if wait = time.Until(q.deadline); wait <= 0 {
			return nil, 0, os.ErrDeadlineExceeded
		}
	}
	if hole || len(q.chunks) == 0 {
		return nil, wait, nil
	}
	head := &q.chunks[0]
	if early := time.Until(head.due); early > 0 {
		return nil, min(wait, early), nil
	}
	if head.err != nil {
		return nil, 0, head.err
	}
	data = head.data
	if p != nil {
		data = p[:copy(p, head.data)]
	}
	if head.data = head.data[len(data):]; len(head.data) == 0 {
		q.chunks = q.chunks[1:]
	}
	return data, 0, nil
}

// forever is longer than any test on fake time.
const forever = 100 * 365 * 24 * time.Hour
