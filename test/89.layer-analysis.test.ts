/**
 * Attention statistics and layer similarity against transformers and NumPy (test/golden/attention_statistics.py), gradient norms by
 * layer, and the `layers` command.
 */
import assert from 'node:assert/strict'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PackedBatch, packSequences } from '../lib/data/packed-batch.js'
import { attentionByHead, layerSimilarity, type SentenceReader } from '../lib/evaluation/index.js'
import {
  type AttentionSums,
  computeThreads,
  encoderConfig,
  GramSums,
  Model,
  saveModelFolder,
} from '../lib/model/index.js'
import type { LayerAnalysis } from '../lib/recipes/index.js'
import { Tokenizer } from '../lib/text/index.js'
import {
  openRunFolder,
  plainModelFiles,
  readGradientNorms,
  type TrainingEvent,
  TrainingEvents,
  train,
} from '../lib/training/index.js'
import { formulaValues } from './golden/golden.js'
import { runHere } from './helpers/cli-here.js'
import { refuses } from './helpers/refuses.js'
import { adamw, normOf, perturb, smallBatch, smallModel } from './helpers/small-model.js'
import { tinyModel, tinySettings, tinyStage } from './helpers/tiny-training.js'

type Side = 'left' | 'right'
type Matrix = number[][]
interface Goldens {
  models: Record<Side, Record<'layers' | 'hidden' | 'heads' | 'intermediate' | 'vocab' | 'positions', number>>
  sharper: number
  sequences: number[][]
  attention: Record<Side, Record<'distance' | 'entropy' | 'first' | 'separators', Matrix>>
  cka: Record<'token' | 'sentence', { rows: number; own: Matrix; against: Matrix }>
}
const goldens = JSON.parse(readFileSync(join(__dirname, 'golden/attention_statistics.json'), 'utf8')) as Goldens
const SEPARATOR = 3
const MEANS = ['distance', 'entropy', 'first', 'separators'] as const

async function goldenModel(side: Side, precision: 'fp64' | 'fp32' = 'fp64'): Promise<Model> {
  computeThreads(1)
  const { layers, hidden, heads, intermediate, vocab, positions } = goldens.models[side]
  const encoder = encoderConfig({
    vocabSize: vocab,
    layers,
    hiddenSize: hidden,
    heads,
    intermediateSize: intermediate,
    maxPositions: positions,
  })
  const model = await Model.create({ encoder, heads: [] }, { device: 'cpu', precision })
  for (const { name, shape } of model.parameters()) {
    const factor = /(query|key)\.weight$/.test(name) ? goldens.sharper : 1
    const values = formulaValues(
      name,
      shape.reduce((a, b) => a * b, 1),
    ).map((value) => value * factor)
    await model.writeTensors({ [name]: precision === 'fp64' ? values : Float32Array.from(values) })
  }
  return model
}

function tokenizerOf(words: (index: number) => string = (index) => `w${index}`): Tokenizer {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
  return Tokenizer.fromVocabulary([...special, ...Array.from({ length: 61 - special.length }, (_, i) => words(i))])
}

function readerOf(model: Model, sequences = goldens.sequences, tokenizer = tokenizerOf()): SentenceReader {
  const sentences = sequences.map((ids, index) => ({
    tokenIds: Int32Array.from(ids),
    segmentIds: new Int32Array(ids.length),
    truncated: false,
    place: `text:${index + 1}`,
  }))
  return { name: 'a model', model, tokenizer, sentences }
}

const largest = (actual: Matrix, expected: Matrix) =>
  Math.max(...expected.flatMap((row, i) => row.map((value, j) => Math.abs(actual[i][j] - value))))

