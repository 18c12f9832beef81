// Package zoomsim simulates Zoom's side of WebSocket event subscriptions: the token endpoint, the
// WebSocket with its rule of one connection per subscription, event traffic, and the faults that a
// client has to survive. It keeps a ledger of every event and socket, so that a test can ask what
// was lost and why. The command "zoomstream sim" serves it alone; tests serve [Sim.Handler].
//
// # What it imitates
//
// POST /oauth/token takes Basic authentication and either grant, as a form or in the query, and
// refuses with Zoom's own HTTP 400 bodies.
//
// GET /ws?subscriptionId=ID&access_token=TOKEN upgrades whether or not the token is valid, as Zoom
// does. With an invalid one it then sends one frame, build_connection with success:false, and
// closes the socket. With a valid one it sends success:true and from then on the subscription's
// events; the socket that received them before is closed with the reason "Connected in another
// place". Heartbeats are answered; a socket without them is closed after [Options.IdleTimeout].
//
// Where Zoom's behaviour was never published, the simulator has to choose, and the comments say so:
// close codes (1000), the text of a successful build_connection, the idle time, what happens when a
// token expires.
//
// # Events
//
// An event goes to the newest ready socket of its subscription. If there is none it is lost, as
// with Zoom, but the ledger records it: an [Entry] says which socket an event was written to; its
// [Outcome] is [Nobody] or [Lost] if no socket received it. "Written" means handed to the
// connection. A client that died at that moment may not have read it, and no server can know.
//
// # Control API
//
// It is served on the same listener, without authentication: keep that on loopback. GET /control/
// lists the actions with their parameters, and the standing faults; POST /control/ACTION?NAME=VALUE
// executes one. A fault stands until it is lifted by off=true or by the action reset, until its
// for=DURATION has passed, or until its count=N of uses (events, dials, requests) is used up. A
// fault of one subscription takes precedence over the same fault of all.
//
// An event with an unknown name is refused with 404, one without a connected client with 409.
//
//	GET /control/samples         names of the known events: with a sample, and made up
//	GET /control/samples/EVENT   the body from which emit makes fresh ones
//	GET /control/ledger          entries and sockets; ?since=N for entries after number N, ?limit=N (10000, 0: all)
//	GET /control/ledger/summary  counts, in total and per subscription
//
// # Time and goroutines
//
// The package uses package time only and has no global state, so it runs in a testing/synctest
// bubble, over net.Pipe as well as over TCP. Every goroutine, except those of timers, belongs to a
// request of the Handler, and [Sim.Close] waits for them.
package zoomsim
