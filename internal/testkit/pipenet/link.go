package pipenet

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// ErrBlackHole is the error of a dial by [Link.DialNow] into a black hole.
var ErrBlackHole = errors.New("pipenet: no answer (black hole)")

// Dial opens the underlying connection of a [Link].
type Dial func(ctx context.Context) (net.Conn, error)

// Link is the path from one host to one server. It can be slow, be cut, or become a black hole. A
// write never blocks: like a kernel, the link buffers bytes until the other side takes them.
type Link struct {
	dial    Dial
	pumping sync.WaitGroup

	mu      sync.Mutex
	delay   func() time.Duration // of a chunk; nil: none
	refused bool
	hole    bool
	changed chan struct{} // closed when a black hole ends or a dial is refused
	conns   map[*conn]struct{}
}

// NewLink returns a working link.
func NewLink(dial Dial) *Link {
	return &Link{dial: dial, changed: make(chan struct{}), conns: make(map[*conn]struct{})}
}

// Delay delays every chunk of bytes by least plus up to jitter. The order stays.
func (l *Link) Delay(least, jitter time.Duration, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = func() time.Duration { return least + time.Duration(rng.Int64N(int64(jitter)+1)) }
}

// Reset resets the open connections at both ends.
func (l *Link) Reset() {
	l.mu.Lock()
	conns := l.conns
	l.conns = make(map[*conn]struct{})
	l.mu.Unlock()
	for c := range conns {
		c.reset()
	}
}

// Cut resets the open connections and refuses new ones, until Heal.
func (l *Link) Cut() {
	l.mu.Lock()
	l.refused, l.hole = true, false
	l.wake()
	l.mu.Unlock()
	l.Reset()
}

// BlackHole makes the link silent until Heal: neither data nor the end of a connection arrives on
// either side. Dials get no answer.
func (l *Link) BlackHole() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hole = true
}

// Heal makes the link work again. What a black hole has held back arrives now.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused, l.hole = false, false
	l.wake()
}

// Close cuts the link for good and waits until its goroutines have ended.
func (l *Link) Close() {
	l.Cut()
	l.pumping.Wait()
}

// Dial opens a connection. In a black hole it waits until that ends or ctx does.
func (l *Link) Dial(ctx context.Context) (net.Conn, error) {
	for {
		if hole, mended := l.silent(); hole {
			select {
			case <-mended:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		c, err := l.open(ctx, time.Time{})
		if err != ErrBlackHole {
			return c, err
		}
	}
}

// DialNow is Dial for a client that holds a lock during dial and handshake, which would stop a
// bubble's clock. In a black hole it fails at once, and what both sides send at the instant of the
// dial takes no time.
func (l *Link) DialNow(ctx context.Context) (net.Conn, error) {
	return l.open(ctx, time.Now())
}

func (l *Link) open(ctx context.Context, prompt time.Time) (net.Conn, error) {
	if err := l.state(); err != nil {
		return nil, err
	}
	far, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{link: l, far: far, prompt: prompt, in: newQueue(), out: newQueue()}
	l.mu.Lock()
	if l.refused {
		l.mu.Unlock()
		far.Close()
		return nil, syscall.ECONNREFUSED
	}
	l.conns[c] = struct{}{}
	l.pumping.Go(c.pumpIn)
	l.pumping.Go(c.pumpOut)
	l.mu.Unlock()
	return c, nil
}

func (l *Link) state() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.refused:
		return syscall.ECONNREFUSED
	case l.hole:
		return ErrBlackHole
	}
	return nil
}

// wake wakes everybody who waits for a change of the link. The caller holds l.mu.
func (l *Link) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// silent reports whether the link is a black hole, and returns a channel that is closed when that
// ends.
func (l *Link) silent() (hole bool, mended <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hole {
		return true, l.changed
	}
	return false, nil
}

// due returns when a chunk sent now arrives: at once at the time prompt.
func (l *Link) due(prompt time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.delay == nil || now.Equal(prompt) {
		return now
	}
	return now.Add(l.delay())
}

func (l *Link) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}
