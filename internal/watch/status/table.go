package status

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Table writes the overview for people, with times of this machine's zone.
func (o *Overview) Table(w io.Writer) error {
	t := &table{o: o, members: make(map[string]*Member)}
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
	_, err := w.Write(t.b.Bytes())
	return err
}

type table struct {
	b       bytes.Buffer
	o       *Overview
	members map[string]*Member // by nonce
	used    []*Line            // those in trouble first
	unused  []*Line
}

// rank is the place of a subscription in the table: what is wrong comes first.
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

// grid prints aligned rows after an empty line; the cells are made visible.
func (t *table) grid(header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, Visible(cmp.Or(cell, "-")))
		}
		fmt.Fprintln(w)
	}
	w.Flush() //nolint:errcheck // a buffer takes everything
	t.b.WriteByte('\n')
	for line := range strings.Lines(b.String()) {
		t.b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

func (t *table) headline() {
	t.printf("%s  bucket %s", t.o.At.Local().Format(time.DateTime), Visible(t.o.Bucket))
	if t.o.Stream != "" {
		t.printf(", stream %s", Visible(t.o.Stream))
	}
	if err := t.o.Verdict(); err != nil {
		t.printf(": %v\n", err)
		return
	}
	t.printf(": %s connected\n", plural(len(t.used), "subscription"))
}

func (t *table) subscriptions() {
	var rows [][]string
	for _, l := range t.used {
		row := []string{
			l.Subscription.Subscription, cmp.Or(l.Leader, "none"), t.age(l.Since), t.state(l), "", "", "", "", t.gap(l.LastGap), t.alarmsOf(l),
		}
		if l.Answered {
			row[4], row[5], row[6] = rate(l.Rate), lateness(l.Late), fmt.Sprint(l.InFlight)
			row[7] = fmt.Sprint(t.members[l.LeaderNonce].Outbox.Spooled)
		}
		rows = append(rows, row)
	}
	for _, l := range t.unused {
		rows = append(rows, []string{l.Subscription.Subscription, "none", "", "unused: no replica is set up for it"})
	}
	t.grid([]string{"SUBSCRIPTION", "LEADER", "SINCE", "STATE", "EVENTS/S", "LATE P50/P99", "IN FLIGHT", "SPOOL", "LAST GAP", "ALARMS"}, rows)
}

// state is one word or two.
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

// troubles says in a sentence what is wrong with each that is not connected, and
// with each replica.
func (t *table) troubles() {
	var lines []string
	for _, l := range t.used {
		if !l.Connected() || l.Trouble != "" {
			lines = append(lines, l.Subscription.Subscription+": "+t.trouble(l))
		}
	}
	for _, m := range t.o.Replicas {
		for _, trouble := range [][2]string{
			{"publishing to the stream pauses: ", m.Outbox.Trouble}, {"", m.Outbox.Kept}, {"disk: ", m.Outbox.Disk}, {"", m.Outbox.Bucket}, {"access token: ", m.Token.Trouble},
		} {
			if trouble[1] != "" {
				lines = append(lines, "replica "+m.Replica+": "+trouble[0]+trouble[1])
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	t.printf("\nTROUBLE\n")
	for _, line := range lines {
		t.printf("%s\n", Visible(line))
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

// last is what the bucket of the states says.
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

// standbys groups the subscriptions by who stands by for them.
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
	t.grid([]string{"STANDBYS", "FOR"}, rows)
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
	t.grid([]string{"REPLICA", "STATE", "LEADS", "STANDS BY", "IN FLIGHT", "SPOOL", "HOST", "UP", "VERSION"}, rows)
}

// consumers shows the durable ones, those with which something is wrong first, then those that are furthest behind.
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
	t.grid([]string{"CONSUMER", "PENDING", "UNACKED", "OLDEST", "REDELIVERED", "NOTE"}, rows)
	if more > 0 {
		t.printf("and %s\n", plural(more, "more consumer"))
	}
}

func (t *table) alarms() {
	var rows [][]string
	for _, a := range t.o.Alarms {
		rows = append(rows, []string{a.Alarm, cmp.Or(a.Subscription, "all"), a.Replica, t.age(a.Since), a.Detail})
	}
	t.grid([]string{"ALARM", "SUBSCRIPTION", "REPLICA", "FOR", "DETAIL"}, rows)
}

func (t *table) notes() {
	for i, note := range t.o.Notes {
		if i == 0 {
			t.b.WriteByte('\n')
		}
		t.printf("Note: %s\n", Visible(note))
	}
}

// alarmsOf names the alarms of a subscription, and of its leader's whole replica.
func (t *table) alarmsOf(l *Line) string {
	var names []string
	for _, a := range t.o.Alarms {
		if a.Subscription == l.Subscription.Subscription || a.Subscription == "" && a.Replica == l.Leader {
			names = append(names, a.Alarm)
		}
	}
	return strings.Join(names, ",")
}

// age is how long ago a time was, empty for none.
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
		doubt = "?"
	}
	return duration(seconds(g.Duration)) + doubt + ", " + coarse(t.o.At.Sub(g.To)) + " ago"
}

// clock is a time of day, with the date if that is not today.
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
