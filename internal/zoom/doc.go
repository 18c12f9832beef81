// Package zoom implements Zoom's protocols: the OAuth token, the WebSocket
// session of one event subscription, and its frames. It knows nothing of NATS.
//
// The life of a session:
//
//	token --> dial (token in the URL) --> build_connection success:true --> ready
//	                                        |                                 |  heartbeat at once and
//	                                        | success:false                   |  then every period
//	                                        v                                 v
//	                                     refused                    events, until one of
//	                                                                closed | reset | silent |
//	                                                                displaced | refused
//
// Decisions depend on a frame's module and success, never on its wording, which
// Zoom has changed before. The one exception is displacement, which Zoom reports
// only as text ("Connected in another place", in a frame or as the reason of the
// close). A session is live if any frame arrives within two heartbeat periods.
// WebSocket pings are answered but not relied upon.
//
// Zoom's rules come from https://developers.zoom.us/docs/api/websockets/ and from
// published captures. Where these disagree, both readings are accepted.
//
// No error or log line of this package contains a token, a client secret or a
// URL with a token.
package zoom
