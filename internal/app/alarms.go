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
	// alarmPeriod is how often the alarms of the process are judged.
	alarmPeriod = time.Second
	// tokenPatience is how long Zoom may give no token.
	tokenPatience = 5 * time.Second
	// streamPatience is how long the stream may refuse messages; a cluster that
	// elects a leader takes 4 to 9 s.
	streamPatience = 15 * time.Second
	// deniedFresh is how long a denied subject explains that nothing is stored.
	deniedFresh = 30 * time.Second
)

// condition is what an alarm of the process goes by: why it is to be raised, or "" if
// it is over. What is not known changes nothing.
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
				r.setAlarm(c.alarm, text != "", cmp.Or(text, r.monitor.alarms.Lasted(c.alarm, r.monitor.clock(time.Now()))))
			}
		}
	}
}

// setAlarm raises or clears an alarm of the process, here and in the stream, if it is
// not so already. It is false if there is no room for the message: then it is due again.
func (r *replica) setAlarm(name string, raised bool, detail string) bool {
	board, at := r.monitor.alarms, r.monitor.clock(time.Now())
	if !raised {
		return r.takeBack(name, detail, func(name, detail string, at time.Time) bool { return board.Clear(name, "", 0, detail, at) })
	}
	if !slices.Contains(board.Of("", 0), name) && !r.outbox.TryPublish(r.alarmMessage(replicaAlarm{name, r.o.Config.Replica}, true, detail, at)) {
		return false
	}
	board.Raise(name, "", 0, detail, at) // or what is new about it
	return true
}

// takeBack clears an alarm of the process in the stream, and on the board by one of its methods,
// if it is raised. It is false if there is no room for the message.
func (r *replica) takeBack(name, detail string, onBoard func(name, detail string, at time.Time) bool) bool {
	if !slices.Contains(r.monitor.alarms.Of("", 0), name) {
		return true
	}
	at := r.monitor.clock(time.Now())
	if !r.outbox.TryPublish(r.alarmMessage(replicaAlarm{name, r.o.Config.Replica}, false, detail, at)) {
		return false
	}
	return onBoard(name, detail, at)
}

// abandonAlarms clears the alarms of the process in the stream, since nobody would do it after this
// process. What they are about goes on.
func (r *replica) abandonAlarms() {
	for _, a := range r.monitor.alarms.Raised() {
		if a.Subscription == "" { // else its next leader answers for it
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

// tokenTrouble is why Zoom gives no access token, if somebody has waited for one for
// a while (as long as the one at hand is valid nobody does), or why none lasts.
func (m *monitor) tokenTrouble(st zoom.TokenStats) string {
	why := st.Trouble()
	if st.Credentials == zoom.CredentialsDenied && why != "" { // that is sure at once
		return fmt.Sprintf("Zoom refuses this replica's credentials since %s, so it cannot connect: %s", m.clock(st.Since).UTC().Format(time.RFC3339), why)
	}
	if why == "" || time.Since(st.Since) < tokenPatience {
		return st.Rivals
	}
	return fmt.Sprintf("Zoom gives no access token since %s: %s", m.clock(st.Since).UTC().Format(time.RFC3339), why)
}

// bucketTrouble says which bucket is gone and cannot be made again: "": none.
func (r *replica) bucketTrouble() string {
	if err := r.leases.Lost(); err != nil {
		return fmt.Sprintf("the bucket of the leases was deleted and cannot be created again: %v", err)
	}
	if err := r.states.Lost(); err != nil {
		return fmt.Sprintf("the bucket of the states was deleted and cannot be created again: %v", err)
	}
	return ""
}

// streamTrouble is why the stream takes nothing, or a bucket is gone, if NATS is there
// and that has been so for a while. As long as NATS is away, nobody can say.
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

// refusalDetail is what is wrong with the stream, if an error says so.
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
