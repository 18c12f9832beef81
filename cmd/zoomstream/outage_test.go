package main

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/message"
)

var (
	outageFlag = flag.Duration("outage", 8*time.Second, "how long TestOutage takes NATS away")
	soakFlag   = flag.Duration("soak", 8*time.Second, "how long TestSoak lasts")
)

// outage is a fleet of one replica, whose NATS can go away.
type outage struct {
	*fleet
	nats *server.Server
	dir  string
	port int
	data string // the replica's data folder
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	o := &outage{dir: t.TempDir(), data: t.TempDir(), port: natstest.Port(t)}
	o.nats = natsAt(t, o.dir, o.port)
	o.fleet = newFleet(t, o.nats.ClientURL(), testSubscription)
	o.settings = append(o.settings, "ZOOMSTREAM_DATA_DIR="+o.data, "ZOOMSTREAM_LOG_LEVEL=info")
	return o
}

func (o *outage) down() { natstest.Stop(o.nats) }
func (o *outage) up()   { o.nats = natsAt(o.t, o.dir, o.port) }

// emptied waits until the replica's spool has no files left, and returns how long that took.
func (o *outage) emptied(patience time.Duration) (took time.Duration) {
	o.t.Helper()
	began := time.Now()
	for time.Since(began) < patience {
		if _, err := os.Stat(o.data + "/spool/jetstream"); os.IsNotExist(err) {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond)
	}
	o.t.Fatalf("the spool is not empty after %v:\n%s", patience, &o.all[len(o.all)-1].stderr)
	return 0
}

// onDisk waits until everything that Zoom wrote before the call is on the replica's disk. It
// returns the time of the call.
func (o *outage) onDisk(m *member) (since time.Time) {
	o.t.Helper()
	m.says(&m.stderr, `"url":"http://`)
	url := regexp.MustCompile(`"url":"(http://[^"]+/)"`).FindStringSubmatch(m.stderr.String())[1] + "status"
	since = time.Now()
	written, held := o.sim.Summary("").Written, int64(-1)
	for deadline := since.Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var now struct {
			Subscriptions []struct {
				Events   int64 `json:"events"`
				InFlight int64 `json:"in_flight"`
			} `json:"subscriptions"`
			Pipeline struct {
				Spooled int64 `json:"spool_messages"`
			} `json:"pipeline"`
		}
		answer, err := http.Get(url)
		if err != nil {
			o.t.Fatal(err)
		}
		err = json.NewDecoder(answer.Body).Decode(&now)
		answer.Body.Close()
		if err != nil || len(now.Subscriptions) != 1 {
			o.t.Fatalf("the status has %d subscriptions, %v", len(now.Subscriptions), err)
		}
		if one := now.Subscriptions[0]; held < 0 && one.Events >= written {
			held = one.InFlight
		}
		if held >= 0 && now.Pipeline.Spooled >= held {
			return since
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("of %d events, %d to be kept, on disk are: %+v", written, held, now)
		}
	}
}

// raced reports whether the race detector is on, which multiplies the use of memory.
var raced bool

// TestOutage takes NATS away for long at 1,000 events a second: the socket stays open, nothing is
// lost, doubled or out of order, memory is bounded, and the disk is empty afterwards.
func TestOutage(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	leader := o.add()
	o.flow(1000)
	o.flows(1000)
	if _, err := os.Stat(o.data + "/spool/jetstream"); !os.IsNotExist(err) && !strings.Contains(leader.stderr.String(), "NATS has not acknowledged") {
		t.Errorf("there is a spool before the outage: %v", err)
	}
	before := status(t, leader, "VmHWM:")
	o.down()
	time.Sleep(*outageFlag)
	held := o.sim.Summary("").Written
	o.up()
	back := time.Now()
	for !strings.Contains(leader.stderr.String(), "straight to NATS again") {
		if time.Since(back) > time.Minute {
			t.Fatalf("it does not catch up:\n%s", &leader.stderr)
		}
		time.Sleep(10 * time.Millisecond)
	}
	caught := time.Since(back)
	peak := status(t, leader, "VmHWM:")
	o.flows(1000)
	o.emptied(30 * time.Second)
	o.finish()
	e := o.unmoved()
	t.Logf("%d events received in %v without NATS, %d in all; caught up %v after NATS was back; peak memory %d MiB before, %d MiB after",
		held, *outageFlag, len(e.stored), caught.Round(10*time.Millisecond), before>>20, peak>>20)
	bound := int64(128 << 20)
	if raced {
		bound *= 3
	}
	if peak > bound {
		t.Errorf("peak memory %d MiB", peak>>20)
	}
}

