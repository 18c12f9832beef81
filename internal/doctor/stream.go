package doctor

import (
	"context"
	"errors"
	"fmt"
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
	if info == nil {
		if len(findings) == 0 {
			e.pass(Stream, "stream %s does not exist yet; zoomstream run creates it", name)
		}
		return
	}
	if len(findings) == 0 {
		e.pass(Stream, "stream %s holds %s.>, duplicate window %s, keeps events for %s", name, e.cfg.Prefix, info.Config.Duplicates, orEver(info.Config.MaxAge))
	}
	e.streamState(info)
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
	if absent := absent(info.Cluster); absent != "" {
		e.warn(StreamState, askFix, "stream %s: %s", c.Name, absent)
	}
	detail := fmt.Sprintf("stream %s holds %s, %s", c.Name, count(int(st.Msgs), "message"), size(int64(st.Bytes)))
	if st.Msgs > 0 {
		detail += fmt.Sprintf(", from %s to %s", clock(st.FirstTime), clock(st.LastTime))
	}
	for _, limit := range []struct {
		flag       string
		used, most float64
	}{{"--max-bytes", float64(st.Bytes), float64(c.MaxBytes)}, {"--max-msgs", float64(st.Msgs), float64(c.MaxMsgs)}} {
		if c.Discard != jetstream.DiscardNew || limit.most <= 0 || limit.used < nearlyFull*limit.most {
			continue
		}
		e.warn(StreamState, fmt.Sprintf("nats stream edit %s %s=…, or --discard=old", c.Name, limit.flag),
			"%s, which is %.0f %% of what it takes before it refuses events (%s, discard: new)", detail, 100*limit.used/limit.most, limit.flag[2:])
		return
	}
	e.pass(StreamState, "%s", detail)
}

// absent says which servers do not hold what they should.
func absent(c *jetstream.ClusterInfo) string {
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
		e.pass(code, "bucket %s does not exist yet; zoomstream run creates it", name)
		return bucketState{known: true}
	}
	if err != nil {
		e.fail(code, askFix, "bucket %s: %v", name, err)
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
	if leases && !c.AllowMsgTTL {
		e.reject(code, "delete it, so that zoomstream makes it anew, or name another with ZOOMSTREAM_BUCKET", "bucket %s cannot hold leases: its entries cannot have a life of their own (LimitMarkerTTL)", name)
		return bucketState{known: true, exists: true}
	}
	complain(leases && c.MaxMsgsPerSubject != 1, "nats stream edit KV_"+name+" --max-msgs-per-subject=1", "keeps a history of %d: the server then lets short leases live longer", c.MaxMsgsPerSubject)
	complain(!leases && c.MaxAge > 0, "nats stream edit KV_"+name+" --max-age=0", "forgets states after %s: a gap that is older has no beginning", c.MaxAge)
	complain(c.Storage == jetstream.MemoryStorage, "delete it while zoomstream is stopped; it is made anew", "is kept in memory: a restart of its servers loses it")
	complain(c.Replicas < e.cfg.StreamReplicas, fmt.Sprintf("nats stream edit KV_%s --replicas=%d", name, e.cfg.StreamReplicas), "has %d replica(s), %d wanted (ZOOMSTREAM_STREAM_REPLICAS)", c.Replicas, e.cfg.StreamReplicas)
	gone := absent(info.Cluster)
	complain(gone != "", askFix, "%s", gone)
	if good {
		e.pass(code, "bucket %s, %s", name, count(c.Replicas, "replica"))
	}
	return bucketState{known: true, exists: true, usable: true}
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
