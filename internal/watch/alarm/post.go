package alarm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/zoomstream/zoomstream/message"
)

// runbook has a chapter of each alarm's name.
const runbook = "https://github.com/zoomstream/zoomstream/blob/main/docs/runbook.md"

// body is an alarm as the stream has it, with a text that chat programs show.
func body(a message.Alarm) []byte {
	data, err := json.Marshal(struct {
		message.Alarm
		Text string `json:"text"`
	}{a, text(a)})
	if err != nil {
		panic(err) // it is a struct of text, numbers and a time of this era
	}
	return data
}

// header has the id that the alarm's message has in the stream: after a lost answer it comes again.
func header(a message.Alarm, userAgent string) http.Header {
	return http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {userAgent}, message.HeaderID: {a.Msg("").Header.Get(message.HeaderID)},
	}
}

// text tells people of an alarm in one sentence.
func text(a message.Alarm) string {
	of := ""
	if a.Subscription != "" {
		of = " of subscription " + plain(a.Subscription)
	}
	detail := plain(message.Short(a.Detail, message.MaxText))
	if !a.Raised {
		return fmt.Sprintf("zoomstream: alarm %s%s is over, says replica %s: %s", a.Name, of, a.Replica, detail)
	}
	return fmt.Sprintf("zoomstream: alarm %s%s is raised by replica %s: %s; what to do: %s#%s", a.Name, of, a.Replica, detail, runbook, a.Name)
}

// plain takes from a text what chat programs would follow: mentions, which may page a whole
// channel, links and line breaks. Errors of Zoom and NATS are in it.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '<':
			return '‹'
		case r == '>':
			return '›'
		case r == '&':
			return '＆'
		case r == '@':
			return '＠'
		case !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, text)
}
