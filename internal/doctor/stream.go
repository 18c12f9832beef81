package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/natsconn"
)

// stream looks at the stream of the events.
func (e *exam) stream(ctx context.Context, s *site) {
	name := e.cfg.Stream
	if !s.may("STREAM.INFO."+name) || !s.may("STREAM.NAMES") {
		e.skip(Stream, "needs the rights to ask $JS.API.STREAM.INFO.%s and $JS.API.STREAM.NAMES", name)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	info, findings, err := natsconn.InspectStream(ctx, s.js, streamOptions(e.cfg, s.nc))
	if err != nil {
		e.fail(Stream, askFix, "stream %s: %v", name, err)
		return
	}
	for _, f := range findings {
		if f.Fatal {
			e.reject(Stream, f.Fix, "%s", f.Problem)
		} else {
			e.warn(Stream, f.Fix, "%s", f.Problem)
		}
	}
	s.stream = bucketState{known: true, exists: info != nil}
	if info == nil {
		if len(findings) == 0 {
			e.absent(s, Stream, "stream "+name)
		}
		return
	}
	if len(findings) == 0 {
		e.pass(Stream, "stream %s holds %s.>, duplicate window %s, keeps events for %s", name, e.cfg.Prefix, info.Config.Duplicates, orEver(info.Config.MaxAge))
	}
	e.streamState(info)
}

// absent reports what run will create, if it can.
func (e *exam) absent(s *site, code Code, what string) {
	if n := e.cfg.StreamReplicas; n > 1 && s.nc.ConnectedClusterName() == "" {
		e.reject(code, "set ZOOMSTREAM_STREAM_REPLICAS=1, or NATS_URL to a cluster",
			"%s does not exist yet, and cannot be created with %d replicas: server %s runs alone, without a cluster", what, n, s.nc.ConnectedServerName())
		return
	}
	e.pass(code, "%s does not exist yet; zoomstream run creates it", what)
}

const askFix = "look at the NATS servers: nats server report jetstream"

func orEver(d time.Duration) string {
	if d == 0 {
		return "ever"
	}
	return d.String()
}

func (e *exam) streamState(info *jetstream.StreamInfo) {
	c, st := info.Config, info.State
	if gone := missingPeers(info.Cluster); gone != "" {
		e.warn(StreamState, askFix, "stream %s: %s", c.Name, gone)
	}
	detail := fmt.Sprintf("stream %s holds %s, %s", c.Name, count(int(st.Msgs), "message"), size(int64(st.Bytes)))
	if st.Msgs > 0 {
		detail += fmt.Sprintf(", from %s to %s", clock(st.FirstTime), clock(st.LastTime))
	}
	for _, b := range bounds(info) {
		fix := fmt.Sprintf("nats stream edit %s --%s=…, or --discard=old", c.Name, b.name)
		switch {
		case b.reached:
			e.fail(StreamState, fix, "%s, %.0f %% of its bound: it is full and refuses events (%s, discard: new)", detail, 100*b.part, b.name)
			return
		case b.part >= nearlyFull:
			e.warn(StreamState, fix, "%s, which is %.0f %% of what it takes before it refuses events (%s, discard: new)", detail, 100*b.part, b.name)
			return
		}
	}
	e.pass(StreamState, "%s", detail)
}

// bound is one at which a stream refuses messages.
type bound struct {
	name    string  // also of the flag of nats stream edit
	part    float64 // of it that is in use
	reached bool    // a message of the usual size would be refused
}

// bounds are those of a stream, the ones that are reached first.
func bounds(info *jetstream.StreamInfo) (all []bound) {
	c, st := info.Config, info.State
	if c.Discard != jetstream.DiscardNew {
		return nil
	}
	if usual := st.Bytes / max(st.Msgs, 1); c.MaxBytes > 0 {
		all = append(all, bound{"max-bytes", float64(st.Bytes) / float64(c.MaxBytes), st.Bytes+usual > uint64(c.MaxBytes)})
	}
	if c.MaxMsgs > 0 {
		all = append(all, bound{"max-msgs", float64(st.Msgs) / float64(c.MaxMsgs), st.Msgs >= uint64(c.MaxMsgs)})
	}
	slices.SortStableFunc(all, func(a, b bound) int { return cmp.Compare(b.part, a.part) })
	return all
}

// missingPeers says which servers do not hold what they should.
func missingPeers(c *jetstream.ClusterInfo) string {
	if c == nil {
		return ""
	}
	var gone []string
	for _, peer := range c.Replicas {
		if peer.Offline {
			gone = append(gone, peer.Name+" is offline")
		} else if !peer.Current {
			gone = append(gone, peer.Name+" is behind")
		}
	}
	return strings.Join(gone, ", ")
}

// bucketState is a bucket as it was found.
type bucketState struct {
	known  bool // whether it exists
	exists bool
	usable bool
}

// buckets looks at the buckets of leases and states. It makes none of them.
func (e *exam) buckets(ctx context.Context, s *site) {
	s.leases = e.bucket(ctx, s, LeaseBucket, e.cfg.Bucket, true)
	s.states = e.bucket(ctx, s, StateBucket, e.cfg.Bucket+"-state", false)
	if s.leases.exists {
		e.otherLeases(ctx, s)
	}
}

func (e *exam) bucket(ctx context.Context, s *site, code Code, name string, leases bool) bucketState {
	if !s.may("STREAM.INFO.KV_" + name) {
		e.skip(code, "needs the right to ask $JS.API.STREAM.INFO.KV_%s", name)
		return bucketState{}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, "KV_"+name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		e.absent(s, code, "bucket "+name)
		return bucketState{known: true}
	}
	if err != nil {
		e.fail(code, "bring the missing NATS servers back: nats server report jetstream", "bucket %s has no leader that answers, and takes no writes: %s: %v", name, withoutWrites(leases), err)
		return bucketState{}
	}
	info := stream.CachedInfo()
	c := info.Config
	good := true
	complain := func(wrong bool, fix, format string, args ...any) {
		if wrong {
			good = false
			e.warn(code, fix, "bucket "+name+" "+format, args...)
		}
	}
	if c.Sealed { // reading goes on
		e.reject(code, "a sealed bucket stays sealed: stop all replicas, delete it (nats kv del "+name+"), and start them: it is made anew",
			"bucket %s is sealed and takes no writes: %s", name, withoutWrites(leases))
		return bucketState{known: true, exists: true, usable: true}
	}
	if leases && !c.AllowMsgTTL {
		e.reject(code, "delete it, so that zoomstream makes it anew, or name another with ZOOMSTREAM_BUCKET", "bucket %s cannot hold leases: its entries cannot have a life of their own (LimitMarkerTTL)", name)
		return bucketState{known: true, exists: true}
	}
	complain(leases && c.MaxMsgsPerSubject != 1, "nats stream edit KV_"+name+" --max-msgs-per-subject=1", "keeps a history of %d: the server then lets short leases live longer", c.MaxMsgsPerSubject)
	complain(!leases && c.MaxAge > 0, "nats stream edit KV_"+name+" --max-age=0", "forgets states after %s: a gap that is older has no beginning", c.MaxAge)
	complain(c.Storage == jetstream.MemoryStorage, "delete it while zoomstream is stopped; it is made anew", "is kept in memory: a restart of its servers loses it")
	complain(c.Replicas < e.cfg.StreamReplicas, fmt.Sprintf("nats stream edit KV_%s --replicas=%d", name, e.cfg.StreamReplicas), "has %d replica(s), %d wanted (ZOOMSTREAM_STREAM_REPLICAS)", c.Replicas, e.cfg.StreamReplicas)
	gone := missingPeers(info.Cluster)
	complain(gone != "", askFix, "%s", gone)
	for _, b := range bounds(info) {
		if b.reached {
			good = false
			e.fail(code, "nats stream edit KV_"+name+" --"+b.name+"=-1", "bucket %s is full and refuses writes (%s, %.0f %% in use): %s", name, b.name, 100*b.part, withoutWrites(leases))
		}
	}
	if good {
		e.pass(code, "bucket %s, %s", name, count(c.Replicas, "replica"))
	}
	return bucketState{known: true, exists: true, usable: true}
}

// withoutWrites is what comes of a bucket that takes none.
func withoutWrites(leases bool) string {
	if leases {
		return "no replica can lead"
	}
	return "events are withheld, since it cannot be stored who is connected"
}

// otherLeases tells of subscriptions that are led here and not in this configuration.
func (e *exam) otherLeases(ctx context.Context, s *site) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	prefix := "$KV." + e.cfg.Bucket + ".lease."
	stream, err := s.js.Stream(ctx, "KV_"+e.cfg.Bucket)
	var info *jetstream.StreamInfo
	if err == nil {
		info, err = stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	}
	if err != nil {
		e.fail(OtherLeases, askFix, "bucket %s: %v", e.cfg.Bucket, err)
		return
	}
	own := make(map[string]bool)
	for _, endpoint := range e.cfg.Zoom.Endpoints {
		own[prefix+endpoint.Subscription] = true
	}
	others := 0
	for subject := range info.State.Subjects {
		if !own[subject] {
			others++
		}
	}
	if others > 0 {
		e.pass(OtherLeases, "%s that this configuration does not name, led or lately led by replicas of the same bucket", count(others, "other subscription"))
	}
}
