package publisher

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// acks are acknowledgements as servers from 2.10 to 2.15 write them: alone, with a domain, and in
// their answers to batches and counters.
var acks = []string{
	`{"stream":"ZOOM","seq":12}`,
	`{"stream":"ZOOM", "seq":12}`,
	`{"stream":"ZOOM","seq":12,"duplicate": true}`,
	`{"stream":"ZOOM","seq":12,"duplicate":true}`,
	`{"stream":"ZOOM","domain":"hub","seq":12}`,
	`{"stream":"ZOOM", "domain":"hub", "seq":12,"duplicate": true}`,
	`{"stream":"ZOOM","seq":12,"domain":"hub","duplicate":false}`,
	`{"stream":"ZOOM","seq":12,"batch":"a1","count":3}`,
	`{"stream":"ZOOM","seq":12,"val":"-5"}`,
	" {\n\t\"seq\" : 12 ,\r\n\"stream\" : \"ZOOM\" } \n",
}

// others are answers that are left to encoding/json.
var others = []string{
	``, `null`, `{}`, `}`, `{`, `{"error":{"code":503,"err_code":10077,"description":"no"}}`, `{"error":{},"stream":"ZOOM","seq":12}`,
	`{"stream":"ZOOM","seq":012}`, `{"stream":"ZOOM","seq":-1}`, `{"stream":"ZOOM","seq":1.0}`, `{"stream":"ZOOM","seq":1e3}`, `{"stream":"ZOOM","seq":}`,
	`{"stream":"ZOOM","seq":18446744073709551616}`, `{"stream":"ZOOM","seq":"12"}`, `{"stream":"ZOOM","seq":12`, `{"stream":"ZOOM","seq":12}}`,
	`{"stream":"ZOOM","seq":12,}`, `{"stream":"ZOOM" "seq":12}`, `{"stream":"ZOOM","seq":12,"duplicate":tru}`, `{"stream":"ZOOM","seq":12,"duplicate":truer}`,
	`{"stream":"ZO\u004fM","seq":12}`, `{"stream":"ZOÖM","seq":12}`, `{"stream":"ZO` + "\x01" + `M","seq":12}`, `{"stream":null,"seq":12}`,
	`{"Stream":"ZOOM","SEQ":12}`, `{"stream":"ZOOM","seq":12,"new":[1]}`, "{\"stream\":\"ZOOM\",\"seq\":12}\x00", "\x00",
}

func TestScanAck(t *testing.T) {
	for _, data := range acks {
		if stream, _, ack, ok := scanAck([]byte(data)); !ok || string(stream) != "ZOOM" || ack.Sequence != 12 {
			t.Errorf("%s is read as %q %+v, %t", data, stream, ack, ok)
		}
	}
	for _, data := range others {
		if _, _, _, ok := scanAck([]byte(data)); ok {
			t.Errorf("%q is not left to encoding/json", data)
		}
	}
}

// FuzzScanAck: encoding/json agrees with everything that scanAck reads.
func FuzzScanAck(f *testing.F) {
	for _, data := range append(acks, others...) {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stream, domain, ack, ok := scanAck(data)
		if !ok {
			return
		}
		want := struct {
			Stream    string          `json:"stream"`
			Sequence  uint64          `json:"seq"`
			Duplicate bool            `json:"duplicate"`
			Error     json.RawMessage `json:"error"`
			Domain    string          `json:"domain"`
			Batch     string          `json:"batch"`
			Count     uint64          `json:"count"`
			Value     string          `json:"val"`
		}{}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q is read as %q %+v: %v", data, stream, ack, err)
		}
		if string(stream) != want.Stream || string(domain) != want.Domain || ack.Sequence != want.Sequence || ack.Duplicate != want.Duplicate || want.Error != nil {
			t.Errorf("%q is read as %q %+v, not %+v", data, stream, ack, want)
		}
	})
}

func TestAnswersAreReadWithoutAllocation(t *testing.T) {
	msg := answerTo(1<<40, 3, acks[5])
	allocs := testing.AllocsPerRun(100, func() {
		number, round, ok := parseReply("_INBOX.x.", msg.Subject)
		ack, err := parseAck(msg, "ZOOM", "")
		if number != 1<<40 || round != 3 || !ok || err != nil || ack != (pubAck{Sequence: 12, Duplicate: true}) {
			t.Errorf("%d, %d, %t, %+v, %v", number, round, ok, ack, err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestOtherAnswers(t *testing.T) {
	for _, data := range others {
		ack, err := parseAck(&nats.Msg{Data: []byte(data)}, "ZOOM", "")
		var want struct {
			Stream string
			Seq    uint64
			Error  *struct{}
		}
		stored := json.Unmarshal([]byte(data), &want) == nil && want.Stream == "ZOOM" && want.Seq > 0 && want.Error == nil
		if stored != (err == nil) || stored && ack.Sequence != want.Seq {
			t.Errorf("%q is %+v, %v", data, ack, err)
		}
	}
}

// TestAcknowledgedElsewhere: acknowledgements of a leaf node's own stream of the same name do not
// count.
func TestAcknowledgedElsewhere(t *testing.T) {
	for _, data := range []string{`{"stream":"ZOOM","seq":12}`, `{"stream":"ZOOM","domain":"leaf","seq":12}`, `{"stream":"ZOOM","domain":"l\u0065af","seq":12}`} {
		if _, err := parseAck(&nats.Msg{Data: []byte(data)}, "ZOOM", "hub"); err != errElsewhere {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, data := range []string{`{"stream":"ZOOM","domain":"hub","seq":12}`, `{"stream":"ZOOM","domain":"h\u0075b","seq":12}`} {
		if ack, err := parseAck(&nats.Msg{Data: []byte(data)}, "ZOOM", "hub"); err != nil || ack.Sequence != 12 {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// TestRefusedElsewhere: a leaf node's own stream refuses what the hub's stores. A refusal names no
// domain, so it counts only if the hub has not answered in time.
func TestRefusedElsewhere(t *testing.T) {
	const refusal = `{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"ZOOM","seq":0}`
	s := sent(2)
	s.domain = "hub"
	more := make(chan *nats.Msg, 1)
	more <- answerTo(1, 0, refusal)
	s.receive(answerTo(0, 0, refusal), more)
	if err := s.stats.Err; err != nil || len(s.answers) > 0 || s.round != 0 {
		t.Fatalf("it counts at once: %v, %+v, round %d", err, s.answers, s.round)
	}
	s.receive(answerTo(0, 0, `{"stream":"ZOOM","domain":"hub","seq":12}`), more)
	if s.queue.head != 1 {
		t.Errorf("the hub's acknowledgement does not count: %d", s.queue.head)
	}
	s.waiting = time.Now().Add(-2 * s.opt.AckWait)
	s.checkAckWait()
	if err := s.stats.Err; err == nil || !strings.Contains(err.Error(), "maximum messages exceeded") || len(s.refusals) > 0 {
		t.Errorf("after the time for an acknowledgement: %v, %v", err, s.refusals)
	}
}
