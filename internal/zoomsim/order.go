package zoomsim

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Order is an action of the control API given as a text, as on a command line:
// "late?by=2h", "after 30s cut?subscription=S1", "every 1m close?code=1001".
type Order struct {
	text  string
	wait  time.Duration
	again bool
	do    deed
}

// ParseOrder reads and checks an order.
func ParseOrder(text string) (Order, error) {
	o := Order{text: text}
	words := strings.Fields(text)
	if len(words) == 3 && (words[0] == "after" || words[0] == "every") {
		wait, err := time.ParseDuration(words[1])
		if err != nil || wait <= 0 {
			return o, fmt.Errorf("%q: %q is no duration above 0, such as 30s", text, words[1])
		}
		o.wait, o.again = wait, words[0] == "every"
		words = words[2:]
	}
	if len(words) != 1 {
		return o, fmt.Errorf("%q: write NAME?PARAMETERS, after DURATION NAME?PARAMETERS or every DURATION NAME?PARAMETERS", text)
	}
	name, query, _ := strings.Cut(words[0], "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return o, fmt.Errorf("%q: the parameters are not of the form name=value&name=value", text)
	}
	o.do, err = parseAction(name, values, nil)
	if err != nil {
		return o, fmt.Errorf("%q: %w", text, err)
	}
	return o, nil
}

// Run does the order when it is due; one with "every" again and again. It
// returns when there is nothing more to do, or the context is done.
func (o Order) Run(ctx context.Context, s *Sim) error {
	for {
		if o.wait > 0 {
			timer := time.NewTimer(o.wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil
			}
		}
		if _, err := o.do(s); err != nil {
			return fmt.Errorf("%q: %w", o.text, err)
		}
		if !o.again {
			return nil
		}
	}
}
