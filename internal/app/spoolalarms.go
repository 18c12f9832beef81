package app

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/outbox/spool"
	"github.com/zoomstream/zoomstream/message"
)

// spoolingPatience is how long events may be held back until that is an alarm.
const spoolingPatience = 5 * time.Second

// awayDetail is told of a leader without NATS that has had nothing to publish meanwhile.
const awayDetail = "there is no connection to NATS; what comes is kept until it is back"

// errCatchingUp says that there is no trouble any more.
var errCatchingUp = errors.New("what is on disk is being published")

// spoolingTrouble is why events are held back, or would be if there were any, if that has
// been so for a while. A standby gets none.
func (r *replica) spoolingTrouble(st outbox.Stats) (text string, known bool) {
	switch {
	case r.nc.IsConnected():
		r.awaySince = time.Time{}
	case r.awaySince.IsZero():
		r.awaySince = time.Now()
	case st.Direct && time.Since(r.awaySince) > spoolingPatience && r.leads():
		return awayDetail, true
	}
	return spoolingTrouble(st)
}

// spoolingTrouble is why events are held back, if that has been so for a while.
func spoolingTrouble(st outbox.Stats) (text string, known bool) {
	switch {
	case st.Direct:
		return "", true
	case time.Since(st.Since) > spoolingPatience:
		return cmp.Or(st.Trouble, errCatchingUp).Error(), true
	}
	return "", false
}

// spoolTrouble is why the spool cannot be used.
func spoolTrouble(st outbox.Stats) (text string, known bool) {
	if st.SpoolErr != nil && !errors.Is(st.SpoolErr, spool.ErrFull) {
		return st.SpoolErr.Error(), true
	}
	return "", st.Direct && st.SpoolErr == nil
}

// spoolFullTrouble says that the spool is at its bound.
func spoolFullTrouble(st outbox.Stats) (text string, known bool) {
	if errors.Is(st.SpoolErr, spool.ErrFull) {
		return st.SpoolErr.Error(), true
	}
	return "", st.Direct && st.SpoolErr == nil
}

// publishDamage raises the alarm of the spool for what it has lost, anew if it is raised.
func (r *replica) publishDamage() {
	what := r.spooled.popDamage()
	if what == "" {
		return
	}
	if !r.takeBack(message.AlarmSpool, "more is lost", r.monitor.alarms.Withdraw) || !r.setAlarm(message.AlarmSpool, true, what) {
		r.spooled.noteDamage(what)
	}
}

// adoptAlarms goes on with alarms that an earlier run of this replica has raised, and
// once what was left is published, clears those of a replica that had another name.
func (r *replica) adoptAlarms(direct bool) {
	board, at := r.monitor.alarms, r.monitor.clock(time.Now())
	for a, raised := range r.spooled.popAlarms() {
		switch {
		case a.replica == r.o.Config.Replica && raised:
			board.Adopt(a.name, "", 0, "raised by an earlier run of this replica", at)
		case a.replica == r.o.Config.Replica:
			board.Clear(a.name, "", 0, "an earlier run of this replica has cleared it", at)
		case raised && (!direct || !r.outbox.TryPublish(r.alarmMessage(a, false, "the run that raised it has ended", at))):
			r.spooled.putBack(a)
		}
	}
}

// spooled keeps what the outbox reports of the spool until the alarms are checked. It is
// safe for concurrent use.
type spooled struct {
	prefix string // of the subjects

	mu     sync.Mutex
	damage string
	alarms map[replicaAlarm]bool // raised or not: the last word of earlier runs on alarms of whole replicas
}

// maxReplicaAlarms bounds what is kept of earlier runs' alarms.
const maxReplicaAlarms = 1000

func (s *spooled) noteDamage(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damage != "" {
		what = s.damage + "; " + what
	}
	s.damage = what
}

func (s *spooled) popDamage() (what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what, s.damage = s.damage, ""
	return what
}

// noteReplayed looks for alarms of earlier runs whose messages are on their way only now.
func (s *spooled) noteReplayed(msg *nats.Msg) {
	if message.KindOf(s.prefix, msg.Subject) != message.KindAlarm {
		return
	}
	a, err := message.ParseAlarm(msg.Data, time.Now())
	if err != nil || a.Subscription != "" || !slices.Contains(message.ReplicaAlarms(), a.Name) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := replicaAlarm{a.Name, a.Replica}
	if _, known := s.alarms[k]; known || len(s.alarms) < maxReplicaAlarms {
		s.alarms[k] = a.Raised
	}
}

func (s *spooled) popAlarms() (all map[replicaAlarm]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, s.alarms = s.alarms, make(map[replicaAlarm]bool)
	return all
}

// putBack notes an alarm again that is raised, unless there is a later word on it.
func (s *spooled) putBack(a replicaAlarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.alarms[a]; !known {
		s.alarms[a] = true
	}
}
