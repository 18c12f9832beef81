package alarm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"github.com/zoomstream/zoomstream/message"
)

// runbook has a chapter of each alarm's name.
const runbook = "https://github.com/zoomstream/zoomstream/blob/main/docs/runbook.md"

// what people are told of an alarm.
type what string

const (
	raised      what = "is raised by"
	stillRaised what = "is still raised, says" // whoever has taken it over
	over        what = "is over, says"
	abandoned   what = "is watched no more by"
	nothing     what = "" // since more is to come
)

// notice is a message to the endpoint.
type notice struct {
	as what
	message.Alarm
}

// body is an alarm as the stream has it, with a text that chat programs show.
func (n notice) body() []byte {
	data, err := json.Marshal(struct {
		message.Alarm
		Text string `json:"text"`
	}{n.Alarm, n.text()})
	if err != nil {
		panic(err) // it is a struct of text, numbers and a time of this era
	}
	return data
}

// header has the id that the alarm's message has in the stream: after a lost answer it comes again.
func (n notice) header(userAgent string) http.Header {
	return http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {userAgent}, message.HeaderID: {n.Msg("").Header.Get(message.HeaderID)},
	}
}

// text tells people of an alarm in one sentence.
func (n notice) text() string {
	of, help := "", ""
	if n.Subscription != "" {
		of = " of subscription " + plain(n.Subscription)
	}
	if n.as != over {
		help = "; what to do: " + runbook + "#" + n.Name
	}
	return fmt.Sprintf("zoomstream: alarm %s%s %s replica %s: %s%s", n.Name, of, n.as, n.Replica, plain(message.Short(n.Detail, message.MaxText)), help)
}

// links finds where chat programs see the beginning of a link without any markup.
var links = regexp.MustCompile(`(?i)://|www\.`)

// plain takes from a text what chat programs would follow: mentions, which may page a whole
// channel, links and line breaks. Errors of Zoom and NATS are in it.
func plain(text string) string {
	text = links.ReplaceAllStringFunc(text, strings.NewReplacer(":", "：", ".", "．").Replace)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '<':
			return '‹'
		case r == '>':
			return '›'
		case r == '[':
			return '［'
		case r == ']':
			return '］'
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
