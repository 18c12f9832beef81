package pipenet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a link, and the far ends of its connections.
type wire struct {
	*Link
	far chan net.Conn
}

func newWire() wire {
	far := make(chan net.Conn, 10)
	return wire{far: far, Link: NewLink(func(context.Context) (net.Conn, error) {
		near, end := net.Pipe()
		far <- end
		return near, nil
	})}
}

func (w wire) open(t *testing.T) (near, far net.Conn) {
	t.Helper()
	near, err := w.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return near, <-w.far
}

func send(t *testing.T, to net.Conn, text string) {
	t.Helper()
	if _, err := to.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, from net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

func expectError(t *testing.T, from net.Conn, want error) {
	t.Helper()
	if n, err := from.Read(make([]byte, 8)); n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %d bytes, %v; want %v", n, err, want)
	}
}

func TestLinkDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		defer w.Close()
		w.Delay(10*time.Millisecond, 5*time.Millisecond, 1)
		near, far := w.open(t)
		start := time.Now()
		send(t, near, "a")
		send(t, near, "b")
		near.Close()
		expect(t, far, "ab")
		if took := time.Since(start); took < 10*time.Millisecond || took > 15*time.Millisecond {
			t.Errorf("two chunks sent at once took %s", took)
		}
		expectError(t, far, io.EOF)
	})
}

func TestLinkCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		defer w.Close()
		near, far := w.open(t)
		w.Cut()
		expectError(t, near, syscall.ECONNRESET)
		expectError(t, far, io.EOF)
		if _, err := near.Write([]byte("a")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write after a reset: %v", err)
		}
		if _, err := w.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial of a cut link: %v", err)
		}
		w.Heal()
		near, far = w.open(t)
		send(t, near, "a")
		expect(t, far, "a")
	})
}

// TestLinkBlackHole: before the link heals nothing arrives, not even the end of a connection. After
// that everything does.
func TestLinkBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		defer w.Close()
		near, far := w.open(t)
		other, otherFar := w.open(t)
		w.BlackHole()
		start := time.Now()
		send(t, near, "up")
		send(t, far, "down")
		other.Close()
		far.Close()
		near.SetReadDeadline(start.Add(time.Minute))
		expectError(t, near, os.ErrDeadlineExceeded)
		near.SetReadDeadline(time.Time{})
		if _, err := w.DialNow(t.Context()); err != ErrBlackHole {
			t.Errorf("dial at once: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		time.AfterFunc(time.Minute, w.Heal)
		expectError(t, otherFar, io.EOF)
		if took := time.Since(start); took != 3*time.Minute {
			t.Errorf("the end of the connection arrived after %s", took)
		}
		expect(t, near, "down")
		expectError(t, near, io.EOF)
	})
}
