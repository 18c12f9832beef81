package inspect

import (
	"strings"
	"time"
)

// RESTBase is where the paths of Zoom's lists begin.
const RESTBase = "https://api.zoom.us/v2"

// Reread is what to read again for gaps that are close to each other.
type Reread struct {
	From     string    `json:"from"` // a date, UTC
	To       string    `json:"to"`   // a date, included
	Gaps     int       `json:"gaps"`
	Requests []Request `json:"requests"`
	Nothing  []string  `json:"no_list_known"` // families
}

// Request is a request to Zoom's REST API.
type Request struct {
	Family string `json:"family"`
	Method string `json:"method"`
	URL    string `json:"url"` // {…} stands for what the caller knows
	Lists  string `json:"lists"`
	Scope  string `json:"scope,omitempty"`      // that the token needs; empty: not known
	Label  Label  `json:"rate_label,omitempty"` // of Zoom's rate limits; empty: not known
}

func reread(d span, families []Family) Reread {
	r := Reread{From: d.from.Format(time.DateOnly), To: d.to.Format(time.DateOnly), Gaps: d.gaps, Requests: []Request{}, Nothing: []string{}}
	for _, f := range families {
		known := requests(f.Family, d.from, d.to)
		r.Requests = append(r.Requests, known...)
		if len(known) == 0 {
			r.Nothing = append(r.Nothing, f.Family)
		}
	}
	return r
}

const (
	day = 24 * time.Hour
	// month is how many days one request of Zoom's may cover, if nothing else is said.
	month = 30
	// margin is asked for around a gap: lists go to the second and may be a minute late.
	margin = time.Minute
)

// span is a time, UTC, in which there are gaps: at most a month.
type span struct {
	from, to time.Time
	gaps     int // that begin in it
}

// days are as few spans as cover gaps, oldest first, where those of one day and of
// the next one are together. Of too many, the latest are returned.
func days(gaps []Gap) []span {
	var spans []span
	for _, g := range gaps {
		from, to := g.From.UTC(), g.To.UTC()
		last := len(spans) - 1
		if last < 0 || from.Truncate(day).After(spans[last].to.Truncate(day).Add(day)) {
			spans = append(spans, span{from: from, to: from})
			last++
		}
		current := &spans[last]
		current.gaps++
		if to.After(current.to) {
			pieces := windows(current.from, to, month)
			current.to = pieces[0].to
			spans = append(spans, pieces[1:]...)
		}
		if len(spans) > 2*maxReread {
			spans = append(spans[:0], spans[len(spans)-maxReread:]...)
		}
	}
	return spans[max(0, len(spans)-maxReread):]
}

// windows are a time in pieces that touch so many days, UTC, at most.
func windows(from, to time.Time, days int) (all []span) {
	for {
		end := from.Truncate(day).Add(time.Duration(days)*day - time.Second)
		if !to.After(end) {
			return append(all, span{from: from, to: to})
		}
		all = append(all, span{from: from, to: end})
		from = end.Add(time.Second)
	}
}

// requests are the requests for a family and a time; none if no list is known.
func requests(family string, from, to time.Time) (all []Request) {
	for _, l := range restLists[family] {
		pieces := windows(from.Add(-margin-l.before()), to.Add(margin), l.longest())
		if !strings.Contains(l.path, "{from") { // not by time
			pieces = pieces[:1]
		}
		for _, w := range pieces {
			fill := strings.NewReplacer("{from}", w.from.Format(time.DateOnly), "{to}", w.to.Format(time.DateOnly),
				"{fromTime}", w.from.Format(time.RFC3339), "{toTime}", w.to.Format(time.RFC3339))
			all = append(all, Request{Family: family, Method: "GET", URL: RESTBase + fill.Replace(l.path), Lists: l.note, Scope: l.scope, Label: l.label})
		}
	}
	return all
}
