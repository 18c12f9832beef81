package simulation

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var mutantsFlag = flag.Bool("mutants", false, "make each deliberate mistake and see that a test finds it")

// mutant is a deliberate mistake: in one file, one text replaced by another.
type mutant struct {
	promise  string // that it breaks
	mistake  string
	file     string
	old, new string
	tests    []string // arguments of the go test that must fail; nil: the simulation
}

var leaseTests = []string{"-timeout", "60s", "./internal/lease"}

// mutants has at least one mistake for each promise that the simulation is to guard.
var mutants = []mutant{
	{promise: "1", mistake: "what is unacknowledged in trouble is not saved", file: "internal/outbox/loop.go",
		old: "if o.open(ctx) && trouble != nil {", new: "if o.open(ctx) && trouble == nil {"},
	{promise: "1", mistake: "what is left in the spool is not published", file: "internal/outbox/outbox.go",
		old: "case !o.disk.folder.Used():\n		o.disk", new: "case true:\n		o.disk"},
	{promise: "1", mistake: "a record is removed before its message is stored", file: "internal/outbox/loop.go",
		old: "if e.record > 0 {\n			through", new: "if e.record > 1<<62 {\n			through"},
	{promise: "1", mistake: "a spool that a failed read has closed is written to", file: "internal/outbox/disk.go",
		old: "func (d *disk) close() { d.log, d.state, d.ahead = nil, diskClosed, nil }", new: "func (d *disk) close() { d.ahead = nil }", tests: []string{"-run", "TestDiskFault", "./internal/outbox"}},
	{promise: "2", mistake: "an acknowledgement that was overtaken is waited for", file: "publisher/run.go",
		old: "if s.queue.inFlight() == 0 || s.newest <= s.queue.head {", new: "if true {", tests: []string{"-run", "Dropped|Overtaken", "./publisher"}},
	{promise: "2", mistake: "new events overtake those on disk", file: "internal/outbox/loop.go",
		old: "if o.disk.leftover == leftoverUnknown || o.records.unread() {\n		return false", new: "if o.disk.leftover == leftoverUnknown {\n		return false"},
	{promise: "2", mistake: "every message has an id of its own", file: "internal/bridge/message.go",
		old: "dedupe.ID(e.cfg.Stream.Dedupe, f.Header.TrackingID, name.subject, f.Body))", new: "dedupe.ID(e.cfg.Stream.Dedupe, f.Received.String(), name.subject, f.Body))"},
	{promise: "3", mistake: "the socket is closed before the successor displaces it", file: "internal/bridge/bridge.go",
		old: "if b.standbys() == 0 || sleep", new: "if true || sleep"},
	{promise: "3", mistake: "the lease is released when the socket is closed, not before", file: "internal/lease/lead.go",
		old: "	stop()\n	<-lost\n	e.releaseLease(t, reason)\n	return <-returned", new: "	stop()\n	<-lost\n	sleep.For(context.Background(), 4*time.Second)\n	e.releaseLease(t, reason)\n	return <-returned"},
	{promise: "4", mistake: "a death needs many misses", file: "internal/lease/peers.go",
		old: "known.misses < deathMisses", new: "known.misses < 20*deathMisses"},
	{promise: "4", mistake: "an unchanged lease is never taken", file: "internal/lease/elector.go",
		old: "case unchanged >= timing.takeover && unread < timing.retry:", new: "case unchanged >= 9*timing.takeover && unread < timing.retry:", tests: leaseTests},
	{promise: "5", mistake: "nobody tells of a crash", file: "internal/bridge/previousterm.go",
		old: "		case last.State == record.Connected:\n", new: "		case last.State == record.Displaced:\n"},
	{promise: "5", mistake: "what a dead replica had not made safe is not told of", file: "internal/bridge/previousterm.go",
		old: "	begin := last.SafeUntil\n", new: "	begin := last.LastFrame\n", tests: []string{"-run", "TestLossStart", "./internal/bridge"}},
	{promise: "5", mistake: "nobody tells of a broken connection", file: "internal/bridge/journal.go",
		old: "} else if s.State == record.Disconnected {", new: "} else if s.State == record.Displaced {"},
	{promise: "5", mistake: "the marker comes after the first events", file: "internal/bridge/connect.go",
		old: "		b.publishGaps(c.drainCtx, gaps) // where there is no room for it, there is none for events\n", new: "		time.AfterFunc(5*time.Second, func() { b.publishGaps(c.drainCtx, gaps) })\n"},
	{promise: "5", mistake: "a connection is read before it is known what was before the term", file: "internal/bridge/connect.go",
		old: "				<-gapsPublished\n", new: ""},
	{promise: "5", mistake: "markers that may not be stored are forgotten", file: "internal/bridge/journal.go",
		old: "	gaps := last.Unstored\n", new: "	gaps := last.Unstored[:0]\n	last.Unstored = nil\n", tests: []string{"-run", "TestForgedState", "./internal/bridge"}},
	{promise: "6", mistake: "an outage of NATS counts as a death", file: "internal/lease/elector.go",
		old: "case unchanged >= timing.takeover && quiet > 0:", new: "case unchanged >= 99*timing.takeover && quiet > 0:", tests: []string{"-timeout", "60s", "-run", "Outage", "./internal/lease"}},
	{promise: "6", mistake: "a lease is released while its holder dials", file: "internal/lease/lead.go",
		old: "	e.awaitDialled(t)\n", new: "", tests: []string{"-run", "Dial", "./internal/lease", "./internal/simulation"}},
	{promise: "5", mistake: "whoever displaced a replica that is gone was its successor", file: "internal/bridge/previousterm.go",
		old: "age > dialled+", new: "age > time.Hour+", tests: []string{"-run", "DisplacedBefore|StrangerInAHandover", "./internal/bridge", "./internal/simulation"}},
	{promise: "6", mistake: "a dial goes on without a trusted term", file: "internal/lease/term.go",
		old: "				cancel(ErrUntrusted)\n", new: "				_ = cancel\n", tests: []string{"-run", "Dial", "./internal/lease", "./internal/simulation"}},
	{promise: "6", mistake: "a term is trusted for ever", file: "internal/lease/term.go",
		old: "return now.Before(t.proof.until) && !slept", new: "return true || !slept"},
	{promise: "6", mistake: "trust counts from the answer", file: "internal/lease/lead.go",
		old: "t.extend(revision, p)", new: "t.extend(revision, e.c.newProof())", tests: leaseTests},
	{promise: "6", mistake: "a write that failed is a lease lost", file: "internal/lease/lead.go",
		old: "case unread != nil:\n		e.log.Debug()", new: "case unread != nil:\n		return 0, false\n		e.log.Debug()", tests: leaseTests},
	{promise: "6", mistake: "an expired term is taken back", file: "internal/lease/lead.go",
		old: "case !found.held && !t.connected.Load():", new: "case false:", tests: leaseTests},
	{promise: "2", mistake: "an expired lease is taken back from a later term", file: "internal/lease/lead.go",
		old: "case later:", new: "case later && found.held:", tests: leaseTests},
	{promise: "7", mistake: "the token is logged", file: "internal/zoom/token.go",
		old: `Stringer("lifetime", token.life)`, new: `Str("lifetime", token.value)`},
	{promise: "8", mistake: "a frame that cannot be read ends the connection", file: "internal/zoom/session.go",
		old: "			return err\n		}\n	}\n	if e := s.refusalError", new: "			return err\n		}\n		if f.Err != nil {\n			return f.Err\n		}\n	}\n	if e := s.refusalError"},
}

