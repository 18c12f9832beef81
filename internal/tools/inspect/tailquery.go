package inspect

import (
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// TailQuery says which messages to pass on. Events, Account and Object select among events only: a
// gap or a malformed frame may be why an event is missing.
type TailQuery struct {
	Since   time.Time // stored at or after this time; zero: everything, or with Follow only new messages
	Follow  bool      // continue with new messages
	Events  []string  // patterns of event names, with * and ?; none: all events
	Account string    // payload.account_id
	Object  string    // payload.object.id or uuid
	Kinds   []message.Kind
}

// tailFilter is a prepared query.
type tailFilter struct {
	q               TailQuery
	prefix          string
	account, object wanted
}

func newTailFilter(q TailQuery, prefix string) tailFilter {
	return tailFilter{q: q, prefix: prefix, account: newWanted(q.Account), object: newWanted(q.Object)}
}

// chooses reports whether the query excludes anything.
func (f tailFilter) chooses() bool {
	return len(f.q.Events) > 0 || f.q.Account != "" || f.q.Object != "" || len(f.q.Kinds) > 0
}

// wants reports whether messages of a kind may match.
func (f tailFilter) wants(kind message.Kind) bool {
	return len(f.q.Kinds) == 0 || slices.Contains(f.q.Kinds, kind)
}

// subjects returns filters that cover all messages that may match, and possibly others.
func (f tailFilter) subjects() []string {
	all, bridge := f.prefix+".>", message.BridgeSubjects(f.prefix)
	if !f.wants(message.KindEvent) {
		return []string{bridge}
	}
	if len(f.q.Events) == 0 {
		return []string{all}
	}
	filters := EventSubjects(f.prefix, f.q.Events)
	if filters[0] != all && (f.wants(message.KindGap) || f.wants(message.KindAlarm) || f.wants(message.KindMalformed)) {
		filters = append(filters, bridge)
	}
	return filters
}

// matches reports whether to pass a message on.
func (f tailFilter) matches(m *Message) bool {
	kind := message.KindOf(f.prefix, m.Subject)
	if kind == message.KindUnknown {
		return !f.chooses()
	}
	if !f.wants(kind) {
		return false
	}
	if kind != message.KindEvent {
		return true
	}
	return f.matchesEvent(m) && f.matchesAccount(m) && f.matchesObject(m)
}

func (f tailFilter) matchesEvent(m *Message) bool {
	return MatchesEvent(f.q.Events, m.EventName(f.prefix))
}

func (f tailFilter) matchesAccount(m *Message) bool {
	if f.q.Account == "" || f.account.is(m.Header.Get(message.HeaderAccount)) {
		return true
	}
	return f.account.place(m.Body, func(_ jsontext.Kind, place jsontext.Pointer) bool { return place == "/payload/account_id" }) != ""
}

func (f tailFilter) matchesObject(m *Message) bool {
	if f.q.Object == "" || f.object.is(m.Header.Get(message.HeaderObjectID)) || f.object.is(m.Header.Get(message.HeaderObjectUUID)) {
		return true
	}
	return f.object.place(m.Body, func(_ jsontext.Kind, place jsontext.Pointer) bool {
		member := objectMember(place)
		return member == "id" || member == "uuid"
	}) != ""
}

// objectMember returns the name of the member at a place directly in payload.object, or in one of
// its elements if that is a list; empty for any other place.
func objectMember(place jsontext.Pointer) string {
	rest, found := strings.CutPrefix(string(place), "/payload/object/")
	if !found {
		return ""
	}
	if index, member, nested := strings.Cut(rest, "/"); nested {
		if strings.Trim(index, "0123456789") != "" {
			return ""
		}
		return member
	}
	return rest
}

// EventName returns the name of an event. The header has it in full; the subject may be shortened.
func (m *Message) EventName(prefix string) string {
	if name := m.Header.Get(message.HeaderEvent); name != "" {
		return name
	}
	name, _ := subjects.Event(prefix, m.Subject)
	return name
}

// Object returns what an event is about: the id of payload.object, else its uuid, and its topic.
// From a list of objects it takes the first. Missing values are empty.
func (m *Message) Object() (id, topic string) {
	const depth = 4 // of members of the objects in a list
	found := map[string]string{"id": m.Header.Get(message.HeaderObjectID), "uuid": m.Header.Get(message.HeaderObjectUUID)}
	for dec, token := range values(m.Body) {
		if dec.StackDepth() > depth {
			continue
		}
		if member := objectMember(dec.StackPointer()); member != "" && found[member] == "" {
			found[member] = message.Short(token.String(), message.MaxText)
		}
	}
	if id = found["id"]; id == "" {
		id = found["uuid"]
	}
	return id, found["topic"]
}

// Account returns payload.account_id of an event; empty: it has none.
func (m *Message) Account() string {
	if id := m.Header.Get(message.HeaderAccount); id != "" {
		return id
	}
	for dec, token := range values(m.Body) {
		if dec.StackPointer() == "/payload/account_id" {
			return message.Short(token.String(), message.MaxText)
		}
	}
	return ""
}
