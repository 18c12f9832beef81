// Does what a reader of the stream does with the official client: live, ordered, durable on several filters, single
// messages. Then it publishes what it may not, and says what the server answers.
const { AckPolicy, jetstream, jetstreamManager } = require('@nats-io/jetstream')
const { connect } = require('@nats-io/transport-node')

async function main () {
  const nc = await connect({ servers: process.env.NATS_URL, user: 'reader', pass: process.env.NATS_PASSWORD, timeout: 5000 })
  const denied = []
  ;(async () => { for await (const s of nc.status()) if (s.type === 'error') denied.push(String(s.error)) })()
  nc.subscribe('zoom.>')
  const js = jetstream(nc)
  const manager = await jetstreamManager(nc)

  const ordered = await js.consumers.get('ZOOM')
  if (!await ordered.next({ expires: 5000 })) throw new Error('the ordered consumer got nothing')

  await manager.consumers.add('ZOOM', { durable_name: 'node', ack_policy: AckPolicy.Explicit, filter_subjects: ['zoom.meeting.>', 'zoom.user.>'] })
  const durable = await js.consumers.get('ZOOM', 'node')
  const msg = await durable.next({ expires: 5000 })
  if (!msg || !await msg.ackAck({ timeout: 5000 })) throw new Error('the durable consumer got nothing, or could not acknowledge it')
  await manager.consumers.delete('ZOOM', 'node')

  if (!await manager.streams.getMessage('ZOOM', { seq: 1 })) throw new Error('message 1 could not be got')
  if (await manager.streams.find('zoom.meeting.started') !== 'ZOOM') throw new Error('the stream could not be found')
  await nc.flush()
  if (denied.length) throw new Error('denied: ' + denied.join('; '))

  nc.publish('zoom.forged')
  await nc.flush()
  for (let tries = 0; !denied.length && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 50))
  console.log(denied.join('; ') || 'it may forge events')
  await nc.close()
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
