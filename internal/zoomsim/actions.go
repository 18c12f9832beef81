package zoomsim

import (
	"slices"
	"strings"

	"github.com/coder/websocket"
)

var (
	paramAll   = Param{"subscription", "text", "the event subscription; empty: all"}
	paramOne   = Param{"subscription", "text", "the event subscription"}
	paramFor   = Param{"for", "duration", "for how long it stands; empty: until lifted"}
	paramCount = Param{"count", "whole number", "after how many uses it ends; empty: no bound"}
	paramOff   = Param{"off", "true or false", "true lifts the fault instead"}
)

// Actions lists what the control API does, in the order to read it.
func Actions() []Action {
	return slices.Concat(emitting(), socketFaults(), eventFaults(), tokenFaults(), []Action{{
		"reset", "lifts every fault", []Param{}, func(*args) deed {
			return func(s *Sim) (Done, error) { s.Reset(); return Done{}, nil }
		}}})
}

// emitting are the actions that send frames.
func emitting() []Action {
	return []Action{{
		"emit", "sends one event: the request's body byte for byte, or a fresh body of the event named", []Param{
			paramOne,
			{"event", "text", "name of the event, if the request has no body"},
			{"tracking", "text", "x-zm-trackingid; empty: a random one"},
			{"object", "true or false", "content as an object instead of a string"},
			{"late", "duration", "how much older event_ts is than the frame"},
			{"repeat", "whole number", "how many times the frame is sent; empty: once"},
		}, func(a *args) deed {
			sub := a.needText("subscription")
			e := Event{
				Name: a.text("event"), TrackingID: a.text("tracking"), AsObject: a.yes("object"),
				Late: a.duration("late"), Repeat: a.number("repeat", 1),
			}
			if len(a.body) > 0 {
				e.Body, e.Name = a.body, ""
			} else if e.Name == "" {
				a.note("an event name or a body is needed")
			}
			return func(s *Sim) (Done, error) { return Done{Deliveries: []Delivery{s.Emit(sub, e)}}, nil }
		}}, {
		"raw", "sends the request's body as one frame", []Param{
			paramOne, {"binary", "true or false", "as a binary frame instead of text"},
		}, func(a *args) deed {
			sub, binary := a.needText("subscription"), a.yes("binary")
			return func(s *Sim) (Done, error) {
				return Done{Deliveries: []Delivery{s.SendRaw(sub, a.body, binary)}}, nil
			}
		}}, {
		"garbage", "sends broken frames", []Param{
			paramOne, {"kinds", "text", "which, separated by comma; empty: one of each of " + strings.Join(sortedNames(GarbageFrames()), ", ")},
		}, func(a *args) deed {
			sub := a.needText("subscription")
			var kinds []string
			if text := a.text("kinds"); text != "" {
				kinds = strings.Split(text, ",")
			}
			a.noteErr(checkGarbage(kinds))
			return func(s *Sim) (Done, error) {
				sent, err := s.Garbage(sub, kinds...)
				return Done{Deliveries: sent}, err
			}
		}}}
}

