// Package zoom speaks Zoom's side: the OAuth token, the WebSocket session of
// one event subscription and its frames. It knows nothing of NATS.
//
// A session's life:
//
//	token --> dial (token in the URL) --> build_connection success:true --> ready
//	                                        |                                 |  heartbeat at once and
//	                                        | success:false                   |  then every period
//	                                        v                                 v
//	                                     refused                    events, until one of
//	                                                                closed | reset | silent |
//	                                                                displaced | refused
//
// What is decided on: the frame's module and its success, never a wording,
// which Zoom has changed before; the one exception is displacement, which Zoom
// tells by text only ("Connected in another place", in a frame or as the
// reason of the close). Liveness is judged by any frame at all within two
// heartbeat periods; WebSocket pings are answered but never relied upon.
//
// Zoom's rules are those of https://developers.zoom.us/docs/api/websockets/
// and of published captures; where these disagree both readings are accepted.
//
// No error or log line of this package contains a token, a client secret or a
// URL with a token.
package zoom
