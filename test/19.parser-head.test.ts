/**
 * Biaffine parser head: against plain PyTorch (test/golden/parser.py), sentences in a batch against alone, on both kinds of encoder,
 * what it refuses, and the trees that are decoded from its answers.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import { type HeadLabels, NO_LABEL, type PackedBatch } from '../lib/data/packed-batch.js'
import {
  computeThreads,
  encoderConfig,
  type MixConfig,
  Model,
  type ModelOptions,
  type ParserHeadConfig,
} from '../lib/model/index.js'
import { modelParameterShapes } from '../lib/model/parameter-shapes.js'
import { decodeParses, maximumSpanningTree, wholeParse } from '../lib/tasks/index.js'
import {
  type Digest,
  digestDistance,
  digestOf,
  type GoldenBatch,
  goldenEncoder,
  packedBatch,
  readGoldens,
  writeFormula,
} from './golden/golden.js'
import { refuses } from './helpers/refuses.js'
import { perturb } from './helpers/small-model.js'

interface ParserGoldens {
  encoder: Record<string, unknown>
  batch: GoldenBatch
  cases: Record<
    string,
    {
      heads: ParserHeadConfig[]
      mixes: MixConfig[]
      losses: Record<string, number>
      answers: { shape: number[]; values: number[] }
      gradients: Record<string, Digest>
    }
  >
}

const goldens = readGoldens<ParserGoldens>(path.join(__dirname, 'golden/parser.json.gz'))
const TAGGED = 'lower layer, with tags'
const ints = (...values: number[]) => Int32Array.from(values)

function batchOf(name: string): PackedBatch {
  const { heads } = goldens.cases[name]
  const batch = packedBatch(goldens.batch, heads)
  if (!heads[0].tags) delete batch.labels.parse.tags
  return batch
}

async function goldenModel(name: string, options: ModelOptions): Promise<Model> {
  computeThreads(1)
  const { heads, mixes } = goldens.cases[name]
  const config = { encoder: goldenEncoder(goldens.encoder), heads, mixes }
  const model = await Model.create(config, { device: 'cpu', ...options })
  await writeFormula(model, () => true)
  return model
}

/** Norm of the difference over that of the expected numbers, of column `column` of rows of two. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>, column: number): number {
  assert.equal(actual.length, expected.length)
  let [difference, norm] = [0, 0]
  for (let i = column; i < actual.length; i += 2) {
    difference += (actual[i] - expected[i]) ** 2
    norm += expected[i] ** 2
  }
  return Math.sqrt(difference / norm)
}

async function compare(name: string, options: ModelOptions) {
  const golden = goldens.cases[name]
  await using model = await goldenModel(name, options)
  const batch = batchOf(name)
  const losses = await (await model.step(batch)).read()
  const gradients = await model.readTensors('gradient')
  const evaluated = (await model.evaluate(batch)).parse
  const expected = golden.losses.parse
  const worst = { loss: 0, answers: 0, choices: 0, gradient: 0, gradientName: '' }
  for (const loss of [losses.parse.loss, evaluated.lossSum / evaluated.count]) {
    worst.loss = Math.max(worst.loss, Math.abs(loss - expected) / expected)
  }
  for (const answers of [await model.headLogits(batch, 'parse'), evaluated.logits!]) {
    assert.deepEqual(answers.shape, golden.answers.shape)
    worst.answers = Math.max(worst.answers, relativeError(answers.values, golden.answers.values, 0))
    worst.choices = Math.max(worst.choices, relativeError(answers.values, golden.answers.values, 1))
  }
  const norm = Math.sqrt(Object.values(golden.gradients).reduce((sum, digest) => sum + digest.norm ** 2, 0))
  assert.deepEqual(Object.keys(gradients).sort(), Object.keys(golden.gradients).sort())
  for (const [parameter, digest] of Object.entries(golden.gradients)) {
    const distance = digestDistance(digestOf(gradients[parameter], digest.shape), digest)
    const error = distance / Math.max(digest.norm, 1e-6 * norm)
    if (!(error <= worst.gradient)) Object.assign(worst, { gradient: error, gradientName: parameter })
  }
  return worst
}

describe('parser head: goldens', function () {
  this.timeout(30_000)
  const check = (name: string, options: ModelOptions, limits: { loss: number; answers: number; gradient: number }) =>
    it(`${options.precision} ${options.kernels ?? 'fast'}: ${name}`, async () => {
      const worst = await compare(name, options)
      if (process.env.STRATABERT_SHOW) console.log(worst)
      assert.ok(worst.loss <= limits.loss, `loss ${worst.loss}`)
      assert.ok(worst.answers <= limits.answers, `answers ${worst.answers}`)
      assert.equal(worst.choices, 0)
      assert.ok(worst.gradient <= limits.gradient, `gradient of ${worst.gradientName}: ${worst.gradient}`)
    })
  for (const name of Object.keys(goldens.cases)) {
    check(name, { precision: 'fp64' }, { loss: 1e-9, answers: 1e-9, gradient: 1e-9 })
    check(name, { precision: 'fp32' }, { loss: 1e-6, answers: 1e-5, gradient: 1e-4 })
  }
  for (const kernels of ['portable', 'reference'] as const)
    check(TAGGED, { precision: 'fp64', kernels }, { loss: 1e-9, answers: 1e-9, gradient: 1e-9 })

  it('bf16: the loss within 2 %, arc scores within 5 % of their norm', async () => {
    const { losses, answers } = goldens.cases[TAGGED]
    await using model = await goldenModel(TAGGED, { precision: 'bf16' })
    const { lossSum, count, logits } = (await model.evaluate(batchOf(TAGGED))).parse
    assert.ok(Math.abs(lossSum / count / losses.parse - 1) < 0.02, `${lossSum / count}`)
    assert.ok(relativeError(logits!.values, answers.values, 0) < 0.05)
  })

  it('parameters have the names and shapes of the table', async () => {
    for (const name of Object.keys(goldens.cases)) {
      await using model = await goldenModel(name, {})
      const made = Object.fromEntries(model.parameters().map((info) => [info.name, info.shape]))
      assert.deepEqual(made, modelParameterShapes(model.config))
    }
  })
})

/** One sequence of a batch with its labels. */
function alone({ labels, ...batch }: PackedBatch, sequence: number): PackedBatch {
  const [begin, end] = [batch.sequenceOffsets[sequence], batch.sequenceOffsets[sequence + 1]]
  const { positions, ...parse } = labels.parse
  const kept = [...positions!.keys()].filter((i) => positions![i] >= begin && positions![i] < end)
  const pick = (values?: Int32Array) => values && Int32Array.from(kept, (i) => values[i])
  return {
    tokenIds: batch.tokenIds.slice(begin, end),
    segmentIds: batch.segmentIds.slice(begin, end),
    sequenceOffsets: ints(0, end - begin),
    labels: {
      parse: {
        positions: Int32Array.from(kept, (i) => positions![i] - begin),
        labels: pick(parse.labels)!,
        heads: pick(parse.heads),
        tags: pick(parse.tags),
      },
    },
  }
}

