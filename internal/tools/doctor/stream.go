package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/provision"
	"github.com/zoomstream/zoomstream/internal/record"
)

// stream checks the event stream.
func (e *exam) stream(ctx context.Context, s *site) {
	name := e.cfg.Stream
	states := "KV_" + record.StateBucket(e.cfg.Bucket) // records whether a missing stream was somebody else's
	for _, api := range []string{"STREAM.INFO." + name, "STREAM.INFO." + states, "STREAM.MSG.GET." + states} {
		if !s.may(api) {
			e.skip(Stream, "needs permission for %s%s", s.at.api, api)
			return
		}
	}
	info, good, state := e.part(ctx, s, Stream, name, s.survey.Stream)
	s.stream = state
	if info == nil {
		return
	}
	if good {
		e.pass(Stream, "stream %s holds %s.>, duplicate window %s, keeps events for %s", name, e.cfg.Prefix, info.Config.Duplicates, orEver(info.Config.MaxAge))
	}
	e.streamState(info)
	e.filters(ctx, s)
}

// part checks the stream or a bucket as run does, and reports everything that is wrong. stream is
// the name of the stream, or of the one that stores the bucket; good is whether nothing is wrong.
// Without info, there is nothing more to report.
func (e *exam) part(ctx context.Context, s *site, code Code, stream string, look func(context.Context) (provision.Part, error)) (info *jetstream.StreamInfo, good bool, state bucketState) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	part, err := look(ctx)
	if err != nil {
		takes := "it takes no events"
		if code != Stream {
			takes = "it takes no writes: " + withoutWrites(code)
		}
		e.fail(code, "bring the missing NATS servers back: nats server report jetstream", "%s has no leader that answers, so that %s: %v", part.Name, takes, err)
		return nil, false, bucketState{}
	}
	if part.Info == nil {
		e.absent(s, code, stream, part)
		return nil, false, bucketState{known: true}
	}
	for _, f := range part.Findings {
		if f.Fatal {
			e.reject(code, f.Fix, "%s", f.Problem)
		} else {
			e.warn(code, f.Fix, "%s", f.Problem)
		}
	}
	return part.Info, len(part.Findings) == 0, bucketState{known: true, exists: true}
}

// absent reports whether run will create what is missing.
func (e *exam) absent(s *site, code Code, stream string, part provision.Part) {
	gone, _ := errors.AsType[*provision.GoneError](part.Refused)
	refused, _ := errors.AsType[*natsconn.ConfigError](part.Refused)
	switch {
	case gone != nil: // run would wait
		e.fail(code, "restore it; or have zoomstream create its own: "+gone.Fix(), "%v", gone)
	case refused != nil:
		e.reject(code, "correct "+refused.Setting+" or what it depends on", "%s does not exist yet: %v", part.Name, refused)
	case s.running() > 0:
		e.fail(code, "docs/runbook.md#stream; the logs of the replicas have the details", "%s is gone, and there is %s with bucket %s", part.Name, count(s.running(), "running replica"), e.cfg.Bucket)
	case !s.may("STREAM.CREATE." + stream):
		e.reject(code, "create it, or add "+strconv.Quote(s.at.api+"STREAM.CREATE."+stream)+" to what this NATS user may publish (nats.conf has the whole list)",
			"%s does not exist, and this NATS user may not create it", part.Name)
	case code == Stream && !s.may("STREAM.NAMES"):
		e.warn(code, "create it, or add "+strconv.Quote(s.at.api+"STREAM.NAMES")+" to what this NATS user may publish (nats.conf has the whole list)",
			"%s does not exist yet; whether zoomstream run can create it is not known, since this NATS user may not ask which streams hold its subjects", part.Name)
	default:
		e.pass(code, "%s does not exist yet; zoomstream run creates it", part.Name)
	}
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

// bound is a limit at which a stream refuses messages.
type bound struct {
	name    string  // as in the flag of nats stream edit
	part    float64 // share of it in use
	reached bool    // a message of average size would be refused
}

// bounds returns a stream's limits at which it refuses messages, the fullest first.
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

// missingPeers names the servers whose replica of a stream is offline or behind.
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

// bucketState is what was found of a bucket or the stream.
type bucketState struct {
	known  bool // it is known whether it exists
	exists bool
	usable bool // it can be read as intended
}

// buckets checks the buckets of leases and states, and creates neither.
func (e *exam) buckets(ctx context.Context, s *site) {
	s.leases = e.bucket(ctx, s, LeaseBucket, e.cfg.Bucket, s.survey.Leases)
	s.states = e.bucket(ctx, s, StateBucket, record.StateBucket(e.cfg.Bucket), s.survey.States)
	if s.leases.exists {
		e.otherLeases(ctx, s)
	}
}

func (e *exam) bucket(ctx context.Context, s *site, code Code, name string, look func(context.Context) (provision.Part, error)) bucketState {
	if !s.may("STREAM.INFO.KV_" + name) {
		e.skip(code, "needs permission for %sSTREAM.INFO.KV_%s", s.at.api, name)
		return bucketState{}
	}
	info, good, state := e.part(ctx, s, code, "KV_"+name, look)
	if info == nil {
		return state
	}
	state.usable = code != LeaseBucket || info.Config.AllowMsgTTL
	if gone := missingPeers(info.Cluster); gone != "" {
		good = false
		e.warn(code, askFix, "bucket %s %s", name, gone)
	}
	for _, b := range bounds(info) {
		if b.reached {
			good = false
			e.fail(code, "nats stream edit KV_"+name+" --"+b.name+"=-1", "bucket %s is full and refuses writes (%s, %.0f %% in use): %s", name, b.name, 100*b.part, withoutWrites(code))
		}
	}
	if good {
		e.pass(code, "bucket %s, %s", name, count(info.Config.Replicas, "replica"))
	}
	return state
}

// withoutWrites returns the consequence of a bucket that takes no writes.
func withoutWrites(code Code) string {
	if code == LeaseBucket {
		return "no replica can lead"
	}
	return "events are withheld, since zoomstream cannot record who is connected"
}

// otherLeases reports subscriptions that are led here but are not in this configuration.
func (e *exam) otherLeases(ctx context.Context, s *site) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	prefix := "$KV." + e.cfg.Bucket + "." + record.LeasePrefix
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
		e.pass(OtherLeases, "%s that this configuration does not name, led now or recently by replicas of the same bucket", count(others, "other subscription"))
	}
}
