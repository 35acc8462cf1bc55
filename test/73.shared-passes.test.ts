/** One pass for calls of different kinds: how many there are, and that each answer is what it is in a pass of its own. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packSequences } from '../lib/data/packed-batch.js'
import { askingLabels } from '../lib/inference/head-scores.js'
import { Encoder } from '../lib/inference/index.js'
import {
  computeThreads,
  encoderConfig,
  type HeadConfig,
  Model,
  type ModelOptions,
  type ModelQuestion,
  type Values,
} from '../lib/model/index.js'
import { writeFormula } from './golden/golden.js'
import { writeServingFolder } from './helpers/serving-folder.js'

const LAYERS = 3
const top = { tap: { layer: LAYERS }, weight: 1, dropout: 0 }
const HEADS: HeadConfig[] = [
  { kind: 'next-sentence', name: 'nsp', tap: { layer: 1 }, weight: 1 },
  {
    kind: 'masked-lm',
    name: 'mlm',
    tap: { layer: 2 },
    weight: 1,
    transfer: { from: 'nsp', mode: 'concat', stopGradient: false },
  },
  { ...top, kind: 'classifier', name: 'tone', classes: 3, pooler: 'own' },
  { ...top, kind: 'san', name: 'nli', classes: 2, steps: 2, predictionDropout: 0 },
  { ...top, kind: 'regressor', name: 'likeness', pooler: 'none' },
  { ...top, kind: 'ranker', name: 'rank', pooler: 'own', tap: { layer: 0 } },
  { ...top, kind: 'span', name: 'squad' },
  { ...top, kind: 'tagger', name: 'words', classes: 3, tap: { layer: 1 } },
  { ...top, kind: 'parser', name: 'tree', classes: 4, tags: 3, arcSize: 6, labelSize: 6, tap: { mix: 'all' } },
  { ...top, kind: 'tagger', name: 'mixed', classes: 2, tap: { mix: 'all' } },
]

function makeModel(options: ModelOptions): Promise<Model> {
  const sizes = { vocabSize: 40, layers: LAYERS, hiddenSize: 16, heads: 2, maxPositions: 32, initializerRange: 0.3 }
  return Model.create(
    {
      encoder: encoderConfig({ ...sizes, intermediateSize: 24 }),
      heads: HEADS,
      mixes: [{ name: 'all', includeEmbeddings: true, layerNorm: true, init: 'uniform' }],
      adapters: [
        { name: 'low', kind: 'lora', size: 2, alpha: 4 },
        { name: 'above', kind: 'top-layer' },
      ],
    },
    { device: 'cpu', seed: 8, ...options },
  )
}

/** Sequences of 3 to 15 tokens, pairs all: some heads read nothing else. */
const SEQUENCES = [5, 9, 3, 15, 7, 4, 12].map((length, row) =>
  Int32Array.from({ length }, (_, place) => (place * 7 + row * 5 + 1) % 40),
)
function batchOf(rows: readonly number[]) {
  const batch = packSequences(rows.map((row) => SEQUENCES[row]))
  rows.forEach((_, row) => {
    batch.segmentIds.fill(1, batch.sequenceOffsets[row] + 2, batch.sequenceOffsets[row + 1])
  })
  return batch
}

/** Every kind of question, about sequences that `choose` picks for it. */
function questionsAbout(choose: (question: number) => number[]): ModelQuestion[] {
  const asked: ModelQuestion[] = []
  const add = (of: (offsets: Int32Array) => Omit<ModelQuestion, 'sequences'>): void => {
    const rows = choose(asked.length)
    const question = of(batchOf(rows).sequenceOffsets)
    asked.push({ ...question, sequences: Int32Array.from(rows) } as ModelQuestion)
  }
  for (const layer of [LAYERS, 1, 0]) {
    for (const pooling of ['mean', 'cls', 'max'] as const)
      add(() => ({ kind: 'vectors', layer, pooling, normalize: layer === 1 }))
  }
  add(() => ({ kind: 'states', layers: Int32Array.of(2, 0) }))
  for (const layer of [undefined, 0, LAYERS]) {
    add((offsets) => ({
      kind: 'masks',
      head: 'mlm',
      positions: offsets.slice(0, -1).map((first) => first + 1),
      topK: 4,
      ...(layer !== undefined && { layer }),
    }))
  }
  for (const head of HEADS.slice(2)) {
    const places = (offsets: Int32Array): Int32Array =>
      Int32Array.from([...offsets.slice(0, -1)].flatMap((first) => [first + 1, first + 2]))
    add((offsets) => ({ kind: 'scores', head: head.name, labels: askingLabels(head, offsets, places(offsets)) }))
  }
  return asked
}