// socketFaults are about connections and dials.
func socketFaults() []Action {
	return []Action{{
		"cut", "resets sockets: a TCP reset without a close frame", []Param{paramAll},
		func(a *args) deed {
			return func(s *Sim) (Done, error) { return Done{Sockets: s.Cut(a.text("subscription"))}, nil }
		}}, {
		"close", "closes sockets by a close frame", []Param{
			paramAll,
			{"code", "whole number", "close code; empty: 1001"},
			{"reason", "text", "close reason, at most 123 bytes"},
		}, func(a *args) deed {
			code, reason := websocket.StatusCode(a.number("code", 1001)), a.text("reason")
			a.noteErr(checkClose(code, reason))
			return func(s *Sim) (Done, error) {
				n, err := s.CloseSockets(a.text("subscription"), code, reason)
				return Done{Sockets: n}, err
			}
		}},
		stands(faultFreeze, "leaves sockets open but dead: nothing is read, nothing written",
			[]Param{paramAll, paramFor, {"dials", "true or false", "true leaves new dials without an answer, too"}},
			func(a *args) deed {
				d, dials := a.duration("for"), a.yes("dials")
				return func(s *Sim) (Done, error) {
					return Done{Sockets: s.Freeze(a.text("subscription"), d, dials)}, nil
				}
			}),
		stands(faultRefuse, "refuses dials", []Param{
			paramAll, paramFor, paramCount,
			{"mode", "text", `http503 (no upgrade), or after the upgrade success:false with: old ("Invalid Token"), new ("Token is invalid"), content`},
			{"content", "text", "of mode content"},
			{"retry-after", "duration", "of mode http503: the header Retry-After; empty: none"},
		}, func(a *args) deed {
			r := Refusal{Mode: RefuseMode(a.text("mode")), Content: a.text("content"), RetryAfter: a.duration("retry-after")}
			_, err := r.complete()
			a.noteErr(err)
			span := a.span()
			return func(s *Sim) (Done, error) { return Done{}, s.Refuse(a.text("subscription"), r, span) }
		}),
		stands(faultDisplace, "changes how displaced sockets are closed", []Param{
			paramAll, paramFor, paramCount,
			{"linger", "duration", "how long they stay open without events; empty: not at all"},
			{"frame", "true or false", `true says "Connected in another place" in a frame, not in the close reason`},
		}, func(a *args) deed {
			d, span := Displacement{Linger: a.duration("linger"), Frame: a.yes("frame")}, a.span()
			return func(s *Sim) (Done, error) { s.Displace(a.text("subscription"), d, span); return Done{}, nil }
		}),
		stands(faultSlowReader, "reads slowly what clients send", []Param{
			paramAll, paramFor, {"rate", "whole number", "bytes per second"},
		}, func(a *args) deed {
			rate, d := a.needNumber("rate"), a.duration("for")
			return func(s *Sim) (Done, error) { s.SlowReader(a.text("subscription"), rate, d); return Done{}, nil }
		}),
	}
}

// eventFaults are about events.
func eventFaults() []Action {
	params := func(more ...Param) []Param { return append([]Param{paramAll, paramFor, paramCount}, more...) }
	return []Action{
		stands(faultMute, "answers heartbeats, but events find nobody", params(), func(a *args) deed {
			span := a.span()
			return func(s *Sim) (Done, error) { s.Mute(a.text("subscription"), span); return Done{}, nil }
		}),
		stands(faultLate, "makes event_ts older than the frame",
			params(Param{"by", "duration", "how much"}), func(a *args) deed {
				by, span := a.needDuration("by"), a.span()
				return func(s *Sim) (Done, error) { s.Late(a.text("subscription"), by, span); return Done{}, nil }
			}),
		stands(faultDuplicate, "sends each event several times, the same bytes",
			params(Param{"times", "whole number", "how many times"}), func(a *args) deed {
				times, span := a.needNumber("times"), a.span()
				return func(s *Sim) (Done, error) { s.Duplicate(a.text("subscription"), times, span); return Done{}, nil }
			}),
		stands(faultSameTracking, "gives each two successive events one tracking id", params(), func(a *args) deed {
			span := a.span()
			return func(s *Sim) (Done, error) { s.SameTracking(a.text("subscription"), span); return Done{}, nil }
		}),
		stands(faultObject, "sends content as an object instead of a string", params(), func(a *args) deed {
			span := a.span()
			return func(s *Sim) (Done, error) { s.Object(a.text("subscription"), span); return Done{}, nil }
		}),
	}
}

// tokenFaults are about the token endpoint, which knows no subscription.
func tokenFaults() []Action {
	return []Action{
		stands(faultToken, "makes the token endpoint fail", []Param{
			paramFor, paramCount,
			{"mode", "text", joinNames(tokenModes())},
			{"delay", "duration", "of mode slow"},
			{"retry-after", "duration", "of mode 429: the header Retry-After; empty: none"},
		}, func(a *args) deed {
			f := TokenFault{Mode: TokenMode(a.text("mode")), Delay: a.duration("delay"), RetryAfter: a.duration("retry-after")}
			a.noteErr(f.check())
			span := a.span()
			return func(s *Sim) (Done, error) { return Done{}, s.FailTokens(f, span) }
		}),
		stands(faultRotate, "makes a new token kill the older ones", []Param{paramFor, paramCount}, func(a *args) deed {
			span := a.span()
			return func(s *Sim) (Done, error) { s.Rotate(span); return Done{}, nil }
		}),
	}
}

// stands is an action that makes a fault stand, or with off=true lifts it.
func stands(name, does string, params []Param, build func(*args) deed) Action {
	return Action{name, does, append(slices.Clip(params), paramOff), func(a *args) deed {
		if a.yes("off") {
			return func(s *Sim) (Done, error) { return Done{Lifted: s.Lift(name, a.text("subscription"))}, nil }
		}
		return build(a)
	}}
}
