package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/alarm"
	"github.com/zoomstream/zoomstream/internal/bridge"
)

const (
	// alarmPeriod is how often the alarms of the process are judged.
	alarmPeriod = time.Second
	// tokenPatience is how long Zoom may give no token.
	tokenPatience = 5 * time.Second
	// tokenForgotten is how long after the last failure nobody seems to want one.
	tokenForgotten = 5 * time.Minute
	// streamPatience is how long the stream may refuse messages; a cluster that
	// elects a leader takes 4 to 9 s.
	streamPatience = 15 * time.Second
	// deniedFresh is how long a denied subject explains that nothing is stored.
	deniedFresh = 30 * time.Second
)

// judge raises and clears the alarms of the process, until the context ends.
func (r *replica) judge(ctx context.Context) {
	tick := time.NewTicker(alarmPeriod)
	defer tick.Stop()
	raised := make(map[string]bool)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for name, trouble := range map[string]string{alarm.Token: r.tokenTrouble(), alarm.Stream: r.streamTrouble()} {
			if is := trouble != ""; is != raised[name] && r.pipeline.Insert(r.alarm(name, is, trouble)) {
				raised[name] = is
			}
		}
	}
}

// tokenTrouble is why Zoom gives no access token, if it has not for a while.
func (r *replica) tokenTrouble() string {
	st := r.tokens.Stats()
	if st.Err == nil || time.Since(st.Since) < tokenPatience || time.Since(st.Failed) > tokenForgotten {
		return ""
	}
	return fmt.Sprintf("Zoom gives no access token since %s: %v", r.monitor.clock(st.Since).UTC().Format(time.RFC3339), st.Err)
}

// streamTrouble is why the stream takes nothing, if NATS is there and it has not for
// a while.
func (r *replica) streamTrouble() string {
	st := r.pipeline.Stats()
	if st.Direct || st.Trouble == nil || time.Since(st.Since) < streamPatience || !r.nc.IsConnected() {
		return ""
	}
	name := r.o.Config.Stream
	if denied := r.monitor.denied.Load(); denied != nil && time.Since(denied.at) < deniedFresh {
		return fmt.Sprintf("NATS denies this user a subject that stream %s needs: %s", name, denied.detail)
	}
	if _, refused := errors.AsType[*jetstream.APIError](st.Trouble); refused {
		return fmt.Sprintf("stream %s refuses events: %v", name, st.Trouble)
	}
	if errors.Is(st.Trouble, jetstream.ErrNoStreamResponse) {
		return fmt.Sprintf("nobody answers for stream %s: it is gone, or its servers have no leader", name)
	}
	return ""
}

// alarm is the message of an alarm of the whole process, which is noted here too.
func (r *replica) alarm(name string, raised bool, detail string) *nats.Msg {
	at := r.monitor.clock(time.Now())
	if raised {
		r.monitor.alarms.Raise(name, "", 0, detail, at)
	} else {
		r.monitor.alarms.Clear(name, "", 0, "it is over")
	}
	return bridge.AlarmMessage(r.o.Config.Prefix, bridge.Alarm{Name: name, Raised: raised, Replica: r.o.Config.Replica, At: at.UTC(), Detail: detail})
}