describe('attention statistics', function () {
  this.timeout(60_000)

  for (const precision of ['fp64', 'fp32'] as const)
    for (const side of ['left', 'right'] as const)
      it(`means by head are those of transformers: ${side}, ${precision}`, async () => {
        await using model = await goldenModel(side, precision)
        // Batches of a few sentences each.
        const { heads, uniform, tokens } = await attentionByHead(readerOf(model), { maxTokens: 40 })
        const limit = precision === 'fp64' ? 1e-10 : 1e-4
        const width = goldens.models[side].heads
        for (const mean of MEANS)
          for (const head of heads) {
            const expected = goldens.attention[side][mean][head.layer - 1][head.head - 1]
            assert.ok(
              Math.abs(head[mean] - expected) <= limit,
              `${mean} of ${head.layer}-${head.head}: ${head[mean]}, ${expected}`,
            )
          }
        assert.equal(heads.length, goldens.models[side].layers * width)
        assert.equal(tokens, goldens.sequences.flat().length)
        // The goldens' heads are no uniform ones.
        assert.ok(Math.abs(heads[0].entropy - uniform.entropy) > 0.2)
      })

  it('a head whose queries are 0 looks everywhere alike', async () => {
    await using model = await goldenModel('left')
    const name = 'bert.encoder.layer.1.attention.self.query'
    const zeros = { [`${name}.weight`]: new Float64Array(32 * 32), [`${name}.bias`]: new Float64Array(32) }
    await model.writeTensors(zeros)
    const { heads, uniform } = await attentionByHead(readerOf(model))
    for (const head of heads.filter(({ layer }) => layer === 2))
      for (const mean of MEANS) assert.ok(Math.abs(head[mean] - uniform[mean]) < 1e-12, `${mean} ${head[mean]}`)
  })

  it('the crammed encoder has statistics of its own heads too', async () => {
    const sizes = { kind: 'crammed' as const, vocabSize: 61, layers: 2, hiddenSize: 32, heads: 4, maxPositions: 40 }
    await using model = await Model.create(
      { encoder: encoderConfig({ ...sizes, intermediateSize: 64 }), heads: [] },
      { device: 'cpu', precision: 'fp64', seed: 2 },
    )
    await perturb(model)
    await model.writeTensors({ 'bert.encoder.layer.1.attention.self.key.weight': new Float64Array(32 * 32) })
    const { heads, uniform } = await attentionByHead(readerOf(model))
    for (const { layer, entropy, distance } of heads) {
      const far = Math.max(Math.abs(entropy - uniform.entropy), Math.abs(distance - uniform.distance))
      assert.ok(layer === 2 ? far < 1e-12 : far > 1e-4, `block ${layer}: ${far}`)
    }
  })

  it('a sequence gives the same packed with others as alone', async () => {
    await using model = await goldenModel('left')
    const together = await model.attentionStatistics(packSequences(goldens.sequences), { separator: SEPARATOR })
    const alone: AttentionSums[] = []
    for (const ids of goldens.sequences)
      alone.push(await model.attentionStatistics(packSequences([ids]), { separator: SEPARATOR }))
    for (const mean of MEANS)
      for (const [i, value] of together[mean].entries()) {
        const sum = alone.reduce((total, part) => total + part[mean][i], 0)
        assert.ok(Math.abs(value - sum) <= 1e-10 * Math.max(1, sum), `${mean}: ${value} and ${sum}`)
      }
    assert.equal(
      together.queries,
      alone.reduce((total, { queries }) => total + queries, 0),
    )
    const none = await model.attentionStatistics(packSequences(goldens.sequences))
    assert.deepEqual([...none.separators], Array(12).fill(0))
    assert.deepEqual([...none.entropy], [...together.entropy])
  })

  it('dropout has no part, gradients stay, an adapter that the batch names counts', async () => {
    await using model = await Model.create(
      {
        encoder: encoderConfig({
          vocabSize: 61,
          layers: 2,
          hiddenSize: 32,
          heads: 2,
          maxPositions: 32,
          attentionDropout: 0.5,
          hiddenDropout: 0.5,
        }),
        heads: [{ name: 'nsp', kind: 'next-sentence', tap: { layer: 2 }, weight: 1 }],
        adapters: [{ name: 'own', kind: 'lora', size: 4, targets: ['query', 'key'] }],
      },
      { device: 'cpu', seed: 5 },
    )
    await perturb(model)
    const { nsp } = smallBatch().labels
    const batch: PackedBatch = { ...smallBatch(), labels: { nsp } }
    await model.step(batch)
    const before = await model.readTensors('gradient')
    const first = await model.attentionStatistics(batch)
    assert.deepEqual(await model.attentionStatistics(batch), first)
    assert.deepEqual(await model.readTensors('gradient'), before)
    const adapted = await model.attentionStatistics({ ...batch, adapter: 'own' })
    assert.ok(Math.abs(adapted.distance[0] - first.distance[0]) > 1e-6)
  })

  it('refuses what is no batch or separator, and a disposed model', async () => {
    const model = await smallModel()
    const batch = smallBatch()
    for (const separator of [61, -2, 1.5])
      await assert.rejects(
        model.attentionStatistics(batch, { separator }),
        refuses('BAD_ARGUMENT', 'separator', String(separator)),
      )
    const wrong = { ...batch, tokenIds: batch.tokenIds.map(() => 99) }
    await assert.rejects(model.attentionStatistics(wrong), refuses('BAD_ARGUMENT', 'tokenIds[0]'))
    await assert.rejects(model.attentionStatistics({ ...batch, adapter: 'x' }), refuses('NOT_FOUND', "'x'"))
    await model.dispose()
    await assert.rejects(model.attentionStatistics(batch), refuses('DISPOSED'))
  })
})

