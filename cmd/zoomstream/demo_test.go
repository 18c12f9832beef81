package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// demoSays waits until the demo's output matches the pattern, and returns the match and its groups.
func demoSays(p *program, pattern string) []string {
	p.t.Helper()
	wanted := regexp.MustCompile("(?m)" + pattern)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found := wanted.FindStringSubmatch(p.stdout.String()); found != nil {
			return found
		}
	}
	p.t.Fatalf("it does not say %q:\n%s%s", pattern, &p.stdout, &p.stderr)
	return nil
}

// demoConclusion returns the figures of the demo's last line. It fails the test if they do not add
// up, if an event was doubled or a replica ended by itself, on any output to stderr, and on lines
// of over 80 columns.
func demoConclusion(p *program) (sent, stored, lost int) {
	p.t.Helper()
	text, doubled := p.stdout.String(), 0
	_, err := fmt.Sscanf(text[max(0, strings.LastIndex(text, "Zoom sent ")):], "Zoom sent %d events: %d stored, %d lost, %d doubled.", &sent, &stored, &lost, &doubled)
	if err != nil {
		p.t.Errorf("%v:\n%s", err, text)
	}
	if p.stderr.String() != "" || strings.Contains(text, "by itself") || sent != stored+lost || doubled != 0 {
		p.t.Errorf("it complains:\n%s%s", &p.stdout, &p.stderr)
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, " \n")); n > 80 {
			p.t.Errorf("%d columns: %s", n, line)
		}
	}
	return sent, stored, lost
}

// TestDemo: the demo ignores settings of its environment that would break its replicas.
func TestDemo(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"ZOOM_CLIENT_ID=another", "ZOOMSTREAM_STREM=x", "NATS_URL=nats://127.0.0.1:1", "NATS_CONTEXT=none"},
		"demo", "--rate", "50", "--no-script")
	short := start(t, nil, "demo", "--duration", "2s", "--rate", "50") // ends by itself, however far it has come
	demoSays(p, ` (late|no event_ts)  #100\b`)
	if code, body := getPage(t, demoSays(p, `^    (http://127\.0\.0\.1:\d+/) `)[1]+"event/1"); code != http.StatusOK { // what is invented is no secret
		t.Errorf("an event on the page: %d %s", code, body)
	}
	p.signal(os.Interrupt)
	p.exit(exitOK)
	short.exit(exitOK)
	text := p.stdout.String()
	for _, word := range []string{"nats sub -s nats://127.0.0.1:", "'zoom.>'", "  zoom.meeting.participant_joined "} {
		if !strings.Contains(text, word) {
			t.Errorf("%q is missing from:\n%s", word, text)
		}
	}
	if sent, stored, lost := demoConclusion(p); lost != 0 || stored < 100 {
		t.Errorf("%d sent, %d stored, %d lost:\n%s", sent, stored, lost, &p.stdout)
	}
	if sent, stored, lost := demoConclusion(short); lost != 0 {
		t.Errorf("%d sent, %d stored, %d lost:\n%s", sent, stored, lost, &short.stdout)
	}
}

