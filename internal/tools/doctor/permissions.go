package doctor

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/jsapi"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// need is a permission that a replica's NATS user needs, as in a server's configuration.
type need struct {
	right   string // publish or subscribe
	subject string
	samples []string // subjects that the permission must cover; nil: subject itself
	purpose string
	weight  weight
}

// weight is the consequence of a missing permission.
type weight int

const (
	vital    weight = iota // zoomstream does not work
	creating               // zoomstream works once the stream and the buckets exist
	comfort                // something for people does not work
)

func publish(subject, purpose string, samples ...string) need {
	return need{right: "publish", subject: subject, samples: samples, purpose: purpose}
}

func (n need) of(w weight) need {
	n.weight = w
	return n
}

// place holds the subject prefixes that a connection uses.
type place struct {
	api   string // for requests to JetStream
	kv    string // for writes to buckets
	inbox string // for answers, without the trailing dot; a context of the nats CLI may set its own
}

func placeOf(js jetstream.JetStream) place {
	return place{
		api: jsapi.Prefix(js), kv: jsapi.KVPrefix(js) + "$KV.",
		inbox: cmp.Or(js.Conn().Opts.InboxPrefix, strings.TrimSuffix(nats.InboxPrefix, ".")),
	}
}

// needs lists the permissions, in the order of nats.conf.
func needs(c *config.Config, at place, nonce string) []need {
	sub := "doctor"
	if len(c.Zoom.Endpoints) > 0 {
		sub = c.Zoom.Endpoints[0].Subscription
	}
	states := record.StateBucket(c.Bucket)
	all := []need{
		publish(c.Prefix+".>", "events, gap markers, alarms",
			c.SubjectKeys.Append(c.Prefix+".meeting.started", "", ""), c.SubjectKeys.Append(c.Prefix+".app_deauthorized", "", ""), message.KindGap.Subject(c.Prefix), message.KindAlarm.Subject(c.Prefix), message.KindMalformed.Subject(c.Prefix)),
		publish(at.kv+c.Bucket+".>", "leases", at.kv+c.Bucket+"."+record.LeasePrefix+sub),
		publish(at.kv+states+".>", "states", at.kv+states+"."+record.StatePrefix+sub),
		publish("zoomstream.>", "replicas ask each other whether they are alive", record.ReplicaSubject(c.Bucket, nonce), record.PresenceSubject(c.Bucket)),
		publish(at.api+"INFO", "to see whether JetStream is available"),
		publish(at.api+"STREAM.NAMES", "to see which streams hold the subjects").of(creating),
	}
	streams := []string{c.Stream, "KV_" + c.Bucket, "KV_" + states}
	for i, stream := range streams {
		all = append(all,
			publish(at.api+"STREAM.CREATE."+stream, "to create it if it is missing").of(creating),
			publish(at.api+"STREAM.INFO."+stream, "to look at it"),
			publish(at.api+"STREAM.MSG.GET."+stream, "to read from its leader"))
		if i == 0 {
			all = append(all, publish(at.api+"DIRECT.GET."+stream, "to look up events"))
		}
		all = append(all, publish(at.api+"DIRECT.GET."+stream+".>", "to look up what is stored last", at.api+"DIRECT.GET."+stream+".doctor.x"))
		watched := message.BridgeSubjects(c.Prefix)
		if i > 0 {
			watched = "$KV." + stream[3:] + ".x"
		}
		all = append(all,
			publish(at.api+"CONSUMER.CREATE."+stream+".>", "to watch it", at.api+"CONSUMER.CREATE."+stream+"."+nonce+"."+watched),
			publish(at.api+"CONSUMER.DELETE."+stream+".>", "to watch it", at.api+"CONSUMER.DELETE."+stream+"."+nonce))
		if i == 0 {
			all = append(all,
				publish(at.api+"CONSUMER.INFO."+stream+".>", "for the status page", at.api+"CONSUMER.INFO."+stream+"."+nonce).of(comfort),
				publish(at.api+"CONSUMER.MSG.NEXT."+stream+".>", "for the status page", at.api+"CONSUMER.MSG.NEXT."+stream+"."+nonce).of(comfort),
				publish(at.api+"CONSUMER.LIST."+stream, "to see which consumers are behind").of(comfort))
		}
	}
	subscribe := func(subject, purpose, sample string) need {
		return need{right: "subscribe", subject: subject, samples: []string{sample}, purpose: purpose}
	}
	return append(all,
		subscribe(at.inbox+".>", "answers", at.inbox+"."+nonce),
		subscribe("zoomstream.>", "questions of other replicas, and of zoomstream status", record.ReplicaSubject(c.Bucket, nonce)),
		subscribe("$SRV.>", "to be found by nats micro", "$SRV.PING.zoomstream."+nonce).of(comfort))
}

