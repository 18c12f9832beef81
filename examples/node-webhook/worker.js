// Reads the events from NATS and gives them to the handler of app.js, which need not change: it is a web server on a
// port of this machine that only this process calls.
const { once } = require('node:events')
const { createServer } = require('node:http')
const { AckPolicy, jetstream, jetstreamManager } = require('@nats-io/jetstream')
const { connect } = require('@nats-io/transport-node')
const app = require('./app.js')

async function main () {
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${server.address().port}/webhook`

  const nc = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222', maxReconnectAttempts: -1 })
  const manager = await jetstreamManager(nc)
  await manager.consumers.add('ZOOM', {
    durable_name: 'node-webhook',
    filter_subject: 'zoom.>',
    ack_policy: AckPolicy.Explicit,
    max_deliver: 20 // then the server gives it up, and says so on an advisory
  })
  const consumer = await jetstream(nc).consumers.get('ZOOM', 'node-webhook')
  // One at a time: those that wait behind a slow handler would be sent again after ack_wait, 30 s.
  const messages = await consumer.consume({ max_messages: 1 })
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => messages.stop())

  for await (const msg of messages) {
    // Gaps, alarms and malformed frames are no webhooks.
    if (msg.subject.startsWith('zoom._bridge.') || await deliver(endpoint, msg)) {
      msg.ack()
    } else {
      msg.nak(5000) // it comes again, behind newer ones
    }
  }
  await nc.drain()
  server.close()
}

async function deliver (endpoint, msg) {
  const headers = { 'content-type': 'application/json' }
  for (const [name, values] of msg.headers) {
    if (name.startsWith('x-zm-') || name === 'traceparent') headers[name] = values[0]
  }
  // The bytes as they are: Zoom's signature is theirs.
  const response = await fetch(endpoint, { method: 'POST', headers, body: msg.data })
  await response.arrayBuffer()
  return response.ok
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
