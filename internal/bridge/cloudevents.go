package bridge

import (
	"cmp"
	"maps"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
)

// cloudEventsPrefix begins the names of all headers of a CloudEvent in binary mode
// (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md).
const cloudEventsPrefix = "ce-"

// setCloudEvents adds the headers that also make an event a CloudEvent.
func (e *encoder) setCloudEvents(h *outgoing, event string, v ownValues) {
	set := func(key, value string) { h.Header[key] = []string{cloudEventsValue(value)} }
	set(message.HeaderCESpecVersion, "1.0")
	set(message.HeaderCEID, h.Header[message.HeaderID][0])
	set(message.HeaderCESource, "//zoom.us/subscriptions/"+e.cfg.Subscription)
	set(message.HeaderCEType, event)
	set(message.HeaderCETime, cmp.Or(v.happened, v.received))
	set(message.HeaderCEDataContentType, "application/json")
	if v.object != "" {
		set(message.HeaderCESubject, v.object)
	}
}

// withoutCloudEvents returns a copy of the headers for a message that is no event.
func withoutCloudEvents(header nats.Header) nats.Header {
	header = maps.Clone(header)
	maps.DeleteFunc(header, func(key string, _ []string) bool { return strings.HasPrefix(key, cloudEventsPrefix) })
	return header
}

// cloudEventsValue encodes a value as the binding requires: everything but visible ASCII is
// percent-encoded, and so are " and %.
func cloudEventsValue(value string) string {
	if isVisibleASCII(value) && !strings.ContainsAny(value, `"%`) {
		return value
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 2*len(value))
	for i := range len(value) {
		c := value[i]
		if c <= ' ' || c > '~' || c == '"' || c == '%' {
			out = append(out, '%', digits[c>>4], digits[c&15])
			continue
		}
		out = append(out, c)
	}
	return string(out)
}
