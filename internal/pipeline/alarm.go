package pipeline

import (
	"cmp"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/alarm"
	"github.com/zoomstream/zoomstream/internal/spool"
)

// alarmAfter is how long publishing is held up until that is told in the stream.
const alarmAfter = 5 * time.Second

// errCatchingUp says that there is no trouble any more.
var errCatchingUp = errors.New("what is on disk is being published")

// tell raises and clears alarms.
func (p *Pipeline) tell(trouble error) {
	if p.opt.Alarm == nil {
		return
	}
	p.mu.Lock()
	direct, spoolErr, held := p.direct, p.spoolErr, time.Since(p.since)
	p.mu.Unlock()
	p.succeed()
	switch {
	case !direct && held > alarmAfter:
		p.raise(alarm.Spooling, cmp.Or(trouble, errCatchingUp))
	case direct:
		p.clear(alarm.Spooling)
	}
	if p.damage != "" && p.say(alarm.Spool, true, p.damage) {
		p.damage = ""
	}
	switch {
	case errors.Is(spoolErr, spool.ErrFull):
		p.raise(alarm.SpoolFull, spoolErr)
	case spoolErr != nil:
		p.raise(alarm.Spool, spoolErr)
	case direct:
		p.clear(alarm.Spool)
		p.clear(alarm.SpoolFull)
	}
}

// harm notes that something on disk is lost.
func (p *Pipeline) harm(what string) {
	p.damage = what + " in the spool are damaged, and lost"
	p.opt.Log.Error().Str("code", "spool.damaged").Str("dir", p.opt.SpoolDir).Msg(p.damage)
}

// inherit notes an alarm that an earlier run has raised, and whose message is still on
// its way. The caller holds p.mu.
func (p *Pipeline) inherit(msg *nats.Msg) {
	if p.opt.Inherited == nil {
		return
	}
	switch a, ok := p.opt.Inherited(msg); {
	case ok && a.Raised:
		p.inherited[a.Alarm+" "+a.Of] = a
	case ok:
		delete(p.inherited, a.Alarm+" "+a.Of)
	}
}

// succeed goes on with those alarms, or clears them once what was left is published.
func (p *Pipeline) succeed() {
	p.mu.Lock()
	direct, left := p.direct, p.inherited
	p.inherited = make(map[string]Inherited)
	p.mu.Unlock()
	for key, a := range left {
		switch {
		case a.Clear == nil:
			p.alarms[a.Alarm] = true
			p.opt.Alarm(a.Alarm, true, "raised by an earlier run of this replica")
		case !direct || !p.Insert(a.Clear): // later
			p.mu.Lock()
			p.inherited[key] = a
			p.mu.Unlock()
		}
	}
}

func (p *Pipeline) raise(name string, why error) {
	if !p.alarms[name] {
		p.say(name, true, why.Error())
	}
}

func (p *Pipeline) clear(name string) {
	if p.alarms[name] {
		p.say(name, false, "it is over")
	}
}

// say publishes an alarm if there is room; else it is due again soon.
func (p *Pipeline) say(name string, raised bool, detail string) bool {
	if !p.Insert(p.opt.Alarm(name, raised, detail)) {
		return false
	}
	p.alarms[name] = raised
	return true
}
