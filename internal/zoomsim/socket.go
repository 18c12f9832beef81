package zoomsim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// queueBytes bounds the queue of a slow or frozen socket, in bytes.
const queueBytes = 64 << 20

// socket is one WebSocket. The goroutine of its request writes, a second one reads; run waits for
// both.
type socket struct {
	sim     *Sim
	expires time.Time // when its token expires
	wire    *wire
	conn    *websocket.Conn
	wake    chan struct{} // signals the writer to check the state

	sub *subscription

	// Guarded by sim.mu.
	rec         *Socket // with a cause, the socket gets no more events
	queue       []item
	queued      int // bytes in queue
	lastBeat    time.Time
	frozenUntil time.Time // past or zero: not frozen
	bye         *farewell // nil: not to be closed
}

// item is a frame to write. entry is its number in the ledger; 0 for frames that are not in it.
type item struct {
	frame []byte
	typ   websocket.MessageType
	entry int64
}

// farewell says how and when a socket is closed, once its queue is written.
type farewell struct {
	at     time.Time
	frame  []byte // written first, if any
	code   websocket.StatusCode
	reason string
}

// run runs a socket until its end. A refusal closes it at once; one without a code resets it.
func (k *socket) run(subscription, remote string, refusal *farewell) {
	k.enter(subscription, remote)
	var reader sync.WaitGroup
	reader.Go(k.read)
	switch {
	case refusal == nil:
		k.serve()
	case refusal.code == 0:
		k.retireNow(CauseRefused)
		k.wire.cut()
	default:
		k.retireNow(CauseRefused)
		k.part(refusal)
	}
	k.conn.CloseNow()
	reader.Wait()
	k.wire.finish()
	k.exit()
	k.sim.opt.Log.Info().Str("subscription", subscription).Int("socket", k.rec.N).
		Str("cause", string(k.rec.Cause)).Int64("events", k.rec.Events).Msg("socket closed")
}

func (k *socket) enter(subscription, remote string) {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	k.sub = s.sub(subscription)
	k.lastBeat = time.Now()
	k.rec = s.ledger.open(Socket{Subscription: subscription, Remote: remote, Opened: k.lastBeat})
	k.sub.sum.Sockets++
	k.sub.sum.Open++
	s.sockets[k.rec.N] = k
	if s.life.Err() != nil { // closed during the upgrade
		k.retire(CauseStopped)
		k.wire.Close()
	}
	s.notify()
}

// exit records that the connection is closed, and that what is still queued is lost.
func (k *socket) exit() {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range k.queue {
		s.settle(k, it, Lost)
	}
	k.queue = nil
	k.rec.Closed = time.Now()
	k.sub.sum.Open--
	delete(s.sockets, k.rec.N)
	s.notify()
}

// serve writes until the socket ends.
func (k *socket) serve() {
	if !k.write(websocket.MessageText, []byte(frameReady)) {
		return
	}
	k.ready()
	k.sim.opt.Log.Info().Str("subscription", k.sub.id).Int("socket", k.rec.N).Msg("socket ready")
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		frame, bye, pause := k.next()
		switch {
		case frame != nil:
			if !k.write(frame.typ, frame.frame) {
				return
			}
			k.written()
		case bye != nil:
			k.part(bye)
			return
		default:
			timer.Reset(pause)
			select {
			case <-k.wake:
			case <-timer.C:
			case <-k.wire.life.Done():
				return
			}
		}
	}
}

// next returns what the writer has to do: write a frame, which is the head of the queue; or close
// the socket; or pause until woken.
func (k *socket) next() (frame *item, bye *farewell, pause time.Duration) {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	pause = time.Hour
	due := func(at time.Time) bool {
		left := at.Sub(now)
		if left > 0 {
			pause = min(pause, left)
		}
		return left <= 0
	}
	silentSince := k.lastBeat
	if k.frozenUntil.After(silentSince) {
		silentSince = k.frozenUntil // nothing is read while frozen
	}
	switch {
	case k.retired():
	case s.opt.IdleTimeout > 0 && due(silentSince.Add(s.opt.IdleTimeout)):
		k.dismiss(CauseIdle, farewell{code: websocket.StatusNormalClosure, reason: "no heartbeat"})
	case s.opt.CloseOnExpiry && due(k.expires):
		k.dismiss(CauseExpired, farewell{code: websocket.StatusNormalClosure, reason: "Token is expired"})
	}
	if len(k.queue) > 0 {
		return &k.queue[0], nil, 0
	}
	if k.bye != nil && due(k.bye.at) {
		return nil, k.bye, 0
	}
	return nil, nil, pause
}

