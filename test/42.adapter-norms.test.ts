/** LayerNorms of adapters' own: computed as the encoder's would be, trained beside a base that stays, taken along to another folder. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packSequences } from '../lib/data/packed-batch.js'
import {
  type AdapterConfig,
  addAdapter,
  computeThreads,
  ENCODER_NORM,
  type EncoderConfig,
  encoderConfig,
  extractAdapter,
  type HeadConfig,
  loadModel,
  Model,
  mergeAdapter,
  modelParameterShapes,
  readModelFolder,
  saveModelFolder,
} from '../lib/model/index.js'
import {
  evaluateCheckpoint,
  mergeValues,
  openRecipe,
  type RunResult,
  runRecipe,
  type Values,
} from '../lib/recipes/index.js'
import { formulaValues, writeFormula } from './golden/golden.js'
import { runHere } from './helpers/cli-here.js'
import { SMALL_DEFINITIONS, type SmallTasks, writeSmallTasks } from './helpers/small-tasks.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

const ENCODER = encoderConfig({ vocabSize: 30, layers: 2, hiddenSize: 16, heads: 2, intermediateSize: 24 })
const HEAD: HeadConfig = {
  kind: 'classifier',
  name: 'rte',
  classes: 2,
  pooler: 'own',
  tap: { layer: 2 },
  weight: 1,
  dropout: 0,
}
const BATCH = packSequences([
  [2, 17, 24, 9, 3, 8, 5, 3],
  [2, 26, 3],
])
const normsOf = (encoder: EncoderConfig): string[] =>
  Object.keys(modelParameterShapes({ encoder, heads: [] })).filter((name) => ENCODER_NORM.test(name))
const own = (norm: string): string => norm.replace('bert.', 'adapters.rte.norms.')

/** Kinds of adapters with their numbers. */
const KINDS: Omit<AdapterConfig, 'name'>[] = [
  { kind: 'pal', size: 8, heads: 2 },
  { kind: 'low-rank', size: 4 },
  { kind: 'houlsby', size: 4 },
  { kind: 'lhuc' },
  { kind: 'top-attention', size: 8, heads: 2, blocks: 1 },
  { kind: 'top-layer', heads: 2 },
  { kind: 'lora', size: 3, alpha: 6 },
]

const labelled = (adapter?: string) => ({
  ...BATCH,
  labels: { rte: { labels: Int32Array.of(1, 0) } },
  ...(adapter && { adapter }),
})

/** A model by formula whose LayerNorms, the encoder's or the adapter's own, are drawn from the encoder's names. */
async function modelWith(adapter: AdapterConfig, encoder = ENCODER): Promise<Model> {
  const model = await Model.create({ encoder, heads: [HEAD], adapters: [adapter] }, { device: 'cpu', seed: 3 })
  const place = adapter.layerNorms ? own : (norm: string) => norm
  const norms = new Map(normsOf(encoder).map((norm) => [place(norm), norm]))
  await writeFormula(model, (name) => !ENCODER_NORM.test(name) && !norms.has(name))
  const values = [...norms].map(([name, norm]) => [name, Float32Array.from(formulaValues(norm, ENCODER.hiddenSize))])
  await model.writeTensors(Object.fromEntries(values))
  return model
}

async function logits(model: Model, adapter?: string): Promise<number[]> {
  return Array.from((await model.headLogits(labelled(adapter), 'rte')).values)
}

