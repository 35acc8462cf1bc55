/**
 * Pruning (Sanh et al. 2020, arXiv 2005.07683) against an independent PyTorch script (test/golden/pruning.py), and what a pruned run
 * leaves: the same after a stop, a folder that anyone opens, and errors that say what is wrong.
 */
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path, { join } from 'node:path'
import { stream } from '../lib/data/random.js'
import { Encoder } from '../lib/inference/index.js'
import { encoderConfig, type HeadConfig, type PruningConfig } from '../lib/model/config.js'
import {
  computeThreads,
  loadModel,
  Model,
  type ModelOptions,
  Optimizer,
  PRUNING_METHODS,
  prunedWeights,
  pruningScores,
  readModelFolder,
} from '../lib/model/index.js'
import { pruningReading } from '../lib/model/pruning.js'
import { evaluateCheckpoint, mergeValues, openRecipe, runRecipe, type Values } from '../lib/recipes/index.js'
import { searchPenalty } from '../lib/recipes/penalty-search.js'
import {
  huggingFaceModelFiles,
  openRunFolder,
  type PruningSchedule,
  parameterGroups,
  plainModelFiles,
  pruningAt,
  TrainingEvents,
  train,
} from '../lib/training/index.js'
import {
  type Digest,
  digestDistance,
  digestOf,
  formulaValues,
  type GoldenBatch,
  packedBatch,
  readGoldens,
  writeFormula,
} from './golden/golden.js'
import { refuses } from './helpers/refuses.js'
import { smallBatch, VOCABULARY } from './helpers/small-model.js'
import { SMALL_DEFINITIONS, writeSmallTasks } from './helpers/small-tasks.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'
import { TINY_CONFIG, tinyModel, tinySettings, tinyStage, weightsOf } from './helpers/tiny-training.js'

interface PruningGoldens {
  encoder: Parameters<typeof encoderConfig>[0]
  head: HeadConfig
  training: {
    steps: number
    warmup: number
    learningRate: number
    beta1: number
    beta2: number
    epsilon: number
    weightDecay: number
    maxGradNorm: number
  }
  batches: GoldenBatch[]
  cases: Record<
    string,
    PruningConfig & {
      schedule: PruningSchedule
      trace: { threshold: number; penalty: number; loss: number; gradNorm: number }[]
      evaluation: number[]
      names: string[]
      density: number
      masks: string
      effective: Record<string, Digest>
      values: Record<string, Digest>
      scores: Record<string, Digest>
    }
  >
}

const METHODS = Object.keys(PRUNING_METHODS) as PruningConfig['method'][]
const NSP: HeadConfig = { name: 'nsp', kind: 'next-sentence', tap: { layer: 2 }, weight: 1 }

function prunedModel(pruning: PruningConfig | undefined, options: ModelOptions = {}): Promise<Model> {
  computeThreads(1)
  const sizes = { vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32 }
  const encoder = encoderConfig({ ...sizes, hiddenDropout: 0.1 })
  return Model.create({ encoder, heads: [NSP], pruning }, { device: 'cpu', seed: 4, ...options })
}

const batchOf = (seed = 1) => {
  const batch = smallBatch(seed)
  return { ...batch, labels: { nsp: batch.labels.nsp } }
}

