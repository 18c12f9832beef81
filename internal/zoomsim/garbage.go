package zoomsim

import "strings"

// GarbageFrames returns broken or odd frames by kind of damage. None is a message with a
// deliverable event, except the few whose names begin with "odd-", which carry a whole event in an
// unusual wrapping. A client must survive all of them on the same connection.
func GarbageFrames() map[string][]byte {
	const (
		header = `{"Authorization":"` + DefaultVerificationToken + `","clientId":"` + DefaultClientID +
			`","x-zm-trackingid":"v=2.0;clid=us02;rid=WEB_00000000000000000000000000000000","x-zm-request-timestamp":"1790985356"}`
		event = `{\"event\":\"meeting.started\",\"event_ts\":1790985356750,\"payload\":{}}`
	)
	withContent := func(content string) string {
		return `{"module":"message","content":` + content + `,"header":` + header + `}`
	}
	withHeader := func(h string) string {
		return `{"module":"message","content":"{\"payload\":{}}","header":` + h + `}`
	}
	nested := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	frames := map[string]string{
		"not-json":        `hello, world`,
		"truncated":       withContent(`"` + event + `"`)[:90],
		"empty":           ``,
		"whitespace":      " \r\n\t ",
		"array":           `[1,2,3]`,
		"number":          `42`,
		"string":          `"message"`,
		"null":            `null`,
		"empty-object":    `{}`,
		"html":            `<html><body><h1>502 Bad Gateway</h1></body></html>`,
		"nul-bytes":       "\x00\x00\x00\x00",
		"invalid-utf8":    withContent("\"\xff\xfe\xc0\x80\""),
		"bom":             "\ufeff" + withContent(`"{\"payload\":{}}"`),
		"two-values":      `{"module":"message","content":"{}"} {"module":"message"}`,
		"nested-frame":    nested,
		"unknown-module":  `{"module":"weather","content":"sunny","header":{}}`,
		"module-case":     `{"module":"Message","content":"` + event + `","header":` + header + `}`,
		"module-other":    `{"module":"event","success":true,"content":"` + event + `","header":` + header + `}`,
		"module-event":    `{"module":"meeting","event":"meeting.started","payload":{"object":{"id":1}}}`,
		"module-none":     `{"event":"bot_notification","payload":{"cmd":"help"}}`,
		"heartbeat-event": `{"module":"heartbeat","success":true,"content":"` + event + `","header":` + header + `}`,
		"heartbeat-own":   `{"module":"heartbeat","success":true,"content":"live","event":"meeting.started","payload":{}}`,
		"build-event":     `{"module":"build_connection","success":true,"content":{"event":"meeting.started","payload":{"n":1}},"header":{}}`,
		"module-missing":  `{"content":"` + event + `","header":` + header + `}`,
		"module-number":   `{"module":7,"content":"` + event + `","header":` + header + `}`,
		"module-null":     `{"module":null,"content":"` + event + `","header":` + header + `}`,
		"module-object":   `{"module":{"a":1},"content":"` + event + `","header":` + header + `}`,
		"content-missing": `{"module":"message","header":` + header + `}`,
		"content-number":  withContent(`12345678901234567890`),
		"content-null":    withContent(`null`),
		"content-true":    withContent(`true`),
		"content-empty":   withContent(`""`),
		"content-text":    withContent(`"not json at all"`),
		"content-array":   withContent(`"[{\"event\":\"meeting.started\"}]"`),
		"content-list":    withContent(`[{"event":"meeting.started"}]`),
		"content-string":  withContent(`"\"meeting.started\""`),
		"content-cut":     withContent(`"{\"event\":\"meeting.started\",\"payload\":{"`),
		"content-tail":    withContent(`"` + event + ` trailing garbage"`),
		"content-nested":  withContent(`"{\"payload\":` + nested + `}"`),
		"event-missing":   withContent(`"{\"payload\":{},\"event_ts\":1790985356750}"`),
		"event-number":    withContent(`"{\"event\":42,\"payload\":{}}"`),
		"event-null":      withContent(`"{\"event\":null,\"payload\":{}}"`),
		"event-empty":     withContent(`"{\"event\":\"\",\"payload\":{}}"`),
		"event-object":    withContent(`"{\"event\":{\"name\":\"meeting.started\"}}"`),
		"event-nested":    withContent(`"{\"payload\":{\"event\":\"meeting.started\"}}"`),
		"event-case":      withContent(`"{\"Event\":\"meeting.started\",\"payload\":{}}"`),
		"header-types":    withHeader(`{"Authorization":["x"],"clientId":1,"x-zm-trackingid":42,"x-zm-request-timestamp":{"a":1}}`),
		"credentials-cut": `{"module":"message","header":{"Authorization":"` + DefaultVerificationToken + `","clientId":"` + DefaultClientID + `"},"content":"{\"event\":`,
		"odd-no-header":   `{"module":"message","content":"` + event + `"}`,
		"odd-header-null": `{"module":"message","content":"` + event + `","header":null}`,
		"odd-header-text": `{"module":"message","content":"` + event + `","header":"none"}`,
		"odd-header-list": `{"module":"message","content":"` + event + `","header":[{"x-zm-trackingid":"a"}]}`,
		"odd-header-true": `{"module":"message","content":"` + event + `","header":true}`,
		"odd-header-0":    `{"module":"message","content":"` + event + `","header":0}`,
		"odd-header-deep": `{"module":"message","content":"` + event + `","header":{"x-zm-trackingid":["a","b"],"x-zm-signature":{"a":[1]},` +
			`"x-zm-request-timestamp":true,"x-zm-request-id":null,"traceparent":[]}}`,
		"odd-types": `{"module":"message","content":"` + event + `","header":{"x-zm-trackingid":42,"x-zm-request-timestamp":1790985356}}`,
	}
	out := make(map[string][]byte, len(frames))
	for kind, frame := range frames {
		out[kind] = []byte(frame)
	}
	return out
}
