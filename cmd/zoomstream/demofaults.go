package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// faultBound bounds the time until a fault is noticed: a frozen connection is detected after two
// heartbeats.
const faultBound = 2 * time.Minute

// fault is something the control API did to the connection.
type fault struct {
	name  string
	began time.Time
	ready int64 // number of ready connections before
	from  string
}

// commented prints what the control API is asked to do, by anybody.
func (d *demo) commented(control http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, is := strings.CutPrefix(r.URL.Path, "/control/")
		if !is || r.Method != http.MethodPost {
			control.ServeHTTP(w, r)
			return
		}
		f := fault{name: name, began: time.Now(), ready: d.sim.Summary(demoSubscription).Ready}
		if leader := d.leader(r.Context()); leader != nil {
			f.from = leader.name
		}
		answer := &answered{ResponseWriter: w}
		control.ServeHTTP(answer, r)
		if answer.refused {
			return
		}
		if r.URL.Query().Get("off") != "" {
			d.say("control API: %s is over", name)
			return
		}
		d.say("control API: %s: %s", name, zoomsim.Does(name))
		if slices.Contains([]string{"cut", "close", "freeze"}, name) {
			select {
			case d.faults <- f:
			default: // one at a time: overlapping costs could not be told apart
			}
		}
	})
}

// answered is a response that notes whether it is a refusal.
type answered struct {
	http.ResponseWriter
	refused bool
}

func (a *answered) WriteHeader(status int) {
	a.refused = status != http.StatusOK
	a.ResponseWriter.WriteHeader(status)
}

// watchFaults reports the cost of faults that end a connection, until ctx ends.
func (d *demo) watchFaults(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-d.faults:
			d.watchFault(ctx, f)
		}
	}
}

func (d *demo) watchFault(ctx context.Context, f fault) {
	waiting, cancel := context.WithTimeout(ctx, faultBound)
	defer cancel()
	err := d.sim.Wait(waiting, demoSubscription, func(sum zoomsim.Summary) bool { return sum.Ready > f.ready && sum.Live == 1 })
	if err != nil {
		return
	}
	if leader, cost := d.outcome(ctx, f.began); ctx.Err() == nil {
		d.sayCost(act{what: f.name, from: f.from, to: leader, cost: cost})
	}
}
