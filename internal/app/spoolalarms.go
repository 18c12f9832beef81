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

// spoolingPatience is how long events may be held back before it is an alarm.
const spoolingPatience = 5 * time.Second

// awayDetail is the alarm's text for a leader without NATS that had nothing to publish meanwhile.
const awayDetail = "there is no connection to NATS; events are kept until it is back"

// errCatchingUp stands in when the cause is gone but the spool is not empty yet.
var errCatchingUp = errors.New("the events on disk are being published")

// spoolingTrouble returns why events are held back, or would be if any came, once that has lasted
// for spoolingPatience. For a standby it does not count that NATS is away.
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

// spoolingTrouble returns why events are held back, once that has lasted for spoolingPatience.
func spoolingTrouble(st outbox.Stats) (text string, known bool) {
	switch {
	case st.Direct:
		return "", true
	case time.Since(st.Since) > spoolingPatience:
		return cmp.Or(st.Trouble, errCatchingUp).Error(), true
	}
	return "", false
}

// spoolTrouble returns why the spool cannot be used.
func spoolTrouble(st outbox.Stats) (text string, known bool) {
	if st.SpoolErr != nil && !errors.Is(st.SpoolErr, spool.ErrFull) {
		return st.SpoolErr.Error(), true
	}
	return "", st.Direct && st.SpoolErr == nil
}

// spoolFullTrouble returns a text if the spool has reached its size limit.
func spoolFullTrouble(st outbox.Stats) (text string, known bool) {
	if errors.Is(st.SpoolErr, spool.ErrFull) {
		return st.SpoolErr.Error(), true
	}
	return "", st.Direct && st.SpoolErr == nil
}

// publishDamage raises the spool's alarm for what the spool has lost; if it is raised already, it
// clears it first.
func (r *replica) publishDamage() {
	what := r.spooled.popDamage()
	if what == "" {
		return
	}
	if !r.takeBack(message.AlarmSpool, "more has been lost", r.monitor.alarms.Withdraw) || !r.setAlarm(message.AlarmSpool, true, what) {
		r.spooled.noteDamage(what)
	}
}

// adoptAlarms takes over the alarms that an earlier run of this replica raised. Once direct, that
// is once the leftovers are published, it clears those of a replica with another name.
func (r *replica) adoptAlarms(direct bool) {
	board, at := r.monitor.alarms, r.monitor.clock(time.Now())
	for a, raised := range r.spooled.popAlarms() {
		switch {
		case a.replica == r.o.Config.Replica && raised:
			board.Adopt(a.name, "", 0, "raised by an earlier run of this replica", at)
		case a.replica == r.o.Config.Replica:
			board.Clear(a.name, "", 0, "cleared by an earlier run of this replica", at)
		case raised && (!direct || !r.outbox.TryPublish(r.alarmMessage(a, false, "the run that raised it has ended", at))):
			r.spooled.putBack(a)
		}
	}
}

// spooled keeps what the outbox reports about the spool until the alarms are next checked. It is
// safe for concurrent use.
type spooled struct {
	prefix string // of the subjects

	mu     sync.Mutex
	damage string
	alarms map[replicaAlarm]bool // raised or not: the latest state that earlier runs published, per alarm of a whole replica
}

// maxReplicaAlarms bounds how many alarms of earlier runs are kept.
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

// noteReplayed picks out alarms of earlier runs whose messages leave the spool only now.
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

// putBack keeps a raised alarm for the next check, unless newer news of it has arrived.
func (s *spooled) putBack(a replicaAlarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.alarms[a]; !known {
		s.alarms[a] = true
	}
}
