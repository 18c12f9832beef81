package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// codeMessageTooLarge is the error code of JetStream that is about the message itself, so that
// a retry cannot succeed (nats-server, server/errors.json).
const codeMessageTooLarge = 10054

// pubAck is the relevant part of JetStream's answer to a publish
// (https://docs.nats.io/reference/reference-protocols/nats_api_reference).
type pubAck struct {
	Sequence  uint64
	Duplicate bool
}

// errElsewhere means that a stream in another domain has stored the message too, such as one
// at a leaf node with the same subjects. It is not an answer from our stream.
var errElsewhere = errors.New("acknowledged by another domain")

// parseAck parses the answer to a publish: an acknowledgement by this stream in this domain,
// or else an error. An empty stream or domain matches any.
func parseAck(msg *nats.Msg, stream, domain string) (pubAck, error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return pubAck{}, jetstream.ErrNoStreamResponse
	}
	name, from, ack, ok := scanAck(msg.Data)
	if ok && domain != "" && string(from) != domain {
		return pubAck{}, errElsewhere
	}
	if ok && len(name) > 0 && ack.Sequence > 0 && (stream == "" || string(name) == stream) {
		return ack, nil
	}
	var answer struct {
		Stream    string              `json:"stream"`
		Domain    string              `json:"domain"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Error     *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return pubAck{}, fmt.Errorf("the acknowledgement cannot be read: %w", err)
	}
	switch {
	case answer.Error != nil:
		return pubAck{}, answer.Error
	case domain != "" && answer.Domain != domain:
		return pubAck{}, errElsewhere
	case answer.Stream == "" || answer.Sequence == 0:
		return pubAck{}, errors.New("the acknowledgement names no stream and sequence")
	case stream != "" && answer.Stream != stream:
		return pubAck{}, fmt.Errorf("stream %s has the subject, not %s", answer.Stream, stream)
	}
	return pubAck{Sequence: answer.Sequence, Duplicate: answer.Duplicate}, nil
}

// permanent reports whether an error means that a message can never be stored as it is.
func permanent(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode == codeMessageTooLarge
	}
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) || errors.Is(err, nats.ErrBadHeaderMsg)
}

// replyBase is the base of the numbers in a reply subject.
const replyBase = 32

// appendReply appends the part of a reply subject that identifies one sending: the entry's
// number and the round. The round is needed because an error that answers an earlier round
// no longer means anything.
func appendReply(b []byte, number, round uint64) []byte {
	b = strconv.AppendUint(b, number, replyBase)
	b = append(b, '.')
	return strconv.AppendUint(b, round, replyBase)
}

// parseReply parses what appendReply has appended to a prefix.
func parseReply(prefix, subject string) (number, round uint64, ok bool) {
	reply, _ := strings.CutPrefix(subject, prefix)
	first, second, _ := strings.Cut(reply, ".")
	number, err1 := strconv.ParseUint(first, replyBase, 64)
	round, err2 := strconv.ParseUint(second, replyBase, 64)
	return number, round, err1 == nil && err2 == nil
}