// TestDemoScript: without a key the demo plays its script.
func TestDemoScript(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--rate", "100", "--pause", "1s")
	p.stdin.Close()
	told := demoSays(p, `^── handover: (replica-\d) leads and is told to step down ──$`)[1]
	leader := demoSays(p, `^── (replica-\d) leads: no gap, 0 events lost, 0 doubled ──$`)[1]
	if leader == told {
		t.Errorf("%s still leads", told)
	}
	killed := demoSays(p, `^── crash: (replica-\d) leads and is killed \(kill -9\) ──$`)[1]
	if killed != leader {
		t.Errorf("%s is killed, but %s leads", killed, leader)
	}
	found := demoSays(p, `^── (replica-\d) leads: a gap of (\d+) ms, (\d+) events? lost, 0 doubled ──$`)
	if found[1] != told {
		t.Errorf("after the crash of %s, %s leads", killed, found[1])
	}
	demoSays(p, `^\S+  zoom\._bridge\.gap +`+found[2]+` ms without a connection: crash  #\d+$`)
	demoSays(p, `^── `+killed+` is started again ──$`)
	p.signal(os.Interrupt)
	p.exit(exitOK)
	if sent, stored, lost := demoConclusion(p); fmt.Sprint(lost) != found[3] || lost == 0 {
		t.Errorf("%d sent, %d stored, %d lost:\n%s", sent, stored, lost, &p.stdout)
	}
	for _, row := range []string{
		`handover +` + told + ` → ` + leader + ` +none +0 +0`, `crash +` + leader + ` → ` + told + ` +` + found[2] + ` ms +` + found[3] + ` +0`,
	} {
		demoSays(p, `^`+row+`$`)
	}
}

// TestDemoKeys: the keys work, and after the first one the script is not played.
func TestDemoKeys(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--rate", "50", "--pause", "500ms")
	press := func(keys string) {
		t.Helper()
		if _, err := p.stdin.Write([]byte(keys)); err != nil {
			t.Fatal(err)
		}
	}
	press("x\nH\n")
	demoSays(p, `^── h, c or q, then Enter ──$`)
	demoSays(p, `^── replica-\d leads: no gap, 0 events lost, 0 doubled ──$`)
	demoSays(p, `#150 `) // some seconds later
	if strings.Contains(p.stdout.String(), "── crash") {
		t.Errorf("the script goes on after a key:\n%s", &p.stdout)
	}
	press("c\n")
	demoSays(p, `^── replica-\d leads: a gap of \d+ ms, \d+ events? lost, 0 doubled ──$`)
	press("q\n")
	p.exit(exitOK)
	demoConclusion(p)
	if n := strings.Count(p.stdout.String(), "── handover"); n != 1 {
		t.Errorf("%d handovers:\n%s", n, &p.stdout)
	}
}

// TestDemoOnTakenPorts: the demo takes other ports and says so. Ctrl-C ends it.
func TestDemoOnTakenPorts(t *testing.T) {
	t.Parallel()
	var taken []int
	for range 2 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		taken = append(taken, listener.Addr().(*net.TCPAddr).Port)
	}
	p := start(t, []string{demoPorts(t, taken[0], taken[1])}, "demo", "--rate", "50")
	for _, port := range taken {
		p.says(&p.stdout, fmt.Sprintf("Port %d is taken", port))
	}
	p.says(&p.stdout, "#10 ")
	p.signal(os.Interrupt)
	p.exit(exitOK)
}

// TestDemoReplicaFailsAtStart: a replica without settings fails, and the error says why.
func TestDemoReplicaFailsAtStart(t *testing.T) {
	r := &replica{
		name: "replica-1", dir: filepath.Join(t.TempDir(), "replica-1"), environ: []string{"ZS_TEST_MAIN=1"},
		say: func(format string, a ...any) { t.Errorf(format, a...) },
	}
	err := r.keep(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, word := range []string{"replica-1 does not run: exit status 78", "not set: ZOOM_CLIENT_ID"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is missing from: %s", word, err)
		}
	}
}