describe('parser head: batches', function () {
  this.timeout(30_000)
  for (const kind of ['bert', 'crammed'] as const) {
    it(`${kind}: sentences alone are what they are in a batch`, async () => {
      computeThreads(1)
      const { heads, mixes } = goldens.cases['mix with layer 0, with tags']
      const config = { encoder: { ...goldenEncoder(goldens.encoder), kind }, heads, mixes }
      await using model = await Model.create(config, { device: 'cpu', precision: 'fp64', seed: 5 })
      await perturb(model)
      const whole = batchOf('mix with layer 0, with tags')
      // Tags count in a batch that has a labelled word, and one sentence has none.
      const { labels, tags: allTags } = whole.labels.parse
      labels.forEach((label, i) => {
        if (label === NO_LABEL) allTags![i] = NO_LABEL
      })
      const together = (await model.evaluate(whole)).parse
      const [arcs, tags]: number[][] = [[], []]
      let [lossSum, count] = [0, 0]
      for (let b = 0; b + 1 < whole.sequenceOffsets.length; b++) {
        const part = alone(whole, b)
        const { labels } = part.labels.parse
        if (labels.length === 0) continue
        // What is asked for does not depend on the labels.
        const zeros = new Int32Array(labels.length)
        const asked = { ...part, labels: { parse: { ...part.labels.parse, labels: zeros, heads: zeros } } }
        const { values } = await model.headLogits(asked, 'parse')
        const border = 2 * labels.length * (labels.length + 1)
        arcs.push(...values.subarray(0, border))
        tags.push(...values.subarray(border))
        if (labels.every((label) => label === NO_LABEL)) continue
        const own = (await model.evaluate(part)).parse
        lossSum += own.lossSum
        count += own.count
      }
      assert.equal(count, together.count)
      assert.ok(Math.abs(lossSum / together.lossSum - 1) < 1e-10, `${lossSum} ${together.lossSum}`)
      for (const column of [0, 1]) assert.ok(relativeError([...arcs, ...tags], together.logits!.values, column) < 1e-10)
    })
  }

  it('dropout is drawn from the seed', async () => {
    const heads = [{ ...goldens.cases[TAGGED].heads[0], dropout: 0.3 }]
    const losses: number[] = []
    for (const seed of [1, 1, 2]) {
      computeThreads(1)
      const config = { encoder: goldenEncoder(goldens.encoder), heads }
      await using model = await Model.create(config, { device: 'cpu', precision: 'fp64', seed })
      await writeFormula(model, () => true)
      losses.push((await (await model.step(batchOf(TAGGED))).read()).parse.loss)
    }
    assert.equal(losses[0], losses[1])
    assert.notEqual(losses[0], losses[2])
    assert.notEqual(losses[0], goldens.cases[TAGGED].losses.parse)
  })

  it('refuses labels that do not fit', async () => {
    const encoder = encoderConfig({ vocabSize: 30, layers: 1, hiddenSize: 8, heads: 2, maxPositions: 16 })
    const head: ParserHeadConfig = {
      name: 'p',
      kind: 'parser',
      tap: { layer: 1 },
      weight: 1,
      dropout: 0,
      classes: 3,
      tags: 2,
      arcSize: 4,
      labelSize: 4,
    }
    await using model = await Model.create({ encoder, heads: [head] }, { device: 'cpu' })
    const good = { positions: ints(1, 2, 5), labels: ints(0, 1, 2), heads: ints(2, 0, 0), tags: ints(0, 1, -100) }
    const step = (labels: HeadLabels) =>
      model.evaluate({
        tokenIds: ints(1, 2, 3, 4, 5, 6, 7),
        segmentIds: new Int32Array(7),
        sequenceOffsets: ints(0, 4, 7),
        labels: { p: labels },
      })
    assert.deepEqual((await step(good)).p.logits!.shape, [2 * 3 + 2 + 3, 2])
    const bad: [Partial<HeadLabels>, string[]][] = [
      [{ positions: ints(2, 1, 5) }, ['positions[1]', 'ascending']],
      [{ positions: ints(1, 4, 5) }, ['positions[1]', 'stands for the root']],
      [{ positions: ints(1, 2, 9) }, ['positions[2]']],
      [{ heads: ints(1, 0, 0) }, ['heads[0]', 'is 1, of word 1 of 2']],
      [{ heads: ints(2, 0, 2) }, ['heads[2]', 'is 2, of word 1 of 1']],
      [{ heads: ints(2, 0) }, ['heads of', 'has 2 entries']],
      [{ labels: ints(0, 1, 3) }, ['labels[2]']],
      [{ tags: ints(0, 2, 0) }, ['tags[1]', '0 to 1']],
      [{ tags: undefined }, ['tags of', 'has 0 entries']],
    ]
    for (const [part, said] of bad) await assert.rejects(step({ ...good, ...part }), refuses('BAD_ARGUMENT', ...said))
    const sizes: [Partial<ParserHeadConfig>, string][] = [
      [{ arcSize: 0 }, 'arcSize'],
      [{ labelSize: -1 }, 'labelSize'],
      [{ tags: -1 }, 'tags'],
      [{ classes: 1 }, 'classes'],
    ]
    for (const [part, field] of sizes) {
      const wrong = Model.create({ encoder, heads: [{ ...head, ...part }] }, { device: 'cpu' })
      await assert.rejects(wrong, refuses('BAD_ARGUMENT', field))
    }
  })
})