// rights tests permissions one by one. The server reports a violation before it answers the ping of
// the flush.
type rights struct {
	nc    *nats.Conn
	at    place
	nonce string
	dest  string // destination of traces, which must be a subject that the user may publish to
}

const (
	answering = "allow_responses" // stands for the permission to answer requests; named like nats-server's option
	hearing   = "answers"         // stands for the permission to receive answers
)

// permissions reports the missing permissions, and returns them by their subjects. It returns nil
// if the server cannot be asked.
func (e *exam) permissions(ctx context.Context, nc *nats.Conn, at place) map[string]bool {
	r := &rights{nc: nc, at: at, nonce: nuid.Next()}
	list := needs(e.cfg, at, r.nonce)
	if err := r.trace(ctx, e.cfg); err != nil {
		e.fail(Permissions, "run doctor again", "the connection to NATS broke: %v", err)
		return nil
	}
	missing, tested, bad := make(map[string]bool), 0, false
	var unneeded []string
	for _, n := range list {
		if n.right == "publish" && r.dest == "" && n.subject != "zoomstream.>" && n.subject != at.api+"INFO" {
			continue // cannot be tested until one of these is granted
		}
		tested++
		denied, err := r.denied(ctx, n)
		if err != nil {
			e.fail(Permissions, "run doctor again", "the connection to NATS broke: %v", err)
			return nil
		}
		if len(denied) == 0 {
			continue
		}
		missing[n.right+" "+n.subject] = true
		if n.subject == at.inbox+".>" {
			missing[hearing] = true
		}
		if n.weight == creating { // the check of the stream shows whether it is needed
			unneeded = append(unneeded, n.subject)
			continue
		}
		bad = true
		only := ""
		if len(denied) < len(n.samples) {
			only = " (denied: " + strings.Join(denied, ", ") + ")"
		}
		tell := e.reject
		if n.weight == comfort {
			tell = e.warn
		}
		fix := "add " + strconv.Quote(n.subject) + " to what this NATS user may " + n.right + " (nats.conf has the whole list)"
		if nc.ConnectedServerName() == natsconn.EmbeddedName && nc.Opts.User == "" && nc.Opts.UserInfo == nil && nc.Opts.TokenHandler == nil {
			fix = "log in; if it is the NATS server of another zoomstream, with NATS_URL_FILE=<its ZOOMSTREAM_DATA_DIR>/nats.url; otherwise " + fix
		}
		tell(Permissions, fix,
			"this NATS user may not %s %q%s: %s", n.right, n.subject, only, n.purpose)
	}
	if tested < len(list) {
		e.skip(Permissions, "%d other permissions can be tested once this user may publish zoomstream.>", len(list)-tested)
	}
	if !missing["publish zoomstream.>"] && !missing["subscribe zoomstream.>"] && !missing[hearing] {
		tested++
		if e.answers(ctx, r) {
			missing[answering], bad = true, true
		}
	}
	switch {
	case bad:
	case len(unneeded) > 0:
		e.pass(Permissions, "all required permissions are granted, as long as the stream and the buckets exist; this NATS user may not publish %s", strings.Join(unneeded, ", "))
	default:
		e.pass(Permissions, "all %d required permissions are granted", tested)
	}
	return missing
}

