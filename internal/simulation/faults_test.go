package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// action is something to do at a certain time.
type action struct {
	at time.Time
	do func()
}

// after puts an action on the agenda. One goroutine runs all actions in order of their times, so
// they need no locks.
func (w *world) after(d time.Duration, do func()) {
	a := action{time.Now().Add(d), do}
	i, _ := slices.BinarySearchFunc(w.agenda, a, func(b, a action) int {
		if b.at.After(a.at) {
			return 1
		}
		return -1
	})
	w.agenda = slices.Insert(w.agenda, i, a)
}

// act runs the actions on the agenda, and those that they add.
func (w *world) act() {
	for len(w.agenda) > 0 {
		next := w.agenda[0]
		w.agenda = w.agenda[1:]
		time.Sleep(time.Until(next.at))
		next.do()
	}
}

// do runs a step.
func (w *world) do(s step) {
	sub := ""
	if s.sub >= 0 {
		sub = subscription(s.sub)
	}
	var r *replica
	if ofReplica[s.fault] {
		if r = w.target(s); r == nil {
			w.journal.note("%s: nobody to do it to", s)
			return
		}
		w.journal.note("%s (%s)", s, r.name)
	} else {
		w.journal.note("%s", s)
	}
	i := incident{fault: s.fault, span: span{time.Now(), time.Now().Add(s.last + s.behind.Abs())}, step: s}
	if r != nil {
		i.replica = r.name
	} else if ofSubscription[s.fault] {
		i.sub = sub
	}
	if s.fault == faultRotate { // replicas discard a refused token at most once a minute
		i.to = i.to.Add(2 * time.Minute)
	}
	w.incidents = append(w.incidents, i)
	switch s.fault {
	case faultCrash:
		r.die()
		w.revive(r.slot, s)
	case faultVanish:
		r.vanish()
		w.revive(r.slot, s)
	case faultStop:
		r.stop()
		w.revive(r.slot, s)
	case faultRolling:
		w.roll(0, s)
	case faultStepDown:
		w.stepDown(r)
	case faultNATSCut:
		w.lose(r, r.nats, (*pipenet.Link).Cut, s.last)
	case faultNATSHole, faultSplit:
		w.lose(r, r.nats, (*pipenet.Link).BlackHole, s.last)
	case faultZoomCut:
		w.lose(r, r.zoom, (*pipenet.Link).Cut, s.last)
	case faultZoomHole:
		w.lose(r, r.zoom, (*pipenet.Link).BlackHole, s.last)
	case faultNATSDown:
		w.nats.halt()
		w.after(s.last, w.reboot)
		if s.behind != 0 {
			w.loseNATS(s)
		}
	case faultEverywhere:
		w.loseNATS(s)
	case faultStranger, faultFlapping:
		w.strangers.Go(func() { w.stranger(sub, s) })
	case faultBurst:
		w.burst(sub, s.n)
	case faultDelete:
		w.deleteStreams(strings.Fields(s.mode))
	default:
		w.zoomFault(s, sub)
	}
}

// target returns the replica that a step is about, or nil if it does not run.
func (w *world) target(s step) *replica {
	var slot *slot
	if s.slot >= 0 {
		slot = w.slots[s.slot]
	} else if slot = w.leader(subscription(s.sub)); slot == nil {
		return nil
	}
	if !slot.current.running() {
		return nil
	}
	return slot.current
}

// revive starts a replica in the slot of one that has ended, or is about to.
func (w *world) revive(s *slot, st step) {
	old := s.current
	var start func()
	start = func() {
		if s.current != old {
			return
		}
		select {
		case <-old.done:
		default:
			if !old.dead { // like a supervisor, wait for the process to end
				w.after(100*time.Millisecond, start)
				return
			}
		}
		w.launch(s, st.rename)
	}
	w.after(st.last, start)
}

// roll restarts the replica of a slot, and then those of the slots after it.
func (w *world) roll(n int, st step) {
	if n == len(w.slots) {
		return
	}
	if s := w.slots[n]; s.current.running() {
		w.journal.note("rolling restart of %s", s.current.name)
		w.incidents = append(w.incidents, incident{fault: faultStop, span: span{time.Now(), time.Now()}, step: st, replica: s.current.name})
		s.current.stop()
		w.revive(s, step{last: 500 * time.Millisecond})
	}
	w.after(500*time.Millisecond+st.last, func() { w.roll(n+1, st) })
}

func (w *world) stepDown(r *replica) {
	w.strangers.Go(func() {
		select {
		case r.stepDown <- struct{}{}:
		case <-r.done:
		case <-time.After(10 * time.Second):
		}
	})
}

// lose breaks one of a replica's links for some time.
func (w *world) lose(r *replica, l *pipenet.Link, how func(*pipenet.Link), d time.Duration) {
	if r.dead {
		return
	}
	how(l)
	w.after(d, func() {
		if !r.dead {
			w.journal.note("a link of %s is mended", r.name)
			l.Heal()
		}
	})
}

func (w *world) loseNATS(s step) {
	how := (*pipenet.Link).Cut
	if s.mode == "hole" {
		how = (*pipenet.Link).BlackHole
	}
	leader := w.leader(subscription(max(0, s.sub)))
	for _, slot := range w.slots {
		last := s.last
		if slot == leader {
			last += max(0, s.behind)
		} else {
			last += max(0, -s.behind)
		}
		w.lose(slot.current, slot.current.nats, how, last)
	}
}

func (w *world) deleteStreams(names []string) {
	w.administer(func(js jetstream.JetStream) error {
		for _, name := range names {
			if err := js.DeleteStream(context.Background(), name); err != nil {
				return err
			}
		}
		return nil
	})
}

// administer runs an operation on NATS.
func (w *world) administer(do func(jetstream.JetStream) error) {
	nc, err := nats.Connect("", nats.InProcessServer(&w.nats))
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		panic(err)
	}
	if err := do(js); err != nil {
		panic(err)
	}
}

// reboot starts the nats-server unless it runs already.
func (w *world) reboot() {
	if w.nats.running() {
		return
	}
	w.journal.note("nats-server starts")
	if err := w.nats.boot(); err != nil {
		panic(fmt.Sprintf("nats-server does not start again: %v", err))
	}
}

// closeCodes are the codes that Zoom may close with.
var closeCodes = []websocket.StatusCode{websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusInternalError, 4000}

// zoomFault runs a step for which the simulated Zoom has a fault.
func (w *world) zoomFault(s step, sub string) {
	span := zoomsim.Span{For: s.last}
	var err error
	switch s.fault {
	case faultFreeze:
		w.sim.Freeze(sub, s.last, s.mode == "dials")
	case faultReset:
		w.sim.Cut(sub)
	case faultClose:
		_, err = w.sim.CloseSockets(sub, closeCodes[int(s.at/time.Millisecond)%len(closeCodes)], "maintenance")
	case faultRefuse:
		err = w.sim.Refuse(sub, zoomsim.Refusal{Mode: zoomsim.RefuseMode(s.mode)}, span)
	case faultToken:
		err = w.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenMode(s.mode), Delay: 3 * time.Second, RetryAfter: 2 * time.Second}, span)
	case faultRotate:
		_, err = w.sim.Do("rotate?count=1")
		w.sim.IssueToken()
		w.sim.Cut("")
	case faultGarbage:
		w.garbage(sub, s.n)
	default:
		panic("no such fault: " + string(s.fault))
	}
	if err != nil {
		panic(err)
	}
}
