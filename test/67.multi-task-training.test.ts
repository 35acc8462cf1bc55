import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { evaluateHeads } from '../lib/evaluation/index.js'
import type { Model } from '../lib/model/index.js'
import { checkWatched } from '../lib/training/check-watched.js'
import { scoreStage } from '../lib/training/held-out.js'
import {
  createProgressLine,
  mixReadings,
  openRunFolder,
  type RunSettings,
  readMixes,
  type Stage,
  type StageScores,
  type TrainingEvent,
  TrainingEvents,
  train,
} from '../lib/training/index.js'
import { beats, namedScores, watches } from '../lib/training/watched-score.js'
import { smallModel } from './helpers/small-model.js'
import { scoredTask, TASK_HEADS, taskSource } from './helpers/tiny-tasks.js'
import { tinyModel, tinySettings, tinyStage, tinyTask, weightsOf } from './helpers/tiny-training.js'

/** Worker threads of this process. The report's own type is a plain object. */
const threadCount = () => (process.report.getReport() as { workers?: unknown[] }).workers?.length ?? 0

describe('multi-task training', function () {
  this.timeout(60_000)
  let folder: string
  let model: Model
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-tasks-'))
    model = await smallModel({}, {}, TASK_HEADS)
  })
  afterEach(async () => {
    await model.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  async function trained(stage: Partial<Stage>, settings: Partial<RunSettings> = {}, inFolder = false) {
    const seen: TrainingEvent[] = []
    const events = new TrainingEvents().addLogger({ log: (event) => void seen.push(event) })
    const run = inFolder ? await openRunFolder(join(folder, 'run')) : undefined
    try {
      const result = await train({ model, stages: [tinyStage(stage)], settings: tinySettings(settings), run, events })
      return { result, seen }
    } finally {
      await run?.close()
    }
  }
  const ofType = <T extends TrainingEvent['type']>(seen: TrainingEvent[], type: T) =>
    seen.filter((event): event is Extract<TrainingEvent, { type: T }> => event.type === type)
  const plainTask = (head: string, batches: number, seed: number) => ({
    name: head,
    heads: [head],
    source: taskSource(head, batches, seed),
  })

  describe('the data that a stage sees', () => {
    for (const accumulation of [1, 3]) {
      it(`shuffled, ${accumulation} batches a step: two epochs build each batch of each task exactly twice`, async () => {
        const tasks = [plainTask('pairs', 7, 1), plainTask('swaps', 4, 2)]
        const budget = { epochs: 2 }
        const { result, seen } = await trained({ tasks, sampler: { kind: 'shuffled' }, budget, accumulation })
        for (const { source } of tasks) {
          assert.deepEqual(
            source.built,
            [0, 1].map(() => new Array(source.batchCount(0)).fill(1)),
          )
        }
        const stepsPerEpoch = Math.ceil(7 / accumulation) + Math.ceil(4 / accumulation)
        assert.equal(result.state.step, 2 * stepsPerEpoch)
        const { pairs, swaps } = result.state.stage.tasks
        assert.deepEqual([pairs.epoch, pairs.index, swaps.epoch, swaps.index], [2, 0, 2, 0])
        const [shares] = ofType(seen, 'stage').map(({ probabilities }) => probabilities)
        assert.ok(Math.abs(shares.pairs - Math.ceil(7 / accumulation) / stepsPerEpoch) < 1e-12)
        const order = ofType(seen, 'step').map(({ task }) => task)
        assert.notDeepEqual(order.slice(0, stepsPerEpoch), order.slice(stepsPerEpoch), 'epochs differ in order')
      })
    }

    it('shuffled, of passes that grow: every batch of each pass once, whatever a step takes', async () => {
      const { source, ...task } = plainTask('pairs', 6, 1)
      const built: number[][] = [[], [], []]
      const growing = {
        batchCount: (epoch: number) => 4 + epoch,
        build(epoch: number, index: number) {
          built[epoch].push(index)
          return source.build(epoch, index)
        },
      }
      const stage = { sampler: { kind: 'shuffled' as const }, budget: { epochs: 3 }, accumulation: 3 }
      const { result } = await trained({ tasks: [{ ...task, source: growing }], ...stage })
      assert.deepEqual(built, [
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4, 5],
      ])
      assert.deepEqual([result.state.step, result.state.stage.tasks.pairs.epoch], [6, 3])
    })

    it('an epoch of any other sampler is as many batches as all tasks have together', async () => {
      const tasks = [plainTask('pairs', 7, 1), plainTask('swaps', 4, 2)]
      const { result } = await trained({ tasks, sampler: { kind: 'roundRobin' }, budget: { epochs: 2 } })
      assert.equal(result.state.step, 22)
      assert.equal(result.state.stage.tasks.swaps.steps, 11)
    })

    it('draws one task for all batches of a step', async () => {
      const tasks = [plainTask('pairs', 7, 1), plainTask('swaps', 4, 2)]
      const stage = { tasks, sampler: { kind: 'sqrt' as const }, budget: { steps: 30 }, accumulation: 3 }
      const { result, seen } = await trained(stage)
      const steps = ofType(seen, 'step')
      for (const { task, tasks: counts, losses } of steps) {
        assert.deepEqual(Object.keys(losses), [task])
        assert.deepEqual(counts, { [task]: 1 })
        // Three sequences a batch for the pairs, a first and a second segment each for the swaps.
        assert.equal(losses[task].count, task === 'pairs' ? 9 : 18)
      }
      for (const { source, name } of tasks) {
        const taken = source.built.flat().reduce((sum, count) => sum + count, 0)
        assert.equal(taken, 3 * result.state.stage.tasks[name].steps)
        assert.ok(taken > 0)
      }
    })

    it('is the same with worker threads, which all tasks share', async () => {
      const run = async (prefetchWorkers: number) => {
        const own = await tinyModel()
        const tasks = [tinyTask(), tinyTask({ name: 'text', seed: 9, heads: ['mlm'] })]
        const before = threadCount()
        const during: number[] = []
        const events = new TrainingEvents().on('step', () => void during.push(threadCount() - before))
        const stage = tinyStage({ tasks, sampler: { kind: 'roundRobin' }, budget: { steps: 6 } })
        await train({ model: own, stages: [stage], settings: tinySettings({ prefetchWorkers }), events })
        const weights = await weightsOf(own)
        await own.dispose()
        return { weights, threads: Math.max(...during) }
      }
      const [none, two] = [await run(0), await run(2)]
      assert.deepEqual([none.threads, two.threads], [0, 2])
      assert.deepEqual(two.weights, none.weights)
    })

    it('goes by examples where they are given', async () => {
      const tasks = [
        { ...plainTask('pairs', 7, 1), examples: 300 },
        { ...plainTask('swaps', 7, 2), examples: 100 },
      ]
      const { seen } = await trained({ tasks, budget: { steps: 1 } })
      assert.deepEqual(ofType(seen, 'stage')[0].probabilities, { pairs: 0.75, swaps: 0.25 })
      const unequal = [tasks[0], plainTask('swaps', 7, 2)]
      await assert.rejects(trained({ tasks: unequal }), {
        code: 'BAD_ARGUMENT',
        message: /swaps has no number of examples/,
      })
      await assert.rejects(trained({ tasks: [{ ...tasks[0], examples: 0 }] }), { code: 'BAD_ARGUMENT' })
      // Round robin reads no size.
      await trained({ tasks: unequal, sampler: { kind: 'roundRobin' }, budget: { steps: 1 } })
    })
  })

  describe('scores', () => {
    const twoTasks = () => [scoredTask('pairs', 6), scoredTask('swaps', 4)]

    it('of every split go to the event, metrics.jsonl, TensorBoard, the model card and the result', async () => {
      const stage = { tasks: twoTasks(), budget: { steps: 6 }, sampler: { kind: 'shuffled' as const } }
      const { result, seen } = await trained(stage, { evaluateEverySteps: 3 }, true)
      const evaluations = ofType(seen, 'evaluation')
      assert.deepEqual(
        evaluations.map(({ step }) => step),
        [3, 6],
      )
      const { tasks, mean, scores } = evaluations[1]
      assert.deepEqual(scores, {})
      assert.deepEqual(Object.keys(tasks), ['pairs', 'swaps'])
      assert.deepEqual(Object.keys(tasks.pairs), ['dev', 'other'])
      // Two batches of three sequences, each with one label or two.
      assert.deepEqual([tasks.pairs.dev.count, tasks.swaps.dev.count], [6, 12])
      assert.equal(mean, (tasks.pairs.dev.main + tasks.swaps.dev.main) / 2)
      assert.deepEqual(result.tasks, tasks)
      assert.deepEqual(result.stages, [
        {
          name: 'main',
          step: 6,
          endedBy: 'budget',
          scores: {},
          tasks,
          checkpoint: join(folder, 'run', 'checkpoints', 'step-6'),
          best: undefined,
        },
      ])
      const lines = readFileSync(join(folder, 'run', 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
      const logged = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'evaluation')
      assert.equal(logged[1].tasks.swaps.other.metrics.f1, tasks.swaps.other.metrics.f1)
      const board = join(folder, 'run', 'tensorboard')
      const bytes = readFileSync(join(board, readdirSync(board)[0]))
      for (const key of ['pairs/dev/accuracy', 'swaps/other/f1', 'pairs/dev/loss', 'mean']) {
        assert.ok(bytes.includes(`evaluation/${key}`), key)
      }
      const card = readFileSync(join(result.checkpoint!, 'README.md'), 'utf8')
      assert.ok(card.includes(`| pairs | dev | accuracy | ${(100 * tasks.pairs.dev.main).toFixed(2)} | 6 |`), card)
    })

    it('stand in a table below the progress line, which names the task of the step', () => {
      let text = ''
      const logger = createProgressLine({ stream: { write: (part: string) => (text += part) } })
      const split = (main: number, metrics: Record<string, number>, loss: number) => ({ main, metrics, loss, count: 9 })
      void logger.log({ type: 'stage', step: 0, stage: 's', index: 0, probabilities: { rte: 0.5, mnli: 0.5 } })
      void logger.log({
        type: 'step',
        step: 7,
        stage: 'refine',
        task: 'rte',
        tasks: { rte: 2, mnli: 5 },
        loss: 1.1,
        losses: {
          rte: { lossSum: 1, count: 2, loss: 0.5, finite: true },
          mnli: { lossSum: 3, count: 5, loss: 0.6, finite: true },
        },
        learningRate: 1e-4,
        gradNorm: 1,
        tokens: 1,
        tokensPerSecond: 1000,
        millisecondsPerStep: 10,
        dataWaitShare: 0,
        progress: 0.07,
        elapsedSeconds: 1,
        memoryBytes: 2 ** 30,
        skippedSteps: 0,
      })
      void logger.log({
        type: 'evaluation',
        step: 7,
        stage: 'refine',
        scores: {},
        tasks: {
          rte: { dev: split(0.5415, { accuracy: 0.5415 }, 0.69) },
          mrpc: { dev: split(0.849, { f1: 0.849, accuracy: 0.777 }, 0.5) },
          mnli: {
            dev: split(0.5502, { accuracy: 0.5502 }, 0.934),
            'dev-mismatched': split(0.561, { accuracy: 0.561 }, 0.9),
          },
        },
        mean: 0.6469,
        seconds: 1,
      })
      assert.equal(
        text,
        'refine  step 7  7.0 %  task rte  lr 1.00e-4  grad 1.00  1,000 tokens/s  10 ms/step  1.00 GiB  rte 0.500  mnli 0.600\n' +
          'step 7  held out\n' +
          '  rte   accuracy 54.15   loss 0.690\n' +
          '  mrpc  f1       84.90   accuracy 77.70   loss 0.500\n' +
          '  mnli  accuracy 55.02   loss 0.934   dev-mismatched 56.10\n' +
          '  mean           64.69\n',
      )
    })

    it('of two tasks that share a head stay apart', async () => {
      const [first, second] = [70, 80].map((seed) => taskSource('pairs', 2, seed))
      const task = (name: string, evaluation: typeof first) => ({ ...plainTask('pairs', 1, 1), name, evaluation })
      const stage = tinyStage({ tasks: [task('first', first), task('second', second)] })
      const found = await scoreStage(model, stage, new AbortController().signal)
      assert.deepEqual(found!.heads, {
        pairs: (await evaluateHeads(model, first)).pairs,
        'second/pairs': (await evaluateHeads(model, second)).pairs,
      })
      assert.notEqual(found!.heads.pairs.loss, found!.heads['second/pairs'].loss)
    })

    it('come every so many epochs of the stage', async () => {
      const tasks = twoTasks()
      const stage = { tasks, budget: { epochs: 3 }, sampler: { kind: 'shuffled' as const } }
      const { seen } = await trained(stage, { evaluateEveryEpochs: 0.5 })
      assert.deepEqual(
        ofType(seen, 'evaluation').map(({ step }) => step),
        [5, 10, 15, 20, 25, 30],
      )
      const often = { tasks: twoTasks(), budget: { epochs: 0.5 }, sampler: { kind: 'shuffled' as const } }
      const tenths = await trained(often, { evaluateEveryEpochs: 0.1 })
      assert.deepEqual(
        ofType(tenths.seen, 'evaluation').map(({ step }) => step),
        [1, 2, 3, 4, 5],
      )
    })

    it('name the best checkpoint: a task on a split, the mean, the sum', async () => {
      for (const [metric, of] of [
        ['swaps.other.accuracy', (e: StageScores) => e.tasks.swaps.other.main],
        ['pairs.loss', (e: StageScores) => e.tasks.pairs.dev.loss],
        ['mean', (e: StageScores) => (e.tasks.pairs.dev.main + e.tasks.swaps.dev.main) / 2],
        ['sum', (e: StageScores) => e.tasks.pairs.dev.main + e.tasks.swaps.dev.main],
      ] as const) {
        const own = await smallModel({}, {}, TASK_HEADS)
        const seen: TrainingEvent[] = []
        const settings = tinySettings({
          evaluateEverySteps: 2,
          checkpoint: { everySteps: 0, keep: 1, best: { metric, mode: 'max' } },
        })
        const stage = tinyStage({ tasks: twoTasks(), budget: { steps: 12 } })
        stage.optimizer.learningRate = 1e-2
        const events = new TrainingEvents().addLogger({ log: (event) => void seen.push(event) })
        const { state } = await train({ model: own, stages: [stage], settings, events })
        await own.dispose()
        const scores = ofType(seen, 'evaluation').map((e) => ({
          step: e.step,
          score: of({ heads: {}, tasks: e.tasks }),
        }))
        const top = scores.reduce((a, b) => (b.score > a.score ? b : a))
        assert.equal(scores.length, 6)
        assert.deepEqual(state.best, { metric, ...top }, metric)
      }
    })

    it('that a run watches but nobody tells are refused by the names that there are', async () => {
      const checkpoint = { everySteps: 0, keep: 1, best: { metric: 'pairs.matthews', mode: 'max' as const } }
      await assert.rejects(trained({ tasks: twoTasks(), budget: { steps: 1 } }, { checkpoint }), {
        code: 'BAD_ARGUMENT',
        message: /checkpoint\.best\.metric is pairs\.matthews, one of .*pairs\.accuracy, .*pairs\.other\.f1.*mean, sum/,
      })
    })

    it('are refused before the first step where the task says beforehand what it tells', () => {
      const metrics = { dev: ['accuracy', 'f1'], other: ['accuracy', 'f1'] }
      const tasks = [scoredTask('pairs', 6, { metrics }), scoredTask('swaps', 4)]
      const check = (metric: string) => () =>
        checkWatched(
          [tinyStage({ tasks })],
          { checkpoint: { everySteps: 0, keep: 1, best: { metric, mode: 'max' } } },
          model.config,
        )
      for (const metric of ['pairs.other.f1', 'pairs.loss', 'mean', 'sum', 'swaps.what.it.tells']) check(metric)()
      assert.throws(check('pairs.othr.f1'), {
        code: 'BAD_ARGUMENT',
        message: /pairs\.othr\.f1, one of .*swaps\.<split>\.<metric>.*did you mean pairs\.other\.f1\?/,
      })
      assert.throws(check('pears.accuracy'), { message: /did you mean pairs\.accuracy\?/ })
    })

    it('are watched only where they are trained; a NaN is never the best', () => {
      const [pairs, swaps] = ['pairs', 'swaps'].map((head) => tinyStage({ name: head, tasks: [plainTask(head, 1, 1)] }))
      const stages = [pairs, swaps]
      const watched = (metric: string) => stages.map((stage) => watches(stage, stages, { metric, mode: 'max' }))
      assert.deepEqual(watched('pairs.accuracy'), [true, false])
      assert.deepEqual(watched('swaps.dev.accuracy'), [false, true])
      assert.deepEqual(watched('mean'), [true, true])
      assert.deepEqual(watched('pairz.accuracy'), [true, true])
      assert.deepEqual([beats(Number.NaN, undefined, 'max'), beats(0.1, undefined, 'max')], [false, true])
      assert.deepEqual(
        [beats(0.5, 0.4, 'max', 0.2), beats(0.5, 0.4, 'max'), beats(0.5, 0.4, 'min')],
        [false, true, false],
      )
      const scores = { main: 0.25, loss: 1, count: 4, metrics: { f1: 0.25 } }
      assert.deepEqual(
        [...namedScores({ heads: {}, tasks: { a: { dev: scores }, b: { dev: { ...scores, main: 0.75 } } } })].slice(-2),
        [
          ['mean', 0.5],
          ['sum', 1],
        ],
      )
      // A task without held-out data adds nothing.
      assert.deepEqual([...namedScores({ heads: {}, tasks: { a: { dev: scores }, b: {} } })].slice(-2), [
        ['mean', 0.25],
        ['sum', 0.25],
      ])
    })
  })

  it("refuses a later stage's sampler before the first stage is trained", async () => {
    const stages = [
      tinyStage({ name: 'both', tasks: [plainTask('pairs', 2, 1), plainTask('swaps', 2, 2)] }),
      tinyStage({
        name: 'one',
        tasks: [plainTask('pairs', 2, 1)],
        sampler: { kind: 'weights', weights: { swaps: 1 } },
      }),
    ]
    const seen: TrainingEvent[] = []
    const events = new TrainingEvents().addLogger({ log: (event) => void seen.push(event) })
    await assert.rejects(train({ model, stages, settings: tinySettings(), events }), {
      code: 'BAD_RECIPE',
      message: /sampler\.weights\.swaps: there is no such task; the tasks are pairs/,
    })
    assert.deepEqual(seen, [])
  })

  describe('early stopping', () => {
    const settings = {
      evaluateEverySteps: 2,
      earlyStopping: { metric: 'mean', mode: 'max' as const, patience: 3, minDelta: 10 },
    }

    it('ends the stage after so many evaluations that were not better', async () => {
      const tasks = [scoredTask('pairs', 6), scoredTask('swaps', 4)]
      const { result, seen } = await trained({ tasks, budget: { steps: 40 } }, settings)
      // The first evaluation sets the mark, three more do not beat it by 10.
      assert.equal(result.state.step, 8)
      assert.equal(result.status, 'completed')
      assert.equal(result.stages[0].endedBy, 'earlyStopping')
      const [end] = ofType(seen, 'stageEnd')
      assert.equal(end.endedBy, 'earlyStopping')
      assert.match(end.reason, /^mean \(best: 0\.\d+\) did not get better in 3 evaluations$/)
    })

    it('starts to count anew after a better score', async () => {
      // A real loss that falls in every evaluation: the training batches themselves, learned by heart.
      const task = scoredTask('pairs', 2)
      const source = taskSource('pairs', 2, 1)
      const fits = { ...task, source, score: undefined, evaluation: source }
      const stage = {
        tasks: [fits],
        budget: { steps: 30 },
        schedule: { kind: 'constant' as const, warmup: 0, finalFactor: 1 },
      }
      const watch = { metric: 'pairs.loss', mode: 'min' as const, patience: 1 }
      const { result } = await trained(stage, { evaluateEverySteps: 10, earlyStopping: watch })
      assert.equal(result.stages[0].endedBy, 'budget')
      assert.deepEqual(result.state.stage.patience?.misses, 0)
      assert.equal(result.state.stage.patience?.score, result.scores.pairs.loss)
    })

    it('refuses settings without sense', async () => {
      for (const [part, message] of [
        [{ patience: 0 }, /patience is 0/],
        [{ minDelta: -1 }, /minDelta is -1/],
      ] as const) {
        const earlyStopping = { ...settings.earlyStopping, ...part }
        await assert.rejects(trained({}, { ...settings, earlyStopping }), { code: 'BAD_ARGUMENT', message })
      }
      await assert.rejects(trained({}, { ...settings, evaluateEverySteps: 0 }), {
        code: 'BAD_ARGUMENT',
        message: /earlyStopping is set without evaluations on the way/,
      })
    })
  })

  describe('layer mixes', () => {
    it('are read as shares of the layers and a scale', async () => {
      const tensors = {
        'mixes.a.weights': Float32Array.of(0, Math.log(3)),
        'mixes.a.gamma': Float32Array.of(1.5),
        'mixes.b.weights': Float64Array.of(1000, 1000, 1000, 1000),
        'mixes.b.gamma': Float64Array.of(-1),
      }
      const readings = mixReadings([{ name: 'a' }, { name: 'b' }], tensors)
      assert.equal(readings.a.gamma, 1.5)
      for (const [i, weight] of [0.25, 0.75].entries()) assert.ok(Math.abs(readings.a.weights[i] - weight) < 1e-7)
      assert.deepEqual(readings.b, { weights: [0.25, 0.25, 0.25, 0.25], gamma: -1 })
      assert.equal(await readMixes(model), undefined)
    })
  })
})
