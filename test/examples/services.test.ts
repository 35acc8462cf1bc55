/** The smaller services, and search over thousands of sentences. */
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Encoder } from '../../lib/inference/index.js'
import { runScript } from '../helpers/cli-process.js'
import { writeServiceModel } from '../helpers/service-models.js'
import { keepAsking, post, type Service, startService } from '../helpers/service-process.js'
import { SHARED_DATA } from '../helpers/shared-data.js'

const root = resolve(__dirname, '../..')
/** Ten thousand take half a minute of two processors. */
const SENTENCES = process.env.STRATABERT_LONG ? 10_000 : 2000

describe('other examples that serve', function () {
  this.timeout(120_000)
  let folder: string
  const services: Service[] = []
  const start = async (...args: Parameters<typeof startService>): Promise<Service> => {
    const service = await startService(...args)
    services.push(service)
    return service
  }
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-services-'))
    await writeServiceModel(join(folder, 'model'), 3)
  })
  after(() => {
    for (const service of services) service.process.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })

  it('http-service.cjs embeds, refuses, and ends on SIGTERM', async () => {
    const service = await start('examples/http-service.cjs', [join(folder, 'model')])
    const texts = ['the man is riding a horse .', 'a hat']
    const { status, body } = await post(`${service.address}/embed`, { texts })
    assert.equal(status, 200)
    await using encoder = await Encoder.load(join(folder, 'model'), { device: 'cpu' })
    const { vectors } = await encoder.embed(texts, { normalize: true })
    for (const [index, vector] of vectors.entries()) {
      const cosine = vector.reduce((sum, value, column) => sum + value * body.vectors[index][column], 0)
      assert.ok(Math.abs(cosine - 1) < 1e-5)
    }
    for (const [path, sent, code, pattern] of [
      ['/embed', { texts: [1] }, 400, /texts\[0\] came as number/],
      ['/embed', 'null', 400, /texts came as undefined/],
      ['/embed', '{', 400, /no JSON/],
      ['/embed', { texts: ['a'.repeat(1.1e6)] }, 413, /more than 1048576 bytes/],
      ['/embed', { texts: ['a'.repeat(20e6)] }, 413, /more than 1048576 bytes/],
      ['/other', {}, 404, /POST \/embed/],
    ] as const) {
      const reply = await post(`${service.address}${path}`, sent)
      assert.equal(reply.status, code)
      assert.match(reply.body.error.message, pattern)
    }
    const health: any = await (await fetch(`${service.address}/healthz`)).json()
    assert.deepEqual([health.status, health.completed, health.failed], ['ok', 1, 2])
    // A client that asks again as soon as it has its answer, over one connection.
    const load = keepAsking(`${service.address}/embed`, 1, () => ({ texts }))
    await pause(100)
    service.process.kill('SIGTERM')
    assert.deepEqual(await Promise.race([service.ended, pause(10_000, 'still alive')]), [0, null])
    await load.stop()
    assert.match(service.output(), /ended\n$/)
    const { connection } = load.replies.at(-1)!.headers
    // Idle connections are closed at once, maybe while a request is on its way.
    assert.ok(
      load.dropped.length > 0 || connection === 'close',
      `${load.replies.length} answers, the last ${connection}`,
    )
  })

  it('http-service.cjs: whoever asks after a load that failed has it tried again', async () => {
    const script = join(folder, 'ask-twice.cjs')
    writeFileSync(
      script,
      `const { renameSync } = require('node:fs')
       const { theEncoder, embed } = require(${JSON.stringify(join(root, 'examples/http-service.cjs'))})
       const [late, path] = process.argv.slice(2)
       async function main() {
         const failed = await Promise.allSettled([theEncoder(path), theEncoder(path)])
         renameSync(late, path)
         const encoder = await theEncoder(path)
         const { vectors } = await embed(encoder, { texts: 'a hat' })
         console.log(...failed.map(({ reason }) => reason.code), vectors.length, encoder === (await theEncoder(path)))
         await encoder.dispose()
       }
       main()`,
    )
    cpSync(join(folder, 'model'), join(folder, 'late'), { recursive: true })
    const { stdout, stderr } = await runScript(script, [join(folder, 'late'), join(folder, 'in-time')])
    assert.equal(stdout, 'NOT_FOUND NOT_FOUND 1 true\n', stderr)
  })

  it('fine-tune-and-serve.ts serves what it has learned, learns again and swaps, without a dropped call', async () => {
    const table = join(folder, 'reviews.csv')
    copyFileSync(join(root, 'examples/data/reviews.csv'), table)
    // Of an earlier start.
    mkdirSync(join(folder, 'moods/7'), { recursive: true })
    const service = await start('examples/fine-tune-and-serve.ts', [
      join(folder, 'model'),
      table,
      'review',
      'mood',
      join(folder, 'moods'),
    ])
    assert.match(service.output(), /^[01]\.\d{3} of the held-out rows are right$/m)
    const texts = ['What a lovely soup.', 'A rude waiter.']
    const { body } = await post(`${service.address}/classify`, { texts })
    assert.match(body.run, /moods.8$/)
    for (const { label, score } of body.results) assert.ok(['good', 'bad'].includes(label) && score >= 0.5)
    const load = keepAsking(`${service.address}/classify`, 2, () => ({ texts }))
    const retraining = post(`${service.address}/retrain`, {})
    assert.equal((await post(`${service.address}/retrain`, {})).status, 409)
    const retrained = await retraining
    await load.stop()
    assert.equal(retrained.status, 200)
    assert.match(retrained.body.run, /moods.[89]$/)
    assert.ok(existsSync(join(folder, 'moods/9/latest')))
    assert.deepEqual(load.dropped, [])
    assert.ok(load.replies.length > 10 && load.replies.every(({ status }) => status === 200))
    service.process.kill('SIGTERM')
    assert.deepEqual(await service.ended, [0, null])
  })

  it('a checkpoint that is not there is told in one line', async () => {
    const none = join(folder, 'none')
    for (const [script, ...args] of [
      ['fastify-service/server.ts', none],
      ['semantic-search.ts', none, 'none.txt', join(folder, 'none.db')],
      ['fine-tune-and-serve.ts', none, 'none.csv', 'review', 'mood', join(folder, 'none-runs')],
    ]) {
      const { code, stderr } = await runScript(join(root, 'examples', script), args)
      assert.deepEqual([code, stderr.trim().split('\n').length], [1, 1], stderr)
    }
  })

  it('semantic-search.ts finds the other half of a pair among thousands of sentences', async function () {
    const file = join(SHARED_DATA, 'glue/STS-B/train.tsv')
    if (!existsSync(file) || !existsSync(join(SHARED_DATA, 'minilm_l6'))) this.skip() // no data beside the project
    const [header, ...rows] = readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'))
    const [first, second, score] = ['sentence1', 'sentence2', 'score'].map((name) => header.indexOf(name))
    const sentences = [...new Set(rows.flatMap((row) => [row[first], row[second]]))].slice(0, SENTENCES)
    assert.equal(sentences.length, SENTENCES)
    writeFileSync(join(folder, 'sentences.txt'), sentences.join('\n'))
    const known = new Set(sentences)
    // Pairs that people gave the full score.
    const twins = rows
      .filter((row) => Number(row[score]) === 5 && row[first] !== row[second] && known.has(row[second]))
      .slice(0, 60)
    const args = [join(SHARED_DATA, 'minilm_l6'), join(folder, 'sentences.txt'), join(folder, 'store.db')]
    const queries = twins.map((row) => row[first])
    const { code, stdout, stderr } = await runScript(
      join(root, 'examples/semantic-search.ts'),
      [...args, ...queries],
      {},
    )
    assert.equal(code, 0, stderr)
    const [told, ...answers] = stdout.trimEnd().split('\n\n')
    assert.match(told, /^\d{4,5} sentences in [\d.]+ s \(\d+ a second\)$/)
    const hits = answers.filter((answer, index) =>
      answer
        .split('\n')
        .slice(1)
        .some((line) => line.slice(8) === twins[index][second]),
    )
    assert.ok(hits.length >= 0.9 * twins.length, `${hits.length} of ${twins.length} pairs found`)
    for (const [index, answer] of answers.entries())
      assert.ok(answer.split('\n')[1].startsWith('1.0000  ') || !known.has(queries[index]))
    // The store is taken as it is: no file of sentences is read.
    const again = await runScript(join(root, 'examples/semantic-search.ts'), [args[0], 'none.txt', args[2], queries[0]])
    assert.equal(again.code, 0, again.stderr)
    const withoutTimes = (text: string) => text.replace(/\([\d.]+ ms\)/g, '').trim()
    assert.equal(withoutTimes(again.stdout), withoutTimes(answers[0]))
  })
})
