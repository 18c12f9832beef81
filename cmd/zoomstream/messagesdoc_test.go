package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/messagesource"
	"github.com/zoomstream/zoomstream/message"
)

// TestGeneratedMessages compares the tables and examples in docs/messages.md with the names, JSON
// and comments of package message. "make readme" writes them.
func TestGeneratedMessages(t *testing.T) {
	source := messagesource.Parse(t, "../../message")
	at := time.Date(2026, 11, 21, 10, 0, 0, 100_000_000, time.UTC)
	const subscription = "your-subscription-id"
	order := func(msg *nats.Msg, seq string) *nats.Msg {
		msg.Header[message.HeaderEpoch], msg.Header[message.HeaderSeq] = []string{"4711"}, []string{seq}
		return msg
	}
	received := nats.Header{
		message.HeaderSubscription: {subscription}, message.HeaderReceivedAt: {"2026-11-21T10:00:00.100000000Z"}, message.HeaderTrackingID: {"v=2.0;clid=us02;rid=WEB_1"},
		message.HeaderSentAt: {"1795255199"}, message.HeaderZoomSignature: {"v0=a1b2…"},
	}
	event := &nats.Msg{Subject: "zoom.meeting.started", Header: maps.Clone(received), Data: []byte(`{"event":"meeting.started","event_ts":1795255198050,"payload":{"account_id":"your-account-id","object":{"id":"86017254931",…}}}`)}
	event.Header[message.HeaderID] = []string{"v=2.0;clid=us02;rid=WEB_1:3823edcdce820194"}
	event.Header[message.HeaderEvent], event.Header[message.HeaderSignature] = []string{"meeting.started"}, []string{message.SignatureValid}
	event.Header[message.HeaderAccount], event.Header[message.HeaderObjectID] = []string{"your-account-id"}, []string{"86017254931"}
	event.Header[message.HeaderObjectUUID], event.Header[message.HeaderEventAt] = []string{"+q/7Zk1dQvGm0yT4nB9x3A=="}, []string{"2026-11-21T09:59:58.050Z"}
	malformed := maps.Clone(received)
	malformed[message.HeaderID] = []string{"v=2.0;clid=us02;rid=WEB_1:b3b459ebb1e6e1ff"}

	gap := message.Gap{
		Subscription: subscription, From: at, To: at.Add(300 * time.Millisecond), Milliseconds: 300, Cause: message.GapCrash, Detail: "zoom: reset: connection reset by peer",
		PreviousReplica: "pod-a", Replica: "pod-b", Epoch: 4711, ID: "gap:" + subscription + ":2AZ8…:4690.3-4711.1",
	}
	alarm := message.Alarm{
		Name: message.AlarmContested, Raised: true, Subscription: subscription, Replica: "pod-b", Epoch: 4711, At: at, Detail: "another client connects to this subscription",
	}
	frame := message.Malformed{Code: message.ReasonNotJSON, Reason: "the content is not JSON at byte 1", Body: []byte(`{"module":"message","content":"{","header":{"Authorization":"***"}}`)}

	headers := func(first string) string { return headerTable(source.Constants(t, first)) }
	values := func(of, first string) string { return valueTable(of, source.Constants(t, first)) }
	members := func(name string) string { return memberTable(source.Members(t, name)) }
	compareGenerated(t, messagesPage, "event", headers("HeaderID")+headers("HeaderTrackingID")+headers("HeaderAccount")+headers("HeaderCESpecVersion")+example(t, order(event, "42")))
	compareGenerated(t, messagesPage, "gap", members("Gap")+values("cause", "GapDisconnected")+example(t, order(gap.Msg("zoom"), "43")))
	compareGenerated(t, messagesPage, "malformed", headers("HeaderReasonCode")+values(message.HeaderReasonCode, "ReasonNotJSON")+example(t, order(frame.Msg("zoom", malformed), "44")))
	compareGenerated(t, messagesPage, "alarm", members("Alarm")+values("alarm, of a subscription", "AlarmLate")+values("alarm, of a whole replica", "AlarmToken")+
		example(t, order(alarm.Msg("zoom"), "45")))
}

// headerTable returns a table of the headers in a group of constants.
func headerTable(all []messagesource.Constant) string {
	var b strings.Builder
	b.WriteString("| header | in Go | value |\n|---|---|---|\n")
	for _, c := range all {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", c.Value, c.Name, c.Doc)
	}
	return b.String() + "\n"
}

// valueTable returns a table of the values in a group of constants.
func valueTable(of string, all []messagesource.Constant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | |\n|---|---|\n", of)
	for _, c := range all {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.Value, c.Comment)
	}
	return b.String() + "\n"
}

// memberTable returns a table of the members of a JSON body.
func memberTable(all []messagesource.Member) string {
	kinds := map[string]string{"string": "text", "GapCause": "text", "Time": "time, RFC 3339", "int64": "number", "uint64": "number", "bool": "boolean"}
	var b strings.Builder
	b.WriteString("| member | is | meaning |\n|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, kinds[m.Type], m.Doc)
	}
	return b.String() + "\n"
}

// example returns a message as text, with a JSON body indented.
func example(t *testing.T, msg *nats.Msg) string {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "```\n%s\n\n", msg.Subject)
	for _, key := range slices.Sorted(maps.Keys(msg.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", key, msg.Header.Get(key))
	}
	b.WriteString("\n")
	if kind := message.KindOf("zoom", msg.Subject); kind == message.KindGap || kind == message.KindAlarm {
		if err := json.Indent(&b, msg.Data, "", "  "); err != nil {
			t.Fatal(err)
		}
	} else {
		b.Write(msg.Data)
	}
	return b.String() + "\n```\n"
}
