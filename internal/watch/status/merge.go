package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// merger builds one overview from many answers.
type merger struct {
	answers []*Replica          // by name
	by      map[string]*Replica // the same, by nonce
	told    map[string][]told   // by subscription: what each replica reports
	stored  buckets
	members map[string]*Member // by nonce
	o       *Overview
}

// told is one replica's report on a subscription.
type told struct {
	by *Replica
	*Subscription
}

func merge(bucket string, at time.Time, answers map[string]*Replica, stored buckets, notes []string) *Overview {
	m := &merger{
		by: answers, stored: stored, told: make(map[string][]told), members: make(map[string]*Member),
		o: &Overview{At: at, Bucket: bucket, Subscriptions: []Line{}, Replicas: []Member{}, Alarms: []Alarm{}, Notes: list(notes)},
	}
	m.answers = slices.SortedFunc(maps.Values(answers), func(a, b *Replica) int {
		return cmp.Or(natural(a.Replica, b.Replica), strings.Compare(a.Nonce, b.Nonce))
	})
	m.noteMissing()
	m.gather()
	m.addLines()
	m.addMembers()
	m.markUnused()
	return m.o
}

func (m *merger) note(format string, args ...any) {
	m.o.Notes = append(m.o.Notes, fmt.Sprintf(format, args...))
}

func (m *merger) noteMissing() {
	for _, err := range m.stored.errs {
		m.note("what no replica reports is missing here: %v", err)
	}
	for _, r := range m.answers {
		if r.Shortened != "" {
			m.note("the answer of %s was too large for NATS (max_payload), so it leaves out %s", r.Replica, r.Shortened)
		}
	}
}

// gather sorts the answers by subscription and replica.
func (m *merger) gather() {
	for _, r := range m.answers {
		m.o.Stream = cmp.Or(m.o.Stream, r.Outbox.Stream)
		m.o.Alarms = append(m.o.Alarms, r.Alarms...)
		if c := r.Consumers; c != nil && (m.o.Consumers == nil || c.At.After(m.o.Consumers.At)) {
			m.o.Consumers = c
		}
		outbox := r.Outbox
		outbox.Kept = r.Outbox.kept()
		m.members[r.Nonce] = &Member{
			Replica: r.Replica, Nonce: r.Nonce, Host: r.Host, PID: r.PID, Version: r.Version, Started: r.Started,
			Phase: r.Phase, HTTP: r.HTTP, Answered: true, Outbox: outbox, Token: r.Token,
		}
		for i := range r.Subscriptions {
			s := &r.Subscriptions[i]
			m.told[s.Subscription] = append(m.told[s.Subscription], told{r, s})
		}
	}
	if c := m.o.Consumers; c != nil && c.Trouble != "" {
		m.note("the consumers of the stream cannot be seen: %s", c.Trouble)
	}
	slices.SortStableFunc(m.o.Alarms, func(a, b Alarm) int { return a.Since.Compare(b.Since) })
}

func (m *merger) addLines() {
	names := make(map[string]bool)
	for name := range m.told {
		names[name] = true
	}
	for name := range m.stored.leases {
		names[name] = true
	}
	for name := range m.stored.states {
		names[name] = true
	}
	for _, name := range slices.SortedFunc(maps.Keys(names), natural) {
		m.o.Subscriptions = append(m.o.Subscriptions, m.line(name))
	}
}

func (m *merger) line(name string) Line {
	line := Line{Standbys: []string{}}
	leader, others := m.leader(name)
	if leader != nil {
		line.Subscription, line.Answered, line.From = *leader.Subscription, true, leader.by.Replica
		line.Role, line.Leader, line.LeaderNonce = Leader, leader.by.Replica, leader.by.Nonce
		m.addPreviousTerm(&line.Subscription)
	} else {
		line.Subscription, line.From = m.unanswered(name)
	}
	if member := m.members[line.LeaderNonce]; member != nil {
		member.Leads++
	}
	histories := [][]Sample{line.History}
	var before float64 // rates of the earlier leaders
	for _, t := range m.told[name] {
		if leader != nil && t.by.Nonce == leader.by.Nonce {
			continue
		}
		before += t.Rate
		histories = append(histories, t.History)
	}
	line.Rate = m.rate(&line, before)
	line.History = joined(histories)
	for _, t := range others {
		if t.Role == Standby && t.by.Phase != Draining && !t.by.Token.Denied && t.by.Nonce != line.LeaderNonce {
			line.Standbys = append(line.Standbys, t.by.Replica)
			m.members[t.by.Nonce].StandsBy++
		}
	}
	return line
}

