// Package zoomsim simulates Zoom's side of WebSocket event subscriptions: the
// token endpoint, the WebSocket with its rule of one connection per
// subscription, event traffic, and the faults that a client has to survive. It
// keeps a ledger of every event and socket, so that a test can ask what was
// lost and why. The command "zoomstream sim" serves it alone; tests serve
// [Sim.Handler].
//
// # What it imitates
//
// POST /oauth/token takes Basic authentication and either grant, as a form or
// in the query, and refuses with Zoom's own HTTP 400 bodies.
//
// GET /ws?subscriptionId=ID&access_token=TOKEN upgrades whatever the token is
// worth, as Zoom does. A bad one then gets one frame, build_connection with
// success:false, and the socket is closed. A good one gets success:true, and
// from then on the subscription's events; the socket that had them so far is
// closed with the reason "Connected in another place". Heartbeats are answered;
// a socket without them is closed after [Options.IdleTimeout].
//
// Where Zoom's behaviour was never published, the simulator has to choose, and
// the comments say so: close codes (1000), the text of a successful
// build_connection, the idle time, what happens when a token expires.
//
// # Events
//
// An event goes to the newest ready socket of its subscription. If there is
// none it is gone, as with Zoom, but the ledger has it: an [Entry] says which
// socket an event was written to, and its [Outcome] is [Nobody] or [Lost] if
// none got it. "Written" means handed to the connection. A client that died at
// that moment may not have read it, and no server can know.
//
// # Control API
//
// It is served by the same listener, without authentication: keep that on
// loopback. GET /control/ lists the actions with their parameters, and the
// faults that stand; POST /control/ACTION?NAME=VALUE does one. Faults stand
// until they are lifted by off=true or by the action reset, until their
// for=DURATION is over, or after their count=N of uses (events, dials,
// requests). A fault of one subscription goes before the same fault of all.
//
// An event of an unknown name (404) and one that nobody is connected for (409) are refused.
//
//	GET /control/samples         names of the known events: with a sample, and made up
//	GET /control/samples/EVENT   the body that emit makes a fresh one of
//	GET /control/ledger          entries and sockets; ?since=N for entries after number N, ?limit=N (10000, 0: all)
//	GET /control/ledger/summary  counts, in total and per subscription
//
// # Time and goroutines
//
// The package uses package time alone and has no global state, so that it runs
// in a testing/synctest bubble, over net.Pipe as well as over TCP. Every
// goroutine but a timer's belongs to a request of the Handler, and [Sim.Close]
// awaits them.
package zoomsim
