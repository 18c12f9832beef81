package zoomsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// zoom is a simulator, and how a test reaches it.
type zoom struct {
	*zoomsim.Sim
	t      testing.TB
	base   string // http://host
	client *http.Client
}

// onTCP serves a simulator on a real socket.
func onTCP(t testing.TB, opt zoomsim.Options) *zoom {
	t.Helper()
	sim := zoomsim.New(opt)
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { sim.Close(); server.Close() })
	return &zoom{Sim: sim, t: t, base: server.URL, client: http.DefaultClient}
}

// onPipe serves a simulator on pipes, for a synctest bubble. The test must call the returned
// function before the bubble ends.
func onPipe(t *testing.T, opt zoomsim.Options) (*zoom, func()) {
	t.Helper()
	sim := zoomsim.New(opt)
	server := pipenet.Serve(sim.Handler())
	end := func() { sim.Close(); server.Close() }
	return &zoom{Sim: sim, t: t, base: "http://zoom.test", client: server.Client()}, end
}

// frame is a frame as a client sees it.
type frame struct {
	Module  string
	Success *bool
	Content json.RawMessage
	Header  map[string]string
}

func (f frame) body(t testing.TB) string {
	t.Helper()
	var body string
	if err := json.Unmarshal(f.Content, &body); err != nil {
		t.Fatalf("content %.100s is no string: %v", f.Content, err)
	}
	return body
}

// peer is a client of one subscription.
type peer struct {
	*websocket.Conn
	z *zoom
}

func (z *zoom) url(subscription, token string) string {
	return strings.Replace(z.base, "http", "ws", 1) + "/ws?subscriptionId=" + subscription + "&access_token=" + token
}

// dial opens a socket, and does not read its first frame.
func (z *zoom) dial(subscription, token string) *peer {
	z.t.Helper()
	conn, _, err := websocket.Dial(z.t.Context(), z.url(subscription, token), &websocket.DialOptions{HTTPClient: z.client})
	if err != nil {
		z.t.Fatalf("dial: %v", err)
	}
	conn.SetReadLimit(1 << 24)
	z.t.Cleanup(func() { conn.CloseNow() })
	return &peer{conn, z}
}

// connect opens a socket, reads its build_connection, and waits until events reach it.
func (z *zoom) connect(subscription string) *peer {
	z.t.Helper()
	before := z.Summary(subscription).Ready
	p := z.dial(subscription, z.IssueToken())
	f := p.next()
	if f.Module != "build_connection" || f.Success == nil || !*f.Success {
		z.t.Fatalf("first frame %+v, want build_connection with success:true", f)
	}
	z.await(subscription, func(s zoomsim.Summary) bool { return s.Ready > before })
	return p
}

func (z *zoom) await(subscription string, until func(zoomsim.Summary) bool) {
	z.t.Helper()
	if err := z.Wait(z.t.Context(), subscription, until); err != nil {
		z.t.Fatalf("waiting: %v; summary %+v", err, z.Summary(subscription))
	}
}

// raw reads one frame, or returns the error that ended the socket.
func (p *peer) raw() ([]byte, error) {
	_, data, err := p.Read(p.z.t.Context())
	return data, err
}

func (p *peer) next() frame {
	p.z.t.Helper()
	data, err := p.raw()
	if err != nil {
		p.z.t.Fatalf("reading a frame: %v", err)
	}
	var f frame
	if err := json.Unmarshal(data, &f); err != nil {
		p.z.t.Fatalf("frame %.200s: %v", data, err)
	}
	return f
}

// end reads until the socket ends, and returns why.
func (p *peer) end() error {
	for {
		if _, err := p.raw(); err != nil {
			return err
		}
	}
}

func (p *peer) send(text string) {
	p.z.t.Helper()
	if err := p.Write(p.z.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.z.t.Fatalf("writing: %v", err)
	}
}

// do runs an action of the control API.
func (z *zoom) do(action string) zoomsim.Done {
	z.t.Helper()
	done, err := z.Do(action)
	if err != nil {
		z.t.Fatal(err)
	}
	return done
}

// post runs a control action over HTTP, and returns status and body.
func (z *zoom) post(path, body string) (int, string) {
	z.t.Helper()
	resp, err := z.client.Post(z.base+path, "application/json", strings.NewReader(body))
	if err != nil {
		z.t.Fatal(err)
	}
	return answer(z.t, resp)
}

func (z *zoom) get(path string) (int, string) {
	z.t.Helper()
	resp, err := z.client.Get(z.base + path)
	if err != nil {
		z.t.Fatal(err)
	}
	return answer(z.t, resp)
}

func answer(t testing.TB, resp *http.Response) (int, string) {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}
