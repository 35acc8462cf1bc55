import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { StrataError } from '../lib/errors.js'
import { Encoder } from '../lib/inference/index.js'
import { computeThreads, encoderConfig, Model, saveModelFolder } from '../lib/model/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { runHere } from './helpers/cli-here.js'
import { runCli } from './helpers/cli-process.js'
import { SHARED_DATA } from './helpers/shared-data.js'

const WORDS = 'the a man woman is dancing riding horse hat hard river city of in , . ! ##s'.split(' ')
const TEXTS = [
  'the man is riding a horse .',
  '',
  'hat',
  'the city of the river , the man in a hard hat , dancing !',
  'a woman',
]

/** A tiny model folder with random weights and a masked-LM head below the top. */
async function writeModel(folder: string, heads = true, layer = 2): Promise<void> {
  const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS])
  const sizes = {
    vocabSize: tokenizer.vocabSize,
    layers: 3,
    hiddenSize: 16,
    heads: 2,
    maxPositions: 24,
    initializerRange: 0.3,
  }
  const head = { kind: 'masked-lm' as const, name: 'mlm', tap: { layer }, weight: 1 }
  await using model = await Model.create(
    { encoder: encoderConfig(sizes), heads: heads ? [head] : [] },
    { device: 'cpu', seed: 3 },
  )
  await saveModelFolder(model, folder, { tokenizer: { save: async (path) => void (await tokenizer.save(path)) } })
}

function largestDifference(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number {
  assert.equal(a.length, b.length)
  return Math.max(
    ...a.flatMap((vector, row) => Array.from(vector, (value, column) => Math.abs(value - b[row][column]))),
  )
}

async function each(results: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of results);
}

