package natsconn

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// gate listens in place of the embedded server and passes each connection on to it.
//
// The server's permissions alone cannot make a client read-only. They cover neither reply subjects
// nor the deliver subject of a consumer, so a client without rights could have the server itself
// write an answer to the stream, to a lease, or to the subject that deletes streams. The gate
// therefore filters what clients without a login send: answers may go to an inbox only.
type gate struct {
	listener net.Listener
	inside   func() (net.Conn, error) // opens a new connection to the server
	password string                   // of anonymousUser; only the gate knows it

	running sync.WaitGroup
	mu      sync.Mutex
	clients map[net.Conn]struct{} // nil once closed
}

const (
	inboxes = "_INBOX." // prefix of the subjects for answers

	gateLine    = 4096             // bytes of a protocol line, nats-server's limit
	gatePayload = 1 << 20          // bytes of a request by a client without a login
	gateWrite   = 10 * time.Second // a client that takes nothing for this long is gone, as in nats-server
)

func newGate(listener net.Listener, inside func() (net.Conn, error), password string) *gate {
	g := &gate{listener: listener, inside: inside, password: password, clients: make(map[net.Conn]struct{})}
	g.running.Go(g.accept)
	return g
}

// close closes all connections and waits until they have ended.
func (g *gate) close() {
	g.listener.Close() //nolint:errcheck // nothing can be done
	g.mu.Lock()
	for client := range g.clients {
		client.Close() //nolint:errcheck
	}
	g.clients = nil
	g.mu.Unlock()
	g.running.Wait()
}

func (g *gate) accept() {
	for {
		client, err := g.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as too many open files, which passes
			time.Sleep(50 * time.Millisecond)
			continue
		}
		g.mu.Lock()
		if g.clients == nil {
			g.mu.Unlock()
			client.Close() //nolint:errcheck
			return
		}
		g.clients[client] = struct{}{}
		g.running.Go(func() { g.serve(client) })
		g.mu.Unlock()
	}
}

// serve passes one connection on until either side ends it.
func (g *gate) serve(client net.Conn) {
	defer func() {
		client.Close() //nolint:errcheck
		g.mu.Lock()
		delete(g.clients, client)
		g.mu.Unlock()
	}()
	inside, err := g.inside()
	if err != nil {
		return // the server is stopping
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		answer(client, inside)
		client.Close() //nolint:errcheck // so that nothing is read from it any more
	})
	g.ask(inside, bufio.NewReaderSize(client, gateLine)) //nolint:errcheck // either side has ended it
	inside.Close()                                       //nolint:errcheck
	answers.Wait()                                       // so that the server's last words reach the client
}

// answer copies from the server to the client.
func answer(client, inside net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := inside.Read(buffer)
		if err != nil {
			return
		}
		client.SetWriteDeadline(time.Now().Add(gateWrite)) //nolint:errcheck // then the write fails
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// ask copies from the client to the server: unchanged if it has a login, which the server checks;
// otherwise filtered.
func (g *gate) ask(inside io.Writer, client *bufio.Reader) error {
	line, err := client.ReadSlice('\n')
	if err != nil {
		return err
	}
	anonymous := g.anonymous(line)
	if anonymous == nil {
		if _, err = inside.Write(line); err == nil {
			_, err = client.WriteTo(inside)
		}
		return err
	}
	for out := anonymous; err == nil; out, err = nextAllowed(client) {
		if _, err := inside.Write(out); err != nil {
			return err
		}
	}
	return err
}

// anonymous returns the first line of a client without a login, with the login of anonymousUser
// added. It returns nil if the client has a login, or sent something the server would refuse
// without one.
func (g *gate) anonymous(line []byte) []byte {
	verb, arg, _ := bytes.Cut(line, []byte(" "))
	var fields map[string]any
	if !bytes.EqualFold(verb, []byte("CONNECT")) || json.Unmarshal(arg, &fields) != nil {
		return nil
	}
	for name, value := range fields {
		if !slices.Contains([]string{"user", "pass", "auth_token", "jwt", "nkey", "sig"}, strings.ToLower(name)) {
			continue
		}
		if value != nil && value != "" {
			return nil
		}
		delete(fields, name)
	}
	fields["user"], fields["pass"] = anonymousUser, g.password
	text, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return fmt.Appendf(nil, "CONNECT %s\r\n", text)
}

var errProtocol = errors.New("not the NATS protocol, or more of it than a client without a login may send")

// nextAllowed reads one message of a client and serializes it again, so that the server parses
// exactly what was checked here.
func nextAllowed(client *bufio.Reader) ([]byte, error) {
	line, err := client.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return nil, errProtocol
	}
	verb, args := strings.ToUpper(words[0]), words[1:]
	switch {
	case (verb == "PING" || verb == "PONG") && len(args) == 0,
		verb == "SUB" && (len(args) == 2 || len(args) == 3),
		verb == "UNSUB" && (len(args) == 1 || len(args) == 2):
		return []byte(strings.Join(append([]string{verb}, args...), " ") + "\r\n"), nil
	case verb == "PUB" && (len(args) == 2 || len(args) == 3):
		return allowedRequest(client, verb, args, 1)
	case verb == "HPUB" && (len(args) == 3 || len(args) == 4):
		return allowedRequest(client, verb, args, 2)
	}
	return nil, errProtocol
}

// allowedRequest reads the body of a message. args are its subject, its reply subject if it has
// one, and the given number of sizes.
func allowedRequest(client io.Reader, verb string, args []string, sizes int) ([]byte, error) {
	size, err := strconv.Atoi(args[len(args)-1])
	if err != nil || size < 0 || size > gatePayload {
		return nil, errProtocol
	}
	header := 0
	if sizes == 2 {
		if header, err = strconv.Atoi(args[len(args)-2]); err != nil || header < 0 || header > size {
			return nil, errProtocol
		}
	}
	out := []byte(verb + " " + strings.Join(args, " ") + "\r\n")
	start := len(out)
	out = append(out, make([]byte, size+2)...)
	if _, err := io.ReadFull(client, out[start:]); err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		return nil, errProtocol
	}
	if reply := args[1:]; len(reply) > sizes && !strings.HasPrefix(reply[0], inboxes) {
		return denial("answers go to an _INBOX only"), nil
	}
	if !deliversToInbox(args[0], out[start+header:len(out)-2]) {
		return denial("consumers deliver to an _INBOX only"), nil
	}
	return out, nil
}

// deliversToInbox reports whether a message is anything but a request for a consumer that delivers
// to a subject other than an inbox.
func deliversToInbox(subject string, body []byte) bool {
	if !strings.HasPrefix(subject, "$JS.API.CONSUMER.") || !strings.Contains(subject, ".CREATE.") {
		return true
	}
	var request server.CreateConsumerRequest // parsed as the server does
	err := json.Unmarshal(body, &request)
	return err == nil && (request.Config.DeliverSubject == "" || strings.HasPrefix(request.Config.DeliverSubject, inboxes))
}

// denial replaces a refused message: the server denies this subject to the client, which shows it
// the reason.
func denial(why string) []byte {
	return []byte("PUB denied." + strings.ReplaceAll(why, " ", "-") + " 0\r\n\r\n")
}
