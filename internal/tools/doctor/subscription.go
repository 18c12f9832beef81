package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
)

// probe is the check of one subscription.
type probe struct {
	*exam
	endpoint config.Endpoint
	site     *site  // nil: NATS cannot be asked
	because  string // why the connection was tried nevertheless
}

func (p *probe) add(code Code, result Result, fix, format string, args ...any) {
	p.exam.add(Check{Check: code, Subscription: p.endpoint.Subscription, Result: result, Fix: fix, Detail: fmt.Sprintf(format, args...)})
}

func (e *exam) subscription(ctx context.Context, endpoint config.Endpoint, a *app, found *site) {
	p := &probe{exam: e, endpoint: endpoint, site: found}
	p.url()
	who := p.holder(ctx)
	switch {
	case who.held != "":
		p.add(Connection, Skip, "", "not connecting: %s", who.held)
	case who.unknown && !e.o.Connect:
		p.add(Connection, Warn, "if none is connected, zoomstream doctor --connect tries it anyway",
			"not tried: a replica may be connected, and this would close its connection")
	case a == nil:
		p.add(Connection, Skip, "", "needs a token")
	default:
		p.try(ctx, a, who)
	}
}

func (p *probe) url() {
	u, err := url.Parse(p.endpoint.URL)
	if err != nil { // cannot happen: the configuration has been checked
		p.add(Endpoint, Fail, "copy it again from Zoom's page", "the endpoint URL cannot be read")
		return
	}
	detail := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.Scheme == "ws" {
		detail += ", not encrypted, on this machine"
	}
	p.add(Endpoint, Pass, "", "%s", detail)
}

// holder says who holds a subscription.
type holder struct {
	held    string // reason not to connect; "": nobody holds it
	unknown bool   // somebody may be connected
	fresh   bool   // NATS knows of no zoomstream

	leases   *kv.Bucket // nil: there is no bucket
	revision uint64     // revision at which nobody held the lease
}

// holder reads the lease, and the state that the last connection left.
func (p *probe) holder(ctx context.Context) holder {
	if p.site == nil || !p.site.leases.known || p.site.leases.exists && !p.site.leases.usable {
		p.add(Lease, Skip, "", "NATS cannot be asked which replica holds it")
		return holder{unknown: true}
	}
	if !p.site.leases.exists {
		return p.noBucket()
	}
	if !p.site.may("STREAM.MSG.GET.KV_"+p.cfg.Bucket) || p.site.missing["publish "+p.site.at.kv+p.cfg.Bucket+".>"] {
		p.add(Lease, Skip, "", "needs the permissions for bucket %s", p.cfg.Bucket)
		return holder{unknown: true}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*answerTimeout)
	defer cancel()
	leases, entry, err := p.read(ctx, p.cfg.Bucket, record.LeasePrefix, true)
	if err != nil {
		p.add(Lease, Fail, askFix, "%v", err)
		return holder{unknown: true}
	}
	state, known := p.state(ctx)
	if entry.Value != nil {
		return p.leader(ctx, entry, state)
	}
	who := holder{leases: leases, revision: entry.Revision, unknown: !known || state.State != "" && state.State != record.Disconnected}
	switch {
	case !known:
		p.add(Lease, Warn, "run doctor again", "nobody holds the lease, and the state of the last connection cannot be read")
	case who.unknown:
		p.add(Lease, Warn, "start zoomstream, or see what became of replica "+state.Replica,
			"nobody holds the lease, but replica %s was %s from %s on and never reported that this ended: it may be cut off from NATS", state.Replica, state.State, clock(state.Since))
	case state.State == "":
		p.add(Lease, Pass, "", "nobody holds it, and nobody ever has")
	default:
		p.add(Lease, Pass, "", "nobody holds it; disconnected since %s (replica %s)", clock(state.Since), state.Replica)
	}
	return who
}

// noBucket handles a NATS without the bucket of leases: zoomstream never ran there, or the bucket's
// name is wrong.
func (p *probe) noBucket() holder {
	t := p.site.traces
	if t.fresh() {
		p.add(Lease, Pass, "", "nobody holds it: there is no bucket %s, and this NATS knows of no zoomstream", p.cfg.Bucket)
		return holder{fresh: true}
	}
	if len(t.found) == 0 {
		p.add(Lease, Warn, "give this user the permissions of nats.conf, or start zoomstream",
			"there is no bucket %s, and it is not known whether replicas use another one: %s", p.cfg.Bucket, t.unknown)
	} else {
		p.add(Lease, Warn, "is ZOOMSTREAM_BUCKET right? Set it as the replicas have it; if it is, start zoomstream",
			"there is no bucket %s, but %s", p.cfg.Bucket, strings.Join(t.found, ", "))
	}
	return holder{unknown: true}
}

