package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// fault is what a step does.
type fault string

const (
	faultCrash      fault = "crash"      // a process dies: its connections are reset
	faultVanish     fault = "vanish"     // a machine is lost: its connections go silent
	faultStop       fault = "stop"       // orderly stop
	faultRolling    fault = "rolling"    // each replica in turn: orderly stop and start
	faultStepDown   fault = "step-down"  //
	faultNATSCut    fault = "nats-cut"   // one replica: reset, and dials refused
	faultNATSHole   fault = "nats-hole"  // one replica: silence
	faultZoomCut    fault = "zoom-cut"   //
	faultZoomHole   fault = "zoom-hole"  //
	faultNATSDown   fault = "nats-down"  // the server stops, and starts again
	faultFreeze     fault = "freeze"     // Zoom's sockets stand still
	faultReset      fault = "reset"      // Zoom's sockets end without a close frame
	faultClose      fault = "close"      // Zoom's sockets end with a close frame
	faultRefuse     fault = "refuse"     // Zoom refuses dials
	faultToken      fault = "token"      // requests for a token fail
	faultRotate     fault = "rotate"     // every token is worthless from now on, and sockets are closed
	faultStranger   fault = "stranger"   // somebody else connects and holds the subscription
	faultFlapping   fault = "flapping"   // a stranger connects again and again
	faultEverywhere fault = "cut-all"    // every replica is cut off from NATS at once
	faultSplit      fault = "split-nats" // the leader is cut off from NATS, in silence, until after its lease
	faultGarbage    fault = "garbage"    // frames that are no events
	faultBurst      fault = "burst"      // many events
	faultDelete     fault = "delete"     // streams of buckets are deleted; mode has their names, separated by spaces
	_               fault = ""           //
)

// mostBehind, together with the pause of up to 1.5 s before a replica's next try to reconnect, is
// less than the 3 s after which the others give up on a holder.
const mostBehind = 1400 * time.Millisecond

// step is one line of a plan.
type step struct {
	at     time.Duration // since all were connected
	fault  fault
	slot   int           // index of a replica; -1: the subscription's leader
	sub    int           // index of a subscription; -1: all
	last   time.Duration // until the fault ends, or the replica starts again
	behind time.Duration // how much later than the others the leader finds NATS again after an outage for all; negative: sooner
	mode   string
	rename bool // the replica starts again under another name
	n      int
}

func (s step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%9.3fs %s", s.at.Seconds(), s.fault)
	if s.mode != "" {
		fmt.Fprintf(&b, " %s", s.mode)
	}
	if s.n > 0 {
		fmt.Fprintf(&b, " x%d", s.n)
	}
	switch {
	case s.slot >= 0:
		fmt.Fprintf(&b, " replica %d", s.slot+1)
	case ofReplica[s.fault]:
		fmt.Fprintf(&b, " the leader of %s", subscription(s.sub))
	case s.sub >= 0 && ofSubscription[s.fault]:
		fmt.Fprintf(&b, " %s", subscription(s.sub))
	}
	if s.last > 0 {
		fmt.Fprintf(&b, " for %s", s.last)
	}
	if s.behind != 0 {
		fmt.Fprintf(&b, ", the leader later by %s", s.behind)
	}
	if s.rename {
		b.WriteString(", back under another name")
	}
	return b.String()
}

var (
	ofReplica      = set(faultCrash, faultVanish, faultStop, faultStepDown, faultNATSCut, faultNATSHole, faultZoomCut, faultZoomHole, faultSplit)
	ofSubscription = set(faultFreeze, faultReset, faultClose, faultRefuse, faultStranger, faultFlapping, faultGarbage, faultBurst)
)

func set(faults ...fault) map[fault]bool {
	m := make(map[fault]bool)
	for _, f := range faults {
		m[f] = true
	}
	return m
}

// plan is everything that a seed decides.
type plan struct {
	seed          uint64
	calm          bool // one fault at a time, with time to recover
	replicas      int
	subscriptions int
	rate          float64 // events per second and subscription
	stagger       time.Duration
	natsDelay     time.Duration
	zoomDelay     time.Duration
	linger        time.Duration
	displaceFrame bool
	tokenLifetime time.Duration
	closeOnExpiry bool          // Zoom closes a socket when its token expires
	renew         string        // ZOOMSTREAM_RENEW; empty: the default
	skew          time.Duration // bound on the error of a machine's wall clock
	steps         []step
	length        time.Duration // how long faults happen
	quiet         time.Duration // how long it is quiet after that
	watch         func()        // called every ten minutes, between faults; may be nil
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d replicas, %d subscriptions, %.1f events/s each, calm %v, delay %s to NATS and %s to Zoom, linger %s, displacement in a frame %v, token life %s, clocks off by %s",
		p.seed, p.replicas, p.subscriptions, p.rate, p.calm, p.natsDelay, p.zoomDelay, p.linger, p.displaceFrame, p.tokenLifetime, p.skew)
	for _, s := range p.steps {
		b.WriteString("\n" + s.String())
	}
	fmt.Fprintf(&b, "\n%9.3fs faults are lifted, %s of quiet", p.length.Seconds(), p.quiet)
	return b.String()
}