// addPreviousTerm fills in the previous term's state for a new leader that has not adopted it yet:
// since when there is no connection, and the last gap.
func (m *merger) addPreviousTerm(s *Subscription) {
	state, known := m.stored.states[s.Subscription]
	if !s.Adopting || !known {
		return
	}
	s.LastGap = cmp.Or(s.LastGap, lastGap(state))
	switch {
	case s.State == connected || s.Connection > 0:
	case state.State == record.Disconnected:
		s.StateSince = state.Since
	case state.State == record.Connected && m.by[state.Nonce] == nil: // it died; otherwise it stays connected until this leader is
		s.StateSince = state.LastFrame
	}
}

func lastGap(state record.State) *Gap {
	gap := state.LastGap
	if gap == nil {
		return nil
	}
	return &Gap{From: gap.From, To: gap.To, Duration: float64(gap.Milliseconds) / 1000, Cause: string(gap.Cause), Certain: gap.Certain}
}

// rate returns a subscription's rate over the last minute. A new leader reports its rate since it
// leads; earlier leaders that answer report what they received in that minute, as a rate. The share
// of one that has died is unknown.
func (m *merger) rate(line *Line, before float64) float64 {
	if before == 0 || !line.Answered {
		return line.Rate + before
	}
	share := 1.0
	if leads := m.by[line.LeaderNonce].Now.Sub(line.Since); leads < rateSpan {
		share = max(0, leads.Seconds()/rateSpan.Seconds())
	}
	return line.Rate*share + before
}

// rateSpan is the period that a rate covers (as in package metrics).
const rateSpan = time.Minute

// leader returns the replica whose report counts, nil if it is silent, and the reports of those that
// do not claim to lead. It is the holder of the lease. The lease was read at another time than the
// replicas answered, so a newer epoch wins.
func (m *merger) leader(name string) (leader *told, others []told) {
	var claims []told
	for _, t := range m.told[name] {
		if t.Role == Leader {
			claims = append(claims, t)
		} else {
			others = append(others, t)
		}
	}
	if len(claims) == 0 {
		return nil, others
	}
	slices.SortStableFunc(claims, func(a, b told) int { return cmp.Compare(b.Epoch, a.Epoch) })
	leader = &claims[0]
	if lease, held := m.stored.leases[name]; held {
		if i := slices.IndexFunc(claims, func(t told) bool { return t.by.Nonce == lease.Nonce }); i >= 0 {
			leader = &claims[i]
		} else if lease.Epoch >= leader.Epoch {
			leader = nil
		}
	}
	if len(claims) > 1 {
		m.noteRivals(name, claims, leader)
	}
	return leader, others
}

func (m *merger) noteRivals(name string, claims []told, leader *told) {
	var rivals []string
	for _, t := range claims {
		rivals = append(rivals, fmt.Sprintf("%s (epoch %d)", t.by.Replica, t.Epoch))
	}
	verdict := "another one holds the lease"
	if leader != nil {
		verdict = leader.by.Replica + " counts here"
	}
	m.note("%d replicas say that they lead %s: %s; %s", len(claims), name, strings.Join(rivals, ", "), verdict)
}