/** What the question's own method says of a batch of its sequences alone: the plain path. */
async function alone(model: Model, question: ModelQuestion, adapter?: string): Promise<(Values | Int32Array)[]> {
  const batch = { ...batchOf([...question.sequences]), ...(adapter !== undefined && { adapter }) }
  if (question.kind === 'vectors') return [await model.embed(batch, question)]
  if (question.kind === 'states') return model.hiddenStates(batch, [...question.layers])
  if (question.kind === 'scores') {
    return [(await model.headLogits({ ...batch, labels: { [question.head]: question.labels } }, question.head)).values]
  }
  const { head, positions, topK, layer } = question
  const { tokenIds, probabilities } = await model.predictMasked(batch, head, positions, topK, layer)
  return [tokenIds, probabilities]
}

/** Largest difference between two answers, of numbers of a size of about 1. */
function difference(found: readonly (Values | Int32Array)[], expected: readonly (Values | Int32Array)[]): number {
  assert.deepEqual(
    found.map(({ length }) => length),
    expected.map(({ length }) => length),
  )
  return Math.max(
    ...found.flatMap((values, at) => Array.from(values, (value, place) => Math.abs(value - expected[at][place]))),
  )
}

describe('shared passes', function () {
  this.timeout(60_000)
  before(() => void computeThreads(1))

  describe('of the model', () => {
    const everything = SEQUENCES.map((_, row) => row)
    const cases: [string, ModelOptions, number][] = [
      // A product of another number of rows may be cut into other blocks and then adds in another order: a few units in the last place, through three layers.
      ['fast kernels, for inference', { inference: true }, 2e-5],
      ['fast kernels', {}, 2e-5],
      // Each row of activations has a scale of its own.
      ['int8', { precision: 'int8', inference: true }, 2e-5],
      // A difference in the last place of a sum may round to the next of 256 steps between two powers of two, in every layer.
      ['bf16', { precision: 'bf16', inference: true }, 0.1],
      ['portable kernels', { kernels: 'portable', precision: 'fp64' }, 1e-12],
      ['reference kernels', { kernels: 'reference', precision: 'fp64' }, 1e-12],
    ]
    for (const [name, options, tolerance] of cases) {
      it(`${name}: every kind of question in one pass, bit by bit the same where all ask about all`, async () => {
        await using model = await makeModel(options)
        await writeFormula(model, (parameter) => parameter.startsWith('adapters.') || parameter.startsWith('mixes.'))
        for (const adapter of [undefined, 'low', 'above']) {
          const asked = questionsAbout(() => everything)
          const batch = { ...batchOf(everything), ...(adapter !== undefined && { adapter }) }
          const answers = await model.answer(batch, asked)
          for (const [at, question] of asked.entries()) {
            const found = answers[at].map(({ values }) => values)
            assert.deepEqual(found, await alone(model, question, adapter), `${adapter}: ${JSON.stringify(question)}`)
          }
        }
      })

      it(`${name}: questions about other sequences each, in orders of their own`, async () => {
        await using model = await makeModel(options)
        await writeFormula(model, (parameter) => parameter.startsWith('adapters.') || parameter.startsWith('mixes.'))
        for (const [round, adapter] of [undefined, 'low', 'above'].entries()) {
          // One to four sequences; some are in no question.
          const choose = (at: number): number[] => {
            const rows = [1, 2, 3, 4].map((step) => (at * (round + 2) + step * 3) % 6)
            return [...new Set(rows)].slice(0, 1 + (at % 4))
          }
          const asked = questionsAbout(choose)
          for (const some of [asked, asked.filter((_, at) => at % 3 === round), asked.slice(3, 9)]) {
            const batch = { ...batchOf(everything), ...(adapter !== undefined && { adapter }) }
            const answers = await model.answer(batch, some)
            for (const [at, question] of some.entries()) {
              const found = answers[at].map(({ values }) => values)
              const off = difference(found, await alone(model, question, adapter))
              assert.ok(off <= tolerance, `${adapter}: ${off} off: ${JSON.stringify(question)}`)
            }
          }
        }
      })
    }

    it('refuses what cannot be asked', async () => {
      await using model = await makeModel({})
      const sequences = Int32Array.of(0)
      const refused: [object, RegExp][] = [
        [
          { kind: 'vectors', layer: 4, pooling: 'mean', normalize: false, sequences },
          /layer is 4; 0 \(embeddings\) to 3/,
        ],
        [{ kind: 'vectors', layer: 1, pooling: 'sum', sequences }, /pooling is 'sum'/],
        [{ kind: 'states', layers: Int32Array.of(-1), sequences }, /layer is -1/],
        [{ kind: 'states', layers: Int32Array.of(0), sequences: Int32Array.of(7) }, /sequence 7; 0 to 6/],
        [{ kind: 'states', layers: Int32Array.of(0), sequences: new Int32Array(0) }, /sequences are empty/],
        [{ kind: 'states', layers: Int32Array.of(0) }, /sequences is undefined/],
        [{ kind: 'scores', head: 'tone', sequences }, /labels of head 'tone' are missing/],
        [{ kind: 'scores', head: 'tone', labels: { labels: new Int32Array(2) }, sequences }, /tone/],
        [
          {
            kind: 'scores',
            head: 'words',
            labels: { labels: new Int32Array(0), positions: new Int32Array(0) },
            sequences,
          },
          /has no label/,
        ],
        [{ kind: 'masks', head: 'tone', positions: Int32Array.of(0), topK: 1, sequences }, /no masked-LM head/],
        [{ kind: 'masks', head: 'mlm', positions: Int32Array.of(5), topK: 1, sequences }, /positions\[0\]/],
        [{ kind: 'losses', sequences }, /kind of a question is 'losses'/],
      ]
      for (const [question, message] of refused)
        await assert.rejects(model.answer(batchOf(everything), [question as ModelQuestion]), {
          code: 'BAD_ARGUMENT',
          message,
        })
      await assert.rejects(
        model.answer(batchOf(everything), [{ kind: 'scores', head: 'none', labels: { labels: sequences }, sequences }]),
        {
          code: 'NOT_FOUND',
        },
      )
    })
  })

  describe('of an encoder', () => {
    let folder: string
    const texts = ['the man and the woman is in the city .', 'cat', 'a dancing cat in the river !']
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'stratabert-shared-'))
      await writeServingFolder(folder)
    })
    after(() => rmSync(folder, { recursive: true, force: true }))
    const load = () => Encoder.load(folder, { device: 'cpu' })
    /** As 73.serving: neighbours in a batch change rounding only. */
    const same = (a: unknown, b: unknown, path = 'result'): void => {
      if (typeof a === 'number' && typeof b === 'number') {
        assert.ok(Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b)), `${path}: ${a} is not ${b}`)
      } else if (a !== null && typeof a === 'object' && b !== null && typeof b === 'object') {
        assert.deepEqual(Object.keys(a), Object.keys(b), path)
        for (const key of Object.keys(a)) same((a as any)[key], (b as any)[key], `${path}.${key}`)
      } else assert.equal(a, b, path)
    }
    /** Batches, mixed ones and tokens that `run` takes. */
    async function spent<Result>(encoder: Encoder, run: () => Promise<Result>): Promise<[Result, number[]]> {
      const before = encoder.stats()
      const result = await run()
      const after = encoder.stats()
      const keys = ['batches', 'mixedBatches', 'tokens'] as const
      return [result, keys.map((key) => after[key] - before[key])]
    }
    const WORDS = texts.map((text) => text.split(' '))
    /** By the layers that they run. */
    const CALLS: ((encoder: Encoder) => Promise<unknown>)[][] = [
      [(one) => one.embed(texts[1], { layer: 0, normalize: true })],
      [(one) => one.embed(texts[0], { pooling: 'max', layer: 1 }), (one) => one.tag(WORDS, { task: 'words' })],
      [
        (one) => one.embed(texts),
        (one) => one.embed(texts, { normalize: true }),
        (one) => one.embed(texts, { layer: 'mix' }),
        (one) => one.score(texts, { task: 'likeness' }),
        (one) => one.score([['the city', 'a river']], { task: 'rank' }),
        (one) => one.parse(WORDS),
        (one) => one.fillMask('the [MASK] is in the city .'),
        (one) => one.fillMask('the [MASK] is in the river .', { layer: 0, topK: 2 }),
        (one) => one.hiddenStates(texts, { layers: [0, 2] }),
        (one) => one.ask(texts, { tasks: ['likeness', 'words'] }),
      ],
    ]

    it('calls of every kind that come in one turn are a batch for each number of layers, and answered as alone', async () => {
      await using encoder = await load()
      const calls = CALLS.flat()
      // The first round also fills the tokenizer's table: afterwards no call waits for the library.
      const single: unknown[] = []
      for (const call of [...calls, ...calls]) single.push(await call(encoder))
      const counts: number[][] = []
      // A busy machine may bring words that are laid out for longer than a few milliseconds in the next turn: then once more.
      for (let round = 0; round < 20 && counts.at(-1)?.[0] !== 3; round++) {
        const [together, spentOnAll] = await spent(encoder, () => Promise.all(calls.map((call) => call(encoder))))
        for (const [at, result] of together.entries()) same(result, single[at], `call ${at}`)
        counts.push(spentOnAll.slice(0, 2))
      }
      assert.deepEqual(counts.at(-1), [3, 2], JSON.stringify(counts))
    })

    it('several tasks and the vectors of the same texts: one pass, every token once', async () => {
      await using encoder = await load()
      const tasks = ['likeness', 'words', 'tree']
      await encoder.ask(texts, { tasks, embed: {} })
      const [asked, cost] = await spent(encoder, () => encoder.ask(texts, { tasks, embed: { normalize: true } }))
      const { tokenCount } = await encoder.embed(texts)
      assert.deepEqual(cost, [1, 1, tokenCount])
      same(asked.classes.likeness, await encoder.classify(texts, { task: 'likeness' }))
      same(asked.tags.words, await encoder.tag(texts, { task: 'words' }))
      same(asked.embeddings, await encoder.embed(texts, { normalize: true }))
    })

    it('texts that are cut elsewhere are sequences of their own, in the same pass', async () => {
      await using encoder = await load()
      const [asked, cost] = await spent(encoder, () =>
        encoder.ask(texts, { tasks: ['likeness'], embed: { maxTokens: 5 } }),
      )
      const [whole, cut] = [await encoder.embed(texts), await encoder.embed(texts, { maxTokens: 5 })]
      assert.deepEqual(cost, [1, 1, whole.tokenCount + cut.tokenCount])
      same(asked.embeddings, cut)
      assert.deepEqual(cut.truncated, [0, 2])
      await assert.rejects(encoder.ask(texts, { tasks: ['likeness'], embed: { maxTokens: 5, truncate: false } }), {
        code: 'BAD_ARGUMENT',
        message: /texts\[0\] has more than 5 tokens/,
      })
    })

    it('an adapter’s calls share a batch with each other, not with those of another adapter or of none', async () => {
      await using encoder = await load()
      const calls = [
        () => encoder.classify(texts, { task: 'tone' }),
        () => encoder.embed(texts, { adapter: 'tone' }),
        () => encoder.hiddenStates(texts, { layers: [1, 2], adapter: 'tone' }),
        () => encoder.embed(texts),
        () => encoder.score(texts, { task: 'likeness' }),
      ]
      const single: unknown[] = []
      for (const call of calls) single.push(await call())
      const [together, cost] = await spent(encoder, () => Promise.all(calls.map((call) => call())))
      assert.deepEqual(cost.slice(0, 2), [2, 2])
      for (const [at, result] of together.entries()) same(result, single[at], `call ${at}`)
      const [, apart] = await spent(encoder, () => encoder.ask(texts, { tasks: ['tone'], embed: {} }))
      assert.deepEqual(apart.slice(0, 2), [2, 0])
      const [, shared] = await spent(encoder, () => encoder.ask(texts, { tasks: ['tone'], embed: { adapter: 'tone' } }))
      assert.deepEqual(shared.slice(0, 2), [1, 1])
    })

    it('rows of a mixed batch are the caller’s own', async () => {
      await using encoder = await load()
      const [{ vectors }, , { vectors: others }, [{ states }]] = await Promise.all([
        encoder.embed(texts),
        encoder.score(texts, { task: 'likeness' }),
        encoder.embed('cat'),
        encoder.hiddenStates('cat', { layers: [2] }),
      ])
      assert.equal(encoder.stats().batches, 1)
      assert.deepEqual(
        [vectors[0].buffer, others[0].buffer, states[0].buffer].map(({ byteLength }) => byteLength),
        [3 * 16 * 4, 16 * 4, 3 * 16 * 4],
      )
    })
  })
})
