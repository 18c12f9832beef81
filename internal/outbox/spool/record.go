package spool

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

// The headers of a record besides those of its message. The message's id has another
// name here, since in the spool a repetition is a record of its own.
const (
	headerSubject = "Spool-Subject"
	headerAfter   = "Spool-After"
	headerID      = "Spool-Msg-Id"
)

// Record is a message on disk.
type Record struct {
	Msg      *nats.Msg
	Sequence uint64    // in the Log; consecutive, except for damaged records
	At       time.Time // when it was written
	After    uint64    // as given to Append
}

func toRecord(msg *nats.Msg, after uint64) *nats.Msg {
	header := make(nats.Header, len(msg.Header)+2)
	for key, values := range msg.Header {
		header[key] = values
	}
	if id, ok := header[nats.MsgIdHdr]; ok {
		header[headerID] = id
		delete(header, nats.MsgIdHdr)
	}
	header[headerSubject] = []string{msg.Subject}
	header[headerAfter] = []string{strconv.FormatUint(after, 10)}
	return &nats.Msg{Subject: subjectOf(header.Get(message.HeaderSubscription)), Header: header, Data: msg.Data}
}

// subjectOf is the subject of a subscription's records, by which Newest distinguishes them.
func subjectOf(subscription string) string {
	return subjectPrefix + base64.RawURLEncoding.EncodeToString([]byte("s"+subscription))
}

func fromRecord(header nats.Header, body []byte, sequence uint64, at time.Time) (Record, error) {
	after, err := strconv.ParseUint(header.Get(headerAfter), 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("record %d: %w", sequence, err)
	}
	msg := &nats.Msg{Subject: header.Get(headerSubject), Header: header, Data: body}
	if id, ok := header[headerID]; ok {
		header[nats.MsgIdHdr] = id
	}
	for _, own := range []string{jetstream.ExpectedLastSeqHeader, headerID, headerSubject, headerAfter} {
		delete(header, own)
	}
	return Record{Msg: msg, Sequence: sequence, At: at, After: after}, nil
}
