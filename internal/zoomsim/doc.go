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
// a socket without them is closed after [Options.IdleTimeout]. A request
// without subscriptionId is answered with 404.
//
// Where Zoom's behaviour was never published, the simulator has to choose, and
// the comments say so: close codes (1000), the text of a successful
// build_connection, the idle time, what happens when a token expires.
//
// # Events
//
// [Sim.Emit] sends a body byte for byte, [Sim.Replay] a file of them, and
// [Sim.Traffic] a stream of generated ones. An event goes to the newest ready
// socket of its subscription. If there is none it is gone, as with Zoom, but the
// ledger has it: an [Entry] says which socket an event was written to, and its
// [Outcome] is [Nobody] or [Lost] if none got it. "Written" means handed to the
// connection. A client that died at that moment may not have read it, and no
// server can know.
//
// # Control API
//
// It is served by the same listener, without authentication: keep that on
// loopback. An unknown parameter or a bad value is answered with 400 and one
// line of text; everything else is JSON. Durations are written 90s, 5m, 2h.
//
//	GET  /control/                 every action with its parameters, and the faults that stand
//	GET  /control/ledger           entries and sockets; ?since=N for entries after number N, ?limit=N (10000, 0: all)
//	GET  /control/ledger/summary   counts, in total and per subscription
//	POST /control/emit             an event: the request's body as it is, or ?event=NAME
//	POST /control/raw              the request's body as a frame; ?binary=true
//	POST /control/garbage          broken frames of over forty kinds; ?kinds=a,b
//	POST /control/cut              resets sockets, without a close frame
//	POST /control/close            closes sockets; ?code=1001&reason=text
//	POST /control/freeze           sockets stay open but dead; ?dials=true for new dials, too
//	POST /control/refuse           refuses dials; ?mode=http503 (&retry-after=5s), old, new, content (&content=text)
//	POST /control/displace         how displaced sockets close; ?linger=2s&frame=true
//	POST /control/slow-reader      reads slowly; ?rate=BYTES per second
//	POST /control/mute             beats are answered, events find nobody
//	POST /control/late             event_ts is old; ?by=2h
//	POST /control/duplicate        each event is sent several times; ?times=3
//	POST /control/same-tracking    each two events share a tracking id
//	POST /control/object           content is an object, not a string
//	POST /control/token            the token endpoint fails; ?mode=http500, html, no-expires, slow (&delay=5s),
//	                               hang, 429 (&retry-after=5s), invalid-client, unsupported-grant
//	POST /control/rotate           a new token kills the older ones
//	POST /control/reset            lifts every fault
//
// All but the last two and token take ?subscription=ID; without it they mean
// every subscription (emit, raw and garbage need one). The faults from freeze
// to rotate stand until they are lifted by off=true or by reset, or until their
// for=DURATION is over; most also take count=N, after so many uses of which
// (events, dials, requests) they end. A fault of one subscription goes before
// the same fault of all. For example:
//
//	curl -X POST 'http://127.0.0.1:8481/control/emit?subscription=S1&event=meeting.started'
//	curl -X POST 'http://127.0.0.1:8481/control/freeze?subscription=S1&for=1m'
//	curl -X POST 'http://127.0.0.1:8481/control/refuse?mode=new&count=3'
//	curl 'http://127.0.0.1:8481/control/ledger/summary'
//
// Each action is also a method of [Sim], and [ParseOrder] reads one from a text.
//
// # Time and goroutines
//
// The package uses package time alone and has no global state, so that it runs
// in a testing/synctest bubble, over net.Pipe as well as over TCP. Every
// goroutine belongs to a request of the Handler, and [Sim.Close] awaits them.
package zoomsim
