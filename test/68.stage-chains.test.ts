import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Model } from '../lib/model/index.js'
import {
  huggingFaceModelFiles,
  openRunFolder,
  type RunSettings,
  resolveTaskCheckpoint,
  type Stage,
  saveCheckpoint,
  type TrainingEvent,
  TrainingEvents,
  train,
  untrainedTaskWarnings,
} from '../lib/training/index.js'
import { latestBest, startStep } from '../lib/training/stage-chain.js'
import { smallModel } from './helpers/small-model.js'
import { scoredTask, TASK_HEADS } from './helpers/tiny-tasks.js'
import { tinySettings, tinyStage, weightsOf } from './helpers/tiny-training.js'

interface Part {
  stages?: () => Stage[]
  settings?: Partial<RunSettings>
  /** Abort after so many steps. */
  stopAfter?: number
  listen?: (event: TrainingEvent, model: Model) => unknown
  homeless?: boolean
}

/** Refine both tasks, then each by itself from the refined weights. */
const chain = (refine: Partial<Stage> = {}, later: Partial<Stage> = {}) => [
  tinyStage({
    name: 'refine',
    tasks: [scoredTask('pairs', 5), scoredTask('swaps', 3)],
    sampler: { kind: 'shuffled' },
    budget: { epochs: 1 },
    ...refine,
  }),
  tinyStage({
    name: 'pairs',
    tasks: [scoredTask('pairs', 5)],
    startFrom: 'refine',
    budget: { steps: 5 },
    ...later,
  }),
  tinyStage({
    name: 'swaps',
    tasks: [scoredTask('swaps', 3)],
    startFrom: 'refine',
    budget: { steps: 4 },
    ...later,
  }),
]

