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

// socket is one WebSocket. The goroutine of its request writes, a second one
// reads; both end in run.
type socket struct {
	sim     *Sim
	wire    *wire
	conn    *websocket.Conn
	wake    chan struct{} // the writer has something to look at
	refusal string        // not empty: refused with this text
	expires time.Time     // its token

	// Guarded by sim.mu.
	sub      *subscription
	rec      *Socket
	queue    []item
	queued   int           // bytes in queue
	drained  chan struct{} // made by who waits for the queue to get short
	retired  bool          // gets no more events
	finished bool          // gets nothing more at all
	farewell *farewell     // how to close once the queue is written
	lastBeat time.Time
	leaves   time.Time // displaced: when to close
	leaving  *farewell // and how
}

// item is one frame to write. entry is its number in the ledger, 0 for frames
// that the ledger does not count.
type item struct {
	frame []byte
	typ   websocket.MessageType
	entry int64
}

// farewell is how a socket is closed.
type farewell struct {
	frame  []byte // written first, if any
	code   websocket.StatusCode
	reason string
}

// run is the whole life of a socket.
func (k *socket) run(subscription, remote string) {
	k.enter(subscription, remote)
	var reader sync.WaitGroup
	reader.Go(k.read)
	k.write()
	k.leave()
	k.conn.CloseNow()
	reader.Wait()
	k.wire.finish(k.sim.done)
	rec := k.exit()
	k.sim.opt.Log.Info().Str("subscription", rec.Subscription).Int("socket", rec.N).
		Str("cause", string(rec.Cause)).Int64("events", rec.Events).Msg("socket closed")
}

func (k *socket) enter(subscription, remote string) {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	k.sub = s.sub(subscription)
	k.lastBeat = now
	k.rec = s.ledger.open(Socket{Subscription: subscription, Remote: remote, Opened: now})
	k.sub.sum.Sockets++
	k.sub.sum.Open++
	s.sockets[k.rec.N] = k
	if s.closed { // while it was upgraded
		k.retire(CauseStopped)
		k.wire.Close()
	}
	s.notify()
}

// write writes until the socket is over.
func (k *socket) write() {
	if k.refusal != "" {
		k.hold(CauseRefused)
		k.part(&farewell{frame: refusalFrame(k.refusal), code: websocket.StatusNormalClosure})
		return
	}
	if !k.send(item{frame: []byte(frameReady), typ: websocket.MessageText}) {
		return
	}
	k.ready()
	k.sim.opt.Log.Info().Str("subscription", k.sub.id).Int("socket", k.rec.N).Msg("socket ready")
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		batch, bye, next := k.next()
		for i, it := range batch {
			if !k.send(it) {
				k.lose(batch[i:])
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		if bye != nil {
			k.part(bye)
			return
		}
		timer.Reset(next)
		select {
		case <-k.wake:
		case <-timer.C:
		case <-k.wire.done:
			return
		}
	}
}

// next takes what waits to be written. With nothing left it says how to close,
// if that is due, and otherwise for how long nothing is due.
func (k *socket) next() ([]item, *farewell, time.Duration) {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wait := time.Hour
	due := func(at time.Time) bool {
		left := at.Sub(now)
		if left > 0 {
			wait = min(wait, left)
		}
		return left <= 0
	}
	if beat := k.wire.thawedAt(now); beat.After(k.lastBeat) {
		k.lastBeat = beat // nothing was read while it was frozen
	}
	switch {
	case k.farewell != nil:
	case k.retired:
		if !k.leaves.IsZero() && due(k.leaves) {
			k.farewell = k.leaving
		}
	case s.opt.IdleTimeout > 0 && due(k.lastBeat.Add(s.opt.IdleTimeout)):
		k.dismiss(CauseIdle, &farewell{code: websocket.StatusNormalClosure, reason: "no heartbeat"})
	case s.opt.CloseOnExpiry && due(k.expires):
		k.dismiss(CauseExpired, &farewell{code: websocket.StatusNormalClosure, reason: "Token is expired"})
	}
	batch := k.queue
	k.queue = nil
	return batch, k.farewell, wait
}

// send writes one frame and settles it. It returns false if that failed.
func (k *socket) send(it item) bool {
	err := k.conn.Write(context.Background(), it.typ, it.frame) // the wire has the deadline
	if errors.Is(err, os.ErrDeadlineExceeded) {
		k.hold(CauseStalled)
	}
	if err != nil { // other causes are the reader's to tell: it may hold a close frame
		return false
	}
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	k.queued -= len(it.frame)
	if it.entry > 0 {
		k.rec.Events++
		s.settle(k.sub, it.entry, Written)
	}
	if k.drained != nil && k.queued <= drainedBelow {
		close(k.drained)
		k.drained = nil
	}
	return true
}

// part closes the socket: by a close frame, after the freeze if there is one.
func (k *socket) part(bye *farewell) {
	if !k.wire.wait(k.wire.done) {
		return
	}
	if bye.frame != nil && !k.send(item{frame: bye.frame, typ: websocket.MessageText}) {
		return
	}
	k.conn.Close(bye.code, bye.reason)
}

// read answers heartbeats until the socket is over.
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
			k.hold(cause)
			return
		}
		var frame struct {
			Module string `json:"module"`
		}
		beat := json.Unmarshal(data, &frame) == nil && frame.Module == "heartbeat"
		k.received(beat)
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
	if it := (item{frame: []byte(frameHeartbeat), typ: websocket.MessageText}); k.room(len(it.frame)) {
		k.push(it)
	}
	s.notify()
}