describe('pruning', function () {
  this.timeout(60_000)

  describe('goldens: 50 steps of an independent PyTorch script', () => {
    const goldens = readGoldens<PruningGoldens>(path.join(__dirname, 'golden/pruning.json.gz'))
    const { training, head } = goldens
    for (const [name, golden] of Object.entries(goldens.cases))
      it(name, async () => {
        const config = { encoder: encoderConfig(goldens.encoder), heads: [head], pruning: { method: golden.method } }
        computeThreads(1)
        await using model = await Model.create(config, { device: 'cpu', precision: 'fp64' })
        await writeFormula(model, (parameter) => !parameter.startsWith('pruning.'))
        const groups = parameterGroups(
          model.parameters(),
          {
            weightDecay: training.weightDecay,
            layerDecay: 1,
            rateFactors: scoreRate(golden),
          },
          ['bert.embeddings.'],
        )
        const { beta1, beta2, epsilon } = training
        await using optimizer = await Optimizer.create(model, { kind: 'adamw', beta1, beta2, epsilon, groups })
        const batches = goldens.batches.map((batch) => packedBatch(batch, [head]))
        const stateAt = (step: number) =>
          pruningAt(golden.schedule, training.warmup, { step, progress: step / training.steps })

        for (let step = 0; step < training.steps; step++) {
          const state = stateAt(step)
          const expected = golden.trace[step]
          assert.ok(Math.abs(state.threshold - expected.threshold) <= 1e-11, `threshold of step ${step}`)
          assert.ok(Math.abs(state.penalty - expected.penalty) <= 1e-9, `penalty of step ${step}`)
          await model.setPruning(state, golden.method === 'l0' ? noiseOf(golden.names, step) : undefined)
          const { nsp } = await (await model.step(batches[step % batches.length])).read()
          assert.ok(Math.abs(nsp.loss - expected.loss) <= 1e-8, `loss of step ${step}: ${nsp.loss} ${expected.loss}`)
          const learningRate = training.learningRate * rateFactor(step, training)
          const update = await optimizer.step({ learningRate, maxGradNorm: training.maxGradNorm })
          const { gradNorm } = await update.read()
          assert.ok(Math.abs(gradNorm / expected.gradNorm - 1) <= 1e-6, `gradient of step ${step}: ${gradNorm}`)
        }
        await model.setPruning(stateAt(training.steps))

        for (const [index, batch] of batches.entries()) {
          const { lossSum, count } = (await model.evaluate(batch)).nsp
          assert.ok(Math.abs(lossSum / count - golden.evaluation[index]) <= 1e-8, `evaluation of batch ${index}`)
        }
        const reading = await model.readPruning()
        assert.ok(Math.abs(reading.density - golden.density) <= 1e-11, `density ${reading.density}`)
        assert.deepEqual(golden.names.toSorted(), prunedWeights(config.encoder).toSorted())

        const effective = await model.readTensors('effective', golden.names)
        const bits = Buffer.from(golden.masks, 'base64')
        const kept = golden.names.flatMap((weight) => [...effective[weight]].map((value) => value !== 0))
        const wrong = kept.filter((one, at) => one !== (((bits[at >> 3] >> (7 - (at & 7))) & 1) === 1))
        assert.equal(wrong.length, 0, 'masks differ')
        for (const [weight, digest] of Object.entries(golden.effective)) check(effective[weight], digest, weight)
        const values = await model.readTensors('value')
        for (const [parameter, digest] of Object.entries(golden.values)) check(values[parameter], digest, parameter)
        const scores = Object.entries(golden.scores)
        assert.equal(scores.length, pruningScores(config).length)
        for (const [weight, digest] of scores) check(values[`pruning.${weight}.scores`], digest, `scores of ${weight}`)
      })
  })

  describe('masks', () => {
    it('a model that is not pruned, and one at its beginning, compute the same bits', async () => {
      const results = []
      for (const pruning of [undefined, ...METHODS.filter((method) => method !== 'l0').map((method) => ({ method }))]) {
        await using model = await prunedModel(pruning)
        const { nsp } = await (await model.step(batchOf())).read()
        const gradients = await model.readTensors('gradient')
        const own = Object.entries(gradients).filter(([name]) => !name.startsWith('pruning.'))
        results.push({
          loss: nsp.lossSum,
          evaluation: await model.evaluate(batchOf()),
          gradients: Object.fromEntries(own),
        })
      }
      for (const result of results) assert.deepEqual(result, results[0])
    })

    for (const precision of ['bf16', 'fp32'] as const)
      it(`${precision}: a masked weight counts in no product, and what reads it later sees the zeros`, async () => {
        await using model = await prunedModel({ method: 'magnitude' }, { precision })
        await model.setPruning({ threshold: 0.3, penalty: 0 })
        const masked = await model.evaluate(batchOf())
        const effective = await model.readTensors('effective', prunedWeights(model.config.encoder))
        for (const values of Object.values(effective)) {
          const kept = values.filter((value) => value !== 0).length
          assert.equal(kept, Math.round(0.3 * values.length))
        }
        await using dense = await prunedModel(undefined, { precision })
        const own = await model.readTensors('value')
        await dense.writeTensors({ ...own, ...effective })
        assert.deepEqual(await dense.evaluate(batchOf()), masked)
        await model.setPruning({ threshold: 1, penalty: 0 })
        assert.notDeepEqual(await model.evaluate(batchOf()), masked)
      })

    it('the penalty counts once an update, however many batches it has', async () => {
      const gradients = []
      for (const batches of [1, 3]) {
        await using model = await prunedModel({ method: 'soft-movement' }, { precision: 'fp64' })
        await model.setDropout({ hidden: 0 })
        await model.setPruning({ threshold: 0.1, penalty: 50 })
        const lossDivisors = { nsp: 4 * batches }
        for (let index = 0; index < batches; index++) await model.step(batchOf(), { lossDivisors })
        gradients.push(await model.readTensors('gradient', pruningScores(model.config)))
      }
      for (const [name, values] of Object.entries(gradients[0]))
        for (let i = 0; i < values.length; i++) assert.ok(Math.abs(values[i] - gradients[1][name][i]) < 1e-12, name)
    })

    it("l0 draws from the model's own generator: the same pass again is the same, the next one is not", async () => {
      await using model = await prunedModel({ method: 'l0' })
      await model.setDropout({ hidden: 0 })
      const losses = []
      for (const counter of [0, 0, 1]) {
        model.setDropoutState({ seed: 4, counter })
        losses.push((await (await model.step(batchOf())).read()).nsp.lossSum)
      }
      assert.equal(losses[0], losses[1])
      assert.notEqual(losses[0], losses[2])
    })

    it('fp32, by a kernel of our own, chooses what plain operators choose in fp64, among equal scores too', async () => {
      const masks = []
      for (const precision of ['fp32', 'fp64'] as const) {
        await using model = await prunedModel({ method: 'movement' }, { precision })
        const names = prunedWeights(model.config.encoder)
        // Few values, of both signs and 0, so that most scores are equal; weights that are equal as well.
        const values = (name: string, count: number, levels: number) => {
          const random = stream(5, name)
          const drawn = Float64Array.from({ length: count }, () => (random.below(levels) - (levels >> 1)) / 8)
          return precision === 'fp64' ? drawn : Float32Array.from(drawn)
        }
        const sizes = new Map(model.parameters().map(({ name, shape }) => [name, shape[0] * shape[1]]))
        for (const name of names) {
          const count = sizes.get(name)!
          await model.writeTensors({
            [name]: values(name, count, 64),
            [`pruning.${name}.scores`]: values(`${name}s`, count, 5),
          })
        }
        for (const threshold of [0.001, 0.3, 0.77]) {
          await model.setPruning({ threshold, penalty: 0 })
          const effective = await model.readTensors('effective', names)
          masks.push(names.map((name) => [...effective[name]]))
        }
      }
      assert.deepEqual(masks.slice(0, 3), masks.slice(3))
    })

    for (const precision of ['fp32', 'bf16'] as const)
      it(`${precision}: the encoder without biases has the same six matrices a block`, async () => {
        const sizes = { vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32 }
        const encoder = encoderConfig({ ...sizes, kind: 'crammed', intermediateSize: 64 })
        const config = { encoder, heads: [NSP], pruning: { method: 'movement' as const } }
        await using model = await Model.create(config, { device: 'cpu', precision, seed: 4 })
        await model.setPruning({ threshold: 0.25, penalty: 0 })
        const { byLayer, density, weights } = await model.readPruning()
        assert.deepEqual([byLayer, density, weights], [{ 1: 0.25, 2: 0.25 }, 0.25, 2 * 32 * (4 * 32 + 64 + 32)])
        await model.step(batchOf())
        const gradients = await model.readTensors('gradient', [...prunedWeights(encoder), ...pruningScores(config)])
        const effective = await model.readTensors('effective', prunedWeights(encoder))
        for (const [name, values] of Object.entries(effective)) {
          assert.ok(
            gradients[name].every((value, at) => values[at] !== 0 || value === 0),
            name,
          )
          assert.ok(
            gradients[`pruning.${name}.scores`].some((value, at) => values[at] === 0 && value !== 0),
            name,
          )
        }
      })

    it('wrong numbers are refused', async () => {
      const refused = (promise: Promise<unknown>, ...parts: string[]) =>
        assert.rejects(promise, refuses('BAD_ARGUMENT', ...parts))
      await using dense = await prunedModel(undefined)
      await refused(dense.setPruning({ threshold: 1, penalty: 0 }), 'not pruned')
      await assert.rejects(
        prunedModel({ method: 'luck' as 'l0' }),
        refuses('UNSUPPORTED', "pruning.method is 'luck'; one of magnitude, movement, soft-movement, l0"),
      )
      await using model = await prunedModel({ method: 'movement' })
      await refused(model.setPruning({ threshold: 1.5, penalty: 0 }), 'threshold of pruning is 1.5; 0 to 1')
      await refused(model.setPruning({ threshold: 1, penalty: Number.NaN }), 'penalty of pruning is nan')
      await refused(model.setPruning({ threshold: 1, penalty: 0 }, { x: new Float32Array(1) }), 'draws nothing')
      await using l0 = await prunedModel({ method: 'l0' })
      await refused(l0.setPruning({ threshold: 1, penalty: 0 }, { x: new Float32Array(1) }), 'noise of x has 1')
    })
  })

  describe('the schedule', () => {
    const schedule: PruningSchedule = {
      initialThreshold: 1,
      finalThreshold: 0.2,
      penalty: 40,
      initialWarmup: 1,
      finalWarmup: 2,
      scoreLearningRate: 0.01,
    }
    const at = (step: number, warmup: number) => pruningAt(schedule, warmup, { step, progress: step / 100 })

    it('waits, falls by a cube and waits again, whether the warm-up is a share or a number of steps', () => {
      for (const warmup of [0.1, 10]) {
        assert.deepEqual(
          [0, 5, 10].map((step) => at(step, warmup).threshold),
          [1, 1, 1],
        )
        assert.deepEqual(
          [80, 90, 100].map((step) => at(step, warmup).threshold),
          [0.2, 0.2, 0.2],
        )
        assert.ok(Math.abs(at(45, warmup).threshold - (0.2 + 0.8 * 0.125)) < 1e-12)
        assert.equal(at(100, warmup).penalty, 40)
        assert.equal(at(0, warmup).penalty, 200)
      }
      assert.equal(
        pruningAt({ ...schedule, initialThreshold: 0, finalThreshold: 0.1 }, 10, { step: 0, progress: 0 }).penalty,
        0,
      )
    })
  })

  it('a reading weighs each matrix by its size; the penalty is that of the schedule times the mean', () => {
    const matrices = [
      { name: 'a', layer: 1, size: 100, kept: 50 },
      { name: 'b', layer: 1, size: 300, kept: 30 },
      { name: 'c', layer: 2, size: 600, kept: 180 },
    ]
    const state = { threshold: 0.25, penalty: 8 }
    const common = { density: 0.26, byLayer: { 1: 0.2, 2: 0.3 }, weights: 1000, nonZero: 260 }
    assert.deepEqual(pruningReading({ method: 'magnitude' }, state, { matrices, penalty: 0.5 }), {
      method: 'magnitude',
      targetDensity: 0.25,
      ...common,
    })
    assert.deepEqual(pruningReading({ method: 'soft-movement' }, state, { matrices, penalty: 0.5 }), {
      method: 'soft-movement',
      ...common,
      penalty: 4,
    })
  })

  describe('the search for a penalty', () => {
    const search = (densityOf: (penalty: number) => number, runs = 12) => {
      const tried: number[] = []
      const found = searchPenalty({
        finalDensity: 0.1,
        start: 100,
        runs,
        tolerance: 0.01,
        densityOf: async (penalty) => densityOf(penalty),
        onTrial: ({ penalty }) => void tried.push(penalty),
      })
      return found.then((one) => ({ ...one, tried }))
    }

    it('brackets the wished density from either side, then halves the way', async () => {
      for (const scale of [0.02, 1, 5000]) {
        const found = await search((penalty) => 1 / (1 + penalty / scale), 20)
        assert.ok(Math.abs(found.density - 0.1) <= 0.01, `${scale}: ${found.density}`)
        assert.equal(found.runs, found.tried.length)
      }
      assert.deepEqual((await search((penalty) => (penalty > 300 ? 0.05 : 0.1))).tried, [100])
      assert.deepEqual((await search((penalty) => (penalty > 300 ? 0.1 : 0.5))).tried, [100, 400])
    })

    it('tells the nearest when no run comes near', async () => {
      const found = await search((penalty) => (penalty < 150 ? 0.9 : 0.01), 5)
      assert.equal(found.density, 0.01)
      assert.equal(found.runs, 5)
    })
  })

  describe('a run', () => {
    let folder: string
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'stratabert-pruning-'))
    })
    after(() => rmSync(folder, { recursive: true, force: true }))

    async function part(
      name: string,
      method: PruningConfig['method'],
      options: { stopAfter?: number; plain?: boolean } = {},
    ) {
      const model = await tinyModel({ ...TINY_CONFIG, pruning: { method } })
      const { threshold, hasPenalty } = PRUNING_METHODS[method]
      const [from, to] = threshold === 'density' ? [1, 0.2] : threshold === 'score' ? [0, 0.5] : [1, 1]
      const pruning = {
        initialThreshold: from,
        finalThreshold: to,
        penalty: hasPenalty ? 10 : 0,
        initialWarmup: 1,
        finalWarmup: 1,
      }
      const controller = new AbortController()
      const events = new TrainingEvents().on('step', ({ step }) => {
        if (step === options.stopAfter) controller.abort()
      })
      await using run = await openRunFolder(join(folder, name), { resume: true })
      const result = await train({
        model,
        stages: [tinyStage({ pruning: { ...pruning, scoreLearningRate: 0.1 }, freeze: ['bert.embeddings.'] })],
        settings: tinySettings({ evaluateEverySteps: 4 }),
        run,
        events,
        signal: controller.signal,
        modelFiles: options.plain ? plainModelFiles(model) : huggingFaceModelFiles(model),
      })
      const weights = await weightsOf(model)
      await model.dispose()
      const lines = readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      const curve = lines
        .filter(({ type }) => type === 'step' || type === 'evaluation')
        .map(({ step, loss, gradNorm, scores, pruning }) => ({ step, loss, gradNorm, scores, pruning }))
      return { result, weights, curve }
    }

    for (const [method, plain] of [
      ['movement', false],
      ['l0', false],
      ['soft-movement', true],
    ] as const)
      it(`${method}: stopped and resumed equals all at once, bit for bit`, async () => {
        const whole = await part(`${method}-whole`, method, { plain })
        assert.equal(whole.result.status, 'completed')
        const embeddings = Object.keys(whole.weights).filter((name) => name.startsWith('bert.embeddings.'))
        await using fresh = await tinyModel({ ...TINY_CONFIG, pruning: { method } })
        const before = await weightsOf(fresh)
        for (const name of embeddings) assert.deepEqual(whole.weights[name], before[name])
        const first = await part(`${method}-cut`, method, { plain, stopAfter: 7 })
        assert.equal(first.result.status, 'interrupted')
        const second = await part(`${method}-cut`, method, { plain })
        assert.deepEqual(second.weights, whole.weights)
        assert.deepEqual(second.curve, whole.curve)
        assert.deepEqual(second.result.pruning, whole.result.pruning)
        const again = await part(`${method}-cut`, method, { plain })
        assert.deepEqual(again.result.pruning, whole.result.pruning)
        if (method === 'movement') assert.ok(Math.abs(whole.result.pruning!.density - 0.2) < 1e-3)
      })
  })

  describe('recipes', () => {
    let folder: string
    let init: string
    let cacheDirectory: string
    let mood: string
    const fineTune = (more: Values, name = 'fine-tune') =>
      openRecipe(name, {
        overlay: mergeValues(
          {
            init,
            device: 'cpu',
            precision: 'fp32',
            seed: 3,
            threads: 1,
            prefetchWorkers: 0,
            data: { mood },
            tasks: { mood: SMALL_DEFINITIONS.mood },
            batch: { sequences: 16, sequenceTokens: 32 },
            optimizer: { learningRate: 2e-3 },
            budget: { steps: 40 },
            evaluation: { everyEpochs: 0, everySteps: 0 },
          },
          more,
        ),
      })

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'stratabert-pruning-'))
      cacheDirectory = join(folder, 'cache')
      mood = writeSmallTasks(folder).mood
      const corpus = join(folder, 'text.txt')
      writeSmallCorpus(corpus)
      const pretrain = await openRecipe('bert-pretrain', { overlay: tinyValues(corpus) })
      init = (await runRecipe(pretrain, { output: join(folder, 'init'), cacheDirectory })).checkpoint!
    })
    after(() => rmSync(folder, { recursive: true, force: true }))

    for (const recipe of ['fine-tune', 'bermo'])
      it(`${recipe} by movement to a fifth: the folder has the zeros, says so, and scores as the run did`, async () => {
        const output = join(folder, recipe)
        const pruned = await fineTune({ pruning: { method: 'movement', finalDensity: 0.2 } }, recipe)
        const result = await runRecipe(pruned, { output, cacheDirectory })
        const steps = readFileSync(join(output, 'metrics.jsonl'), 'utf8')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
          .filter(({ type }) => type === 'step')
        assert.equal(steps[0].pruning.targetDensity < 1, true)
        assert.deepEqual(Object.keys(steps.at(-1).pruning.byLayer), ['1', '2'])
        assert.equal(steps.at(-1).pruning.targetDensity, 0.2)
        assert.ok(Math.abs(steps.at(-1).pruning.density - 0.2) < 2e-3)

        const { config, strata } = await readModelFolder(result.checkpoint!)
        assert.equal(config.pruning, undefined)
        await using loaded = (await loadModel(result.checkpoint!, { device: 'cpu' })).model
        const values = Object.values(await loaded.readTensors('value', prunedWeights(config.encoder)))
        const sizes = values.reduce((sum, { length }) => sum + length, 0)
        const zeros = values.reduce((sum, one) => sum + one.filter((value) => value === 0).length, 0)
        assert.ok(Math.abs(1 - zeros / sizes - 0.2) < 2e-3)
        assert.equal(strata!.pruned!.method, 'movement')
        assert.equal(strata!.pruned!.parameters - strata!.pruned!.nonZeroParameters, zeros)
        assert.match(readFileSync(join(result.checkpoint!, 'README.md'), 'utf8'), /Pruned by movement: 20\.\d\d % /)
        assert.ok(loaded.parameters().every(({ name }) => !name.startsWith('pruning.')))
        assert.ok(existsSync(join(result.checkpoint!, 'pruning.safetensors')))

        const report = await evaluateCheckpoint(output, { device: 'cpu', precision: 'fp32' })
        const { dev } = result.tasks.mood
        assert.equal(report.tasks[0].metrics.accuracy, dev.metrics.accuracy)
        assert.ok(Math.abs(report.tasks[0].loss - dev.loss) < 1e-6, `${report.tasks[0].loss} ${dev.loss}`)
        await using encoder = await Encoder.load(result.checkpoint!, { device: 'cpu' })
        const answers = await encoder.classify(['the music of the river'])
        assert.equal(answers.length, 1)
        // A copy without the unmasked weights, and without the list of files that names them, answers the same.
        const copy = join(folder, 'pruned-copy')
        cpSync(result.checkpoint!, copy, { recursive: true })
        rmSync(join(copy, 'pruning.safetensors'))
        await assert.rejects(Encoder.load(copy, { device: 'cpu' }), {
          code: 'BAD_CHECKPOINT',
          message: /pruning\.safetensors is missing/,
        })
        rmSync(join(copy, 'manifest.json'))
        await using plain = await Encoder.load(copy, { device: 'cpu' })
        assert.deepEqual(await plain.classify(['the music of the river']), answers)
      })

    it('mt-dnn prunes while it refines, and stays there while it tunes each task', async () => {
      const stages = [
        { name: 'refine', budget: { steps: 20 } },
        { name: 'finetune', eachTask: true, startFrom: 'refine', budget: { steps: 4 } },
      ]
      const values = {
        pruning: { method: 'magnitude', finalDensity: 0.3 },
        budget: null,
        stages,
        log: { everySteps: 1 },
      }
      const output = join(folder, 'mt-dnn')
      const result = await runRecipe(await fineTune(values, 'mt-dnn'), { output, cacheDirectory })
      const targets = readFileSync(join(output, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ type }) => type === 'step')
        .map(({ pruning }) => pruning.targetDensity)
      assert.deepEqual(targets.slice(-5), [0.3, 0.3, 0.3, 0.3, 0.3])
      assert.ok(Math.abs(result.pruning!.density - 0.3) < 2e-3)
    })

    it('soft movement to a density: the penalty is found, written down and kept by a resumed run', async () => {
      const values = (steps: number) =>
        fineTune({
          pruning: {
            method: 'soft-movement',
            finalDensity: 0.4,
            scoreLearningRate: 0.3,
            search: { share: 0.5, runs: 6 },
          },
          budget: { steps },
        })
      const output = join(folder, 'soft')
      const result = await runRecipe(await values(20), { output, cacheDirectory })
      assert.match(
        result.notes.join(),
        /pruning.penalty \S+ leaves \S+ % of the weights in the nearest of \d runs? of 0.5/,
      )
      const { pruning } = JSON.parse(readFileSync(join(output, 'recipe.resolved.json'), 'utf8'))
      assert.ok(pruning.penalty > 0 && result.pruning!.density < 1)
      const longer = await runRecipe(await values(22), { output, cacheDirectory, resume: true })
      assert.equal(longer.state.step, 22)
      assert.doesNotMatch(longer.notes.join(), /nearest/)
    })

    it('what cannot be is refused, with key, value and what was expected', async () => {
      const refused = (more: Values, message: RegExp, name?: string) =>
        assert.rejects(fineTune(more, name), { code: 'BAD_RECIPE', message })
      await refused(
        { pruning: { method: 'moving', finalDensity: 0.1 } },
        /pruning.method: came "moving".*one of magnitude, movement/,
      )
      for (const finalDensity of [0, 1.5, -1])
        await refused(
          { pruning: { method: 'movement', finalDensity } },
          /pruning.finalDensity: came .*expected a number/,
        )
      await refused({ pruning: { method: 'movement' } }, /pruning.finalDensity: is missing/)
      await refused({ pruning: { method: 'magnitude', finalDensity: 0.1, penalty: 3 } }, /pruning.penalty: unknown key/)
      await refused(
        { pruning: { method: 'movement', finalDensity: 0.5, initialDensity: 0.2 } },
        /pruning.initialDensity: came 0.2, expected at least/,
      )
      await refused(
        { pruning: { method: 'movement', finalDensity: 0.5, finalWarmup: 9 } },
        /pruning.initialWarmup \+ pruning.finalWarmup: is \(1 \+ 9\) × schedule.warmup = 1 of the budget, expected less than 1/,
      )
      await refused(
        { train: 'adapters', pruning: { method: 'movement', finalDensity: 0.5 } },
        /train: came "adapters"/,
        'pals',
      )
      await assert.rejects(
        openRecipe('bert-pretrain', {
          overlay: { data: { corpus: join(folder, 'text.txt') }, pruning: { method: 'movement', finalDensity: 0.5 } },
        }),
        {
          code: 'BAD_RECIPE',
          message: /pruning: prunes while labelled tasks are trained, but the recipe trains mlm, nsp on text/,
        },
      )
    })
  })
})

function check(values: Float32Array | Float64Array, expected: Digest, what: string): void {
  const distance = digestDistance(digestOf(values, expected.shape), expected)
  assert.ok(distance <= 1e-5 * Math.max(1, expected.norm), `${what}: ${distance}`)
}

function scoreRate(golden: PruningGoldens['cases'][string]): Record<string, number> {
  return PRUNING_METHODS[golden.method].hasScores ? { 'pruning.': golden.schedule.scoreLearningRate / 2e-3 } : {}
}

function noiseOf(names: readonly string[], step: number): Record<string, Float64Array> {
  const size = (name: string) => (/intermediate|layer\.\d+\.output/.test(name) ? 512 : 256)
  return Object.fromEntries(
    names.map((name) => [name, formulaValues(`${name} ${step}`, size(name)).map((value) => 0.5 + 4 * value)]),
  )
}

function rateFactor(step: number, { warmup, steps }: PruningGoldens['training']): number {
  return step < warmup ? step / warmup : (steps - step) / (steps - warmup)
}
