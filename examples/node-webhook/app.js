// A handler of Zoom's webhooks as many have it: the raw body for the signature, the parsed one for the work.
// Nothing here knows of NATS.
const crypto = require('node:crypto')
const express = require('express')

const app = express()
app.use(express.json({ limit: '8mb', verify: (req, _res, raw) => { req.rawBody = raw } }))

function signed (req) {
  const want = 'v0=' + crypto.createHmac('sha256', process.env.WEBHOOK_SECRET_TOKEN)
    .update(`v0:${req.headers['x-zm-request-timestamp']}:`).update(req.rawBody).digest('hex')
  const got = req.headers['x-zm-signature'] ?? ''
  return got.length === want.length && crypto.timingSafeEqual(Buffer.from(got), Buffer.from(want))
}

app.post('/webhook', (req, res) => {
  if (!signed(req)) {
    console.error('a signature is wrong')
    return res.sendStatus(401)
  }
  if (req.body.event === 'endpoint.url_validation') {
    const plainToken = req.body.payload.plainToken
    const encryptedToken = crypto.createHmac('sha256', process.env.WEBHOOK_SECRET_TOKEN).update(plainToken).digest('hex')
    return res.json({ plainToken, encryptedToken })
  }
  console.log(req.body.event, req.body.payload.object?.id)
  res.sendStatus(200)
})

module.exports = app

if (require.main === module) app.listen(process.env.PORT ?? 3000)
