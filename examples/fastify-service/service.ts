/** The routes of the service: what is asked, how it is checked, what comes back. server.ts starts it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { type Encoder, StrataError } from '../../lib/index.js' // yours: from 'stratabert'
import { metricsText } from './metrics.js'

/** An overloaded service asks to come back; a checkpoint without a fitting head cannot do what is asked. */
const STATUS: Record<string, number> = {
  BAD_ARGUMENT: 400,
  UNSUPPORTED: 501,
  OVERLOADED: 503,
  DISPOSED: 503,
  ABORTED: 499,
}

const text = { type: 'string' }
const name = { type: 'string', maxLength: 200 }
const texts = { type: ['string', 'array'], items: text, minItems: 1, maxItems: 2048 }
const pairs = {
  type: ['string', 'array'],
  items: { type: ['string', 'array'], items: text, minItems: 2, maxItems: 2 },
  minItems: 1,
  maxItems: 2048,
}
const topK = { type: 'integer', minimum: 1, maximum: 100 }
const layer = { type: 'integer', minimum: 0 }

/** A body that has these properties and no others: a misspelt one is refused. */
const body = (properties: Record<string, object>, ...required: string[]) => ({
  schema: { body: { type: 'object', properties, required, additionalProperties: false } },
})

export interface ServiceOptions {
  /** What embeddings and health name the model. */
  model: string
  /** True while the service ends: it answers, but asks every client to go. */
  draining?: () => boolean
}

export function createService(encoder: Encoder, { model, draining = () => false }: ServiceOptions): FastifyInstance {
  const service = Fastify({
    logger: { level: process.env.LOG_LEVEL ?? 'warn' },
    // Requests that come in on open connections while the service ends are answered, not refused.
    return503OnClosing: false,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allowUnionTypes: true } },
  })
  const page = readFileSync(join(__dirname, 'page.html'))

  service.addHook('onSend', async (_, reply) => {
    if (draining()) reply.header('connection', 'close')
  })
  service.addHook('onClose', () => encoder.dispose())

  service.setErrorHandler<Error & { code?: string; statusCode?: number }>((error, request, reply) => {
    const status = (error instanceof StrataError && STATUS[error.code]) || (error.statusCode ?? 500)
    if (status === 500) request.log.error(error)
    if (status === 503) reply.header('retry-after', 1)
    const message = status === 500 ? 'the service failed; its log says why' : error.message
    const type = status < 500 ? 'invalid_request_error' : 'server_error'
    return reply.code(status).send({ error: { type, code: error.code ?? 'INTERNAL', message } })
  })

  service.get('/', (_, reply) => reply.type('text/html; charset=utf-8').send(page))

  service.get('/healthz', (_, reply) => {
    const { config, dimension, device, precision } = encoder
    const status = draining() ? 'draining' : 'ok'
    return reply
      .code(draining() ? 503 : 200)
      .send({ status, model, layers: config.encoder.layers, dimension, device, precision })
  })

  service.get('/metrics', (_, reply) => reply.type('text/plain; version=0.0.4').send(metricsText(encoder.stats())))

  service.post<{
    Body: { texts: string | string[]; pooling?: 'mean' | 'cls' | 'max'; layer?: number; normalize?: boolean }
  }>(
    '/embed',
    body({ texts, pooling: { enum: ['mean', 'cls', 'max'] }, layer, normalize: { type: 'boolean' } }, 'texts'),
    async ({ body: { texts, ...options } }, reply) => {
      const { vectors, dimension, truncated } = await encoder.embed(texts, {
        ...options,
        signal: whileConnected(reply),
      })
      return { vectors: vectors.map((vector) => Array.from(vector)), dimension, truncated }
    },
  )

  service.post<{ Body: { texts: string | (string | [string, string])[]; task?: string; topK?: number } }>(
    '/classify',
    body({ texts: pairs, task: name, topK }, 'texts'),
    async ({ body: { texts, ...options } }, reply) => ({
      results: await encoder.classify(texts, { ...options, signal: whileConnected(reply) }),
    }),
  )

  service.post<{ Body: { text: string; topK?: number; layer?: number } }>(
    '/fill-mask',
    body({ text, topK, layer }, 'text'),
    async ({ body: { text, ...options } }, reply) => ({
      masks: await encoder.fillMask(text, { ...options, signal: whileConnected(reply) }),
    }),
  )

  service.post<{ Body: { question: string; context: string; task?: string; topK?: number; noAnswer?: boolean } }>(
    '/answer',
    body({ question: text, context: text, task: name, topK, noAnswer: { type: 'boolean' } }, 'question', 'context'),
    ({ body: { question, context, ...options } }, reply) =>
      encoder.answer(question, context, { ...options, signal: whileConnected(reply) }),
  )

  // As OpenAI's clients ask: unit vectors; base64 is the little-endian bytes of the numbers. A longer text is refused, since the answer
  // has no place that says that it was cut.
  service.post<{ Body: { input: string | string[]; model?: string; encoding_format?: 'float' | 'base64' } }>(
    '/v1/embeddings',
    body({ input: texts, model: name, encoding_format: { enum: ['float', 'base64'] }, user: name }, 'input'),
    async ({ body: { input, encoding_format } }, reply) => {
      const options = { normalize: true, truncate: false, signal: whileConnected(reply) }
      const { vectors, tokenCount } = await encoder.embed(input, options)
      const data = vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: encoding_format === 'base64' ? base64(vector) : Array.from(vector),
      }))
      return { object: 'list', data, model, usage: { prompt_tokens: tokenCount, total_tokens: tokenCount } }
    },
  )
  return service
}

/** Aborts when the client goes before its answer. (Fastify's own request.signal also fires when a body has been read, on Node 20.) */
function whileConnected({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort()
  })
  return gone.signal
}

function base64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}