// TestDemoCost: the demo counts every kind of loss.
func TestDemoCost(t *testing.T) {
	d := &demo{sim: zoomsim.New(zoomsim.Options{})}
	server := httptest.NewServer(d.sim.Handler())
	defer server.Close()
	defer d.sim.Close()
	connect := func() *websocket.Conn {
		t.Helper()
		before := d.sim.Summary(demoSubscription).Ready
		url := server.URL + "/ws?subscriptionId=" + demoSubscription + "&access_token=" + d.sim.IssueToken()
		conn, _, err := websocket.Dial(t.Context(), url, nil)
		if err == nil {
			err = d.sim.Wait(t.Context(), demoSubscription, func(sum zoomsim.Summary) bool { return sum.Ready > before })
		}
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	emit := func(body string) {
		t.Helper()
		d.sim.Emit(demoSubscription, zoomsim.Event{Body: []byte(body)})
		if err := d.sim.Drain(t.Context(), demoSubscription); err != nil {
			t.Fatal(err)
		}
	}
	told := func(began time.Time) string {
		c := d.cost(began, time.Now())
		return fmt.Sprintf("%s, %d lost, %d unstored, %d doubled", c.gapText("none", ""), c.lost, c.unstored, c.doubled)
	}

	first := connect()
	began := time.Now()
	second := connect()
	defer second.CloseNow()
	emit("stored")
	d.stored.add("zoom.stored", []byte("stored"), time.Now())
	if c := d.cost(began, time.Now()); c != (cost{}) {
		t.Errorf("displaced: %+v", c)
	}

	first.CloseNow()
	began = time.Now()
	emit("in flight")
	second.CloseNow()
	err := d.sim.Wait(t.Context(), demoSubscription, func(sum zoomsim.Summary) bool { return sum.Live == 0 })
	if err != nil {
		t.Fatal(err)
	}
	emit("nobody 1")
	emit("nobody 2")
	third := connect()
	defer third.CloseNow()
	want := regexp.MustCompile(`^\d+ ms, unmarked, 3 lost, 1 unstored, 0 doubled$`)
	if got := told(began); !want.MatchString(got) {
		t.Errorf("crash: %q, want %s", got, want)
	}
	now := time.Now()
	d.stored.add(message.KindGap.Subject("zoom"), message.Gap{From: now.Add(-408 * time.Millisecond), To: now, Cause: message.GapCrash}.Msg("zoom").Data, now)
	if got, want := told(began), "408 ms, 3 lost, 1 unstored, 0 doubled"; got != want {
		t.Errorf("crash with a marker: %q, want %q", got, want)
	}
	d.stored.add("zoom.in.flight", []byte("in flight"), time.Now()) // late, but there
	if got, want := told(began), "408 ms, 2 lost, 0 unstored, 0 doubled"; got != want {
		t.Errorf("all is stored: %q, want %q", got, want)
	}
	d.stored.add("zoom.in.flight", []byte("in flight"), time.Now())
	if got, want := told(began), "408 ms, 2 lost, 0 unstored, 1 doubled"; got != want || d.stored.doubled != 1 {
		t.Errorf("one is stored twice: %q, want %q", got, want)
	}
	if got, want := told(time.Now().Add(2*inFlight)), "none, 0 lost, 0 unstored, 0 doubled"; got != want {
		t.Errorf("a later act: %q, want %q", got, want)
	}
}

// TestDemoFault: the demo shows the cost of a connection that the control API closed.
func TestDemoFault(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--rate", "50", "--no-script")
	demoSays(p, `#10 `)
	zoom := demoSays(p, `'(http://.*/control/)cut'`)[1]
	for _, action := range []string{"late?by=2h&for=1ms", "late?off=true", "nonsense", "cut"} {
		answer, err := http.Post(zoom+action, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	demoSays(p, `^── control API: late: makes event_ts older than the frame ──$`)
	demoSays(p, `^── control API: late is over ──$`)
	demoSays(p, `^── control API: cut: resets sockets: a TCP reset without a close frame ──$`)
	leader := demoSays(p, `^── (replica-\d) leads: a gap of \d+ ms, \d+ events? lost, 0 doubled ──$`)[1]
	p.signal(os.Interrupt)
	p.exit(exitOK)
	demoConclusion(p)
	demoSays(p, `^cut +`+leader+` +\d+ ms +\d+ +0$`)
	if strings.Contains(p.stdout.String(), "nonsense") {
		t.Errorf("it tells of what was refused:\n%s", &p.stdout)
	}
}