describe('Encoder', function () {
  this.timeout(120_000)
  let folder: string
  let encoder: Encoder
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-encoder-'))
    computeThreads(1)
    await writeModel(join(folder, 'model'))
    await writeModel(join(folder, 'headless'), false)
    encoder = await Encoder.load(join(folder, 'model'), { device: 'cpu' })
  })
  after(async () => {
    await encoder.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  it('a text has the same vector alone, among others and in any batch size', async () => {
    const together = await encoder.embed(TEXTS)
    assert.deepEqual([together.dimension, together.vectors.length, together.truncated], [16, 5, []])
    const alone = await Promise.all(TEXTS.map(async (text) => (await encoder.embed(text)).vectors[0]))
    assert.ok(largestDifference(together.vectors, alone) < 1e-5)
    await using small = await Encoder.load(join(folder, 'model'), { device: 'cpu', maxBatchTokens: 1 })
    assert.ok(largestDifference(together.vectors, (await small.embed(TEXTS)).vectors) < 1e-5)
    const backwards = (await encoder.embed([...TEXTS].reverse())).vectors.reverse()
    assert.ok(largestDifference(together.vectors, backwards) < 1e-5)
    assert.ok(largestDifference([together.vectors[0]], [together.vectors[3]]) > 0.01)
  })

  it('pooling, layer and length', async () => {
    const { vectors } = await encoder.embed(TEXTS, { normalize: true })
    for (const vector of vectors) assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5)
    const [cls, max, low] = await Promise.all(
      [{ pooling: 'cls' }, { pooling: 'max' }, { layer: 1 }].map((options) => encoder.embed(TEXTS, options as object)),
    )
    const mean = await encoder.embed(TEXTS)
    assert.ok(largestDifference(cls.vectors, mean.vectors) > 0.01)
    assert.ok(largestDifference(low.vectors, mean.vectors) > 0.01)
    for (const [row, vector] of mean.vectors.entries())
      assert.ok(vector.every((value, column) => value <= max.vectors[row][column] + 1e-6))
    assert.deepEqual(await encoder.embed([]), { vectors: [], dimension: 16, tokenCount: 0, truncated: [] })
  })

  it('cuts long texts and says which, or refuses them', async () => {
    const long = 'the man '.repeat(30)
    const cut = await encoder.embed(['hat', long])
    assert.deepEqual([cut.truncated, cut.tokenCount], [[1], 3 + 24])
    const explicit = await encoder.embed('the man '.repeat(11), { truncate: false })
    assert.ok(largestDifference(explicit.vectors, [cut.vectors[1]]) < 1e-5)
    await assert.rejects(encoder.embed(['hat', long], { truncate: false }), {
      code: 'BAD_ARGUMENT',
      message: /texts\[1\] has more than 24 tokens/,
    })
  })

  it('fills masks from the head at its layer', async () => {
    const masks = await encoder.fillMask('the [MASK] is riding a [MASK] .', { topK: 3 })
    assert.deepEqual(
      masks.map(({ position }) => position),
      [2, 6],
    )
    for (const { candidates } of masks) {
      assert.equal(candidates.length, 3)
      assert.ok(
        candidates[0].probability >= candidates[1].probability &&
          candidates[1].probability >= candidates[2].probability,
      )
      for (const { token, tokenId } of candidates) assert.equal(encoder.tokenizer.idToToken(tokenId), token)
    }
    const all = await encoder.fillMask('a [MASK]', { topK: 1000 })
    const total = all[0].candidates.reduce((sum, { probability }) => sum + probability, 0)
    assert.ok(Math.abs(total - 1) < 1e-5, `${total}`)
  })

  it('fills masks from any layer as the same head would that stands there', async () => {
    const text = 'the [MASK] is riding a [MASK] .'
    assert.deepEqual(await encoder.fillMask(text, { layer: 2 }), await encoder.fillMask(text))
    for (const layer of [0, 1, 3]) {
      // Weights are drawn by name and seed: they are the same wherever the head stands.
      await writeModel(join(folder, `head-at-${layer}`), true, layer)
      await using there = await Encoder.load(join(folder, `head-at-${layer}`), { device: 'cpu' })
      assert.deepEqual(await encoder.fillMask(text, { layer }), await there.fillMask(text))
      assert.notDeepEqual(await encoder.fillMask(text, { layer }), await encoder.fillMask(text))
    }
  })

  it('fills masks and reads states of lists and streams as of single texts', async () => {
    const texts = ['the [MASK] is riding a [MASK] .', 'a [MASK]', 'the man in the [MASK] of the city .']
    const masks = await encoder.fillMask(texts, { topK: 3 })
    const streamed = []
    for await (const one of encoder.fillMask(Readable.from(texts), { topK: 3 })) streamed.push(one)
    const states = []
    for await (const one of encoder.hiddenStates(Readable.from(texts), { layers: [0, 2] })) states.push(one)
    assert.deepEqual([masks.length, streamed.length, states.length], [3, 3, 3])
    for (const [index, text] of texts.entries()) {
      const alone = await encoder.fillMask(text, { topK: 3 })
      for (const found of [masks[index], streamed[index]]) {
        assert.deepEqual(
          found.map(({ position, candidates }) => [position, candidates.map(({ token }) => token)]),
          alone.map(({ position, candidates }) => [position, candidates.map(({ token }) => token)]),
        )
        const probabilities = (all: typeof found) =>
          all.flatMap(({ candidates }) => candidates.map(({ probability }) => probability))
        assert.ok(largestDifference([probabilities(found)], [probabilities(alone)]) < 1e-6)
      }
      const [own] = await encoder.hiddenStates(text, { layers: [0, 2] })
      assert.deepEqual(states[index].tokens, own.tokens)
      assert.ok(largestDifference(states[index].states, own.states) < 1e-5)
    }
    assert.deepEqual(await encoder.fillMask([]), [])
  })

  it('what is wrong with one text names its place, in a list and in a stream', async () => {
    const unreadable = new Proxy(['a', 'a [MASK]'], {
      get(list, key) {
        if (key === '1') throw new Error('gone')
        return Reflect.get(list, key)
      },
    })
    const wrong: [(encoder: Encoder) => Promise<unknown>, RegExp][] = [
      [(one) => one.fillMask(['a [MASK]', 'the man']), /^texts\[1\] has no \[MASK\]/],
      [(one) => one.fillMask(['a [MASK]', `${'hat '.repeat(30)}[MASK]`]), /^texts\[1\] has more than 24 tokens/],
      [(one) => each(one.fillMask(Readable.from(['a [MASK]', 'the man']))), /^texts\[1\] has no \[MASK\]/],
      [(one) => one.embed(['a', 3 as any]), /^texts\[1\] came as number/],
      [(one) => each(one.embed(Readable.from(['a', 3 as any]))), /^texts\[1\] came as number/],
      [(one) => one.hiddenStates(['a', null as any], { layers: [1] }), /^texts\[1\] came as null/],
      [(one) => one.embed(unreadable), /^texts\[1\] cannot be read: gone/],
    ]
    for (const [run, message] of wrong)
      await assert.rejects(run(encoder), { code: 'BAD_ARGUMENT', message, details: { index: 1 } })
  })

  const wrong: [string, (encoder: Encoder) => Promise<unknown>, RegExp][] = [
    ['a number for a text', (one) => one.embed(['a', 3 as any]), /texts\[1\] came as number/],
    ['no text at all', (one) => one.embed(undefined as any), /texts came as undefined/],
    ['a layer above the top', (one) => one.embed('a', { layer: 4 }), /layer came as 4, expected 0 … 3/],
    ['an unknown pooling', (one) => one.embed('a', { pooling: 'sum' as any }), /pooling came as "sum"/],
    [
      'more tokens than positions',
      (one) => one.embed('a', { maxTokens: 25 }),
      /maxTokens came as 25, expected at most the encoder's 24/,
    ],
    ['a text without [MASK]', (one) => one.fillMask('the man'), /the text has no \[MASK\]/],
    [
      'a head that is none',
      (one) => one.fillMask('[MASK]', { head: 'nsp' }),
      /no masked-LM head is named "nsp"; the checkpoint has mlm/,
    ],
    ['a mask above the top', (one) => one.fillMask('[MASK]', { layer: 4 }), /layer came as 4, expected 0 … 3/],
    ['a mask between layers', (one) => one.fillMask('[MASK]', { layer: 0.5 }), /layer came as 0.5, expected 0 … 3/],
    ['topK 0', (one) => one.fillMask('[MASK]', { topK: 0 }), /topK came as 0/],
  ]
  for (const [title, run, pattern] of wrong) {
    it(`refuses ${title}`, async () => {
      await assert.rejects(
        run(encoder),
        (error: Error) => error instanceof StrataError && error.exitCode === 2 && pattern.test(error.message),
      )
    })
  }

  it('refuses to load what is no model, and fill-mask without a head', async () => {
    await assert.rejects(Encoder.load(join(folder, 'none')), { code: 'NOT_FOUND' })
    await assert.rejects(Encoder.load(folder), { code: 'BAD_CHECKPOINT' })
    await using headless = await Encoder.load(join(folder, 'headless'), { device: 'cpu' })
    await assert.rejects(headless.fillMask('[MASK]'), { code: 'UNSUPPORTED', message: /no masked-LM head/ })
  })

  it('an aborted embed rejects; a disposed encoder says so, twice is fine', async () => {
    await assert.rejects(encoder.embed(TEXTS, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    const other = await Encoder.load(join(folder, 'model'), { device: 'cpu' })
    const running = other.embed(TEXTS)
    await Promise.all([running, running.then(() => other.dispose())])
    await other.dispose()
    await assert.rejects(other.embed(TEXTS), { code: 'DISPOSED' })
  })

  describe('stratabert embed and fill-mask', () => {
    const embed = (args: string[], input?: string | Buffer) =>
      runCli(['embed', join(folder, 'model'), '--device', 'cpu', ...args], { input, cwd: folder })

    it('writes one array a line, in the order of the lines, blank ones too', async () => {
      const { code, stdout, stderr } = await embed(['--input', '-', '--threads', '1'], `\ufeff${TEXTS.join('\r\n')}`)
      assert.deepEqual([code, stderr], [0, ''])
      const vectors = stdout
        .trimEnd()
        .split('\n')
        .map((line) => Float32Array.from(JSON.parse(line)))
      assert.equal(largestDifference(vectors, (await encoder.embed(TEXTS)).vectors), 0)
    })

    it('counts cut lines, writes a file whole, and refuses with the line on request', async () => {
      writeFileSync(join(folder, 'long.txt'), `hat\n${'the man '.repeat(30)}\n`)
      const cut = await embed(['--input', 'long.txt', '--output', 'vectors.jsonl', '--normalize', '--layer', '1'])
      assert.deepEqual(
        [cut.code, cut.stdout, cut.stderr],
        [0, '', 'note: 1 of 2 texts were cut at 24 tokens (lines 2)\n'],
      )
      assert.equal(readFileSync(join(folder, 'vectors.jsonl'), 'utf8').trimEnd().split('\n').length, 2)
      const refused = await embed(['--input', 'long.txt', '--output', 'refused.jsonl', '--no-truncate'])
      assert.equal(refused.code, 2)
      assert.match(refused.stderr, /^error\[BAD_ARGUMENT\]: line 2 has more than 24 tokens/)
      assert.ok(!readdirSync(folder).some((name) => name.startsWith('refused')))
    })

    it('a full disk is told as such, also while the next texts are computed', async function () {
      if (process.platform !== 'linux') this.skip()
      writeFileSync(join(folder, 'many.txt'), 'the man\n'.repeat(2000))
      const asked = ['--input', join(folder, 'many.txt'), '--device', 'cpu', '--output', '/dev/full']
      const { code, stderr } = await runHere('embed', join(folder, 'model'), ...asked)
      assert.equal(code, 1)
      assert.match(stderr, /^error\[DISK_FULL\]: cannot write the vectors: no space left for \/dev\/full/)
    })

    const bad: [string, Buffer, RegExp][] = [
      ['nothing', Buffer.alloc(0), /error\[BAD_FILE\]: stdin is empty/],
      ['invalid UTF-8', Buffer.from('hat\nh\xfft\n', 'latin1'), /error\[BAD_DATA\]: stdin:2: is not valid UTF-8/],
      ['a NUL byte', Buffer.from('hat\nthe\0man\n'), /error\[BAD_DATA\]: stdin:2: has a NUL byte/],
    ]
    for (const [title, input, pattern] of bad) {
      it(`refuses ${title} with its line`, async () => {
        const { code, stderr } = await embed(['--input', '-'], input)
        assert.equal(code, 2)
        assert.match(stderr, pattern)
      })
    }

    it('a 10 MB line is cut as any other, without much memory', async () => {
      const { code, stdout, stderr } = await embed(['--input', '-'], `${'the man is riding '.repeat(600_000)}\nhat\n`)
      assert.equal(code, 0)
      assert.equal(stdout.trimEnd().split('\n').length, 2)
      assert.match(stderr, /1 of 2 texts were cut at 24 tokens \(lines 1\)/)
    })

    it('fill-mask prints candidates, as text and as JSON', async () => {
      const args = [
        'fill-mask',
        join(folder, 'model'),
        '--device',
        'cpu',
        '--text',
        'the [MASK] of the city',
        '--top-k',
        '2',
      ]
      const text = await runCli([...args, '--text', 'the city'])
      assert.equal(text.code, 2)
      assert.match(text.stderr, /^error\[BAD_ARGUMENT\]: text 2 has no \[MASK\]/)
      assert.match(text.stdout, /^the \[MASK\] of the city\n {2}\S+ \d\.\d{3} {2}\S+ \d\.\d{3}\n$/)
      const [{ masks }] = JSON.parse((await runCli([...args, '--json'])).stdout)
      assert.deepEqual([masks[0].position, masks[0].candidates.length], [2, 2])
    })
  })

  describe('minilm_l6', () => {
    it('has the vectors that transformers computes, edge cases included', async function () {
      if (!existsSync(join(SHARED_DATA, 'minilm_l6'))) this.skip()
      // Made by test/golden/sentence_vectors.py: an empty text, other scripts, a text beyond 512 tokens, [MASK].
      const golden = JSON.parse(readFileSync(join(__dirname, 'golden/minilm_vectors.json'), 'utf8'))
      await using minilm = await Encoder.load(join(SHARED_DATA, 'minilm_l6'), { device: 'cpu' })
      const { vectors, truncated } = await minilm.embed(golden.texts, { normalize: true })
      assert.deepEqual(truncated, [5])
      for (const [row, vector] of vectors.entries()) {
        const cosine = vector.reduce((sum, value, column) => sum + value * golden.vectors[row][column], 0)
        assert.ok(cosine >= 0.999999, `${JSON.stringify(golden.texts[row].slice(0, 40))}: cosine ${cosine}`)
      }
      assert.ok(largestDifference(vectors, golden.vectors) < 1e-5)
    })
  })
})
