/**
 * An embedding service with nothing but Node's own http, in CommonJS: for an Express, Koa or Next.js route take what stands in `embed`.
 *
 * Usage: node examples/http-service.cjs CHECKPOINT [PORT]
 *   curl -d '{"texts": ["A first text.", "A second one."]}' http://127.0.0.1:8080/embed
 */
'use strict'
const http = require('node:http')
const { Encoder, StrataError } = require('stratabert')

const LARGEST_BODY = 1 << 20
const STATUS = { BAD_ARGUMENT: 400, UNSUPPORTED: 501, OVERLOADED: 503, DISPOSED: 503 }

/** Loaded once a process, whoever asks first; a framework that loads its modules anew while you write code keeps it on globalThis. */
function theEncoder(checkpoint) {
  globalThis.encoder ??= Encoder.load(checkpoint, { warmUp: true }).catch((error) => {
    // Whoever asks next tries again; kept, the failed promise would end every later request.
    globalThis.encoder = undefined
    throw error
  })
  return globalThis.encoder
}

async function embed(encoder, { texts }, signal) {
  const { vectors, truncated } = await encoder.embed(texts, { normalize: true, signal })
  return { vectors: vectors.map((vector) => Array.from(vector)), truncated }
}

async function readJson(request) {
  const chunks = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    // Read to its end but not kept: a client that is cut off while it sends sees a broken connection, not the answer.
    if (bytes <= LARGEST_BODY) chunks.push(chunk)
  }
  if (bytes > LARGEST_BODY)
    throw Object.assign(new Error(`the body has more than ${LARGEST_BODY} bytes`), { status: 413 })
  try {
    return Object(JSON.parse(Buffer.concat(chunks).toString()))
  } catch {
    throw Object.assign(new Error('the body is no JSON'), { status: 400 })
  }
}

let ending = false

function send(response, status, value) {
  const headers = {
    'content-type': 'application/json',
    ...(status === 503 && { 'retry-after': '1' }),
    // A client that keeps its connection goes on asking over it; server.close() waits for that to end.
    ...(ending && { connection: 'close' }),
  }
  response.writeHead(status, headers).end(JSON.stringify(value))
}

function createServer(encoder) {
  return http.createServer(async (request, response) => {
    const gone = new AbortController()
    response.once('close', () => response.writableFinished || gone.abort())
    try {
      if (request.method === 'GET' && request.url === '/healthz')
        send(response, 200, { status: 'ok', ...encoder.stats() })
      else if (request.method === 'POST' && request.url === '/embed')
        send(response, 200, await embed(encoder, await readJson(request), gone.signal))
      else send(response, 404, { error: { code: 'NOT_FOUND', message: 'there are GET /healthz and POST /embed' } })
    } catch (error) {
      if (gone.signal.aborted) return
      const status = error.status ?? (error instanceof StrataError ? STATUS[error.code] : undefined) ?? 500
      if (status === 500) console.error(error)
      send(response, status, { error: { code: error.code, message: status === 500 ? 'see the log' : error.message } })
    }
  })
}

async function main([checkpoint, port = '8080']) {
  const encoder = await theEncoder(checkpoint)
  const server = createServer(encoder)
  process.once('SIGTERM', () => {
    // Takes no new connection, answers what has been asked, then gives the model's memory back.
    ending = true
    server.close(() => encoder.dispose().then(() => console.log('ended')))
    server.closeIdleConnections()
  })
  server.listen(Number(port), '127.0.0.1', () => console.log(`listening at http://127.0.0.1:${server.address().port}`))
}

module.exports = { theEncoder, embed }

if (require.main === module)
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
