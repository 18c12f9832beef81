package zoomsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

func TestSet(t *testing.T) {
	for _, c := range []struct{ body, change, want string }{
		{`{"a": 1 , "b":2}`, `a=3`, `{"a": 3 , "b":2}`},
		{`{"a":1,"a":2}`, `a=3`, `{"a":1,"a":3}`},
		{`{"a":{"b":[1,{"c":2}]}}`, `a.b.1.c=true`, `{"a":{"b":[1,{"c":true}]}}`},
		{`{"a":1}`, `b=text`, `{"a":1,"b":"text"}`},
		{` { } `, `b.c.d="5"`, `{ "b":{"c":{"d":"5"}}}`},
		{`{"a":1}`, `a=`, `{"a":""}`},
		{`{"a":1}`, `a=x=y "z"`, `{"a":"x=y \"z\""}`},
		{`{"a":1}`, `a={"b": [null]}`, `{"a":{"b": [null]}}`},
		{"{\"\\u0061\":1,\"b\":\"\xff\"}", `a=12345678901234567890`, "{\"\\u0061\":12345678901234567890,\"b\":\"\xff\"}"},
		{`{"a":[1]}`, `a.1=2`, `set: a.1: the array has no element "1"`},
		{`{"a":1}`, `a.b=2`, `set: a.b: "b" is a member of what is no object`},
		{`no JSON`, `a=2`, `set: a: "a" is a member of what is no object`},
		{`{}`, `a`, `set: "a" is not of the form`},
		{`{}`, `a..b=1`, `set: "a..b=1" is not of the form`},
		{`{}`, strings.Repeat("a.", 16) + `b=1`, `set: "a.a.`},
		{`{}`, strings.Repeat("a", 257) + `=1`, `set: "aaa`},
	} {
		got, err := zoomsim.Set([]byte(c.body), c.change)
		if err != nil {
			got = []byte(err.Error())
		}
		if err == nil && string(got) != c.want || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s in %s: %s\nwant %s", c.change, c.body, got, c.want)
		}
	}
	if _, err := zoomsim.Set([]byte("{}"), make([]string, 65)...); err == nil {
		t.Error("65 changes")
	}
}

// TestMeetingIsCoherent: a consumer that joins the events by id and compares their times sees one
// meeting.
func TestMeetingIsCoherent(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	m := zoomsim.NewMeeting(0)
	if entries, err := z.EmitMeeting(t.Context(), "S1", m, 0); err != nil || len(entries) != 6 {
		t.Fatal(entries, err)
	}
	type object struct {
		ID          any
		UUID        string
		Start       string `json:"start_time"`
		End         string `json:"end_time"`
		Participant struct {
			ID    string
			Join  string `json:"join_time"`
			Leave string `json:"leave_time"`
		}
		Files []struct {
			Meeting    string `json:"meeting_id"`
			Start, End string
		} `json:"recording_files"`
	}
	var names []string
	participants, stamp := make(map[string]bool), int64(0)
	for range 6 {
		body := p.next().body(t)
		var event struct {
			Event   string
			At      int64 `json:"event_ts"`
			Payload struct{ Object object }
		}
		if err := json.Unmarshal([]byte(body), &event); err != nil || strings.Contains(body, "$") {
			t.Fatal(body, err)
		}
		o := event.Payload.Object
		names = append(names, event.Event)
		if id := fmt.Sprintf("%v", o.ID); id != fmt.Sprint(m.ID) && id != fmt.Sprint(float64(m.ID)) || o.UUID != m.UUID || event.At <= stamp || o.Start == "" {
			t.Error(body)
		}
		stamp = event.At
		if id := o.Participant.ID; id != "" {
			participants[id] = true
		}
		for _, file := range o.Files {
			if file.Meeting != m.UUID {
				t.Error(body)
			}
		}
	}
	want := "meeting.created meeting.started meeting.participant_joined meeting.participant_left meeting.ended recording.completed"
	if got := strings.Join(names, " "); got != want || len(participants) != 1 {
		t.Error(got, participants)
	}
}
