//go:build unix && !race

package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// link is a proxy in front of a server. It can hang, so that what is sent waits, or be cut.
type link struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	free     chan struct{} // closed unless the link hangs
	down     bool
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, free: make(chan struct{})}
	close(l.free)
	var copying sync.WaitGroup
	copying.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			if l.down {
				l.closeAll()
			}
			l.mu.Unlock()
			copying.Go(func() { l.carry(far, near) })
			copying.Go(func() { l.carry(near, far) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.hang(false)
		l.cut(true)
		copying.Wait()
	})
	return l
}

// closeAll ends all connections. The caller holds l.mu.
func (l *link) closeAll() {
	for _, conn := range l.conns {
		conn.Close() //nolint:errcheck // it is to end
	}
	l.conns = nil
}

// cut ends all connections and each new one while is is true.
func (l *link) cut(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = is
	if is {
		l.closeAll()
	}
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) carry(to io.WriteCloser, from io.Reader) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.mu.Lock()
		free := l.free
		l.mu.Unlock()
		<-free
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// hang holds everything back while is is true.
func (l *link) hang(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.free:
		if is {
			l.free = make(chan struct{})
		}
	default:
		if !is {
			close(l.free)
		}
	}
}