describe('parses out of answers', () => {
  const relations = ['nsubj', 'obj', 'root']
  /** Answers of one sentence; `best` is the relation of every arc. */
  const answers = (scores: number[], best: number, tags: number[] = []) => {
    const rows = [...scores.map((score) => [score, best]), ...tags.map((tag) => [-1, tag])]
    return { shape: [rows.length, 2], values: Float64Array.from(rows.flat()) }
  }
  // The words want each other; the best tree has one root.
  const CYCLE = [1, 0, 9, 2, 8, 0]

  it('a tree with one root by default, the best heads if asked for; only the root has the relation root', () => {
    const [tree] = decodeParses(answers(CYCLE, 2), [2], { relations })
    assert.deepEqual([...tree.heads], [...maximumSpanningTree(Float64Array.from(CYCLE), 2)])
    assert.deepEqual([...tree.heads], [2, 0])
    assert.deepEqual(tree.relations, ['dep', 'root'])
    assert.equal(tree.tags, undefined)
    const [greedy] = decodeParses(answers(CYCLE, 1), [2], { relations, decode: 'greedy' })
    assert.deepEqual([...greedy.heads], [2, 1])
    assert.deepEqual(greedy.relations, ['obj', 'obj'])
  })

  it('no word is its own head, whatever the score', () => {
    const own = CYCLE.map((score, arc) => (arc === 1 || arc === 5 ? 20 : score))
    for (const [decode, heads] of [
      ['tree', [2, 0]],
      ['greedy', [2, 1]],
    ] as const) {
      const [parse] = decodeParses(answers(own, 0), [2], { relations, decode })
      assert.deepEqual([...parse.heads], heads)
    }
  })

  it('tags follow the arcs of all sentences', () => {
    const values = [5, 0, ...CYCLE]
    const parses = decodeParses(answers(values, 0, [1, 0, 1]), [1, 2], { relations, tags: ['DET', 'NOUN'] })
    assert.deepEqual(
      parses.map(({ heads, tags }) => [[...heads], tags]),
      [
        [[0], ['NOUN']],
        [
          [2, 0],
          ['DET', 'NOUN'],
        ],
      ],
    )
  })

  it('refuses other shapes and scores that are not numbers', () => {
    assert.throws(() => decodeParses(answers(CYCLE, 0), [3], { relations }), refuses('BAD_ARGUMENT', '6 × 2, 12 × 2'))
    assert.throws(() => decodeParses(undefined, [2], { relations }), refuses('BAD_ARGUMENT', 'none'))
    const broken = CYCLE.with(1, Number.NaN)
    assert.throws(() => decodeParses(answers(broken, 0), [2], { relations }), refuses('NON_FINITE', 'sentence 0'))
  })

  it('parts of a sentence become one tree, words that no part has seen included', () => {
    const part = (heads: number[], ...names: string[]) => ({ heads: ints(...heads), relations: names, tags: names })
    const whole = wholeParse([part([2, 0], 'nsubj', 'root'), part([0, 1], 'root', 'obj')], 5)
    assert.deepEqual([...whole.heads], [2, 0, 2, 3, 2])
    assert.deepEqual(whole.relations, ['nsubj', 'root', 'dep', 'obj', 'dep'])
    assert.deepEqual(whole.tags, ['nsubj', 'root', 'root', 'obj', 'X'])
    const none = wholeParse([], 3)
    assert.deepEqual([...none.heads], [0, 1, 1])
    assert.deepEqual(none.relations, ['root', 'dep', 'dep'])
  })
})