// dice draws random values.
type dice struct{ *rand.Rand }

func (d dice) between(from, to time.Duration) time.Duration {
	return (from + time.Duration(d.Int64N(int64(to-from)+1))).Round(time.Millisecond)
}

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

func newPlan(seed uint64) *plan {
	d := dice{rand.New(rand.NewPCG(seed, 0x7a6f6f6d))}
	p := &plan{
		seed: seed, calm: d.chance(50), replicas: 2 + d.IntN(3), subscriptions: 1 + d.IntN(6),
		stagger:       d.between(0, 3*time.Second),
		natsDelay:     d.between(0, 3*time.Millisecond),
		zoomDelay:     d.between(time.Millisecond, 40*time.Millisecond),
		displaceFrame: d.chance(30),
		tokenLifetime: pick(d, time.Hour, time.Hour, 2*time.Minute),
		quiet:         time.Minute,
	}
	if d.chance(30) {
		p.linger = d.between(0, 2*time.Second)
	}
	if d.chance(20) {
		p.skew = d.between(0, 3*time.Second)
	}
	p.rate = (2 + 14*d.Float64()) / float64(p.subscriptions)
	pause := func() time.Duration { return d.between(50*time.Millisecond, 15*time.Second) }
	p.length = d.between(2*time.Minute, 5*time.Minute)
	if p.calm {
		pause = func() time.Duration { return d.between(75*time.Second, 100*time.Second) }
		p.length = d.between(4*time.Minute, 8*time.Minute)
	}
	for at := pause(); at < p.length; at += pause() {
		s := p.step(d)
		s.at = at
		p.steps = append(p.steps, s)
	}
	return p
}

// weights says how often each fault is drawn.
var weights = []struct {
	fault  fault
	weight int
}{
	{faultCrash, 14}, {faultVanish, 5}, {faultStop, 8}, {faultRolling, 3}, {faultStepDown, 8},
	{faultNATSCut, 8}, {faultNATSHole, 8}, {faultZoomCut, 6}, {faultZoomHole, 6}, {faultNATSDown, 6},
	{faultFreeze, 5}, {faultReset, 6}, {faultClose, 5}, {faultRefuse, 4}, {faultToken, 4}, {faultRotate, 3},
	{faultStranger, 4}, {faultFlapping, 2}, {faultEverywhere, 3}, {faultSplit, 4}, {faultGarbage, 4}, {faultBurst, 4},
}

func (p *plan) step(d dice) step {
	var bag []fault
	for _, w := range weights {
		bag = append(bag, slices.Repeat([]fault{w.fault}, w.weight)...)
	}
	s := step{fault: pick(d, bag...), slot: -1, sub: d.IntN(p.subscriptions)}
	if ofReplica[s.fault] && d.chance(30) {
		s.slot = d.IntN(p.replicas)
	}
	longest := 60 * time.Second
	if p.calm {
		longest = 30 * time.Second
	}
	s.last = d.between(time.Second, longest)
	switch s.fault {
	case faultCrash, faultVanish, faultStop:
		s.last = d.between(500*time.Millisecond, 40*time.Second)
		s.rename = d.chance(30)
	case faultRolling:
		s.last = d.between(time.Second, 12*time.Second) // between two restarts
	case faultNATSDown:
		s.last = d.between(100*time.Millisecond, 20*time.Second)
		if d.chance(30) {
			s.last = d.between(leaseTTL-2*time.Second, 5*leaseTTL)
		}
		s.behind = d.between(0, 2*mostBehind) - mostBehind
	case faultEverywhere:
		s.last = d.between(100*time.Millisecond, 20*time.Second)
		s.mode = pick(d, "cut", "hole")
		if d.chance(30) { // from one life of the lease to many
			s.last = d.between(leaseTTL-2*time.Second, 5*leaseTTL)
		}
		s.behind = d.between(0, 2*mostBehind) - mostBehind
	case faultSplit:
		s.last = d.between(leaseTTL, leaseTTL+30*time.Second)
	case faultFreeze:
		s.mode = pick(d, "sockets", "sockets", "dials")
	case faultRefuse:
		s.mode = pick(d, "http503", "old", "new")
		s.last = d.between(time.Second, 20*time.Second)
	case faultToken:
		s.mode = pick(d, "http500", "html", "no-expires", "slow", "hang", "429")
		s.last = d.between(time.Second, 20*time.Second)
	case faultFlapping:
		s.n = 2 + d.IntN(5)
	case faultGarbage, faultBurst:
		s.last = 0
		s.n = 1 + d.IntN(20)
		if s.fault == faultBurst {
			s.n *= 20
		}
	case faultStepDown, faultReset, faultClose, faultRotate:
		s.last = 0
	}
	if (s.fault == faultFreeze || s.fault == faultReset || s.fault == faultClose || s.fault == faultRefuse) && d.chance(30) {
		s.sub = -1
	}
	return s
}
