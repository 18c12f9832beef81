package spool

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a record besides its message's own. The id goes by another name,
// since here a repetition is a record of its own.
const (
	headerSubject = "Spool-Subject"
	headerAfter   = "Spool-After"
	headerID      = "Spool-Msg-Id"
	headerCopy    = "Spool-Copy"
)

// Record is a message on disk.
type Record struct {
	Msg      *nats.Msg
	Sequence uint64    // in the Log, without holes
	At       time.Time // when it was written
	After    uint64    // as given to Append
	Copy     bool      // as given to Append
}

func toRecord(msg *nats.Msg, after uint64, copied bool) *nats.Msg {
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
	if copied {
		header[headerCopy] = []string{"yes"}
	}
	return &nats.Msg{Subject: subjectOf(header.Get(headerSubscription)), Header: header, Data: msg.Data}
}

// headerSubscription is what messages are told apart by for Newest.
const headerSubscription = "Zoom-Subscription"

func subjectOf(subscription string) string {
	return subjectPrefix + base64.RawURLEncoding.EncodeToString([]byte("s"+subscription))
}

func fromRecord(msg jetstream.Msg) (Record, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Record{}, err
	}
	header := msg.Headers()
	after, err := strconv.ParseUint(header.Get(headerAfter), 10, 64)
	if err != nil {
		return Record{}, err
	}
	original := &nats.Msg{Subject: header.Get(headerSubject), Header: header, Data: msg.Data()}
	copied := header.Get(headerCopy) != ""
	if id, ok := header[headerID]; ok {
		header[nats.MsgIdHdr] = id
	}
	delete(header, jetstream.ExpectedLastSeqHeader)
	delete(header, headerID)
	delete(header, headerSubject)
	delete(header, headerAfter)
	delete(header, headerCopy)
	return Record{Msg: original, Sequence: meta.Sequence.Stream, At: meta.Timestamp, After: after, Copy: copied}, nil
}
