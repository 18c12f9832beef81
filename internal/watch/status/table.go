package status

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zoomstream/zoomstream/internal/colour"
)

// Table writes the overview for people, with times in this machine's time zone.
func (o *Overview) Table(w io.Writer, look Look) error {
	if look.Width > 0 {
		look.Width = max(look.Width, narrowest)
	}
	t := &table{o: o, look: look, members: make(map[string]*Member)}
	for i := range o.Replicas {
		t.members[o.Replicas[i].Nonce] = &o.Replicas[i]
	}
	for i := range o.Subscriptions {
		if l := &o.Subscriptions[i]; l.Unused {
			t.unused = append(t.unused, l)
		} else {
			t.used = append(t.used, l)
		}
	}
	slices.SortStableFunc(t.used, func(a, b *Line) int { return t.rank(a) - t.rank(b) })
	t.headline()
	t.subscriptions()
	t.troubles()
	t.standbys()
	t.replicas()
	t.consumers()
	t.alarms()
	t.notes()
	t.legend()
	_, err := w.Write(t.b.Bytes())
	return err
}

type table struct {
	b       bytes.Buffer
	o       *Overview
	look    Look
	members map[string]*Member // by nonce
	used    []*Line            // in trouble first
	unused  []*Line

	late, doubts, dashes, cuts bool     // marks used in the table
	left                       []string // columns dropped for lack of room
}

// rank orders the table's subscriptions: those with problems first.
func (t *table) rank(l *Line) int {
	switch {
	case !l.Connected():
		return 0
	case l.Trouble != "":
		return 1
	case t.alarmsOf(l) != "":
		return 2
	default:
		return 3
	}
}

func (t *table) printf(format string, args ...any) { fmt.Fprintf(&t.b, format, args...) }

func (t *table) headline() {
	text := t.o.At.Local().Format(time.DateTime) + "  bucket " + Visible(t.o.Bucket)
	if t.o.Stream != "" {
		text += ", stream " + Visible(t.o.Stream)
	}
	verdict, paint := plural(len(t.used), "subscription")+" connected", t.look.Paint.Good
	if err := t.o.Verdict(); err != nil {
		verdict, paint = err.Error(), t.look.Paint.Bad
	}
	if whole := text + ": " + verdict; t.look.Width <= 0 || utf8.RuneCountInString(whole) <= t.look.Width {
		t.printf("%s: %s\n", text, paint(verdict))
		return
	}
	t.paragraph(text+":", plain)
	t.paragraph(verdict, paint)
}

func (t *table) subscriptions() {
	columns := []column{
		{head: "SUBSCRIPTION", least: cutNames}, {head: "LEADER", least: cutNames}, {head: "SINCE", goes: 4}, {head: "STATE", ends: true, paint: paintState},
		{head: "EVENTS/S", goes: 6}, {head: "LATE P50/P99", goes: 5}, {head: "IN FLIGHT", goes: 1}, {head: "SPOOL", goes: 2}, {head: "LAST GAP", goes: 7},
		{head: "ALARMS", goes: 3, paint: paintAlarm},
	}
	var rows [][]string
	for _, l := range t.used {
		row := []string{
			l.Subscription.Subscription, cmp.Or(l.Leader, "none"), t.age(l.Since), t.state(l), "", "", "", "", t.gap(l.LastGap), t.alarmsOf(l),
		}
		if l.Answered {
			row[4], row[5], row[6] = rate(l.Rate), lateness(l.Late), fmt.Sprint(l.InFlight)
			row[7] = fmt.Sprint(t.members[l.LeaderNonce].Outbox.Spooled)
		}
		t.late = t.late || row[5] != ""
		rows = append(rows, row)
	}
	for _, l := range t.unused {
		rows = append(rows, []string{l.Subscription.Subscription, "none", "", "unused: no replica is set up for it"})
	}
	t.grid(columns, rows)
	t.late = t.late && !slices.Contains(t.left, "LATE P50/P99")
}

func plain(text string) string { return text }

func paintState(p colour.Paint, state string) string {
	switch state {
	case connected, string(Ready):
		return p.Good(state)
	case string(Starting), string(Draining), "taking over", "handed over":
		return p.Warn(state)
	}
	if strings.HasPrefix(state, "unused") {
		return p.Faint(state)
	}
	return p.Bad(state)
}

func paintAlarm(p colour.Paint, name string) string {
	if name == "-" {
		return name
	}
	return p.Bad(name)
}

