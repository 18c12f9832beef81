package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
)

// TestGeneratedMessages compares the tables and examples of docs/messages.md with package
// message: names, JSON and comments. "make readme" writes them.
func TestGeneratedMessages(t *testing.T) {
	source := parseMessage(t)
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

	compareGenerated(t, messagesPage, "event", source.headers(t, "HeaderID")+source.headers(t, "HeaderTrackingID")+source.headers(t, "HeaderAccount")+source.headers(t, "HeaderCESpecVersion")+example(t, order(event, "42")))
	compareGenerated(t, messagesPage, "gap", source.members(t, "Gap")+source.values(t, "cause", "GapDisconnected")+example(t, order(gap.Msg("zoom"), "43")))
	compareGenerated(t, messagesPage, "malformed", source.headers(t, "HeaderReasonCode")+source.values(t, message.HeaderReasonCode, "ReasonNotJSON")+
		example(t, order(frame.Msg("zoom", malformed), "44")))
	compareGenerated(t, messagesPage, "alarm", source.members(t, "Alarm")+source.values(t, "alarm, of a subscription", "AlarmLate")+
		source.values(t, "alarm, of a whole replica", "AlarmToken")+example(t, order(alarm.Msg("zoom"), "45")))
}

// messageSource is the declarations of package message.
type messageSource []ast.Decl

func parseMessage(t *testing.T) (all messageSource) {
	t.Helper()
	for _, name := range []string{"headers.go", "gap.go", "alarm.go", "malformed.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../../message/"+name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file.Decls...)
	}
	return all
}

// constants are those of the group that begins with one.
func (s messageSource) constants(t *testing.T, first string) (group []*ast.ValueSpec) {
	t.Helper()
	for _, d := range s {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST || decl.Specs[0].(*ast.ValueSpec).Names[0].Name != first {
			continue
		}
		for _, spec := range decl.Specs {
			group = append(group, spec.(*ast.ValueSpec))
		}
		return group
	}
	t.Fatalf("no constants of package message begin with %s", first)
	return nil
}

func constantValue(t *testing.T, spec *ast.ValueSpec) string {
	t.Helper()
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok { // it is that of nats.go
		return message.HeaderID
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// headers is a table of the headers in a group of constants.
func (s messageSource) headers(t *testing.T, first string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| header | in Go | value |\n|---|---|---|\n")
	for _, spec := range s.constants(t, first) {
		name := spec.Names[0].Name
		meaning, ok := strings.CutPrefix(oneLine(spec.Doc.Text()), name+" is ")
		if !ok {
			t.Errorf("the comment of message.%s does not begin with its name", name)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", constantValue(t, spec), name, meaning)
	}
	return b.String() + "\n"
}

// values is a table of the values in a group of constants.
func (s messageSource) values(t *testing.T, of, first string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | |\n|---|---|\n", of)
	for _, spec := range s.constants(t, first) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", constantValue(t, spec), oneLine(spec.Comment.Text()))
	}
	return b.String() + "\n"
}

// members is a table of a body's JSON members.
func (s messageSource) members(t *testing.T, name string) string {
	t.Helper()
	kinds := map[string]string{"string": "text", "GapCause": "text", "Time": "time, RFC 3339", "int64": "number", "uint64": "number", "bool": "boolean"}
	var b strings.Builder
	b.WriteString("| member | is | meaning |\n|---|---|---|\n")
	for _, d := range s {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE || decl.Specs[0].(*ast.TypeSpec).Name.Name != name {
			continue
		}
		for _, field := range decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType).Fields.List {
			tag, _ := strconv.Unquote(field.Tag.Value)
			member, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(tag, `json:"`), `"`), ",")
			if member == "-" {
				continue
			}
			typed := field.Type
			if of, ok := typed.(*ast.SelectorExpr); ok {
				typed = of.Sel
			}
			kind := kinds[typed.(*ast.Ident).Name]
			if kind == "" || field.Doc.Text() == "" {
				t.Errorf("message.%s: nobody says what %s is", name, member)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", member, kind, oneLine(field.Doc.Text()))
		}
		return b.String() + "\n"
	}
	t.Fatalf("package message has no %s", name)
	return ""
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// example shows a message, a JSON body indented.
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
