package schema_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/message/schema"
)

// TestBodies validates real messages against the schemas, which must reject wrong ones.
func TestBodies(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	gap := message.Gap{Subscription: "s", From: at, To: at.Add(time.Second), Milliseconds: 1000, Cause: message.GapCrash, PreviousReplica: "a", Replica: "b", Epoch: 7, ID: "gap:1"}
	alarm := message.Alarm{Name: message.AlarmLate, Raised: true, Replica: "b", At: at, Detail: "why"}
	frame := message.Malformed{Code: message.ReasonNotJSON, Reason: "no JSON", Size: 70_000}.Msg("zoom", nats.Header{message.HeaderID: {"id"}})
	header := map[string]string{}
	for key, values := range frame.Header {
		header[key] = values[0]
	}
	frameHeaders, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		body  []byte
		valid bool
	}{
		{"gap.json", gap.Msg("zoom").Data, true},
		{"gap.json", bytes.Replace(gap.Msg("zoom").Data, []byte(`"crash"`), []byte(`"of a later version"`), 1), true},
		{"gap.json", bytes.Replace(gap.Msg("zoom").Data, []byte(`"from"`), []byte(`"since"`), 1), false},
		{"gap.json", bytes.Replace(gap.Msg("zoom").Data, []byte(`:1000`), []byte(`:"1000"`), 1), false},
		{"alarm.json", alarm.Msg("zoom").Data, true},
		{"alarm.json", []byte(`{"alarm":"late"}`), false},
		{"malformed.json", frameHeaders, true},
		{"malformed.json", []byte(`{}`), false},
	} {
		if err := validate(t, open(t, c.name), c.body); (err == nil) != c.valid {
			t.Errorf("%s: %s: %v", c.name, c.body, err)
		}
	}
}

// TestEvents validates bodies in the shapes that Zoom sends against the schema of an event.
func TestEvents(t *testing.T) {
	event := open(t, "asyncapi.json")
	for _, key := range []string{"components", "messages", "event", "payload"} {
		event = event.(map[string]any)[key]
	}
	for _, body := range zoomsim.Samples() {
		if err := validate(t, event, body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{`{"event_ts":1}`, `{"event":"a","event_ts":true}`, `{"event":"a","payload":[]}`} {
		if validate(t, event, []byte(body)) == nil {
			t.Errorf("%s is valid", body)
		}
	}
}

// TestAsyncAPI validates the document against the schema of AsyncAPI 3.0 itself
// (https://github.com/asyncapi/spec-json-schemas, Apache License 2.0).
func TestAsyncAPI(t *testing.T) {
	file, err := os.Open("testdata/asyncapi-3.0.0.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	specification, err := jsonschema.UnmarshalJSON(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	document, err := schema.Files.ReadFile("asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, specification, document); err != nil {
		t.Error(err)
	}
	if validate(t, specification, bytes.Replace(document, []byte(`"action": "send"`), []byte(`"action": "shout"`), 1)) == nil {
		t.Error("a wrong document is valid")
	}
}

func open(t *testing.T, name string) any {
	t.Helper()
	data, err := schema.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func validate(t *testing.T, by any, data []byte) error {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("file:///schema.json", by); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("file:///schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(value)
}