// unanswered returns what is known of a subscription without a leader, or whose leader is silent,
// and the replica that knows it; "" for the buckets.
func (m *merger) unanswered(name string) (s Subscription, from string) {
	s = Subscription{Subscription: name}
	if lease, held := m.stored.leases[name]; held {
		s.Role, s.Leader, s.LeaderNonce, s.Epoch, s.Since = Leader, lease.Replica, lease.Nonce, lease.Epoch, lease.Since
	} else if m.stored.leases == nil { // then another replica may know
		for _, t := range m.told[name] {
			if t.Leader != "" && t.Epoch >= s.Epoch {
				s.Role, s.Leader, s.LeaderNonce, s.Epoch, s.Since = Leader, t.Leader, t.LeaderNonce, t.Epoch, t.Since
				from = t.by.Replica
			}
		}
	}
	state, known := m.stored.states[name]
	if !known {
		return s, from
	}
	s.State, s.StateSince, s.LastFrame, s.LastEvent = string(state.State), state.Since, state.LastFrame, state.LastEvent
	if state.State != record.Connected {
		s.Trouble = cmp.Or(state.End, causes[state.Cause], string(state.Cause))
	}
	s.LastGap = lastGap(state)
	return s, from
}

// causes are the causes of a gap in words.
var causes = map[message.GapCause]string{
	message.GapDisconnected:    "the connection ended",
	message.GapKicked:          "somebody else connected to the subscription",
	message.GapCrash:           "the replica that was connected is gone",
	message.GapHandoverTimeout: "the replica stopped, and no other connected in time",
	message.GapStart:           "the last replica stopped",
}

// addMembers adds known but silent replicas to those that answered. A restarted replica has a new
// nonce: the silent process of the same name counts only while it holds a lease.
func (m *merger) addMembers() {
	restarted := make(map[string]bool)
	for _, r := range m.answers {
		restarted[r.Replica] = true
	}
	for _, r := range m.answers {
		for _, other := range r.Others {
			if m.by[other.Nonce] == nil && !other.Leaving && !restarted[other.Replica] {
				silent := m.silent(other.Nonce, other.Replica)
				silent.Heard = later(silent.Heard, other.Heard)
			}
		}
	}
	for _, line := range m.o.Subscriptions {
		if line.Answered || line.Leader == "" || m.by[line.LeaderNonce] != nil {
			continue
		}
		silent := m.silent(line.LeaderNonce, line.Leader)
		silent.Leads++
		if lease := m.stored.leases[line.Subscription.Subscription]; lease.Nonce == line.LeaderNonce {
			silent.Host, silent.PID = lease.Host, lease.PID
		}
		if state := m.stored.states[line.Subscription.Subscription]; state.Nonce == line.LeaderNonce {
			silent.Heard = later(silent.Heard, state.LastFrame)
		}
	}
	m.addGone()
	for _, member := range m.members {
		m.o.Replicas = append(m.o.Replicas, *member)
	}
	slices.SortFunc(m.o.Replicas, func(a, b Member) int {
		return cmp.Or(natural(a.Replica, b.Replica), strings.Compare(a.Nonce, b.Nonce))
	})
}

// addGone adds the replicas that vanished lately, each name once.
func (m *merger) addGone() {
	named := make(map[string]bool)
	for _, member := range m.members {
		named[member.Replica] = true
	}
	for _, r := range m.answers {
		for _, gone := range r.Gone {
			member := m.members[gone.Nonce]
			if member == nil && !named[gone.Replica] {
				member = m.silent(gone.Nonce, gone.Replica)
				named[gone.Replica] = true
			}
			if member != nil && !member.Answered {
				member.Gone, member.Heard = true, later(member.Heard, gone.Heard)
			}
		}
	}
}

// markUnused marks subscriptions that only the states bucket knows: nobody leads them, and no
// replica is set up for them. While a replica is silent that is unknown, unless it is gone. A
// subscription last recorded as connected is not marked, because its leader may have died and come
// back.
func (m *merger) markUnused() {
	if len(m.answers) == 0 || len(m.stored.errs) > 0 {
		return
	}
	for _, member := range m.o.Replicas {
		if !member.Answered && !member.Gone {
			return
		}
	}
	for _, r := range m.answers {
		if r.Shortened == withoutSubscriptions {
			return
		}
	}
	for i := range m.o.Subscriptions {
		l := &m.o.Subscriptions[i]
		l.Unused = len(m.told[l.Subscription.Subscription]) == 0 && l.Leader == "" && l.State != connected
	}
}

func (m *merger) silent(nonce, replica string) *Member {
	if m.members[nonce] == nil {
		m.members[nonce] = &Member{Replica: replica, Nonce: nonce}
	}
	return m.members[nonce]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
