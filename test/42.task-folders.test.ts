/** Folders with task heads: our own, those of transformers' task classes, and adapters. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { packSequences } from '../lib/data/packed-batch.js'
import { StrataError } from '../lib/errors.js'
import { headScores } from '../lib/inference/head-scores.js'
import { type EncoderConfig, encoderConfig, type HeadConfig, type MixConfig } from '../lib/model/config.js'
import {
  computeThreads,
  loadModel,
  Model,
  readModelFolder,
  type SavedTask,
  saveModelFolder,
} from '../lib/model/index.js'
import { readFloatTensor } from '../lib/model/read-tensor.js'
import { writeFormula } from './golden/golden.js'
import { pythonPeer, sharedData } from './golden/peers.js'
import { PythonScripts } from './golden/python-scripts.js'

const ENCODER: EncoderConfig = encoderConfig({
  vocabSize: 30,
  layers: 3,
  hiddenSize: 32,
  heads: 4,
  intermediateSize: 56,
  maxPositions: 16,
})

/** Every parameter away from its initial value: no bias at 0, no LayerNorm weight at 1. */
async function newModel(heads: HeadConfig[]): Promise<Model> {
  const model = await Model.create({ encoder: ENCODER, heads }, { device: 'cpu', seed: 3 })
  await writeFormula(model, () => true)
  return model
}

async function rejects(work: Promise<unknown>, code: string, ...words: string[]): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof StrataError, String(error))
    assert.equal(error.code, code, error.message)
    for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" names ${word}`)
    return true
  })
}

function worstDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length)
  return Array.from(expected).reduce((worst, value, index) => Math.max(worst, Math.abs(value - actual[index])), 0)
}

const classifier = (name: string, more: object = {}): HeadConfig =>
  ({
    kind: 'classifier',
    name,
    tap: { layer: 3 },
    weight: 1,
    dropout: 0.1,
    classes: 3,
    pooler: 'own',
    ...more,
  }) as HeadConfig
const saved = (name: string, more: Partial<SavedTask> = {}): SavedTask => ({
  name,
  kind: 'classification',
  head: name,
  labels: ['no', 'maybe', 'yes'],
  sequenceTokens: 32,
  metrics: ['accuracy'],
  ...more,
})

