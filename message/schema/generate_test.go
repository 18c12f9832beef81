package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/zoomstream/zoomstream/internal/testkit/messagesource"
)

var updateDocs = flag.Bool("update-docs", false, "write the documents")

// TestGenerated compares the documents with package message. "make readme" writes them.
func TestGenerated(t *testing.T) {
	source := messagesource.Parse(t, "..")
	for name, document := range documents(t, source) {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(document); err != nil {
			t.Fatal(err)
		}
		if *updateDocs {
			if err := os.WriteFile(name, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what package message says (%v): make readme", name, err)
		}
	}
}

// object is a JSON object.
type object = map[string]any

const draft = "http://json-schema.org/draft-07/schema#"

func documents(t *testing.T, source messagesource.Source) map[string]object {
	t.Helper()
	gap := body(t, source, "Gap", "An interval in which no connection of a subscription was live: what Zoom sent then is lost.")
	values(gap, "cause", source.Constants(t, "GapDisconnected"))
	alarm := body(t, source, "Alarm", "An alarm is raised, or cleared.")
	values(alarm, "alarm", append(source.Constants(t, "AlarmLate"), source.Constants(t, "AlarmToken")...))

	own, zoom := source.Constants(t, "HeaderID"), source.Constants(t, "HeaderTrackingID")
	inEvent := append(append(append([]messagesource.Constant{}, own...), zoom...), source.Constants(t, "HeaderAccount")...)
	event := headers("Headers of an event", append(inEvent, source.Constants(t, "HeaderCESpecVersion")...), own[:6])
	reasons := source.Constants(t, "HeaderReasonCode")
	malformed := headers("Headers of a malformed frame", append(append(append([]messagesource.Constant{}, reasons...), own...), zoom...), append(own[:1:1], reasons[:2]...))
	values(malformed, reasons[0].Value, source.Constants(t, "ReasonNotJSON"))
	bridge := headers("Headers of a gap or an alarm", []messagesource.Constant{own[0], own[2], own[4], own[5]}, own[:1])

	return map[string]object{
		"gap.json": alone(gap), "alarm.json": alone(alarm), "malformed.json": alone(malformed),
		"asyncapi.json": asyncAPI(object{
			"event":     msg("An event, under Zoom's own name: its exact bytes.", "application/json", event, eventBody()),
			"gap":       msg("Events may be missing before this message.", "application/json", bridge, ref("schemas", "gap")),
			"alarm":     msg("An alarm, raised or cleared.", "application/json", bridge, ref("schemas", "alarm")),
			"malformed": msg("A frame that is no event, or the beginning of an event too large to store: raw bytes, with credentials masked.", "application/octet-stream", malformed, object{"type": "string"}),
		}, object{"gap": gap, "alarm": alarm}),
	}
}

// alone returns a schema as a document of its own.
func alone(schema object) object {
	document := object{"$schema": draft}
	for key, value := range schema {
		document[key] = value
	}
	return document
}

// body returns the schema of a JSON body.
func body(t *testing.T, source messagesource.Source, name, description string) object {
	t.Helper()
	types := map[string]object{
		"string": {"type": "string"}, "GapCause": {"type": "string"}, "Time": {"type": "string", "format": "date-time"},
		"int64": {"type": "integer"}, "uint64": {"type": "integer", "minimum": 0}, "bool": {"type": "boolean"},
	}
	properties, required := object{}, []string{}
	for _, m := range source.Members(t, name) {
		property := object{"description": m.Doc}
		for key, value := range types[m.Type] {
			property[key] = value
		}
		if len(property) == 1 {
			t.Errorf("message.%s: nobody says what %s is in JSON", name, m.Type)
		}
		properties[m.Name] = property
		if !m.Optional {
			required = append(required, m.Name)
		}
	}
	return object{"title": name, "description": description, "type": "object", "properties": properties, "required": required}
}

// headers returns the schema of a message's headers.
func headers(title string, all, required []messagesource.Constant) object {
	properties, names := object{}, []string{}
	for _, c := range all {
		properties[c.Value] = object{"type": "string", "description": c.Doc}
	}
	for _, c := range required {
		names = append(names, c.Value)
	}
	return object{"title": title, "type": "object", "properties": properties, "required": names}
}

// values adds a property's known values to its description and examples. A later version may have
// more, so they are no enumeration.
func values(schema object, name string, all []messagesource.Constant) {
	property := schema["properties"].(object)[name].(object)
	text, examples := property["description"].(string), []string{}
	for _, c := range all {
		text += "\n- " + c.Value + ": " + c.Comment
		examples = append(examples, c.Value)
	}
	property["description"], property["examples"] = text, examples
}

// eventBody has what all of Zoom's events have in common.
func eventBody() object {
	return object{
		"type": "object", "required": []string{"event"},
		"properties": object{
			"event":    object{"type": "string", "description": "The event's name, as in the header Zoom-Event."},
			"event_ts": object{"type": []string{"integer", "string"}, "description": "When it happened, in milliseconds since 1970. In some events Zoom has it as a string."},
			"payload":  object{"type": "object", "description": "What Zoom documents for the event."},
		},
	}
}

func msg(summary, contentType string, headers, payload object) object {
	return object{"summary": summary, "contentType": contentType, "headers": headers, "payload": payload}
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// asyncAPI returns the document of what zoomstream sends, and where.
func asyncAPI(messages, schemas object) object {
	channels, operations := object{}, object{}
	for name, address := range map[string]string{
		"event": "zoom.{event}", "gap": "zoom._bridge.gap", "alarm": "zoom._bridge.alarm", "malformed": "zoom._bridge.malformed",
	} {
		channels[name] = object{"address": address, "messages": object{name: ref("messages", name)}}
		operations[name] = object{"action": "send", "channel": object{"$ref": "#/channels/" + name}}
	}
	channels["event"].(object)["parameters"] = object{"event": object{
		"description": "The event's name, such as meeting.started, with its dots. Other bytes than A-Z a-z 0-9 _ - are percent-encoded. With ZOOMSTREAM_SUBJECT_KEY the event's keys stand behind it.",
		"examples":    []string{"meeting.started", "recording.completed"},
	}}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "zoomstream", "version": "1",
			"description": "Zoom's events in NATS JetStream, in the stream ZOOM. The subjects have the default prefix, zoom (ZOOMSTREAM_PREFIX). Later versions may add headers, members and values.",
		},
		"defaultContentType": "application/json",
		"servers":            object{"nats": object{"host": "127.0.0.1:4222", "protocol": "nats", "description": "The embedded server. Read with a JetStream consumer, or with a plain subscription."}},
		"channels":           channels, "operations": operations,
		"components": object{"messages": messages, "schemas": schemas},
	}
}
