package zoomsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// action is an action of POST /control/<Name>.
type action struct {
	Name   string `json:"name"`
	Does   string `json:"does"`
	Params string `json:"parameters"` // usage; see params.check

	do func(ctx context.Context, s *Sim, subscription string, p params, done *Done) error
}

// Common parts of usages.
const (
	some       = "[subscription=ID] " // if missing: all
	lasting    = "[for=5m] [off=true] "
	counted    = "[for=5m] [count=3] [off=true] "
	dialModes  = "http503|http|close|cut|old|new"
	refusals   = "mode=" + dialModes + " [status=403] [code=1008] [retry-after=5s] "
	tokenModes = "http500|html|no-expires|slow|hang|429|invalid-client|unsupported-grant"
)

// actions are the actions of the control API, in reading order.
var actions = []action{
	{"emit", "sends an event: the request's body byte for byte, or a fresh body of the event named, with members set",
		"subscription=ID [event=NAME] [set=payload.object.id=5] [tracking=ID] [object=true] [late=2h] [repeat=2] [force=true] [allow-nobody=true]", emit},
	{"meeting", "sends the events of one meeting, from its creation to its recording, pace apart",
		"subscription=ID [id=5] [pace=1s] [allow-nobody=true]", meeting},
	{"raw", "sends the request's body as a frame",
		"subscription=ID [binary=true]",
		func(_ context.Context, s *Sim, sub string, p params, done *Done) error {
			done.Deliveries = []Entry{s.SendRaw(sub, p.body, p.yes("binary"))}
			return nil
		}},
	{"garbage", "sends broken frames, one of each kind or of the kinds named",
		"subscription=ID [kinds=null,html]", garbage},
	{"cut", "resets sockets: a TCP reset without a close frame",
		some,
		func(_ context.Context, s *Sim, sub string, _ params, done *Done) error {
			done.Sockets = s.Cut(sub)
			return nil
		}},
	{"close", "closes sockets by a close frame",
		"[code=1001] [reason=TEXT] " + some,
		func(_ context.Context, s *Sim, sub string, p params, done *Done) (err error) {
			code := websocket.StatusCode(cmp.Or(p.number("code"), 1001))
			done.Sockets, err = s.CloseSockets(sub, code, p.Get("reason"))
			return err
		}},
	{faultFreeze, "leaves sockets open but dead, nothing is read, nothing written; with dials, new dials get no answer either",
		"[dials=true] " + some + lasting,
		func(_ context.Context, s *Sim, sub string, p params, done *Done) error {
			done.Sockets = s.Freeze(sub, p.duration("for"), p.yes("dials"))
			return nil
		}},
	standing(faultRefuse, `refuses dials: no upgrade, a close or a reset without a message, or success:false in the old ("Invalid Token") or the new ("Token is invalid") wording`,
		refusals+some+counted, refusal),
	standing(faultRefuseDead, "changes how dials with a dead token are refused",
		refusals+some+counted, refusal),
	standing(faultDisplace, "keeps displaced sockets open for a while, without events; with frame, the reason is in a frame, not in the close frame",
		"[linger=2s] [frame=true] "+some+counted,
		func(p params) any { return Displacement{Linger: p.duration("linger"), Frame: p.yes("frame")} }),
	standing(faultSlowReader, "reads only rate bytes per second of what clients send",
		"rate=100 "+some+lasting,
		func(p params) any { return p.number("rate") }),
	standing(faultMute, "answers heartbeats, but events find nobody", some+counted, nothing),
	standing(faultLate, "makes event_ts older than the frame",
		"by=2h "+some+counted,
		func(p params) any { return p.duration("by") }),
	standing(faultDuplicate, "sends each event several times, the same bytes",
		"times=3 "+some+counted,
		func(p params) any { return p.number("times") }),
	standing(faultSameTracking, "gives each two successive events one tracking id", some+counted, nothing),
	standing(faultObject, "sends content as an object instead of a string", some+counted, nothing),
	standing(faultToken, "makes the token endpoint fail",
		"mode="+tokenModes+" [delay=5s] [retry-after=5s] "+counted,
		func(p params) any {
			return TokenFault{Mode: TokenMode(p.Get("mode")), Delay: p.duration("delay"), RetryAfter: p.duration("retry-after")}
		}),
	standing(faultRotate, "makes a new token invalidate the older ones", counted, nothing),
	standing(faultRival, "has another program of the app fetch a token some time after each one, which invalidates it",
		"after=1s "+counted,
		func(p params) any { return p.duration("after") }),
	{"reset", "lifts every fault", "", func(_ context.Context, s *Sim, _ string, _ params, done *Done) error {
		done.Lifted = s.lift("", "")
		return nil
	}},
}

// standing returns an action that sets a standing fault.
func standing(name, does, usage string, value func(params) any) action {
	return action{name, does, usage, func(_ context.Context, s *Sim, subscription string, p params, _ *Done) error {
		s.stand(name, subscription, value(p), Span{For: p.duration("for"), Count: p.number("count")})
		return nil
	}}
}

func nothing(params) any { return nil }

func refusal(p params) any {
	return Refusal{Mode: RefuseMode(p.Get("mode")), RetryAfter: p.duration("retry-after"), Status: p.number("status"), Code: p.number("code")}
}

func emit(_ context.Context, s *Sim, subscription string, p params, done *Done) error {
	body, name := p.body, p.Get("event")
	if len(body) == 0 {
		if name == "" {
			return errors.New("emit: an event name or a body is needed")
		}
		if err := CheckName(name); err != nil && !p.yes("force") {
			return fmt.Errorf("emit: %w", err)
		}
		body = s.fresh(name, time.Now())
	}
	body, err := Set(body, p.Values["set"]...)
	if err != nil {
		return err
	}
	if err := s.CheckLive(subscription); err != nil && !p.yes("allow-nobody") {
		return err
	}
	done.Deliveries = []Entry{s.Emit(subscription, Event{
		Body: body, TrackingID: p.Get("tracking"), AsObject: p.yes("object"), Late: p.duration("late"), Repeat: p.number("repeat"),
	})}
	return nil
}

func meeting(ctx context.Context, s *Sim, subscription string, p params, done *Done) (err error) {
	if err := s.CheckLive(subscription); err != nil && !p.yes("allow-nobody") {
		return err
	}
	m := NewMeeting(int64(p.number("id")))
	done.Meeting = &m
	done.Deliveries, err = s.EmitMeeting(ctx, subscription, m, p.duration("pace"))
	return err
}

func garbage(_ context.Context, s *Sim, subscription string, p params, done *Done) error {
	frames := GarbageFrames()
	kinds := slices.Sorted(maps.Keys(frames))
	if p.Has("kinds") {
		known := kinds
		kinds = strings.Split(p.Get("kinds"), ",")
		for _, kind := range kinds {
			if !slices.Contains(known, kind) {
				return fmt.Errorf("garbage: kind %q is unknown; known: %s", kind, strings.Join(known, ", "))
			}
		}
	}
	for _, kind := range kinds {
		done.Deliveries = append(done.Deliveries, s.SendRaw(subscription, frames[kind], false))
	}
	return nil
}
