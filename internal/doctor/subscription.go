package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/lease"
)

// probe is a subscription under examination.
type probe struct {
	*exam
	endpoint config.Endpoint
	site     *site // nil: NATS cannot be asked
}

func (p *probe) add(code Code, result Result, fix, format string, args ...any) {
	p.exam.add(Check{Check: code, Subscription: p.endpoint.Subscription, Result: result, Fix: fix, Detail: fmt.Sprintf(format, args...)})
}

func (e *exam) subscription(ctx context.Context, endpoint config.Endpoint, a *app, found *site) {
	p := &probe{exam: e, endpoint: endpoint, site: found}
	p.url()
	who := p.holder(ctx)
	switch {
	case who.held:
		p.add(Connection, Skip, "", "not connecting: that would close the connection of replica %s", who.replica)
	case who.unknown && !e.o.Connect:
		p.add(Connection, Skip, "", "not connecting: it is not known whether a replica is connected, whose connection that would close; --connect connects all the same")
	case a == nil:
		p.add(Connection, Skip, "", "needs a token")
	default:
		p.try(ctx, a, who)
	}
}

func (p *probe) url() {
	u, err := url.Parse(p.endpoint.URL)
	if err != nil { // the configuration has been checked
		p.add(Endpoint, Fail, "copy it again from Zoom's page", "the endpoint URL cannot be read")
		return
	}
	detail := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.Scheme == "ws" {
		detail += ", not encrypted, on this machine"
	}
	p.add(Endpoint, Pass, "", "%s", detail)
}

// holder is who has a subscription.
type holder struct {
	held    bool
	replica string
	unknown bool // somebody may be connected

	leases   *kv.Bucket // nil: there is none
	revision uint64     // at which nobody held the lease
}

// holder reads the lease, and the state that the last connection has left.
func (p *probe) holder(ctx context.Context) holder {
	if p.site == nil || !p.site.leases.known || p.site.leases.exists && !p.site.leases.usable {
		p.add(Lease, Skip, "", "NATS cannot be asked which replica holds it")
		return holder{unknown: true}
	}
	if !p.site.leases.exists {
		p.add(Lease, Pass, "", "nobody holds it: there is no bucket of leases yet")
		return holder{}
	}
	if p.site.missing["publish $JS.API.STREAM.MSG.GET.KV_"+p.cfg.Bucket] || p.site.missing["publish $KV."+p.cfg.Bucket+".>"] {
		p.add(Lease, Skip, "", "needs the rights on bucket %s", p.cfg.Bucket)
		return holder{unknown: true}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*answerTimeout)
	defer cancel()
	leases, entry, err := p.read(ctx, p.cfg.Bucket, "lease.", true)
	if err != nil {
		p.add(Lease, Fail, askFix, "%v", err)
		return holder{unknown: true}
	}
	state, known := p.state(ctx)
	if entry.Value != nil {
		return p.leader(ctx, entry, state)
	}
	who := holder{leases: leases, revision: entry.Revision, unknown: !known || state.State != "" && state.State != bridge.Disconnected}
	switch {
	case !known:
		p.add(Lease, Warn, "run doctor again", "nobody holds the lease, and the state of the last connection cannot be read")
	case who.unknown:
		p.add(Lease, Warn, "start zoomstream, or see what became of replica "+state.Replica,
			"nobody holds the lease, but replica %s was %s since %s and never said that this ended: it may be cut off from NATS", state.Replica, state.State, clock(state.Since))
	case state.State == "":
		p.add(Lease, Pass, "", "nobody holds it, and nobody ever did")
	default:
		p.add(Lease, Pass, "", "nobody holds it; disconnected since %s (replica %s)", clock(state.Since), state.Replica)
	}
	return who
}

// read reads an entry of a bucket that exists.
func (p *probe) read(ctx context.Context, bucket, prefix string, ttls bool) (*kv.Bucket, kv.Entry, error) {
	b, err := kv.Open(ctx, p.site.js, kv.Options{Name: bucket, TTLs: ttls})
	if err != nil {
		return nil, kv.Entry{}, err
	}
	entry, err := b.Get(ctx, prefix+p.endpoint.Subscription)
	return b, entry, err
}

// state is that of the last connection, as its replica stored it.
func (p *probe) state(ctx context.Context) (state bridge.State, known bool) {
	if !p.site.states.exists {
		return state, p.site.states.known
	}
	if p.site.missing["publish $JS.API.STREAM.MSG.GET.KV_"+p.cfg.Bucket+"-state"] {
		return state, false
	}
	_, entry, err := p.read(ctx, p.cfg.Bucket+"-state", "state.", false)
	if err != nil || entry.Value != nil && json.Unmarshal(entry.Value, &state) != nil {
		return state, false
	}
	return state, true
}

// leader tells of the replica that holds the lease.
func (p *probe) leader(ctx context.Context, entry kv.Entry, state bridge.State) holder {
	var record lease.Record
	if json.Unmarshal(entry.Value, &record) != nil || record.Replica == "" {
		record.Replica = "?"
	}
	who := holder{held: true, replica: record.Replica}
	detail := fmt.Sprintf("replica %s holds the lease since %s", record.Replica, clock(record.Since))
	mine := state.Nonce != "" && state.Nonce == record.Nonce
	switch {
	case !p.alive(ctx, record.Nonce):
		p.add(Lease, Warn, "if it is gone, another one takes over within "+p.cfg.LeaseTTL.String()+"; zoomstream status shows who is there", "%s and does not answer", detail)
	case mine && state.State == bridge.Connected:
		p.add(Lease, Pass, "", "%s and is connected since %s", detail, clock(state.Since))
	case mine && state.State != "":
		why := state.End
		if why != "" {
			why = ": " + why
		}
		p.add(Lease, Warn, "see the log of replica "+record.Replica, "%s and is %s since %s%s", detail, state.State, clock(state.Since), why)
	default:
		p.add(Lease, Warn, "see the log of replica "+record.Replica+", or run doctor again in a moment", "%s and was not connected yet", detail)
	}
	if mine && len(state.Raised) > 0 {
		p.add(Lease, Warn, "zoomstream status shows since when; contested means that somebody else connects with this subscription: another cluster, or a laptop",
			"alarms are raised: %s", strings.Join(state.Raised, ", "))
	}
	return who
}

// alive reports whether a replica answers, or may be there and unable to.
func (p *probe) alive(ctx context.Context, nonce string) bool {
	if nonce == "" || p.site.missing["publish zoomstream.>"] {
		return nonce != ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := p.site.nc.RequestWithContext(ctx, replicas(p.cfg)+"replica."+nonce, nil)
	return !errors.Is(err, nats.ErrNoResponders)
}