describe('LayerNorms of adapters', function () {
  this.timeout(120_000)
  let folder: string
  const at = (name: string): string => join(folder, name)
  before(() => {
    computeThreads(1)
    folder = mkdtempSync(join(tmpdir(), 'stratabert-norms-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  const encoders = { bert: ENCODER, crammed: { ...ENCODER, kind: 'crammed' as const, intermediateSize: 32 } }
  const cases = Object.values(encoders).flatMap((encoder) => KINDS.map((config) => ({ encoder, config })))
  for (const { encoder, config } of cases) {
    it(`${config.kind} in ${encoder.kind}: computes and learns with its own as with the encoder's, which stay out of it`, async () => {
      const adapter = { ...config, name: 'rte' }
      await using shared = await modelWith(adapter, encoder)
      await using apart = await modelWith({ ...adapter, layerNorms: true }, encoder)
      const names = Object.keys(modelParameterShapes(apart.config))
      assert.deepEqual(
        apart
          .parameters()
          .map(({ name }) => name)
          .sort(),
        [...names].sort(),
      )
      assert.deepEqual(await logits(apart, 'rte'), await logits(shared, 'rte'))
      assert.notDeepEqual(await logits(apart), await logits(shared))
      await shared.step(labelled('rte'))
      await apart.step(labelled('rte'))
      const expected = await shared.readTensors('gradient')
      const actual = await apart.readTensors('gradient')
      for (const norm of normsOf(encoder)) {
        assert.deepEqual(actual[own(norm)], expected[norm], norm)
        assert.ok(
          expected[norm].some((value) => value !== 0),
          norm,
        )
        assert.ok(!actual[norm]?.some((value) => value !== 0), norm)
      }
    })
  }

  for (const config of KINDS.filter(({ kind }) => kind === 'lora' || kind === 'lhuc')) {
    it(`${config.kind}: merged, the encoder has them`, async () => {
      await using model = await modelWith({ ...config, name: 'rte', layerNorms: true })
      const task = { name: 'rte', kind: 'classification', head: 'rte', adapter: 'rte', labels: ['no', 'yes'] } as const
      const saved = { ...task, labels: [...task.labels], sequenceTokens: 16, metrics: ['accuracy'] }
      await saveModelFolder(model, at(config.kind), { tasks: [saved] })
      await mergeAdapter(at(config.kind), 'rte', at(`${config.kind}-merged`))
      const { model: loaded } = await loadModel(at(`${config.kind}-merged`), { device: 'cpu' })
      await using merged = loaded
      assert.equal(merged.config.adapters, undefined)
      const [left, right] = [await logits(merged), await logits(model, 'rte')]
      left.forEach((value, index) => {
        assert.ok(Math.abs(value - right[index]) < 2e-6, `${left} ${right}`)
      })
    })
  }

  describe('trained on a base', () => {
    let init: string
    let files: SmallTasks
    before(async () => {
      const corpus = at('text.txt')
      writeSmallCorpus(corpus)
      files = writeSmallTasks(folder)
      const pretrain = await openRecipe('bert-pretrain', {
        overlay: mergeValues(tinyValues(corpus), { budget: { steps: 2 } }),
      })
      init = (await runRecipe(pretrain, { output: at('init'), cacheDirectory: at('cache') })).checkpoint!
    })

    async function run(name: string, tasks: Record<string, string>, more: Values = {}): Promise<RunResult> {
      const overlay = mergeValues(
        {
          init,
          device: 'cpu',
          precision: 'fp32',
          prefetchWorkers: 0,
          train: 'adapters',
          adapter: { size: 8, heads: 2 },
          data: tasks,
          tasks: 'mood' in tasks ? { mood: SMALL_DEFINITIONS.mood } : {},
          batch: { sequences: 16, sequenceTokens: 64 },
          optimizer: { learningRate: 1e-2 },
          budget: { steps: 12 },
          evaluation: { everySteps: 0 },
          checkpoint: { best: null },
        },
        more,
      )
      return runRecipe(await openRecipe('pals', { overlay }), { output: at(name), cacheDirectory: at('cache') })
    }

    const tensorsOf = async (checkpoint: string): Promise<Record<string, unknown>> => {
      const { model: loaded } = await loadModel(checkpoint, { device: 'cpu' })
      await using model = loaded
      return model.readTensors('value')
    }

    it('what a frozen run taught the shared ones goes with each adapter to the base that it began with', async () => {
      const rte = await run('rte', { rte: files.rte })
      const mood = await run('mood', { mood: files.mood }, { seed: 8 })
      const [before, after] = [await tensorsOf(init), await tensorsOf(rte.checkpoint!)]
      const moved = Object.keys(before).filter((name) => name.startsWith('bert.') && name in after)
      for (const name of moved) {
        if (ENCODER_NORM.test(name)) assert.notDeepEqual(after[name], before[name], name)
        else assert.deepEqual(after[name], before[name], name)
      }
      await extractAdapter(rte.checkpoint!, 'rte', at('rte-adapter'))
      await extractAdapter(mood.checkpoint!, 'mood', at('mood-adapter'))
      await addAdapter(init, at('rte-adapter'), at('one'))
      const added = await runHere('adapters', 'add', at('one'), '--from', at('mood-adapter'), '--output', at('two'))
      assert.equal(added.code, 0, added.stderr)
      const { config } = await readModelFolder(at('two'))
      assert.deepEqual(
        config.adapters?.map(({ name, layerNorms }) => [name, layerNorms]),
        [
          ['rte', true],
          ['mood', true],
        ],
      )
      const scores = await evaluateCheckpoint(at('two'), {
        device: 'cpu',
        precision: 'fp32',
        heads: ['rte', 'mood'],
        data: { rte: files.rte, mood: files.mood },
      })
      const [ofRte, ofMood] = scores.tasks
      assert.deepEqual([ofRte.metrics, ofRte.count], [rte.tasks.rte.dev.metrics, rte.tasks.rte.dev.count])
      assert.ok(Math.abs(ofRte.loss - rte.tasks.rte.dev.loss) < 1e-6)
      const own = await evaluateCheckpoint(mood.checkpoint!, {
        ...{ device: 'cpu', precision: 'fp32', heads: ['mood'] },
        data: { mood: files.mood },
      })
      assert.deepEqual([ofMood.metrics, ofMood.loss], [own.tasks[0].metrics, own.tasks[0].loss])
      const both = await tensorsOf(at('two'))
      for (const name of moved) assert.deepEqual(both[name], before[name], name)
    })

    it('with layerNorms the encoder stays as it was, and an adapter fits it at once', async () => {
      const both = await run('own', { rte: files.rte, mood: files.mood }, { adapter: { layerNorms: true } })
      const [before, after] = [await tensorsOf(init), await tensorsOf(both.checkpoint!)]
      for (const [name, values] of Object.entries(after)) {
        if (name.startsWith('bert.')) assert.deepEqual(values, before[name], name)
        const norm = /^adapters\.[^.]+\.norms\.(.*)$/.exec(name)
        // Each begins as the encoder's and goes its own way.
        if (norm) assert.notDeepEqual(values, before[`bert.${norm[1]}`], name)
      }
      assert.notDeepEqual(
        after['adapters.rte.norms.embeddings.LayerNorm.weight'],
        after['adapters.mood.norms.embeddings.LayerNorm.weight'],
      )
      await extractAdapter(both.checkpoint!, 'rte', at('own-rte'))
      await addAdapter(init, at('own-rte'), at('own-added'))
      const { tasks } = await evaluateCheckpoint(at('own-added'), {
        ...{ device: 'cpu', precision: 'fp32', heads: ['rte'] },
        data: { rte: files.rte },
      })
      assert.deepEqual(tasks[0].metrics, both.tasks.rte.dev.metrics)
    })

    it('refuses a base whose other weights differ', async () => {
      const all = await run('all', { rte: files.rte }, { train: 'all' })
      await extractAdapter(all.checkpoint!, 'rte', at('all-adapter'))
      await assert.rejects(addAdapter(init, at('all-adapter'), at('no')), {
        code: 'BAD_CHECKPOINT',
        message: /other encoder weights .* also without the LayerNorms/,
      })
    })
  })
})
