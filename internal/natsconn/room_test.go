package natsconn

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestRoom plans three streams of 10 bytes each, the last of which may be refused.
func TestRoom(t *testing.T) {
	free := jetstream.AccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: -1}
	stored := func(limit int64, reserved uint64) jetstream.Tier {
		l := free
		l.MaxStore = limit
		return jetstream.Tier{Limits: l, ReservedStore: reserved}
	}
	counted := free
	counted.MaxStreams = 4
	for name, c := range map[string]struct {
		account   jetstream.AccountInfo
		clustered bool
		replicas  int
		first     jetstream.ErrorCode // the first one is refused with it
		last      jetstream.ErrorCode
	}{
		"no limits":               {account: jetstream.AccountInfo{Tier: jetstream.Tier{Limits: free}}, replicas: 1},
		"streams":                 {account: jetstream.AccountInfo{Tier: jetstream.Tier{Limits: counted, Streams: 1}}, replicas: 1},
		"too many streams":        {account: jetstream.AccountInfo{Tier: jetstream.Tier{Limits: counted, Streams: 2}}, replicas: 1, last: errMaxStreams},
		"storage":                 {account: jetstream.AccountInfo{Tier: stored(100, 70)}, replicas: 1},
		"too little storage":      {account: jetstream.AccountInfo{Tier: stored(100, 71)}, replicas: 1, last: errNoStorage},
		"each replica counts":     {account: jetstream.AccountInfo{Tier: stored(89, 0)}, clustered: true, replicas: 3, last: errNoStorage},
		"but not in a tier":       {account: jetstream.AccountInfo{Tiers: map[string]jetstream.Tier{"R3": stored(30, 0)}}, clustered: true, replicas: 3},
		"too little in a tier":    {account: jetstream.AccountInfo{Tiers: map[string]jetstream.Tier{"R3": stored(29, 0)}}, clustered: true, replicas: 3, last: errNoStorage},
		"no such tier":            {account: jetstream.AccountInfo{Tiers: map[string]jetstream.Tier{"R1": stored(-1, 0)}}, clustered: true, replicas: 3, first: errNoLimits, last: errNoLimits},
		"replicas on one machine": {account: jetstream.AccountInfo{Tier: jetstream.Tier{Limits: free}}, replicas: 3, first: errNotClustered, last: errNotClustered},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Room{Account: &c.account, clustered: c.clustered, planned: make(map[string]jetstream.StreamConfig)}
			plan := func(stream string, want jetstream.ErrorCode) {
				t.Helper()
				err := r.Plan(jetstream.StreamConfig{Name: stream, Replicas: c.replicas, MaxBytes: 10})
				var code jetstream.ErrorCode
				if api, ok := errors.AsType[*jetstream.APIError](err); ok {
					code = api.ErrorCode
				}
				if code != want {
					t.Errorf("stream %s: %v, want %d", stream, err, want)
				}
			}
			plan("a", c.first)
			plan("a", c.first) // planned twice, it counts once
			plan("b", c.first)
			plan("c", c.last)
		})
	}
}
