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

// runbook is the URL of the runbook, which has a chapter with each alarm's name.
const runbook = "https://github.com/zoomstream/zoomstream/blob/main/docs/runbook.md"

// what is the predicate of an alarm's text for people.
type what string

const (
	raised      what = "is raised by"
	stillRaised what = "is still raised, according to" // by whoever took it over
	over        what = "is over, according to"
	abandoned   what = "is no longer watched by"
	nothing     what = "" // more follows at once
)

// notice is one message to the endpoint.
type notice struct {
	as what
	message.Alarm
}

// body is the alarm's JSON as in the stream, plus a text that chat programs show.
func (n notice) body() []byte {
	data, err := json.Marshal(struct {
		message.Alarm
		Text string `json:"text"`
	}{n.Alarm, n.text()})
	if err != nil {
		panic(err) // cannot happen: a struct of strings, numbers and a current time
	}
	return data
}

// header includes the alarm's message id, because a message whose answer was lost is sent again.
func (n notice) header(userAgent string) http.Header {
	return http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {userAgent}, message.HeaderID: {n.Msg("").Header.Get(message.HeaderID)},
	}
}

// text describes the alarm to people in one sentence.
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

// links matches what chat programs recognise as the start of a link even without markup.
var links = regexp.MustCompile(`(?i)://|www\.`)

// plain defuses what chat programs would act on: mentions, which may page a whole channel, links
// and line breaks. The text includes errors from Zoom and NATS.
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