// answers reports whether the permission to answer is missing: to replicas' questions, and to
// JetStream's flow control. It may also be granted by subject.
func (e *exam) answers(ctx context.Context, r *rights) (missing bool) {
	may, err := r.mayAnswer(ctx, record.ReplicaSubject(e.cfg.Bucket, r.nonce))
	if err == nil && may {
		var closed, stalls bool
		closed, err = r.mayNotPublish(ctx, r.at.inbox+"."+r.nonce)
		if err == nil && !closed { // granted by subject
			stalls, err = r.mayNotPublish(ctx, "$JS.FC.KV_"+e.cfg.Bucket+".doctor."+r.nonce)
		}
		may = !stalls
	}
	if err != nil {
		e.fail(Permissions, "run doctor again", "a request to this very process got no answer: %v", err)
		return false
	}
	if !may {
		e.reject(Permissions, "add allow_responses: true to the permissions of this NATS user (see nats.conf)",
			"this NATS user may not answer requests (allow_responses): replicas look dead to each other, and watching leases stalls")
	}
	return !may
}

// trace finds a destination for traces: a subject that nobody listens to, or one where JetStream
// does not answer what is no request.
func (r *rights) trace(ctx context.Context, c *config.Config) error {
	for _, dest := range []string{"zoomstream." + c.Bucket + ".doctor." + r.nonce, r.at.api + "INFO"} {
		denied, err := r.violates(ctx, "Publish", dest, func() error { return r.nc.Publish(dest, nil) })
		if err != nil {
			return err
		}
		if !denied {
			r.dest = dest
			return nil
		}
	}
	return nil
}

// denied lists the samples that the user has no permission for.
func (r *rights) denied(ctx context.Context, n need) (denied []string, err error) {
	samples := n.samples
	if samples == nil {
		samples = []string{n.subject}
	}
	for _, subject := range samples {
		no := false
		if n.right == "subscribe" {
			no, err = r.mayNotSubscribe(ctx, subject)
		} else {
			no, err = r.mayNotPublish(ctx, subject)
		}
		if err != nil {
			return nil, err
		}
		if no {
			denied = append(denied, subject)
		}
	}
	return denied, nil
}

// mayNotPublish sends a message that is only traced. Should a server deliver it nevertheless, no
// stream accepts it, and it is no valid request.
func (r *rights) mayNotPublish(ctx context.Context, subject string) (bool, error) {
	if r.dest == "" {
		return true, nil // trace has found that it is denied
	}
	msg := nats.NewMsg(subject)
	msg.Header.Set("Nats-Trace-Dest", r.dest)
	msg.Header.Set("Nats-Trace-Only", "true")
	msg.Header.Set(nats.ExpectedStreamHdr, "zoomstream-doctor-stores-nothing")
	msg.Data = []byte("zoomstream doctor")
	return r.violates(ctx, "Publish", subject, func() error { return r.nc.PublishMsg(msg) })
}

func (r *rights) mayNotSubscribe(ctx context.Context, subject string) (bool, error) {
	var sub *nats.Subscription
	denied, err := r.violates(ctx, "Subscription", subject, func() (err error) {
		sub, err = r.nc.SubscribeSync(subject)
		return err
	})
	if err != nil {
		return false, err
	}
	return denied, sub.Unsubscribe()
}

// violates reports whether the server calls what f does with a subject a permission violation.
func (r *rights) violates(ctx context.Context, what, subject string, f func() error) (bool, error) {
	if err := f(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := r.nc.FlushWithContext(ctx); err != nil {
		return false, err
	}
	last := r.nc.LastError()
	return last != nil && strings.Contains(last.Error(), what+" to "+strconv.Quote(subject)), nil
}

// mayAnswer sends a request to itself.
func (r *rights) mayAnswer(ctx context.Context, subject string) (bool, error) {
	inbox := r.nc.NewInbox()
	answers, err := r.nc.SubscribeSync(inbox)
	if err != nil {
		return false, err
	}
	defer answers.Unsubscribe() //nolint:errcheck // the connection ends soon
	questions, err := r.nc.SubscribeSync(subject)
	if err != nil {
		return false, err
	}
	defer questions.Unsubscribe() //nolint:errcheck
	if err := r.nc.PublishRequest(subject, inbox, nil); err != nil {
		return false, err
	}
	question, err := questions.NextMsg(answerTimeout)
	if err != nil {
		return false, err
	}
	denied, err := r.violates(ctx, "Publish", inbox, func() error { return question.Respond(nil) })
	return !denied, err
}

// answerTimeout is how long NATS may take to answer one request.
const answerTimeout = 3 * time.Second
