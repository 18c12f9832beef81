// Command bench measures the path of an event: "make bench" runs it.
//
// It starts the built zoomstream with a Zoom and a nats-server, each as a separate process. In the
// same run, in alternating rounds, it compares zoomstream with
//
//   - nats.go's asynchronous publisher, which sends the same bodies and headers with its best
//     window and has no Zoom, no order through errors, no disk;
//   - a bridge in Node as a team would write it in an afternoon (bridge/bridge.mjs), if Node is
//     installed.
//
// Every measurement has its own nats-server, stream and processes, so that none affects the next.
// Zoom, nats-server and publisher are this binary again, in a role (role.go). Zoom is not package
// zoomsim, whose ledger and faults would take CPU from zoomstream, and because an event has to
// carry the time at which it is written to the socket.
//
// It needs Linux, for /proc.
package main