describe('similarity of layers', function () {
  this.timeout(60_000)
  let left: Model
  let right: Model
  before(async () => {
    left = await goldenModel('left')
    right = await goldenModel('right')
  })
  after(async () => {
    await left.dispose()
    await right.dispose()
  })

  for (const unit of ['token', 'sentence'] as const)
    it(`is NumPy's by ${unit}, of one encoder and of two of other shapes, in any batch size`, async () => {
      const expected = goldens.cka[unit]
      for (const maxTokens of [1, 45, 1000]) {
        const own = await layerSimilarity(readerOf(left), undefined, { unit, maxTokens })
        assert.equal(own.rows, expected.rows)
        assert.ok(largest(own.matrix, expected.own) < 1e-10)
      }
      const against = await layerSimilarity(readerOf(left), readerOf(right), { unit })
      assert.deepEqual([against.matrix.length, against.matrix[0].length], [4, 3])
      assert.ok(largest(against.matrix, expected.against) < 1e-10)
      assert.equal(against.chance, Math.sqrt((32 * 24) / ((expected.rows + 32) * (expected.rows + 24))))
    })

  it('two tokenizers: the same pieces are compared whatever their ids, others by sentence only', async () => {
    // Ids 5 … 60 name the words backwards: the same ids are other words.
    const backwards = tokenizerOf((index) => `w${55 - index}`)
    const renamed = goldens.sequences.map((ids) => ids.map((id) => (id < 5 ? id : 65 - id)))
    const same = readerOf(right, renamed, backwards)
    await layerSimilarity(readerOf(left), same)
    const other = readerOf(right, goldens.sequences, backwards)
    await assert.rejects(
      layerSimilarity(readerOf(left), other),
      refuses('BAD_ARGUMENT', 'text:1', 'sentence 1', 'w', '--unit sentence'),
    )
    const shorter = readerOf(
      right,
      goldens.sequences.map((ids, index) => (index === 2 ? ids.slice(0, 20) : ids)),
    )
    await assert.rejects(layerSimilarity(readerOf(left), shorter), refuses('BAD_ARGUMENT', 'text:3'))
    assert.equal((await layerSimilarity(readerOf(left), other, { unit: 'sentence' })).rows, 7)
  })

  it('refuses too little text, sentences that do not pair up, and stops when told', async () => {
    const two = readerOf(left, goldens.sequences.slice(0, 2))
    await assert.rejects(layerSimilarity(readerOf(left), two, { unit: 'sentence' }), refuses('BAD_ARGUMENT', '7 and 2'))
    await assert.rejects(layerSimilarity(readerOf(left, []), undefined), refuses('BAD_DATA', 'no sentence'))
    await assert.rejects(
      layerSimilarity(readerOf(left, [[2, 9, 3]]), undefined),
      refuses('BAD_DATA', '1 tokens', 'at least 2'),
    )
    await using sums = await GramSums.open([2, 3], [[0, 1]])
    await assert.rejects(sums.squares(), refuses('BAD_ARGUMENT', 'no row'))
    const signal = AbortSignal.abort()
    await assert.rejects(layerSimilarity(two, undefined, { signal }), refuses('ABORTED', '0 of 2'))
    await assert.rejects(attentionByHead(two, { signal }), refuses('ABORTED'))
  })
})

