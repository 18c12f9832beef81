// Command bench measures the path of an event: "make bench" runs it.
//
// It starts the built zoomstream with a Zoom and a nats-server of its own, each
// a process, and measures beside it, in the same run and in alternating rounds,
//
//   - nats.go's asynchronous publisher, which sends the same bodies and headers
//     with its best window and has no Zoom, no order through errors, no disk;
//   - a bridge in Node as a team would write it in an afternoon (bridge/bridge.mjs),
//     where Node is there.
//
// Every measurement has a nats-server, a stream and processes of its own, so
// that none inherits anything. Zoom, nats-server and publisher are this binary
// again, in a role (role.go). Zoom is not package zoomsim: its ledger and faults
// cost CPU that the connector needs here, and an event has to carry the time at
// which it is written to the socket.
//
// It needs Linux, for /proc.
package main
