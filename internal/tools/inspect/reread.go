package inspect

import (
	"strings"
	"time"
)

// RESTBase is the base URL of Zoom's lists.
const RESTBase = "https://api.zoom.us/v2"

// Reread is what to read again for gaps that are close together.
type Reread struct {
	From     string    `json:"from"` // first date, UTC
	To       string    `json:"to"`   // last date, included
	Gaps     int       `json:"gaps"`
	Requests []Request `json:"requests"`
	Nothing  []string  `json:"no_list_known"` // families without a known list
}

// Request is a request to Zoom's REST API.
type Request struct {
	Family string `json:"family"`
	Method string `json:"method"`
	URL    string `json:"url"` // {…} is for the caller to fill in
	Lists  string `json:"lists"`
	Scope  string `json:"scope,omitempty"`      // required of the token; empty: unknown
	Label  Label  `json:"rate_label,omitempty"` // rate limit; empty: unknown
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
	// month is how many days one of Zoom's requests may cover by default.
	month = 30
	// margin is added around a gap: lists have a resolution of seconds and may be a minute late.
	margin = time.Minute
)

// span is a period, in UTC, that contains gaps: at most a month.
type span struct {
	from, to time.Time
	gaps     int // number of gaps that start in it
}

// days groups gaps, which are oldest first, into as few spans as possible: gaps on the same or on
// consecutive days share one. If there are too many, it returns the latest.
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

// windows splits a period into pieces that touch at most the given number of days, in UTC.
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

// requests returns the requests for a family and a period; none if no list is known.
func requests(family string, from, to time.Time) (all []Request) {
	for _, l := range restLists[family] {
		pieces := windows(from.Add(-margin-l.before()), to.Add(margin), l.longest())
		if !strings.Contains(l.path, "{from") { // the list has no time range
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