// status returns what the system says of a process's memory, in bytes: VmRSS is its current size,
// VmHWM its greatest one so far.
func status(t *testing.T, m *member, what string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(m.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Logf("the memory of a process is not known on this system: %v", err)
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == what {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// TestKillDuringOutage kills the only replica while NATS is away. The next run first publishes what
// the replica had on disk, and the gap marker begins where that ends.
func TestKillDuringOutage(t *testing.T) {
	o := newOutage(t)
	o.add()
	o.flow(400)
	o.flows(200)
	o.down()
	time.Sleep(4 * time.Second)
	kept := o.onDisk(o.alive[0])
	o.kill(o.alive[0])
	o.up()
	o.add()
	o.flows(400)
	o.emptied(30 * time.Second)
	o.finish()

	e := o.evidence()
	e.told(message.GapCrash, 1)
	for _, entry := range e.missing {
		if entry.At.Before(kept) {
			t.Errorf("the event of %v is lost, though it was on disk", entry.At)
		}
	}
	if from := e.gaps[0].gap.From; from.Before(kept.Add(-time.Second)) { // Zoom's times are in whole seconds
		t.Errorf("the marker begins %v before the last event that is known to be on disk", kept.Sub(from))
	}
	t.Logf("%d events lost in flight, %d found nobody", len(e.missing), len(e.nobody))
}

// TestStopDuringOutage stops the only replica while NATS is away: the exit code is 0, and only
// events that Zoom had nobody to send to are lost.
func TestStopDuringOutage(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	o.add()
	o.flow(400)
	o.flows(200)
	o.down()
	o.flows(400)
	took := o.stop(o.alive[0])
	o.next()
	t.Logf("stopped after %v", took)
}

// next brings NATS back and starts a replica in the folder of one that has stopped. It checks that
// the replica publishes what the stopped one left on disk, and that one marker reports the time
// between them.
func (o *outage) next() {
	o.t.Helper()
	o.up()
	o.add()
	o.flows(400)
	o.emptied(30 * time.Second)
	o.finish()
	e := o.evidence()
	e.covered(1, message.GapStart, message.GapCrash)
	e.nothingInFlight()
}

// TestSoak runs a replica at 500 events a second while NATS and the connection to Zoom come and go.
// Every loss is in a gap marker, and the process's memory and open files do not grow.
func TestSoak(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	leader := o.add()
	o.flow(500)
	o.flows(500)
	var files []int
	var resident []int64
	holes := 0
	for began := time.Now(); time.Since(began) < *soakFlag; {
		o.down()
		time.Sleep(time.Second)
		o.up()
		o.emptied(time.Minute)
		o.sim.CloseSockets(testSubscription, 1001, "maintenance") //nolint:errcheck // there is one
		holes++
		o.live()
		o.flows(300)
		files, resident = append(files, openFiles(t, leader)), append(resident, status(t, leader, "VmRSS:"))
	}
	o.finish()
	e := o.evidence()
	e.covered(holes, message.GapDisconnected)
	t.Logf("%d rounds, %d events: open files %v, resident %v", len(files), len(e.stored), files, resident)
	settled := len(files) / 3
	if most := slices.Max(files[:settled+1]); slices.Max(files) > most+4 {
		t.Errorf("open files grow: %v", files)
	}
	if most := slices.Max(resident[:settled+1]); slices.Max(resident) > most*3/2+16<<20 {
		t.Errorf("memory grows: %v", resident)
	}
}

// openFiles counts a process's open files and sockets.
func openFiles(t *testing.T, m *member) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(m.cmd.Process.Pid) + "/fd")
	if err != nil {
		t.Logf("open files are not known on this system: %v", err)
	}
	return len(entries)
}

// TestStandbyPublishesItsLeftOver kills the leader after it was cut off from NATS with events on
// its disk. It publishes them when it is back, although only as a standby.
func TestStandbyPublishesItsLeftOver(t *testing.T) {
	o := newOutage(t)
	o.add()
	own := o.settings
	o.settings = append(slices.Clone(own), "ZOOMSTREAM_DATA_DIR="+t.TempDir())
	second := o.add()
	o.flow(400)
	o.flows(200)
	o.down()
	o.flows(800)
	kept := o.onDisk(o.alive[0])
	o.kill(o.alive[0])
	o.up()
	o.live()
	o.flows(400)
	o.settings = own
	o.add()
	o.emptied(30 * time.Second)
	if o.leader() != second {
		t.Error("the one with the left-over leads")
	}
	o.finish()
	e := o.evidence()
	if len(e.gaps) != 1 || e.gaps[0].gap.Cause != message.GapCrash || e.gaps[0].gap.Certain { // it begins when NATS went away: nobody knows more
		t.Errorf("markers %+v", e.gaps)
	}
	for _, entry := range e.missing {
		if entry.At.Before(kept) {
			t.Errorf("the event of %v is lost, though it was on disk", entry.At)
		}
	}
}