describe('task heads, mixes and tasks in model folders', function () {
  this.timeout(120_000)
  let scratch: string
  before(() => {
    scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-tasks-'))
  })
  after(() => rmSync(scratch, { recursive: true, force: true }))

  it('writes and reads every parameter, mix and task bit for bit', async () => {
    const folder = path.join(scratch, 'tasks')
    const base = { tap: { layer: 3 }, weight: 1, dropout: 0.1 }
    const heads: HeadConfig[] = [
      { kind: 'masked-lm', name: 'mlm', tap: { layer: 3 }, weight: 1 },
      classifier('pairs', { pooler: 'shared' }),
      classifier('mixed', { tap: { mix: 'all' }, pooler: 'shared' }),
      { kind: 'regressor', name: 'scale', ...base, pooler: 'none' },
      { kind: 'san', name: 'nli', ...base, classes: 3, steps: 5, predictionDropout: 0.1 },
      { kind: 'ranker', name: 'rank', ...base, pooler: 'own', poolerSize: 5 },
      { kind: 'span', name: 'squad', ...base },
      { kind: 'tagger', name: 'ner', ...base, tap: { layer: 2 }, classes: 5 },
    ]
    const mixes: MixConfig[] = [{ name: 'all', includeEmbeddings: true, layerNorm: true, init: 'last' }]
    const tasks: SavedTask[] = [
      saved('pairs', { pair: true, definition: { texts: ['a', 'b'], label: 2 } }),
      saved('nli', { pair: true, hypothesisFirst: true }),
      { ...saved('scale', { kind: 'regression', range: [0, 5], metrics: ['pearson'] }), labels: undefined },
    ].map((task) => JSON.parse(JSON.stringify(task)))
    await using model = await Model.create({ encoder: ENCODER, heads, mixes }, { device: 'cpu', seed: 3 })
    await writeFormula(model, () => true)
    await saveModelFolder(model, folder, { tasks })
    const looked = await readModelFolder(folder)
    assert.deepEqual(looked.config, { encoder: ENCODER, heads, mixes })
    assert.deepEqual(looked.tasks, tasks)
    const loaded = await loadModel(folder, { device: 'cpu', seed: 99 })
    await using again = loaded.model
    assert.deepEqual([loaded.fresh, loaded.unused, loaded.borrowed, loaded.tasks], [[], [], {}, tasks])
    assert.deepEqual(await again.readTensors('value'), await model.readTensors('value'))
    // A task's own stage: its head goes on, the others stay behind.
    const { model: next, ...one } = await loadModel(folder, { heads: [classifier('pairs')], mixes: [], device: 'cpu' })
    await using own = next
    assert.deepEqual([one.fresh, one.config.mixes, one.tasks], [[], undefined, [tasks[0]]])
    const before = await model.readTensors('value')
    const after = await own.readTensors('value')
    assert.deepEqual(after['heads.pairs.pooler.weight'], before['pooler.dense.weight'])
    // A pooler of another size begins anew with its head, and is none of a published class.
    const wider = [classifier('pairs', { poolerSize: 40 })]
    const { model: other, ...two } = await loadModel(folder, { heads: wider, mixes: [], device: 'cpu' })
    await using sized = other
    const parts = ['pooler.weight', 'pooler.bias', 'classifier.weight', 'classifier.bias']
    assert.deepEqual([two.fresh, two.borrowed], [parts.map((name) => `heads.pairs.${name}`), {}])
    const there = path.join(scratch, 'sized')
    await saveModelFolder(sized, there)
    assert.deepEqual((await readModelFolder(there)).config.heads, wider)
    const config = JSON.parse(readFileSync(path.join(there, 'config.json'), 'utf8'))
    assert.deepEqual(config.architectures, ['BertModel'])
  })

  it('refuses tasks that the heads cannot answer, in memory and in a file', async () => {
    const folder = path.join(scratch, 'wrong')
    await using model = await newModel([
      classifier('pairs'),
      { kind: 'span', name: 'span', tap: { layer: 3 }, weight: 1, dropout: 0 },
    ])
    const wrong: [SavedTask, string[]][] = [
      [saved('missing'), ['missing', 'pairs, span']],
      [saved('pairs', { labels: ['no', 'yes'] }), ['2 labels', '3 classes']],
      [saved('pairs', { kind: 'tagging' }), ['tagging', 'tagger']],
      [saved('pairs', { adapter: 'none' }), ['adapter none']],
    ]
    for (const [task, words] of wrong) {
      await rejects(saveModelFolder(model, folder, { tasks: [task] }), 'BAD_ARGUMENT', ...words)
    }
    await saveModelFolder(model, folder, { tasks: [saved('pairs')] })
    const file = path.join(folder, 'stratabert.json')
    const strata = JSON.parse(readFileSync(file, 'utf8'))
    const broken: [object, string[]][] = [
      ...wrong.map(([task, words]): [object, string[]] => [{ ...strata, tasks: [task] }, words]),
      [{ ...strata, heads: [...strata.heads, strata.heads[0]] }, ['two heads are named pairs']],
      [{ ...strata, heads: [classifier('pairs', { tap: { mix: 'none' } })], tasks: [] }, ['mix none']],
      [
        { ...strata, heads: [classifier('pairs', { pooler: 'shared', poolerSize: 8 })], tasks: [] },
        ['poolerSize', 'own'],
      ],
    ]
    for (const [json, words] of broken) {
      writeFileSync(file, JSON.stringify(json))
      await rejects(readModelFolder(folder), 'BAD_CHECKPOINT', 'stratabert.json', ...words)
    }
  })

  it('starts a classifier on minilm_l6 from its pooler', async function () {
    const folder = path.join(sharedData(), 'minilm_l6')
    if (!existsSync(folder)) this.skip()
    const heads = [classifier('mrpc', { tap: { layer: 6 }, classes: 2 })]
    const { model: loaded, fresh, borrowed } = await loadModel(folder, { heads, device: 'cpu' })
    await using model = loaded
    assert.deepEqual(fresh, ['heads.mrpc.classifier.weight', 'heads.mrpc.classifier.bias'])
    assert.deepEqual(Object.values(borrowed), ['pooler.dense.weight', 'pooler.dense.bias'])
    const stored = readFloatTensor(path.join(folder, 'model.safetensors'), 'pooler.dense.weight')
    const { 'heads.mrpc.pooler.weight': weight } = await model.readTensors('value', ['heads.mrpc.pooler.weight'])
    assert.deepEqual(Float32Array.from(weight), stored)
  })
})

