package outbox

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/time/rate"
)

// link is a proxy for a port. It can be slow, or silent.
type link struct {
	port int

	mu      sync.Mutex
	stopped chan struct{} // closed when the link passes data again; nil: it does
}

// pipe returns a link that passes connections on to a port, at so many bytes a second in all; 0:
// without a limit.
func pipe(t *testing.T, to, bytesPerSecond int) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{port: listener.Addr().(*net.TCPAddr).Port}
	limit := rate.NewLimiter(rate.Inf, 0)
	if bytesPerSecond > 0 {
		limit = rate.NewLimiter(rate.Limit(bytesPerSecond), 16<<10)
	}
	var passing sync.WaitGroup
	t.Cleanup(func() { l.goOn(); listener.Close(); passing.Wait() })
	passing.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(to)))
			if err != nil {
				in.Close()
				continue
			}
			passing.Go(func() { l.pass(in, out, limit) })
			passing.Go(func() { l.pass(out, in, rate.NewLimiter(rate.Inf, 0)) })
		}
	})
	return l
}

func (l *link) pass(from, to net.Conn, limit *rate.Limiter) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		l.wait()
		limit.WaitN(context.Background(), n) //nolint:errcheck // n is not above the burst
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (l *link) wait() {
	l.mu.Lock()
	stopped := l.stopped
	l.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// stop makes the link silent.
func (l *link) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = make(chan struct{})
}

func (l *link) goOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped != nil {
		close(l.stopped)
		l.stopped = nil
	}
}
