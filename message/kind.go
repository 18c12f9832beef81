package message

import (
	"strings"

	"github.com/zoomstream/zoomstream/subjects"
)

// Kind is the kind of a message.
type Kind string

// The kinds.
const (
	KindUnknown   Kind = ""      // of a later version, or not zoomstream's: ignore it
	KindEvent     Kind = "event" // an event from Zoom; see [ParseHeaders]
	KindGap       Kind = subjects.Gap
	KindMalformed Kind = subjects.Malformed
	KindAlarm     Kind = subjects.Alarm
)

// KindOf returns the kind of a message by its subject and the connector's prefix. The header
// Zoom-Event does not tell: the start of an event that was too large has it, too.
func KindOf(prefix, subject string) Kind {
	if kind, ok := subjects.ControlKind(prefix, subject); ok {
		switch k := Kind(kind); k {
		case KindGap, KindMalformed, KindAlarm:
			return k
		}
		return KindUnknown
	}
	name, below := strings.CutPrefix(subject, prefix)
	if !below || len(name) < 2 || name[0] != '.' || name[1] == '_' { // an event's leading _ is encoded
		return KindUnknown
	}
	return KindEvent
}

// Subject returns the subject of the bridge's messages of a kind.
func (k Kind) Subject(prefix string) string { return subjects.Control(prefix, string(k)) }

// BridgeSubjects returns the subject filter for all of the bridge's own messages.
func BridgeSubjects(prefix string) string { return subjects.Control(prefix, ">") }