// read reads the subscription's entry from an existing bucket.
func (p *probe) read(ctx context.Context, bucket, prefix string, ttls bool) (*kv.Bucket, kv.Entry, error) {
	b, err := kv.Open(ctx, p.site.js, kv.Options{Name: bucket, TTLs: ttls})
	if err != nil {
		return nil, kv.Entry{}, err
	}
	entry, err := b.Get(ctx, prefix+p.endpoint.Subscription)
	return b, entry, err
}

// state returns the state of the last connection, as stored by its replica.
func (p *probe) state(ctx context.Context) (state record.State, known bool) {
	if !p.site.states.exists {
		return state, p.site.states.known
	}
	if !p.site.may("STREAM.MSG.GET.KV_" + record.StateBucket(p.cfg.Bucket)) {
		return state, false
	}
	_, entry, err := p.read(ctx, record.StateBucket(p.cfg.Bucket), record.StatePrefix, false)
	if err != nil || entry.Value == nil {
		return state, err == nil
	}
	state, _, err = record.ReadState(entry.Value, p.endpoint.Subscription, time.Now())
	return state, err == nil
}

// leader reports on the replica that holds the lease.
func (p *probe) leader(ctx context.Context, entry kv.Entry, stored record.State) holder {
	held, err := record.ReadLease(entry.Value)
	if err != nil {
		held = record.Lease{Replica: record.Unknown}
	}
	detail := fmt.Sprintf("replica %s holds the lease (since %s)", held.Replica, clock(held.Since))
	if stored.Nonce == "" || stored.Nonce != held.Nonce {
		stored = record.State{} // stored by another process before
	}
	told := p.answer(held.Nonce)
	if told == nil && !p.alive(ctx, held.Nonce) {
		p.add(Lease, Warn, "if it is gone, another one takes over within "+p.cfg.LeaseTTL.String()+"; zoomstream status shows who is there", "%s and does not answer", detail)
		p.raised(stored)
		return holder{held: "replica " + held.Replica + " holds the lease, and may be connected"}
	}
	if told == nil {
		p.raised(stored)
	}
	// What replicas report and what they have stored were read at different times: of the two, the
	// one that began later is current.
	state, since, why := stored.State, stored.Since, stored.End
	if told != nil && !stored.Since.After(told.StateSince) {
		state, since, why = record.ConnState(told.State), told.StateSince, cmp.Or(told.Trouble, stored.End)
	}
	if state == record.Connected {
		if stored.State == record.Connected {
			p.add(Lease, Pass, "", "%s and has been connected since %s", detail, clock(since))
		} else {
			p.add(Lease, Warn, "run doctor again; if this lasts, look at the bucket: nats stream info KV_"+record.StateBucket(p.cfg.Bucket),
				"%s and has been connected since %s, but bucket %s-state does not say so: until it does, events are withheld", detail, clock(since), p.cfg.Bucket)
		}
		return holder{held: "that would close the connection of replica " + held.Replica}
	}
	if why != "" {
		why = ": " + why
	}
	if state == "" || told != nil && told.Connects == 0 && stored.State == "" {
		detail += " and has not been connected yet"
	} else {
		detail += fmt.Sprintf(" and has been %s since %s", state, clock(since))
	}
	p.add(Lease, Warn, "docs/runbook.md#not-connected; the log of replica "+held.Replica+" has the details", "%s%s", detail, why)
	return holder{held: "replica " + held.Replica + " leads and is trying to"}
}

// raised reports the stored alarms of a replica that does not report them itself.
func (p *probe) raised(stored record.State) {
	if len(stored.Raised) > 0 {
		p.add(Lease, Warn, "zoomstream status shows since when; docs/runbook.md says what to do about each", "alarms are raised: %s", strings.Join(stored.Raised, ", "))
	}
}

// alive reports whether a replica answers, or may be alive but unable to.
func (p *probe) alive(ctx context.Context, nonce string) bool {
	if nonce == "" || p.site.missing["publish zoomstream.>"] {
		return nonce != ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := p.site.nc.RequestWithContext(ctx, record.ReplicaSubject(p.cfg.Bucket, nonce), nil)
	return !errors.Is(err, nats.ErrNoResponders)
}