// state describes the state in one or two words.
func (t *table) state(l *Line) string {
	switch {
	case l.Answered:
		return strings.ReplaceAll(cmp.Or(l.State, "connecting"), "_", " ")
	case l.Leader == "":
		return "no leader"
	case t.answers(l.LeaderNonce):
		return "taking over"
	default:
		return "no answer"
	}
}

func (t *table) answers(nonce string) bool {
	m := t.members[nonce]
	return m != nil && m.Answered
}

// troubles prints one sentence per problem: of each subscription that is not connected, and of each
// replica.
func (t *table) troubles() {
	var lines []string
	for _, l := range t.used {
		if !l.Connected() || l.Trouble != "" {
			lines = append(lines, l.Subscription.Subscription+": "+t.trouble(l))
		}
	}
	for _, m := range t.o.Replicas {
		for _, trouble := range [][2]string{
			{"publishing to the stream is paused: ", m.Outbox.Trouble}, {"", m.Outbox.Kept}, {"disk: ", m.Outbox.Disk}, {"", m.Outbox.Bucket}, {"access token: ", m.Token.Trouble},
		} {
			if trouble[1] != "" {
				lines = append(lines, "replica "+m.Replica+": "+trouble[0]+trouble[1])
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	t.printf("\n%s\n", t.look.Paint.Bad("TROUBLE"))
	for _, line := range lines {
		t.paragraph(Visible(line), plain)
	}
}

func (t *table) trouble(l *Line) string {
	switch {
	case l.Answered:
		text := t.state(l)
		if since := t.age(l.StateSince); since != "" {
			text += " for " + since
		}
		if l.Trouble != "" {
			text += ": " + l.Trouble
		}
		return text
	case l.Leader == "":
		return "no replica holds the lease" + t.last(l) + t.hope(l)
	case t.answers(l.LeaderNonce):
		return l.Leader + " holds the lease and is about to connect" + t.last(l)
	default:
		return l.Leader + " holds the lease and does not answer" + t.host(l) + t.last(l) + t.hope(l)
	}
}

func (t *table) host(l *Line) string {
	if m := t.members[l.LeaderNonce]; m != nil && m.Host != "" {
		return fmt.Sprintf(" (host %s, pid %d)", m.Host, m.PID)
	}
	return ""
}

// last describes the state stored in the states bucket.
func (t *table) last(l *Line) string {
	if l.State == "" {
		return "; nothing is known of its connection"
	}
	text := "; last known to be " + strings.ReplaceAll(l.State, "_", " ")
	if l.Trouble != "" {
		text += " (" + l.Trouble + ")"
	}
	if !l.LastFrame.IsZero() {
		text += ", last frame " + t.clock(l.LastFrame)
	}
	return text
}

func (t *table) hope(l *Line) string {
	if len(l.Standbys) == 0 {
		return "; no standby answers"
	}
	return "; standing by: " + strings.Join(l.Standbys, ", ")
}

// standbys groups the subscriptions by their standbys.
func (t *table) standbys() {
	var order []string
	groups := make(map[string][]string)
	for _, l := range t.used {
		who := cmp.Or(strings.Join(l.Standbys, ", "), "none")
		if groups[who] == nil {
			order = append(order, who)
		}
		groups[who] = append(groups[who], l.Subscription.Subscription)
	}
	const named = 3
	var rows [][]string
	for _, who := range order {
		whom := strings.Join(groups[who], ", ")
		if n := len(groups[who]); n > named {
			whom = plural(n, "subscription")
		}
		rows = append(rows, []string{who, whom})
	}
	if widest := t.widest(rows); t.look.Width > 0 && widest > t.look.Width {
		t.printf("\n%s\n", t.look.Paint.Strong("STANDBYS"))
		for _, row := range rows {
			t.paragraph(Visible(row[0]+" for "+row[1]), plain)
		}
		return
	}
	t.grid([]column{{head: "STANDBYS"}, {head: "FOR"}}, rows)
}

// widest returns the width of a grid with all cells.
func (t *table) widest(rows [][]string) (width int) {
	for n := range 2 {
		longest := 0
		for _, row := range rows {
			longest = max(longest, utf8.RuneCountInString(Visible(row[n])))
		}
		width += longest
	}
	return width + between
}

func (t *table) replicas() {
	var rows [][]string
	for _, m := range t.o.Replicas {
		if !m.Answered {
			seen := "never seen"
			if !m.Heard.IsZero() {
				seen = "last seen " + t.clock(m.Heard)
			}
			state := "no answer"
			if m.Gone {
				state = "gone"
			}
			rows = append(rows, []string{m.Replica, state + ", " + seen, fmt.Sprint(m.Leads), "", "", "", m.Host, "", ""})
			continue
		}
		spool := fmt.Sprint(m.Outbox.Spooled)
		if m.Outbox.Spooled > 0 {
			spool += " (" + size(m.Outbox.Bytes) + ")"
		}
		rows = append(rows, []string{m.Replica, string(m.Phase), fmt.Sprint(m.Leads), fmt.Sprint(m.StandsBy),
			fmt.Sprint(m.Outbox.InFlight), spool, m.Host, t.age(m.Started), m.Version})
	}
	t.grid([]column{
		{head: "REPLICA", least: cutNames}, {head: "STATE", least: len("no answer"), ends: true, paint: paintState}, {head: "LEADS", goes: 5}, {head: "STANDS BY", goes: 4}, {head: "IN FLIGHT", goes: 3},
		{head: "SPOOL"}, {head: "HOST", least: cutNames, goes: 1}, {head: "UP", goes: 6}, {head: "VERSION", least: cutNames, goes: 2},
	}, rows)
}

// consumers prints the durable consumers: those with problems first, then those furthest behind.
func (t *table) consumers() {
	if t.o.Consumers == nil {
		return
	}
	all := slices.Clone(t.o.Consumers.Durable)
	slices.SortStableFunc(all, func(a, b Consumer) int {
		return cmp.Or(cmp.Compare(min(1, len(b.Note())), min(1, len(a.Note()))), cmp.Compare(b.Oldest, a.Oldest), cmp.Compare(b.Pending, a.Pending))
	})
	const listed = 20
	more := t.o.Consumers.More + max(0, len(all)-listed)
	var rows [][]string
	for i := range all[:min(len(all), listed)] {
		c := &all[i]
		oldest := ""
		if c.Sequence > 0 {
			oldest = duration(seconds(c.Oldest))
		}
		rows = append(rows, []string{c.Name, fmt.Sprint(c.Pending), fmt.Sprint(c.Unacknowledged), oldest, fmt.Sprint(c.Redelivered), c.Note()})
	}
	t.grid([]column{{head: "CONSUMER", least: cutNames}, {head: "PENDING"}, {head: "UNACKED"}, {head: "OLDEST"}, {head: "REDELIVERED", goes: 1}, {head: "NOTE", text: true}}, rows)
	if more > 0 {
		t.paragraph("and "+plural(more, "more consumer"), plain)
	}
}

func (t *table) alarms() {
	var rows [][]string
	for _, a := range t.o.Alarms {
		rows = append(rows, []string{a.Alarm, cmp.Or(a.Subscription, "all"), a.Replica, t.age(a.Since), a.Detail})
	}
	t.grid([]column{
		{head: "ALARM", least: cutNames, paint: paintAlarm}, {head: "SUBSCRIPTION", least: cutNames}, {head: "REPLICA", least: cutNames}, {head: "FOR"}, {head: "DETAIL", text: true},
	}, rows)
}

func (t *table) notes() {
	for i, note := range t.o.Notes {
		if i == 0 {
			t.b.WriteByte('\n')
		}
		t.paragraph("Note: "+Visible(note), plain)
	}
}

// alarmsOf names the alarms of a subscription, and of its leader as a whole.
func (t *table) alarmsOf(l *Line) string {
	var names []string
	for _, a := range t.o.Alarms {
		if a.Subscription == l.Subscription.Subscription || a.Subscription == "" && a.Replica == l.Leader {
			names = append(names, a.Alarm)
		}
	}
	return strings.Join(names, ",")
}

// age formats how long ago a time was; empty for the zero time.
func (t *table) age(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return duration(t.o.At.Sub(since))
}

func (t *table) gap(g *Gap) string {
	if g == nil {
		return "none"
	}
	doubt := ""
	if !g.Certain {
		doubt, t.doubts = "?", true
	}
	return duration(seconds(g.Duration)) + doubt + ", " + coarse(t.o.At.Sub(g.To)) + " ago"
}

// clock formats a time of day, with the date if that is not today.
func (t *table) clock(at time.Time) string {
	at, now := at.Local(), t.o.At.Local()
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}

func lateness(q Quantiles) string {
	if q.Count == 0 {
		return ""
	}
	return duration(seconds(q.P50)) + "/" + duration(seconds(q.P99))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
