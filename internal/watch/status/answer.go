package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// Limits on what is accepted from answers: whoever may subscribe to the subject can send one.
const (
	maxReplicas  = 256      // more than any deployment runs
	maxKept      = 64 << 20 // bytes of memory for all answers together
	maxList      = 4096     // elements of a list
	maxNotes     = 32
	listedSize   = 64 // bytes of memory assumed per list element
	describeSize = 1 << 10
)

// few is a list of which at most maxList elements are read.
type few[T any] []T

// UnmarshalJSON reads the first maxList elements and ignores the rest.
func (f *few[T]) UnmarshalJSON(text []byte) error {
	*f = few[T]{}
	in := json.NewDecoder(bytes.NewReader(text))
	if first, err := in.Token(); err != nil || first != json.Delim('[') {
		if string(text) == "null" {
			*f = nil
			return nil
		}
		return errors.New("no list")
	}
	for in.More() && len(*f) < maxList {
		var one T
		if err := in.Decode(&one); err != nil {
			return err
		}
		*f = append(*f, one)
	}
	return nil
}

// readReplica parses an answer. size is the approximate memory it takes, in bytes.
func readReplica(text []byte) (r *Replica, size int, err error) {
	r = &Replica{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, 0, err
	}
	if !record.IsName(r.Nonce) || !record.IsName(r.Replica) {
		return nil, 0, errors.New("it has no name")
	}
	p := &r.Outbox
	texts := []*string{
		&r.Host, &r.Version, &r.HTTP, (*string)(&r.Phase), &r.Shortened, &p.Server, &p.Stream, &p.Trouble, &p.Disk, &p.Bucket, &p.Kept, &r.Token.Trouble,
	}
	for i := range r.Subscriptions {
		s := &r.Subscriptions[i]
		texts = append(texts, (*string)(&s.Role), &s.Leader, &s.LeaderNonce, &s.State, &s.Trouble)
		if s.LastGap != nil {
			texts = append(texts, &s.LastGap.Cause)
		}
		size += describeSize + listedSize*len(s.History)
	}
	for i := range r.Alarms {
		a := &r.Alarms[i]
		texts = append(texts, &a.Alarm, &a.Subscription, &a.Replica, &a.Detail)
	}
	if r.Consumers != nil {
		texts = append(texts, &r.Consumers.Trouble)
		for i := range r.Consumers.Durable {
			c := &r.Consumers.Durable[i]
			texts = append(texts, &c.Name, &c.LosesBy)
		}
		size += describeSize * len(r.Consumers.Durable)
	}
	for _, text := range texts {
		*text = message.Short(*text, message.MaxText)
	}
	r.Subscriptions = slices.DeleteFunc(r.Subscriptions, func(s Subscription) bool { return !record.IsSubscription(s.Subscription) })
	unnamed := func(o Other) bool { return !record.IsName(o.Nonce) || !record.IsName(o.Replica) }
	r.Others, r.Gone = slices.DeleteFunc(r.Others, unnamed), slices.DeleteFunc(r.Gone, unnamed)
	return r, size + len(text) + listedSize*(len(r.Others)+len(r.Gone)+len(r.Alarms)), nil
}