// write writes one frame, and reports whether it succeeded.
func (k *socket) write(typ websocket.MessageType, frame []byte) bool {
	err := k.conn.Write(context.Background(), typ, frame) // the wire sets the deadline
	if errors.Is(err, os.ErrDeadlineExceeded) {
		k.retireNow(CauseStalled)
	}
	return err == nil // the reader determines other causes: it may have got a close frame
}

// written removes the head from the queue.
func (k *socket) written() {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	head := k.queue[0]
	k.queue[0] = item{} // release it for the garbage collector
	k.queue = k.queue[1:]
	k.queued -= len(head.frame)
	s.settle(k, head, Written)
}

// part closes the socket with a close frame, after the end of a freeze.
func (k *socket) part(bye *farewell) {
	if k.wire.awaitThaw(k.wire.life) != nil {
		return
	}
	if bye.frame == nil || k.write(websocket.MessageText, bye.frame) {
		k.conn.Close(bye.code, bye.reason)
	}
}

// read answers heartbeats until the socket ends.
func (k *socket) read() {
	defer k.wire.Close()
	k.conn.SetReadLimit(1 << 20)
	for {
		_, data, err := k.conn.Read(context.Background())
		if err != nil {
			cause := CauseGone
			if websocket.CloseStatus(err) != -1 {
				cause = CauseClient
			}
			k.retireNow(cause)
			return
		}
		var frame struct {
			Module string `json:"module"`
		}
		json.Unmarshal(data, &frame) // what is not JSON is no heartbeat
		k.received(frame.Module == "heartbeat")
	}
}

func (k *socket) received(beat bool) {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if !beat {
		k.rec.Unknown++
		return
	}
	k.lastBeat = time.Now()
	k.rec.Heartbeats++
	k.sub.sum.Heartbeats++
	k.push(item{frame: []byte(frameHeartbeat), typ: websocket.MessageText})
	s.notify()
}

// ready makes the socket receive the subscription's events, and displaces the previous one.
func (k *socket) ready() {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.retired() {
		return
	}
	k.rec.Ready = time.Now()
	k.sub.sum.Ready++
	if old := k.sub.current; old != nil {
		d := Displacement{Linger: s.opt.Linger, Frame: s.opt.DisplaceFrame}
		if f := s.use(faultDisplace, k.sub.id); f != nil {
			d = f.value.(Displacement)
		}
		old.dismiss(CauseDisplaced, d.farewell(k.rec.Ready))
	}
	k.sub.current = k
	k.sub.sum.Live = 1
	s.notify()
}

// The caller of the following functions holds sim.mu, except for retireNow.

func (k *socket) retired() bool { return k.rec.Cause != "" }

// retire permanently stops the flow of events to the socket. The first cause counts.
func (k *socket) retire(cause Cause) {
	if k.retired() {
		return
	}
	k.rec.Cause = cause
	k.rec.Retired = time.Now()
	if k.sub.sum.Retired == nil {
		k.sub.sum.Retired = make(map[Cause]int64)
	}
	k.sub.sum.Retired[cause]++
	if k.sub.current == k {
		k.sub.current = nil
		k.sub.sum.Live = 0
	}
	k.sim.notify()
}

func (k *socket) retireNow(cause Cause) {
	k.sim.mu.Lock()
	defer k.sim.mu.Unlock()
	k.retire(cause)
}

// dismiss retires the socket, which is then closed once its queue is written.
func (k *socket) dismiss(cause Cause, bye farewell) {
	k.retire(cause)
	k.bye = &bye
	k.poke()
}

// push queues a frame if there is room. A socket whose queue is full is closed once the queue is
// written: a hole in its events must not look like a quiet hour.
func (k *socket) push(it item) bool {
	if k.queued+len(it.frame) > queueBytes {
		k.dismiss(CauseOverflow, farewell{code: websocket.StatusTryAgainLater, reason: "too slow"})
		return false
	}
	k.queue = append(k.queue, it)
	k.queued += len(it.frame)
	k.poke()
	return true
}

// poke wakes the writer.
func (k *socket) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}
