import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Encoder } from '../../lib/inference/index.js'
import { writeServiceModel } from '../helpers/service-models.js'
import { keepAsking, post, type Service, startService } from '../helpers/service-process.js'

const SERVER = 'examples/fastify-service/server.ts'
const TEXTS = ['the man is riding a horse .', 'paris is the capital of france .']
const MASKED = 'paris is the [MASK] of france .'
const ENOUGH = 60_000

/** Figures of /metrics by name, labels included. */
async function metrics({ address }: Service): Promise<Record<string, number>> {
  const response = await fetch(`${address}/metrics`)
  assert.match(response.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/)
  const lines = (await response.text()).trimEnd().split('\n')
  for (const line of lines)
    assert.match(line, /^(# TYPE stratabert_\w+ (counter|gauge)|stratabert_\w+(\{quantile="0\.\d+"\})? [\d.e+-]+)$/)
  const values = lines.filter((line) => !line.startsWith('#')).map((line) => line.split(' '))
  return Object.fromEntries(values.map(([name, value]) => [name, Number(value)]))
}

function close(actual: readonly number[], expected: ArrayLike<number>): void {
  assert.equal(actual.length, expected.length)
  for (const [index, value] of actual.entries())
    assert.ok(Math.abs(value - expected[index]) < 1e-5, `${value} at ${index}`)
}

describe('examples/fastify-service', function () {
  this.timeout(120_000)
  let folder: string
  let encoder: Encoder
  const services: Service[] = []
  const at = (name: string) => join(folder, name)
  const start = async (model: string, env: NodeJS.ProcessEnv = {}): Promise<Service> => {
    const service = await startService(SERVER, [at(model)], { THREADS: '1', ...env })
    services.push(service)
    return service
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-service-'))
    await writeServiceModel(at('a'), 3)
    await writeServiceModel(at('b'), 4)
    symlinkSync('a', at('current'))
    encoder = await Encoder.load(at('a'), { device: 'cpu' })
  })
  after(async () => {
    for (const service of services) service.process.kill('SIGKILL')
    await encoder?.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  describe('answers', () => {
    let service: Service
    const ask = (path: string, body: unknown) => post(`${service.address}${path}`, body)
    before(async () => {
      service = await start('a')
    })

    it('/embed, /classify, /fill-mask and /answer say what the encoder says', async () => {
      const embedded = await ask('/embed', { texts: TEXTS, pooling: 'cls', layer: 2 })
      assert.equal(embedded.status, 200)
      const { vectors } = await encoder.embed(TEXTS, { pooling: 'cls', layer: 2 })
      assert.deepEqual([embedded.body.dimension, embedded.body.truncated], [32, []])
      for (const [index, vector] of vectors.entries()) close(embedded.body.vectors[index], vector)

      const { body: classified } = await ask('/classify', { texts: TEXTS, topK: 1 })
      const classes = await encoder.classify(TEXTS, { topK: 1 })
      assert.deepEqual(
        classified.results.map(({ label }: any) => label),
        classes.map(({ label }) => label),
      )
      close(
        classified.results.map(({ score }: any) => score),
        classes.map(({ score }) => score),
      )

      for (const layer of [0, 1, 2, 3]) {
        const { body } = await ask('/fill-mask', { text: MASKED, layer, topK: 4 })
        const [{ position, candidates }] = await encoder.fillMask(MASKED, { layer, topK: 4 })
        assert.equal(body.masks[0].position, position)
        assert.deepEqual(
          body.masks[0].candidates.map(({ token }: any) => token),
          candidates.map(({ token }) => token),
        )
      }

      const [question, context] = ['who is riding a horse ?', TEXTS.join(' ')]
      const { body: answered } = await ask('/answer', { question, context, topK: 2 })
      const expected = await encoder.answer(question, context, { topK: 2 })
      assert.deepEqual([answered.text, answered.start, answered.end], [expected.text, expected.start, expected.end])
      assert.equal(answered.candidates.length, 2)
    })

    it('/v1/embeddings answers OpenAI’s clients: unit vectors, as numbers and as base64, with usage', async () => {
      const { status, body } = await ask('/v1/embeddings', { input: TEXTS, model: 'any', user: 'someone' })
      assert.equal(status, 200)
      const { vectors, tokenCount } = await encoder.embed(TEXTS, { normalize: true })
      assert.deepEqual(
        [body.object, body.model, body.usage],
        ['list', 'a', { prompt_tokens: tokenCount, total_tokens: tokenCount }],
      )
      const packed = (await ask('/v1/embeddings', { input: TEXTS, encoding_format: 'base64' })).body.data
      for (const [index, vector] of vectors.entries()) {
        assert.deepEqual([body.data[index].object, body.data[index].index], ['embedding', index])
        close(body.data[index].embedding, vector)
        const bytes = Buffer.from(packed[index].embedding, 'base64')
        close(body.data[index].embedding, new Float32Array(new Uint8Array(bytes).buffer))
      }
      const single = await ask('/v1/embeddings', { input: TEXTS[0] })
      close(single.body.data[0].embedding, vectors[0])
    })

    const refused: [string, string, unknown, number, RegExp][] = [
      ['a body without texts', '/embed', {}, 400, /must have required property 'texts'/],
      ['a misspelt property', '/embed', { texts: TEXTS, normalise: true }, 400, /must NOT have additional properties/],
      ['a number for a text', '/embed', { texts: ['a', 3] }, 400, /body\/texts\/1 must be string/],
      ['a number as a string', '/fill-mask', { text: MASKED, topK: '3' }, 400, /topK must be integer/],
      ['no texts', '/embed', { texts: [] }, 400, /fewer than 1/],
      ['too many texts', '/embed', { texts: new Array(2049).fill('a') }, 400, /more than 2048/],
      ['what is no JSON', '/embed', '{"texts":', 400, /JSON/],
      ['token ids', '/v1/embeddings', { input: [[1, 2]] }, 400, /input\/0 must be string/],
      [
        'a text that would be cut',
        '/v1/embeddings',
        { input: ['a', 'a '.repeat(99)] },
        400,
        /^texts\[1\] has more than 64/,
      ],
      ['a shortened dimension', '/v1/embeddings', { input: 'a', dimensions: 8 }, 400, /additional properties/],
      ['a layer above the top', '/fill-mask', { text: MASKED, layer: 4 }, 400, /layer came as 4, expected 0 … 3/],
      ['a text without a mask', '/fill-mask', { text: 'paris' }, 400, /no \[MASK\]/],
      ['a pair for a task of single texts', '/classify', { texts: [['a', 'b']] }, 400, /task mood reads one text/],
      ['an unknown task', '/classify', { texts: 'a', task: 'rte' }, 400, /"rte"/],
      ['a task of another kind', '/classify', { texts: 'a', task: 'squad' }, 501, /span head/],
      ['an unknown route', '/embeddings', {}, 404, /not found/],
    ]
    for (const [what, path, body, status, pattern] of refused) {
      it(`${status} for ${what}`, async () => {
        const reply = await ask(path, body)
        assert.equal(reply.status, status, JSON.stringify(reply.body))
        assert.match(reply.body.error.message ?? reply.body.message, pattern)
      })
    }

    it('/healthz tells the model, /metrics counts what was done', async () => {
      const health: any = await (await fetch(`${service.address}/healthz`)).json()
      assert.deepEqual(health, { status: 'ok', model: 'a', layers: 3, dimension: 32, device: 'cpu', precision: 'fp32' })
      const before = await metrics(service)
      for (let k = 0; k < 5; k++) await ask('/embed', { texts: TEXTS })
      const after = await metrics(service)
      assert.equal(after.stratabert_completed_total - before.stratabert_completed_total, 5)
      const { tokenCount } = await encoder.embed(TEXTS)
      assert.equal(after.stratabert_tokens_total - before.stratabert_tokens_total, 5 * tokenCount)
      assert.ok(after['stratabert_latency_seconds{quantile="0.5"}'] > 0)
      assert.ok(after.stratabert_resident_bytes > 5e7 && after.stratabert_native_bytes > 0)
    })
  })

  describe('in need', () => {
    it('503 and when to come back for what the queue cannot hold; the rest is answered', async () => {
      const service = await start('a', { MAX_QUEUE_TOKENS: '3000' })
      const texts = new Array(50).fill(TEXTS.join(' '))
      const replies = await Promise.all(Array.from({ length: 40 }, () => post(`${service.address}/embed`, { texts })))
      const [answered, refused] = [200, 503].map((status) => replies.filter((reply) => reply.status === status))
      assert.equal(answered.length + refused.length, 40)
      assert.ok(answered.length > 0 && refused.length > 0, `${answered.length} answered, ${refused.length} refused`)
      for (const { headers, body } of refused) {
        assert.deepEqual([headers['retry-after'], body.error.code], ['1', 'OVERLOADED'])
      }
      assert.equal((await metrics(service)).stratabert_rejected_total, refused.length)
    })

    it('stops computing for a client that has gone', async () => {
      const service = await start('a')
      const gone = new AbortController()
      const texts = new Array(2048).fill(TEXTS.join(' ').repeat(2))
      const asked = post(`${service.address}/embed`, { texts }, gone.signal)
      while ((await metrics(service)).stratabert_running_calls === 0) await pause(5)
      gone.abort()
      await assert.rejects(asked, { name: 'AbortError' })
      const deadline = performance.now() + ENOUGH
      let now = await metrics(service)
      while (now.stratabert_aborted_total === 0 && performance.now() < deadline) now = await metrics(service)
      assert.deepEqual([now.stratabert_aborted_total, now.stratabert_queued_tokens], [1, 0])
      assert.equal((await post(`${service.address}/embed`, { texts: TEXTS })).status, 200)
    })
  })

  it('SIGHUP swaps the checkpoint under load: every request is answered, first by one model, then by the other', async () => {
    const service = await start('current')
    const load = keepAsking(`${service.address}/embed`, 20, () => ({ texts: TEXTS[0] }))
    await load.reached(60)
    symlinkSync('b', at('next'))
    renameSync(at('next'), at('current'))
    service.process.kill('SIGHUP')
    await service.says(/checkpoint replaced/)
    const swapped = load.replies.length
    await load.reached(swapped + 60)
    await load.stop()
    assert.deepEqual(load.dropped, [])
    assert.deepEqual([...new Set(load.replies.map(({ status }) => status))], [200])
    await using other = await Encoder.load(at('b'), { device: 'cpu' })
    const [before, after] = await Promise.all(
      [encoder, other].map(async (one) => (await one.embed(TEXTS[0])).vectors[0]),
    )
    const near = (vector: number[], expected: Float32Array) =>
      vector.every((value, k) => Math.abs(value - expected[k]) < 1e-5)
    const byB = load.replies.map(({ body }) => near(body.vectors[0], after))
    load.replies.forEach(({ body }, index) => {
      assert.ok(byB[index] || near(body.vectors[0], before), `reply ${index} is of neither model`)
    })
    assert.ok(!byB[0] && byB.at(-1)!)
    assert.ok(
      load.replies.length > swapped + 20 && swapped > 20,
      `${swapped} of ${load.replies.length} before the swap`,
    )

    // A folder that is no checkpoint leaves the old one in place.
    symlinkSync('nowhere', at('next'))
    renameSync(at('next'), at('current'))
    service.process.kill('SIGHUP')
    await service.says(/the old checkpoint goes on/)
    close((await post(`${service.address}/embed`, { texts: TEXTS[0] })).body.vectors[0], after)
  })

  it('SIGTERM under load: every request is answered, clients are sent away, the process ends with 0', async () => {
    const service = await start('a', { DRAIN_MS: '700' })
    const load = keepAsking(`${service.address}/embed`, 20, () => ({ texts: TEXTS }))
    await load.reached(60)
    service.process.kill('SIGTERM')
    await pause(100)
    const health = await fetch(`${service.address}/healthz`)
    assert.deepEqual([health.status, ((await health.json()) as any).status], [503, 'draining'])
    await load.ended
    assert.deepEqual(await service.ended, [0, null], service.output())
    assert.match(service.output(), /ended\n$/)
    assert.deepEqual(load.dropped, [])
    assert.deepEqual([...new Set(load.replies.map(({ status }) => status))], [200])
    assert.ok(load.replies.filter(({ headers }) => headers.connection === 'close').length === 20)
  })
})
