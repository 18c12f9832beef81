package status

import (
	"fmt"
	"strings"
	"time"
)

// Consumers are the stream's consumers, as seen by the replica that watches them.
type Consumers struct {
	At        time.Time     `json:"at"`
	Durable   few[Consumer] `json:"durable"`           // by name; if there are too many, those furthest behind
	More      int           `json:"more,omitempty"`    // durable consumers not listed
	Ephemeral int           `json:"ephemeral"`         // their programs recreate them
	Trouble   string        `json:"trouble,omitempty"` // why they cannot be read, or why the age of the oldest message is missing for some
}

// Consumer is the progress of a durable consumer. An unprocessed message is one not acknowledged,
// or not delivered if the consumer acknowledges nothing.
type Consumer struct {
	Name           string  `json:"consumer"`
	Pending        uint64  `json:"pending"`                          // not delivered yet
	Unacknowledged int     `json:"unacknowledged"`                   // delivered, not acknowledged
	Redelivered    int     `json:"redelivered"`                      // of those, delivered more than once
	Sequence       uint64  `json:"oldest_unprocessed_seq,omitempty"` // 0: none or unknown
	Oldest         float64 `json:"oldest_unprocessed_s,omitempty"`   // age of the oldest unprocessed message, in seconds
	LosesIn        float64 `json:"loses_in_s,omitempty"`             // seconds until max_age removes it
	LosesBy        string  `json:"loses_by,omitempty"`               // the limit that is about to remove it: max_age, max_bytes or max_msgs
	Stuck          float64 `json:"stuck_s,omitempty"`                // for how many seconds it has got the same messages again and acknowledged none
}

// Note describes what is wrong with a consumer; "": nothing.
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

// The limits that make a stream remove events, by their names in its configuration.
const (
	LimitAge   = "max_age"
	LimitBytes = "max_bytes"
	LimitMsgs  = "max_msgs"
)

// notable returns only the consumers with which something is wrong.
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