// TestMutants checks that each mistake still fits the code. With -mutants it also checks that a
// test finds it.
func TestMutants(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run("promise "+m.promise+", "+m.mistake, func(t *testing.T) {
			code, err := os.ReadFile(filepath.Join(root, m.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(code), m.old); n != 1 {
				t.Fatalf("%s has %d times %q", m.file, n, m.old)
			}
			if *mutantsFlag {
				m.survives(t, root, bytes.Replace(code, []byte(m.old), []byte(m.new), 1))
			}
		})
	}
}

// survives fails the test if no test finds the mistake.
func (m mutant) survives(t *testing.T, root string, code []byte) {
	mutated := filepath.Join(t.TempDir(), "mutant.go")
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	replace := `{"Replace":{"` + filepath.Join(root, m.file) + `":"` + mutated + `"}}`
	if os.WriteFile(mutated, code, 0o600) != nil || os.WriteFile(overlay, []byte(replace), 0o600) != nil {
		t.Fatal("the mutant cannot be written")
	}
	tests := m.tests
	if tests == nil {
		tests = []string{"-run", "TestSimulation", "./internal/simulation", "-seeds", "200"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "go", append([]string{"test", "-failfast", "-vet=off", "-count=1", "-timeout", "9m", "-overlay", overlay}, tests...)...)
	run.Dir = root
	run.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // keeps the journals of seeds that fail on purpose out of the way
	out, err := run.CombinedOutput()
	if err == nil {
		t.Errorf("no test finds it: %s", out)
		return
	}
	if bytes.Contains(out, []byte("[build failed]")) {
		t.Errorf("the mutant does not compile: %s", out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "_test.go:") && !strings.Contains(line, "writer.go") {
			t.Logf("found: %.200s", strings.TrimSpace(line))
			return
		}
	}
	t.Logf("found: %.300s", out)
}
