package zoomsim

import "time"

// How a socket's state changes. All but ready, hold, lose, leave and exit
// expect the caller to hold sim.mu.

// drainedBelow is the length in bytes of a queue that counts as short.
const drainedBelow = 512 << 10

// ready makes the socket the one that gets the subscription's events, and
// displaces the one that did.
func (k *socket) ready() {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.retired {
		return
	}
	now := time.Now()
	k.rec.Ready = now
	k.sub.sum.Ready++
	old := k.sub.current
	k.sub.current = k
	if old != nil {
		d, ok := faultOf[Displacement](s, k.sub, faultDisplace, now)
		if !ok {
			d = Displacement{Linger: s.opt.Linger, Frame: s.opt.DisplaceFrame}
		}
		old.retire(CauseDisplaced)
		old.leaves, old.leaving = now.Add(d.Linger), d.farewell()
		old.poke()
	}
	s.notify()
}

// retire takes the socket's events away, for good. The first cause counts.
func (k *socket) retire(cause Cause) {
	if k.retired {
		return
	}
	k.retired = true
	k.rec.Cause = cause
	k.rec.Retired = time.Now()
	if k.sub.sum.Retired == nil {
		k.sub.sum.Retired = make(map[Cause]int64)
	}
	k.sub.sum.Retired[cause]++
	if k.sub.current == k {
		k.sub.current = nil
	}
	k.sim.notify()
}

// dismiss retires the socket and has it closed once its queue is written.
func (k *socket) dismiss(cause Cause, bye *farewell) {
	k.retire(cause)
	if k.farewell == nil {
		k.farewell = bye
	}
	k.poke()
}

// room says whether the queue takes n more bytes. A socket whose queue is full
// is dismissed: a hole in what it gets must not look like a quiet hour.
func (k *socket) room(n int) bool {
	if k.finished {
		return false
	}
	if k.queued+n <= k.sim.opt.QueueBytes {
		return true
	}
	k.dismiss(CauseOverflow, &farewell{code: 1013, reason: "too slow"})
	return false
}

// push queues a frame for which there is room.
func (k *socket) push(it item) {
	k.queue = append(k.queue, it)
	k.queued += len(it.frame)
	k.poke()
}

// poke wakes the writer.
func (k *socket) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// hold is retire for who does not hold the lock.
func (k *socket) hold(cause Cause) {
	k.sim.mu.Lock()
	defer k.sim.mu.Unlock()
	k.retire(cause)
}

// lose settles frames that will not be written any more.
func (k *socket) lose(items []item) {
	k.sim.mu.Lock()
	defer k.sim.mu.Unlock()
	for _, it := range items {
		if it.entry > 0 {
			k.sim.settle(k.sub, it.entry, Lost)
		}
	}
}

// leave ends the queue.
func (k *socket) leave() {
	k.sim.mu.Lock()
	k.finished = true
	rest := k.queue
	k.queue = nil
	if k.drained != nil {
		close(k.drained)
		k.drained = nil
	}
	k.sim.mu.Unlock()
	k.lose(rest)
}

// exit records that the connection is closed, and returns the whole record.
func (k *socket) exit() Socket {
	s := k.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	k.retire(CauseGone)
	k.rec.Closed = time.Now()
	k.sub.sum.Open--
	delete(s.sockets, k.rec.N)
	s.notify()
	return *k.rec
}
