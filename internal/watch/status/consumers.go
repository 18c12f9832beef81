package status

import (
	"fmt"
	"strings"
	"time"
)

// Consumers are the stream's consumers, as the replica saw them that watches them.
type Consumers struct {
	At        time.Time     `json:"at"`
	Durable   few[Consumer] `json:"durable"`           // by name; of many, those that are furthest behind
	More      int           `json:"more,omitempty"`    // durable ones that are not listed
	Ephemeral int           `json:"ephemeral"`         // their programs make them anew
	Trouble   string        `json:"trouble,omitempty"` // why they cannot be seen, or not how old all their oldest messages are
}

// Consumer is how far a durable consumer is. What is unprocessed is unacknowledged, or if
// it acknowledges nothing, not delivered.
type Consumer struct {
	Name           string  `json:"consumer"`
	Pending        uint64  `json:"pending"`                          // not delivered yet
	Unacknowledged int     `json:"unacknowledged"`                   // delivered
	Redelivered    int     `json:"redelivered"`                      // of those, more than once
	Sequence       uint64  `json:"oldest_unprocessed_seq,omitempty"` // 0: none, or not known
	Oldest         float64 `json:"oldest_unprocessed_s,omitempty"`   // its age
	LosesIn        float64 `json:"loses_in_s,omitempty"`             // until max_age removes it
	LosesBy        string  `json:"loses_by,omitempty"`               // max_age, max_bytes or max_msgs: the limit that is about to remove it
	Stuck          float64 `json:"stuck_s,omitempty"`                // for so long it gets the same messages again and acknowledges none
}

// Note says what is wrong with a consumer; "": nothing.
func (c *Consumer) Note() string {
	var notes []string
	if c.Stuck > 0 {
		note := "stuck for " + duration(seconds(c.Stuck))
		if c.Sequence > 0 {
			note = fmt.Sprintf("stuck on message %d for %s", c.Sequence, duration(seconds(c.Stuck)))
		}
		notes = append(notes, note)
	}
	switch {
	case c.LosesBy == "":
	case c.LosesBy == LimitAge && c.LosesIn >= 1:
		notes = append(notes, "loses events in "+duration(seconds(c.LosesIn)))
	case c.LosesBy == LimitAge:
		notes = append(notes, "loses events now")
	default:
		notes = append(notes, "loses events soon ("+c.LosesBy+")")
	}
	return strings.Join(notes, ", ")
}

// The limits of a stream that remove events, as its configuration calls them.
const (
	LimitAge   = "max_age"
	LimitBytes = "max_bytes"
	LimitMsgs  = "max_msgs"
)

// notable are the consumers with which something is wrong.
func (c *Consumers) notable() *Consumers {
	if c == nil {
		return nil
	}
	short := *c
	short.Durable = nil
	for i := range c.Durable {
		if c.Durable[i].Note() != "" {
			short.Durable = append(short.Durable, c.Durable[i])
		}
	}
	short.More += len(c.Durable) - len(short.Durable)
	return &short
}