describe('chains of stages', function () {
  this.timeout(120_000)
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-chain-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  async function runPart(name: string, part: Part = {}) {
    const model = await smallModel({}, { hiddenDropout: 0.1, attentionDropout: 0.1 }, TASK_HEADS)
    const controller = new AbortController()
    const seen: TrainingEvent[] = []
    const events = new TrainingEvents().addLogger({
      async log(event) {
        seen.push(event)
        if (event.type === 'step' && event.step === part.stopAfter) controller.abort()
        await part.listen?.(event, model)
      },
    })
    const run = part.homeless ? undefined : await openRunFolder(join(folder, name), { resume: true })
    try {
      const result = await train({
        model,
        stages: (part.stages ?? chain)(),
        settings: tinySettings({
          evaluateEverySteps: 3,
          evaluateEveryEpochs: 0.5,
          checkpoint: { everySteps: 3, keep: 1, best: { metric: 'mean', mode: 'max' } },
          ...part.settings,
        }),
        run,
        events,
        signal: controller.signal,
        modelFiles: huggingFaceModelFiles(model),
      })
      return { result, seen, weights: await weightsOf(model), curve: run ? curve(join(run.path, 'metrics.jsonl')) : [] }
    } finally {
      await run?.close()
      await model.dispose()
    }
  }

  /** What the log says of each step and evaluation, without times. */
  function curve(path: string): unknown[] {
    return readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ type }) => ['step', 'evaluation', 'stageEnd'].includes(type))
      .map(({ type, step, stage, loss, learningRate, task, tasks, reason }) => {
        return { type, step, stage, loss, learningRate, task, tasks, reason }
      })
  }

  /** Weights at the begin and the end of each stage. */
  function stageWeights() {
    const begins: Record<string, unknown> = {}
    const ends: Record<string, unknown> = {}
    const listen = async (event: TrainingEvent, model: Model) => {
      if (event.type === 'stage') begins[event.stage] = await weightsOf(model)
      if (event.type === 'stageEnd') ends[event.stage] = await weightsOf(model)
    }
    return { begins, ends, listen }
  }
  const checkpoints = (name: string) =>
    readdirSync(join(folder, name, 'checkpoints'))
      .map((step) => Number(step.slice('step-'.length)))
      .sort((a, b) => a - b)

  it('a stage begins with the weights that the named stage ended with', async () => {
    const { begins, ends, listen } = stageWeights()
    const { result } = await runPart('run', { listen })
    assert.deepEqual(begins.pairs, ends.refine)
    assert.deepEqual(begins.swaps, ends.refine)
    assert.notDeepEqual(ends.pairs, ends.refine)
    assert.notDeepEqual(ends.swaps, ends.refine)
    assert.deepEqual(
      result.stages.map(({ name, step }) => [name, step]),
      [
        ['refine', 8],
        ['pairs', 13],
        ['swaps', 17],
      ],
    )
    assert.deepEqual(Object.keys(result.stages[0].tasks), ['pairs', 'swaps'])
    assert.deepEqual(Object.keys(result.stages[1].tasks), ['pairs'])
    assert.notDeepEqual(result.stages[1].tasks.pairs, result.stages[0].tasks.pairs)
    assert.deepEqual(result.tasks, result.stages[2].tasks)
  })

  it('without startFrom it goes on with the stage before', async () => {
    const { begins, ends, listen } = stageWeights()
    await runPart('run', { stages: () => chain({}, { startFrom: undefined }), listen })
    assert.deepEqual(begins.pairs, ends.refine)
    assert.deepEqual(begins.swaps, ends.pairs)
  })

  it('startFrom initial begins with the untouched weights, whatever the stages before have trained', async () => {
    const { begins, ends, listen } = stageWeights()
    await runPart('run', { stages: () => chain({}, { startFrom: 'initial' }), listen })
    assert.deepEqual(begins.pairs, begins.refine)
    assert.deepEqual(begins.swaps, begins.refine)
    assert.notDeepEqual(ends.pairs, begins.refine)
  })

  it('startFromBest takes the best checkpoint of the named stage', async () => {
    const { begins, ends, listen } = stageWeights()
    const at: Record<number, unknown> = {}
    const { result } = await runPart('run', {
      settings: { checkpoint: { everySteps: 0, keep: 1, best: { metric: 'pairs.loss', mode: 'min' } } },
      stages: () => chain({ budget: { epochs: 3 } }, { startFromBest: true }).slice(0, 2),
      listen: async (event, model) => {
        await listen(event, model)
        if (event.type === 'evaluation') at[event.step] = await weightsOf(model)
      },
    })
    const [{ best, step }] = result.stages
    assert.ok(best && best.step < step, 'the best is not the last')
    assert.deepEqual(begins.pairs, at[best.step])
    assert.notDeepEqual(begins.pairs, ends.refine)
  })

  describe('retention', () => {
    const best = { metric: 'mean', mode: 'max' as const }

    it('keeps what a later stage starts from, and no longer', async () => {
      const during: Record<string, number[]> = {}
      const stages = () => [
        ...chain(),
        tinyStage({ name: 'last', tasks: [scoredTask('swaps', 3)], budget: { steps: 3 } }),
      ]
      const { result } = await runPart('run', {
        stages,
        settings: { checkpoint: { everySteps: 1, keep: 1 } },
        listen: (event) => {
          if (event.type === 'stageEnd') during[event.stage] = checkpoints('run')
        },
      })
      assert.deepEqual(during, { refine: [8], pairs: [8, 13], swaps: [8, 17], last: [20] })
      assert.deepEqual(
        result.stages.map(({ checkpoint }) => checkpoint !== undefined),
        [false, false, false, true],
      )
    })

    it('keeps the initial weights while a stage may start from them', async () => {
      const during: Record<string, number[]> = {}
      const stages = () => [
        ...chain({}, { startFrom: 'initial' }),
        tinyStage({ name: 'last', tasks: [scoredTask('swaps', 3)], budget: { steps: 3 } }),
      ]
      await runPart('run', {
        stages,
        settings: { checkpoint: { everySteps: 1, keep: 1 } },
        listen: (event) => {
          if (event.type === 'stageEnd') during[event.stage] = checkpoints('run')
        },
      })
      assert.deepEqual(during, { refine: [0, 8], pairs: [0, 13], swaps: [0, 17], last: [20] })
    })

    it('the optimiser is kept on the way and at the end of the run, not at the end of a stage', async () => {
      const hasOptimizer = () =>
        Object.fromEntries(
          checkpoints('run').map((step) => {
            return [step, existsSync(join(folder, 'run', 'checkpoints', `step-${step}`, 'optimizer.safetensors'))]
          }),
        )
      const stages = () => chain({}, { startFrom: 'initial' })
      const settings = { checkpoint: { everySteps: 4, keep: 0 } }
      await runPart('run', { stages, settings, stopAfter: 8 })
      assert.deepEqual(hasOptimizer(), { 0: false, 4: true, 8: false })
      await assert.rejects(runPart('run', { stages: () => chain({ budget: { epochs: 2 } }), settings }), {
        code: 'BAD_CHECKPOINT',
        message: /^stage refine ended with .*step-8, which holds no optimiser to go on with; give the stage the budget/,
      })
      await runPart('run', { stages, settings })
      assert.deepEqual(hasOptimizer(), { 0: false, 4: true, 8: false, 12: true, 13: false, 16: true, 17: true })
    })

    it('keepStages keeps the last and the best of every stage', async () => {
      const settings = { checkpoint: { everySteps: 1, keep: 1, best, keepStages: true } }
      const { result } = await runPart('run', { settings })
      const expected = result.stages.flatMap((stage) => [stage.step, stage.best!.step])
      assert.deepEqual(
        checkpoints('run'),
        [...new Set(expected)].sort((a, b) => a - b),
      )
      for (const stage of result.stages) assert.ok(existsSync(stage.checkpoint!) && existsSync(stage.best!.checkpoint!))
    })
  })

  it('a stage begins with the best of another only where it asks for it; the last best of all is the latest', () => {
    const best = (step: number) => ({ metric: 'mean', score: 0.5, step })
    const stage = (name: string, step: number, more: object) => {
      return { name, step, endedBy: 'budget' as const, scores: { heads: {}, tasks: {} }, ...more }
    }
    const finished = [stage('refine', 8, { best: best(4) }), stage('pairs', 13, { best: best(12) }), stage('x', 15, {})]
    for (const [startFromBest, step] of [
      [false, 8],
      [true, 4],
    ] as const) {
      assert.equal(startStep(chain({}, { startFromBest }), 1, finished)!.step, step)
    }
    assert.equal(latestBest({ finished })!.step, 12)
    assert.equal(latestBest({ finished, best: best(17) })!.step, 17)
  })

  it('each stage has a best of its own, though the one before was better', async () => {
    const scores = (main: number) => async () => ({ dev: { main, loss: 1, count: 1, metrics: { accuracy: main } } })
    const stages = () =>
      [0.9, 0.5].map((main, index) =>
        tinyStage({
          name: `s${index}`,
          tasks: [scoredTask('pairs', 3, { score: scores(main) })],
          budget: { steps: 1 },
        }),
      )
    const { result } = await runPart('run', { stages })
    assert.deepEqual(
      result.stages.map(({ best }) => [best?.score, best?.step]),
      [
        [0.9, 1],
        [0.5, 2],
      ],
    )
  })

  describe("a task's own checkpoint", () => {
    const own = async (task: string) => {
      const { step, warnings } = await resolveTaskCheckpoint(join(folder, 'run'), task)
      return [step, warnings.join()] as const
    }
    const at = (step: number) => join(folder, 'run', 'checkpoints', `step-${step}`)
    /** Scored and saved at the ends of stages alone, which is quick. */
    const ends = (keepStages: boolean) => ({
      evaluateEverySteps: 0,
      evaluateEveryEpochs: 0,
      checkpoint: { everySteps: 0, keep: 1, keepStages },
    })

    it('is the newest of the last stage that has trained it, by the name of the task or a head', async () => {
      const named = (head: 'pairs' | 'swaps') => scoredTask(head, 3, { name: `task-${head}` })
      const stages = () => [
        tinyStage({ name: 'refine', tasks: [named('pairs'), named('swaps')], budget: { steps: 4 } }),
        tinyStage({ name: 'pairs', tasks: [named('pairs')], startFrom: 'initial', budget: { steps: 3 } }),
      ]
      await runPart('run', { stages, settings: ends(true) })
      for (const [name, step] of [
        ['task-pairs', 7],
        ['pairs', 7],
        ['task-swaps', 4],
        ['swaps', 4],
        ['nobody', 7],
      ] as const) {
        assert.deepEqual(await own(name), [step, ''], name)
      }
      assert.equal((await resolveTaskCheckpoint(at(7), 'swaps')).step, 7)
      assert.deepEqual(await untrainedTaskWarnings(at(4), ['pairs', 'swaps']), [])
      assert.match(
        (await untrainedTaskWarnings(at(7), ['pairs', 'task-swaps'])).join(),
        /train task-swaps \(stage refine/,
      )
    })

    it('while a run goes on is that of the stages that have come', async () => {
      await runPart('run', { settings: ends(false), stopAfter: 11 })
      assert.deepEqual(
        [await own('pairs'), await own('swaps')],
        [
          [11, ''],
          [8, ''],
        ],
      )
      await runPart('begun', { stages: () => chain({}, { startFrom: 'initial' }), settings: ends(false), stopAfter: 2 })
      const initial = join(folder, 'begun', 'checkpoints', 'step-0')
      assert.match(
        (await untrainedTaskWarnings(initial, ['swaps'])).join(),
        /was written before stage refine trained swaps:/,
      )
    })

    it('that is no longer kept gives way to the one before it that trained the task, else to the newest, and this is told', async () => {
      await runPart('run', { settings: ends(false) })
      assert.deepEqual(checkpoints('run'), [8, 17])
      const [step, warning] = await own('pairs')
      assert.equal(step, 8)
      assert.match(
        warning,
        /step-13 of .*run, with which stage pairs ended the training of pairs, is gone .*: step-8 is taken/,
      )
      assert.deepEqual(await own('swaps'), [17, ''])
      rmSync(at(8), { recursive: true })
      assert.match((await own('pairs')).join(), /^17,.*step-13 .*: step-17 is taken/)
    })

    it('is never one of a stage that did not train it', async () => {
      const scores = { heads: {}, tasks: {} }
      const trained = ['pairs', 'swaps', 'pairs', 'swaps']
      const state = {
        ...{ formatVersion: 1, seed: 1, step: 16, tokens: 1, elapsedSeconds: 1, dropout: { seed: 1, counter: 1 } },
        ...{ skippedSteps: 0, rollbacks: 0 },
        stage: { index: 3, name: 's3', step: 4, tokens: 1, elapsedSeconds: 1, draws: 4, tasks: {} },
        finished: [0, 1, 2].map((index) => ({ name: `s${index}`, step: 4 * index + 4, endedBy: 'budget', scores })),
        stages: trained.map((task, index) => ({ name: `s${index}`, tasks: { [task]: [task] } })),
      }
      // The checkpoint of step 12, with which pairs ended, is gone.
      for (const step of [4, 8, 16]) {
        const write = async (place: string) => writeFileSync(join(place, 'training-state.json'), JSON.stringify(state))
        await saveCheckpoint({ runPath: join(folder, 'run'), step, write, keep: 0 })
      }
      assert.equal((await own('pairs'))[0], 4)
    })

    it('that is damaged is told, too', async () => {
      await runPart('run', { settings: ends(true) })
      writeFileSync(join(at(13), 'model.safetensors'), 'short')
      const [step, warning] = await own('pairs')
      assert.equal(step, 8)
      assert.match(warning, /step-13 is not whole \(model\.safetensors has 5 bytes.*step-8 is taken/)
    })

    it('is found by the scores where a state does not say what the stages train', async () => {
      await runPart('run', { settings: ends(true) })
      const before = join(folder, 'before')
      cpSync(at(17), before, { recursive: true })
      rmSync(join(before, 'manifest.json'))
      const { stages, ...old } = JSON.parse(readFileSync(join(before, 'training-state.json'), 'utf8'))
      assert.deepEqual(stages[0], { name: 'refine', tasks: { pairs: ['pairs'], swaps: ['swaps'] } })
      writeFileSync(join(before, 'training-state.json'), JSON.stringify(old))
      const write = async (path: string) => cpSync(before, path, { recursive: true })
      await saveCheckpoint({ runPath: join(folder, 'run'), step: 17, keep: 0, write })
      assert.deepEqual(
        [await own('pairs'), await own('swaps')],
        [
          [13, ''],
          [17, ''],
        ],
      )
    })
  })

  describe('resumed, it is bit for bit the run that never stopped', () => {
    const tasks = () => [scoredTask('pairs', 5), scoredTask('swaps', 3)]
    const cases: [string, () => Stage[], number[]][] = [
      ['shuffled', () => chain({ budget: { epochs: 2 } }), [5, 8, 17, 22]],
      ['shuffled, two batches a step', () => chain({ accumulation: 2, budget: { epochs: 2 } }), [3, 7, 10]],
      ['annealed', () => chain({ sampler: { kind: 'annealed', epochs: 4 }, budget: { steps: 12 } }), [7, 12, 20]],
      ['from the initial weights', () => chain({}, { startFrom: 'initial' }), [2, 8, 15]],
      ['from the best', () => chain({ budget: { epochs: 2 } }, { startFromBest: true }), [7, 16, 18]],
      [
        'three multi-task stages in a row',
        () =>
          ['a', 'b', 'c'].map((name) =>
            tinyStage({ name, tasks: tasks(), sampler: { kind: 'sqrt' }, budget: { steps: 5 } }),
          ),
        [4, 5, 13],
      ],
    ]
    for (const [what, stages, stops] of cases) {
      it(`${what}: stopped after ${stops.join(', ')} steps`, async () => {
        const whole = await runPart('whole', { stages })
        assert.equal(whole.result.status, 'completed')
        const outcome = ({ result }: typeof whole) =>
          result.stages.map(({ name, step, endedBy, tasks, best }) => ({
            name,
            step,
            endedBy,
            tasks,
            best: best?.step,
          }))
        for (const stopAfter of stops) {
          const name = `cut-${stopAfter}`
          const first = await runPart(name, { stages, stopAfter })
          assert.equal(first.result.status, 'interrupted')
          assert.equal(first.result.state.step, stopAfter)
          const second = await runPart(name, { stages })
          assert.equal(second.result.status, 'completed')
          assert.deepEqual(second.weights, whole.weights, `weights after ${stopAfter} steps`)
          assert.deepEqual(second.curve, whole.curve)
          assert.deepEqual(outcome(second), outcome(whole))
          rmSync(join(folder, name), { recursive: true })
        }
      })
    }

    it('stopped twice in every stage', async () => {
      const whole = await runPart('whole')
      for (const stopAfter of [3, 6, 9, 12, 14, 16]) {
        assert.equal((await runPart('cut', { stopAfter })).result.status, 'interrupted')
      }
      assert.deepEqual((await runPart('cut')).weights, whole.weights)
    })

    it('killed before a stage wrote its first checkpoint: the stage begins again where it did', async () => {
      const settings = { checkpoint: { everySteps: 0, keep: 3 } }
      const whole = await runPart('whole', { settings })
      await runPart('cut', { settings, stopAfter: 15 })
      assert.deepEqual(checkpoints('cut'), [8, 13, 15])
      // As a kill would leave it: the newest checkpoint is the end of the stage before.
      rmSync(join(folder, 'cut', 'checkpoints', 'step-15'), { recursive: true })
      const { begins, listen } = stageWeights()
      const second = await runPart('cut', { settings, listen })
      assert.deepEqual(Object.keys(begins), ['swaps'])
      assert.deepEqual(second.weights, whole.weights)
      assert.deepEqual(second.curve.length, whole.curve.length)
    })

    it('early stopping counts over the stop, and the next stage follows', async () => {
      const settings = {
        evaluateEverySteps: 2,
        evaluateEveryEpochs: 0,
        earlyStopping: { metric: 'mean', mode: 'max' as const, patience: 2, minDelta: 10 },
      }
      const stages = () => chain({ budget: { steps: 40 } })
      const whole = await runPart('whole', { stages, settings })
      assert.deepEqual(
        whole.result.stages.map(({ endedBy, step }) => [endedBy, step]),
        [
          ['earlyStopping', 6],
          ['budget', 11],
          ['budget', 15],
        ],
      )
      for (const stopAfter of [4, 5, 6]) {
        await runPart(`cut-${stopAfter}`, { stages, settings, stopAfter })
        const second = await runPart(`cut-${stopAfter}`, { stages, settings })
        assert.deepEqual(second.weights, whole.weights, `stopped after ${stopAfter}`)
        assert.deepEqual(second.curve, whole.curve)
      }
    })

    it('a finished run tells the scores of all its stages again', async () => {
      const first = await runPart('run', { settings: { checkpoint: { everySteps: 0, keep: 1, keepStages: true } } })
      const again = await runPart('run', { settings: { checkpoint: { everySteps: 0, keep: 1, keepStages: true } } })
      assert.equal(again.result.status, 'completed')
      assert.equal(again.seen.filter(({ type }) => type === 'step').length, 0)
      assert.deepEqual(again.result.stages, first.result.stages)
      assert.equal(again.result.stages.length, 3)
    })
  })

  it('a rollback in a stage that has no checkpoint of its own goes back to where it started', async () => {
    const { begins, ends, listen } = stageWeights()
    let poisoned = false
    const { seen } = await runPart('run', {
      settings: { onNonFinite: 'rollback', checkpoint: { everySteps: 0, keep: 1 } },
      listen: async (event, model) => {
        await listen(event, model)
        if (event.type === 'step' && event.stage === 'swaps' && !poisoned) {
          poisoned = true
          const { 'heads.swaps.classifier.bias': bias } = await model.readTensors('value', [
            'heads.swaps.classifier.bias',
          ])
          await model.writeTensors({ 'heads.swaps.classifier.bias': bias.map(() => Number.NaN) as Float32Array })
        }
        if (event.type === 'rollback') begins.again = await weightsOf(model)
      },
    })
    assert.equal(seen.filter(({ type }) => type === 'rollback').length, 1)
    assert.deepEqual(begins.again, ends.refine)
    assert.notDeepEqual(begins.again, ends.pairs)
  })

  describe('refuses', () => {
    const refused = (stages: () => Stage[], message: RegExp, part: Part = {}) =>
      assert.rejects(runPart('refused', { stages, ...part }), { code: 'BAD_ARGUMENT', message })

    it('a chain that cannot be', async () => {
      await refused(
        () => chain({}, { startFrom: 'refined' }),
        /stage pairs: startFrom is refined, previous, initial, refine was expected/,
      )
      await refused(
        () => chain({ startFrom: 'swaps' }),
        /stage refine: startFrom is swaps, previous, initial was expected/,
      )
      await refused(() => chain({ startFromBest: true }), /first stage/)
      await refused(chain, /stage pairs: it starts from earlier weights, a run folder/, { homeless: true })
      const initial = () => chain({}, { startFrom: 'initial' })
      await refused(initial, /stage pairs: it starts from earlier weights, a run folder/, { homeless: true })
      await refused(
        () => chain({}, { startFrom: 'initial', startFromBest: true }),
        /stage pairs: startFromBest is set and startFrom is initial, an earlier stage/,
      )
      await refused(() => chain({ name: 'initial' }), /another name/)
      const settings = { checkpoint: { everySteps: 0, keep: 1 } }
      await refused(() => chain({}, { startFromBest: true }), /stage pairs: startFromBest is set, checkpoint\.best/, {
        settings,
      })
      await refused(() => chain({ name: 'previous' }), /another name/)
    })

    it('to go on when the checkpoint that a stage starts from is damaged, or the stages are others', async () => {
      await runPart('run', { stopAfter: 13 })
      const weights = join(folder, 'run', 'checkpoints', 'step-8', 'model.safetensors')
      const whole = readFileSync(weights)
      writeFileSync(weights, whole.subarray(0, 100))
      await assert.rejects(runPart('run'), {
        code: 'BAD_CHECKPOINT',
        message: /^stage swaps needs .*step-8, which is not whole: model\.safetensors has 100 bytes/,
      })
      writeFileSync(weights, whole)
      await assert.rejects(runPart('run', { stages: () => chain({ name: 'other' }, { startFrom: 'other' }) }), {
        code: 'BAD_CHECKPOINT',
        message: /written with earlier stages refine, this run has other/,
      })
    })
  })
})