describe('gradient norms by layer', function () {
  this.timeout(60_000)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-gradients-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('are those of the gradients; layers that do not learn are left out', async () => {
    for (const maxGradNorm of [0, 0.01]) {
      await using model = await smallModel({ precision: 'fp64' })
      await using optimizer = await adamw(model, (name) => !name.includes('layer.0.'))
      await assert.rejects(optimizer.gradientNorms(), refuses('BAD_ARGUMENT', 'first step'))
      await model.step(smallBatch())
      const gradients = await model.readTensors('gradient')
      const { read } = await optimizer.step({ learningRate: 1e-3, maxGradNorm })
      const norms = await optimizer.gradientNorms()
      assert.deepEqual(Object.keys(norms).sort(), ['0', '2', 'heads'])
      for (const [key, norm] of Object.entries(norms)) {
        const layer = key === 'heads' ? 3 : Number(key)
        const own = model.parameters().filter((info) => info.layer === layer)
        const expected = normOf(...own.map(({ name }) => gradients[name]))
        assert.ok(Math.abs(norm / expected - 1) < 1e-12, `layer ${key}: ${norm}, ${expected}`)
      }
      const { gradNorm } = await read()
      assert.ok(Math.abs(Math.hypot(...Object.values(norms)) / gradNorm - 1) < 1e-12)
    }
  })

  it('a run logs them after the first and the last step of each stage, once', async () => {
    const path = join(folder, 'run')
    const seen: TrainingEvent[] = []
    const events = new TrainingEvents().addLogger({ log: (event) => void seen.push(event) })
    const stages = [
      tinyStage({ name: 'one', budget: { steps: 4 } }),
      tinyStage({ name: 'two', budget: { tokens: 700 } }),
      tinyStage({ name: 'three', budget: { steps: 1 } }),
    ]
    await using model = await tinyModel()
    await using run = await openRunFolder(path)
    const settings = tinySettings({ logEverySteps: 100, checkpoint: { everySteps: 0, keep: 0 } })
    const { checkpoint, state } = await train({
      model,
      stages,
      settings,
      run,
      events,
      modelFiles: plainModelFiles(model),
    })
    const logged = seen.filter((event) => event.type === 'gradients')
    assert.deepEqual(
      logged.map(({ stage, step }) => [stage, step]),
      [
        ['one', 1],
        ['one', 4],
        ['two', 5],
        ['two', state.step - 1],
        ['three', state.step],
      ],
    )
    const steps = seen.filter((event) => event.type === 'step')
    for (const { gradientNorms, step } of logged) {
      assert.deepEqual(Object.keys(gradientNorms), ['0', '1', '2', 'heads'])
      const total = steps.find((event) => event.step === step)?.gradNorm
      if (total !== undefined) assert.ok(Math.abs(Math.hypot(...Object.values(gradientNorms)) / total - 1) < 1e-5)
    }
    const read = await readGradientNorms(checkpoint!, state.step)
    assert.deepEqual(
      read,
      logged.map(({ type: _, ...reading }) => reading),
    )
    assert.equal((await readGradientNorms(checkpoint!, 4)).length, 2)
    assert.deepEqual(await readGradientNorms(join(folder, 'a/b/c'), 4), [])
    // A kill cuts the last line short.
    appendFileSync(join(path, 'metrics.jsonl'), '{"type":"gradients","step":1,"sta')
    assert.deepEqual(await readGradientNorms(checkpoint!, state.step), read)
  })
})