interface TaskGoldens {
  tokenIds: number[][]
  segmentIds: number[][]
  logits: Record<string, (number[] | number[][])[]>
}

describe("folders of transformers' task classes", function () {
  this.timeout(180_000)
  const goldens = path.join(__dirname, 'golden/task_folders')
  const { logits, ...inputs } = JSON.parse(readFileSync(path.join(goldens, 'logits.json'), 'utf8')) as TaskGoldens
  const batch = packSequences(inputs.tokenIds)
  inputs.segmentIds.forEach((segments, sequence) => {
    batch.segmentIds.set(segments, batch.sequenceOffsets[sequence])
  })
  const python = pythonPeer()
  const scripts = python ? new PythonScripts(python) : undefined
  let scratch: string
  before(() => {
    computeThreads(1)
    scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-classes-'))
  })
  after(() => {
    scripts?.close()
    rmSync(scratch, { recursive: true, force: true })
  })

  /** What transformers computes from a folder. */
  async function opened(folder: string) {
    const input = path.join(scratch, 'inputs.json')
    const output = path.join(scratch, 'output.json')
    writeFileSync(input, JSON.stringify(inputs))
    const script = path.join(__dirname, 'golden/task_folders.py')
    await scripts!.run(script, ['--open', folder, '--input', input, '--output', output])
    return JSON.parse(readFileSync(output, 'utf8'))
  }

  const cases: [string, string, string, string[] | undefined][] = [
    ['sequence', 'classifier', 'BertForSequenceClassification', ['entailment', 'neutral', 'contradiction']],
    ['regression', 'regressor', 'BertForSequenceClassification', undefined],
    ['token', 'tagger', 'BertForTokenClassification', ['O', 'B-PER', 'I-PER', 'B-LOC']],
    ['span', 'span', 'BertForQuestionAnswering', undefined],
  ]
  for (const [name, kind, className, labels] of cases) {
    it(`a ${className} (${name}) opens with the same logits and labels, and goes back`, async () => {
      const { model: loaded, fresh, unused, tasks } = await loadModel(path.join(goldens, name), { device: 'cpu' })
      await using model = loaded
      assert.deepEqual([fresh, unused], [[], []])
      const [head] = model.config.heads
      assert.deepEqual([head.kind, head.name, tasks.length, tasks[0].labels], [kind, 'task', 1, labels])
      if (name === 'token') assert.equal((head as { dropout: number }).dropout, 0.2)
      const expected = logits[name].flat(2) as number[]
      const scores = await headScores(model, batch, head)
      assert.ok(worstDifference(scores.values, expected) <= 1e-5)
      const back = path.join(scratch, name)
      await saveModelFolder(model, back, { tasks })
      const again = await readModelFolder(back)
      assert.deepEqual([again.config.heads, again.tasks], [model.config.heads, tasks])
      rmSync(path.join(back, 'stratabert.json'))
      const elsewhere = await readModelFolder(back)
      assert.deepEqual([elsewhere.config.heads, elsewhere.tasks[0].labels], [model.config.heads, labels])
      if (!scripts) return
      const answer = await opened(back)
      assert.deepEqual([answer.class, answer.missing, answer.unexpected], [className, [], []])
      if (labels) assert.deepEqual(answer.labels, labels)
      assert.ok(worstDifference(answer.logits.flat(2), expected) <= 1e-5)
    })
  }

  it('a model that we trained opens as the class of its task', async function () {
    if (!scripts) this.skip()
    const heads: [HeadConfig, string][] = [
      [classifier('mine', { pooler: 'shared' }), 'BertForSequenceClassification'],
      [
        { kind: 'ranker', name: 'rank', tap: { layer: 3 }, weight: 1, dropout: 0, pooler: 'own' },
        'BertForMultipleChoice',
      ],
    ]
    for (const [head, className] of heads) {
      const folder = path.join(scratch, className)
      await using model = await newModel([head])
      await saveModelFolder(model, folder)
      const answer = await opened(folder)
      assert.deepEqual([answer.class, answer.missing, answer.unexpected], [className, [], []])
      const { values } = await headScores(model, batch, head)
      assert.ok(worstDifference(values, answer.logits.flat(2)) <= 1e-5)
    }
  })
})
