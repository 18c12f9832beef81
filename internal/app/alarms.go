package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// alarmPeriod is how often the conditions of the process's alarms are checked.
	alarmPeriod = time.Second
	// tokenPatience is how long Zoom may fail to give a token before it is an alarm.
	tokenPatience = 5 * time.Second
	// streamPatience is how long the stream may refuse messages before it is an alarm. A cluster
	// needs 4 to 9 s to elect a leader.
	streamPatience = 15 * time.Second
	// deniedFresh is how long a permission violation counts as the reason why nothing is stored.
	deniedFresh = 30 * time.Second
)

// condition decides one alarm of the process: why returns the reason to raise it, or "" to clear
// it. With known false the alarm stays as it is.
type condition struct {
	alarm string
	why   func(st outbox.Stats) (text string, known bool)
}

// watchAlarms raises and clears the alarms of the process, until the context ends.
func (r *replica) watchAlarms(ctx context.Context) {
	tick := time.NewTicker(alarmPeriod)
	defer tick.Stop()
	all := []condition{
		{message.AlarmToken, func(outbox.Stats) (string, bool) { return r.monitor.tokenTrouble(r.tokens.Stats()), true }},
		{message.AlarmStream, r.streamTrouble},
		{message.AlarmSpooling, r.spoolingTrouble},
		{message.AlarmSpool, spoolTrouble},
		{message.AlarmSpoolFull, spoolFullTrouble},
		{message.AlarmConsumers, r.consumersTrouble},
	}
	for {
		select {
		case <-ctx.Done():
			r.abandonAlarms()
			return
		case <-tick.C:
		}
		r.candidate.SetFitness(fitness(r.tokens.Stats()))
		st := r.outbox.Stats()
		r.adoptAlarms(st.Direct)
		r.publishDamage()
		for _, c := range all {
			if text, known := c.why(st); known {
				r.setAlarm(c.alarm, text != "", text)
			}
		}
	}
}

// setAlarm raises or clears an alarm of the process, on the board and in the stream, if it is not
// in that state already. It returns false if the outbox has no room for the message: the caller
// must try again.
func (r *replica) setAlarm(name string, raised bool, detail string) bool {
	board, at := r.monitor.alarms, r.monitor.clock(time.Now())
	if !raised {
		return r.takeBack(name, detail, func(name, detail string, at time.Time) bool { return board.Clear(name, "", 0, detail, at) })
	}
	if !slices.Contains(board.Of("", 0), name) && !r.outbox.TryPublish(r.alarmMessage(replicaAlarm{name, r.o.Config.Replica}, true, detail, at)) {
		return false
	}
	board.Raise(name, "", 0, detail, at) // if already raised: the new detail
	return true
}

// takeBack clears an alarm of the process if it is raised: in the stream, and on the board by
// calling onBoard. Without a detail, it says how long the alarm has lasted. It returns false if the outbox has no room for the message.
func (r *replica) takeBack(name, detail string, onBoard func(name, detail string, at time.Time) bool) bool {
	if !slices.Contains(r.monitor.alarms.Of("", 0), name) {
		return true
	}
	at := r.monitor.clock(time.Now())
	detail = cmp.Or(detail, r.monitor.alarms.Lasted(name, at))
	if !r.outbox.TryPublish(r.alarmMessage(replicaAlarm{name, r.o.Config.Replica}, false, detail, at)) {
		return false
	}
	return onBoard(name, detail, at)
}

// abandonAlarms clears the process's alarms in the stream, since nobody would after this process
// has ended. Their causes persist.
func (r *replica) abandonAlarms() {
	for _, a := range r.monitor.alarms.Raised() {
		if a.Subscription == "" { // otherwise the next leader takes over the alarm
			r.takeBack(a.Alarm, "this replica stops while it is raised: "+a.Detail, r.monitor.alarms.Abandon)
		}
	}
}

// replicaAlarm is an alarm of a whole replica.
type replicaAlarm struct{ name, replica string }

func (r *replica) alarmMessage(a replicaAlarm, raised bool, detail string, at time.Time) *nats.Msg {
	return message.Alarm{
		Name: a.name, Raised: raised, Replica: a.replica, At: at.UTC(), Detail: detail,
	}.Msg(r.o.Config.Prefix)
}

// tokenTrouble returns why Zoom gives no access token, once somebody has waited for tokenPatience
// (nobody waits while the cached token is valid), or why tokens do not stay valid; "" if all is
// well.
func (m *monitor) tokenTrouble(st zoom.TokenStats) string {
	why := st.Trouble()
	if st.Credentials == zoom.CredentialsDenied && why != "" { // final, so no patience
		return fmt.Sprintf("Zoom has refused this replica's credentials since %s, so it cannot connect: %s", m.clock(st.Since).UTC().Format(time.RFC3339), why)
	}
	if why == "" || time.Since(st.Since) < tokenPatience {
		return st.Rivals
	}
	return fmt.Sprintf("Zoom has given no access token since %s: %s", m.clock(st.Since).UTC().Format(time.RFC3339), why)
}

// bucketTrouble names the bucket that was deleted and cannot be recreated; "" if there is none.
func (r *replica) bucketTrouble() string {
	if err := r.leases.Lost(); err != nil {
		return fmt.Sprintf("the lease bucket was deleted and cannot be created again: %v", err)
	}
	if err := r.states.Lost(); err != nil {
		return fmt.Sprintf("the state bucket was deleted and cannot be created again: %v", err)
	}
	return ""
}

// streamTrouble returns why the stream takes no messages, or which bucket is gone, once that has
// lasted for streamPatience while NATS was connected. Without NATS the answer is unknown.
func (r *replica) streamTrouble(st outbox.Stats) (text string, known bool) {
	if why := r.streamWatch.currentProblem(); why != "" {
		return why, true
	}
	bucket := r.bucketTrouble()
	if st.Direct && bucket == "" {
		r.refusedSince = time.Time{}
		return "", true
	}
	text = bucket
	if !st.Direct {
		text = cmp.Or(r.refusalDetail(cmp.Or(st.Publisher.Err, st.Trouble)), bucket)
	}
	switch {
	case text == "" || !r.nc.IsConnected():
		r.refusedSince = time.Time{}
	case r.refusedSince.IsZero():
		r.refusedSince = time.Now()
	case time.Since(r.refusedSince) >= streamPatience:
		return text, true
	}
	return "", false
}

// refusalDetail explains a publish error that comes from the stream; "" for any other.
func (r *replica) refusalDetail(err error) string {
	name := r.o.Config.Stream
	if denied := r.monitor.denied.Load(); err != nil && denied != nil && time.Since(denied.at) < deniedFresh && strings.Contains(denied.detail, `"`+r.o.Config.Prefix+".") {
		return fmt.Sprintf("NATS denies this user a subject that stream %s needs: %s", name, denied.detail)
	}
	if _, refused := errors.AsType[*jetstream.APIError](err); refused {
		return fmt.Sprintf("stream %s refuses events: %v", name, err)
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Sprintf("nobody answers for stream %s: it is gone, or its servers have no leader", name)
	}
	return ""
}