describe('the layers command', function () {
  this.timeout(60_000)
  const WORDS = 'the a man woman is riding horse hat hard river city of in , . ##s'.split(' ')
  const TEXT =
    'The man is riding a horse. A woman is in the city.\n\nThe hat of the man is hard. The river is in the city, in the city.\n'
  let folder: string
  const at = (...parts: string[]) => join(folder, ...parts)
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-layers-'))
    computeThreads(1)
    await writeModel('first', WORDS, 16)
    await writeModel('second', WORDS, 24)
    await writeModel(
      'foreign',
      WORDS.filter((word) => word !== 'horse'),
      16,
    )
    writeFileSync(at('text.txt'), TEXT)
    writeFileSync(at('signs.txt'), '\u200b\n')
    writeFileSync(at('empty.txt'), '')
    writeFileSync(at('probes.json'), JSON.stringify({ format: 1, summary: { centroid: { SentLen: 0.8 } } }))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  async function writeModel(name: string, words: string[], hiddenSize: number): Promise<void> {
    const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...words])
    const sizes = {
      vocabSize: tokenizer.vocabSize,
      layers: 2,
      hiddenSize,
      heads: 2,
      maxPositions: 16,
      initializerRange: 0.3,
    }
    const mixes = [{ name: 'all', includeEmbeddings: false, layerNorm: false, init: 'last' as const }]
    const heads = [{ kind: 'next-sentence' as const, name: 'nsp', tap: { mix: 'all' }, weight: 1 }]
    await using model = await Model.create({ encoder: encoderConfig(sizes), heads, mixes }, { device: 'cpu', seed: 3 })
    await saveModelFolder(model, at(name), { tokenizer: { save: async (path) => void (await tokenizer.save(path)) } })
  }

  const layers = (model: string, ...flags: string[]) =>
    runHere('layers', at(model), '--device', 'cpu', '--output', at('out'), ...flags)

  it('writes layers.json and layers.md, and prints the same document', async () => {
    const { code, stdout, stderr } = await layers(
      'first',
      '--data',
      `corpus=${at('text.txt')}`,
      '--against',
      at('second'),
      '--probes',
      folder,
      '--json',
    )
    assert.equal(code, 0, stderr)
    const document = JSON.parse(stdout) as LayerAnalysis & { command: string }
    assert.deepEqual(JSON.parse(readFileSync(at('out/layers.json'), 'utf8')), document)
    const { cka, against, attention, mixes, data, encoder } = document
    assert.deepEqual([document.format, encoder.layers, data.sentences], [1, 2, 4])
    assert.deepEqual([cka.names, cka.unit, cka.rows], [['0', '1', '2'], 'token', data.tokens - 2 * data.sentences])
    assert.equal(cka.matrix[1][1], 1)
    assert.deepEqual([against?.encoder.hiddenSize, against?.matrix.length, against?.columnNames.length], [24, 3, 3])
    assert.deepEqual(
      attention.map(({ layer, head }) => [layer, head]),
      [
        [1, 1],
        [1, 2],
        [2, 1],
        [2, 2],
      ],
    )
    assert.deepEqual(mixes.all.layers, [1, 2])
    assert.ok(Math.abs(mixes.all.weights[1] - 1 / (1 + Math.exp(-4))) < 1e-6)
    assert.deepEqual([document.gradientNorms, document.centroids], [[], { SentLen: 0.8 }])
    assert.ok(document.notes.some((text) => text.includes('4 sentences only, 500 were asked for')))
    assert.ok(document.notes.some((text) => text.includes('were cut at 16 tokens')) === stderr.includes('were cut'))
    const page = readFileSync(at('out/layers.md'), 'utf8')
    for (const part of [
      '## Similarity of layers',
      '## Similarity to',
      '### entropy (nats), by head',
      '## Mix all',
      '| SentLen | 0.800 |',
    ])
      assert.ok(page.includes(part), part)
  })

  it('the terminal gets a line a layer', async () => {
    const { code, stdout } = await layers(
      'first',
      '--data',
      `corpus=${at('text.txt')}`,
      '--sentences',
      '2',
      '--unit',
      'sentence',
    )
    assert.equal(code, 0)
    assert.match(stdout, /2 sentences, \d+ tokens; CKA over 2 sentences/)
    assert.match(stdout, /^uniform +\d/m)
  })

  // biome-ignore format: a table, one case a line
  const wrong: [string, () => string[], RegExp][] = [
    ['other tokens', () => ['first', '--data', `corpus=${at('text.txt')}`, '--against', at('foreign')], /^error\[BAD_ARGUMENT\]: .*text\.txt:1: .*first and .*foreign cut sentence 1 differently \(the man is riding a horse .*--unit sentence/],
    ['an empty file', () => ['first', '--data', `corpus=${at('empty.txt')}`], /^error\[BAD_FILE\]: .*empty\.txt/],
    ['text without a token', () => ['first', '--data', `corpus=${at('signs.txt')}`], /^error\[BAD_DATA\]: .*(sentence|document)/],
    ['no such file', () => ['first', '--data', 'corpus=/no/such.txt'], /^error\[NOT_FOUND\]: .*\/no\/such\.txt/],
    ['data of another name', () => ['first', '--data', 'text=a.txt'], /^error\[BAD_ARGUMENT\]: --data names text; corpus=FILE/],
    ['no data', () => ['first'], /^error\[BAD_ARGUMENT\]: --data/],
    ['no checkpoint to compare with', () => ['first', '--data', `corpus=${at('text.txt')}`, '--against', '/no/model'], /^error\[NOT_FOUND\]: .*\/no\/model/],
    ['an unknown unit', () => ['first', '--data', 'corpus=x', '--unit', 'word'], /^error\[BAD_ARGUMENT\]: .*token, sentence/],
    ['probes that are none', () => ['first', '--data', `corpus=${at('text.txt')}`, '--probes', at('text.txt')], /^error\[BAD_FILE\]: .*text\.txt is not JSON/],
  ]
  for (const [name, args, pattern] of wrong)
    it(`refuses: ${name}`, async () => {
      rmSync(at('out'), { recursive: true, force: true })
      const [model, ...flags] = args()
      const { code, stdout, stderr } = await layers(model, ...flags)
      assert.match(stderr, pattern)
      assert.deepEqual([code, stdout, existsSync(at('out'))], [2, '', false])
    })
})
