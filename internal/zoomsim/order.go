package zoomsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Order is an action of the control API given as text, as on a command line: "late?by=2h",
// "cut?after=30s", "close?every=1m&code=1001".
type Order struct {
	action       string // without after and every
	after, every time.Duration
}

// UnmarshalText parses and checks an order.
func (o *Order) UnmarshalText(text []byte) error {
	action, query, _ := strings.Cut(string(text), "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("%q is not of the form ACTION?NAME=VALUE&NAME=VALUE", text)
	}
	timing := params{url.Values{"after": values["after"], "every": values["every"]}, nil}
	if err := timing.check("[after=30s] [every=1m]"); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	values.Del("after")
	values.Del("every")
	*o = Order{action + "?" + values.Encode(), timing.duration("after"), timing.duration("every")}
	rehearsal := New(Options{})
	rehearsal.Close() // so that nothing takes time
	_, err = rehearsal.Do(o.action)
	return unlessPassing(err)
}

// Run executes the order when it is due; with "every", repeatedly. It returns when nothing more is
// due, or ctx is done.
func (o Order) Run(ctx context.Context, s *Sim) error {
	for wait := cmp.Or(o.after, o.every); ; wait = o.every {
		if s.sleep(ctx, wait) != nil {
			return nil
		}
		_, err := s.Do(o.action)
		if err = unlessPassing(err); err != nil || o.every == 0 {
			return err
		}
	}
}

// unlessPassing drops errors that may not recur the next time.
func unlessPassing(err error) error {
	if errors.Is(err, ErrNobody) || errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}
