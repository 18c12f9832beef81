// A bridge of the usual kind, for comparison: the libraries' own examples, put
// together. It publishes each event as it comes, without awaiting the one before,
// and leaves errors to the log. No lease, no second instance, no spool, no gap
// markers; what is not acknowledged is lost.
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import WebSocket from "ws";

const env = process.env;

const nc = await connect({ servers: env.NATS_URL });
const js = jetstream(nc);

const answer = await fetch(`${env.ZOOM_OAUTH_URL}?grant_type=account_credentials&account_id=${env.ZOOM_ACCOUNT_ID}`, {
  method: "POST",
  headers: { Authorization: "Basic " + Buffer.from(`${env.ZOOM_CLIENT_ID}:${env.ZOOM_CLIENT_SECRET}`).toString("base64") },
});
const { access_token } = await answer.json();

const ws = new WebSocket(`${env.ZOOM_WEBSOCKET_URL}&access_token=${access_token}`);

ws.on("open", () => {
  ws.send(JSON.stringify({ module: "heartbeat" }));
  setInterval(() => ws.send(JSON.stringify({ module: "heartbeat" })), 30_000);
});

ws.on("message", (data) => {
  const frame = JSON.parse(data);
  if (frame.module !== "message") return;
  const event = JSON.parse(frame.content);
  js.publish(`zoom.${event.event}`, frame.content, { msgID: frame.header["x-zm-trackingid"] })
    .catch((err) => console.error("not published:", err.message));
});

ws.on("close", () => process.exit(1));
