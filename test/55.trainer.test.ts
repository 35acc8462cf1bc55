import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BatchSource } from '../lib/data/index.js'
import { inspectSafetensors, type Model } from '../lib/model/index.js'
import {
  checkWatched,
  huggingFaceModelFiles,
  namedScores,
  openRunFolder,
  type RunSettings,
  resolveCheckpoint,
  type Stage,
  type TrainingEvent,
  TrainingEvents,
  train,
} from '../lib/training/index.js'
import { createStepWatch, nonFiniteError, type WatchedStep } from '../lib/training/step-watch.js'
import type { TrainingRun } from '../lib/training/training-run.js'
import { tinyModel, tinySettings, tinyStage, tinyTask, weightsOf } from './helpers/tiny-training.js'

interface Run {
  stages?: Stage[]
  settings?: Partial<RunSettings>
  signal?: AbortSignal
  events?: (events: TrainingEvents, model: Model) => void
  /** Trains without a run folder. */
  homeless?: boolean
}

describe('trainer', function () {
  this.timeout(60_000)
  let folder: string
  let model: Model
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-trainer-'))
    model = await tinyModel()
  })
  afterEach(async () => {
    await model.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  async function trained(request: Run = {}) {
    const seen: TrainingEvent[] = []
    const events = new TrainingEvents().addLogger({ log: (event) => void seen.push(event) })
    request.events?.(events, model)
    const run = request.homeless ? undefined : await openRunFolder(join(folder, 'run'))
    try {
      const result = await train({
        model,
        stages: request.stages ?? [tinyStage()],
        settings: tinySettings(request.settings),
        run,
        events,
        signal: request.signal,
        modelFiles: huggingFaceModelFiles(model),
        card: { recipe: 'tiny', data: 'random words', divisors: { likeness: 5 } },
      })
      return { result, seen }
    } finally {
      await run?.close()
    }
  }
  const ofType = <T extends TrainingEvent['type']>(seen: TrainingEvent[], type: T) =>
    seen.filter((event): event is Extract<TrainingEvent, { type: T }> => event.type === type)
  const inRun = (...parts: string[]) => join(folder, 'run', ...parts)
  const steps = () => readdirSync(inRun('checkpoints')).sort()

  it('tells each step with the losses of every head, and learns', async () => {
    const stage = tinyStage({ budget: { steps: 60 }, optimizer: { ...tinyStage().optimizer, learningRate: 3e-3 } })
    const { result, seen } = await trained({ stages: [stage], settings: { evaluateEverySteps: 30 } })
    assert.equal(result.status, 'completed')
    const events = ofType(seen, 'step')
    assert.deepEqual(
      events.map(({ step }) => step),
      Array.from({ length: 60 }, (_, index) => index + 1),
    )
    for (const event of events) {
      assert.deepEqual(Object.keys(event.losses).sort(), ['mlm', 'nsp'])
      assert.ok(Math.abs(event.loss - event.losses.mlm.loss - event.losses.nsp.loss) < 1e-6)
      assert.ok(event.tokensPerSecond > 0 && event.millisecondsPerStep > 0 && event.memoryBytes > 1e7)
    }
    assert.equal(events.at(-1)!.tokens, result.state.tokens)
    assert.equal(events[0].learningRate, 0)
    assert.equal(events[3].learningRate, 3e-3)
    const mean = (part: typeof events) => part.reduce((sum, { losses }) => sum + losses.mlm.loss, 0) / part.length
    assert.ok(mean(events.slice(-10)) < mean(events.slice(0, 10)) - 0.1, 'the masked-LM loss falls')
    const [first, last] = ofType(seen, 'evaluation')
    assert.deepEqual([first.step, last.step], [30, 60])
    assert.equal(last.scores.nsp.layer, 1)
    assert.equal(last.scores.mlm.perplexity, Math.exp(last.scores.mlm.loss))
    assert.deepEqual(result.scores, last.scores)
  })

  it('writes the run folder: metrics, events, checkpoints with a model card, latest', async () => {
    const { result } = await trained({ settings: { evaluateEverySteps: 6 } })
    assert.deepEqual(steps(), ['step-12', 'step-9'])
    assert.equal(result.checkpoint, inRun('checkpoints', 'step-12'))
    assert.equal(readlinkSync(inRun('latest')), 'checkpoints/step-12')
    assert.equal(readdirSync(inRun('tensorboard')).length, 1)
    const files = readdirSync(inRun('latest', '/'))
    for (const file of [
      'config.json',
      'model.safetensors',
      'optimizer.safetensors',
      'training-state.json',
      'README.md',
      'stratabert.json',
    ]) {
      assert.ok(files.includes(file), `${file} is in the checkpoint`)
    }
    const card = readFileSync(inRun('latest', 'README.md'), 'utf8')
    assert.match(card, /^---\nlibrary_name: stratabert\n/)
    assert.match(card, /# tiny, step 12/)
    assert.match(card, /head of likeness gives its labels divided by 5 \(`regression_divisor`\)/)
    assert.match(card, /\| mlm \| masked-lm \| 2 \| \d+\.\d{4} \|/)
    const lines = readFileSync(inRun('metrics.jsonl'), 'utf8').trim().split('\n')
    const types = lines.map((line) => JSON.parse(line).type as string)
    assert.equal(types[0], 'start')
    assert.equal(types.filter((type) => type === 'step').length, 12)
    assert.equal(types.filter((type) => type === 'checkpoint').length, 4)
    assert.equal(types.at(-1), 'end')
    assert.equal((await resolveCheckpoint(inRun())).step, 12)
    assert.ok(!existsSync(inRun('.lock')))
  })

  it('writes nothing without a run folder', async () => {
    const { result, seen } = await trained({ homeless: true })
    assert.equal(result.checkpoint, undefined)
    assert.equal(ofType(seen, 'checkpoint').length, 0)
    assert.deepEqual(readdirSync(folder), [])
  })

  it('ends at a budget in tokens and in epochs', async () => {
    const task = tinyTask()
    const byEpochs = await trained({ stages: [tinyStage({ tasks: [task], budget: { epochs: 0.5 } })], homeless: true })
    const batches = task.source.batchCount(0)
    assert.equal(byEpochs.result.state.step, Math.ceil(batches / 2))
    const byTokens = await trained({ stages: [tinyStage({ budget: { tokens: 1000 } })], homeless: true })
    const { tokens } = byTokens.result.state
    assert.ok(tokens >= 1000 && tokens < 1256, `${tokens} tokens`)
  })

  it('logs each interval as one when it logs every few steps', async () => {
    const { seen } = await trained({ settings: { logEverySteps: 5 }, homeless: true })
    const other = await tinyModel()
    const single: TrainingEvent[] = []
    const events = new TrainingEvents().addLogger({ log: (event) => void single.push(event) })
    await train({ model: other, stages: [tinyStage()], settings: tinySettings(), events })
    await other.dispose()
    const grouped = ofType(seen, 'step')
    assert.deepEqual(
      grouped.map(({ step }) => step),
      [5, 10, 12],
    )
    const parts = ofType(single, 'step').slice(0, 5)
    const sum = (of: (loss: { lossSum: number; count: number }) => number) =>
      parts.reduce((total, { losses }) => total + of(losses.mlm), 0)
    assert.equal(
      grouped[0].losses.mlm.count,
      sum(({ count }) => count),
    )
    assert.ok(Math.abs(grouped[0].losses.mlm.loss - sum(({ lossSum }) => lossSum) / sum(({ count }) => count)) < 1e-9)
    assert.deepEqual(grouped[0].tasks, { joint: 5 })
  })

  it('trains several tasks in the shares of the sampler, each from its own place', async () => {
    const tasks = [tinyTask(), tinyTask({ name: 'text', seed: 9, heads: ['mlm'] })]
    const stage = tinyStage({
      tasks,
      sampler: { kind: 'weights', weights: { joint: 1, text: 3 } },
      budget: { steps: 80 },
    })
    const { result, seen } = await trained({ stages: [stage], homeless: true, settings: { logEverySteps: 100 } })
    const [event] = ofType(seen, 'step')
    assert.equal(event.tasks.joint + event.tasks.text, 80)
    assert.ok(event.tasks.text >= 48 && event.tasks.text <= 72, `${event.tasks.text} of 80, 60 expected`)
    const { stage: place } = result.state
    assert.equal(place.tasks.text.steps, event.tasks.text)
    assert.deepEqual(ofType(seen, 'stage')[0].probabilities, { joint: 0.25, text: 0.75 })
    const alternating = tinyStage({ tasks, sampler: { kind: 'roundRobin' }, budget: { steps: 4 } })
    const { seen: inTurn } = await trained({ stages: [alternating], homeless: true })
    assert.deepEqual(
      ofType(inTurn, 'step').map((step) => Object.keys(step.tasks)[0]),
      ['joint', 'text', 'joint', 'text'],
    )
  })

  it('leaves frozen parameters and heads without data as they are', async () => {
    const before = await weightsOf(model)
    const stage = tinyStage({
      tasks: [tinyTask({ heads: ['mlm', 'nsp'] })],
      freeze: ['bert.embeddings.', 'heads.nsp.'],
    })
    const { seen } = await trained({ stages: [stage], homeless: true })
    const after = await weightsOf(model)
    const changed = Object.keys(before).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    assert.ok(changed.some((name) => name.startsWith('heads.mlm.')))
    assert.ok(!changed.some((name) => name.startsWith('bert.embeddings.') || name.startsWith('heads.nsp.')))
    const [start] = ofType(seen, 'start')
    assert.ok(start.trainable > 0 && start.trainable < start.parameters)
  })

  it('keeps the best checkpoint beside the newest', async () => {
    const best = { metric: 'mlm.loss', mode: 'max' as const }
    const checkpoint = { everySteps: 3, keep: 1, best }
    // The largest loss is the first one: a learning model leaves it behind.
    const fast = tinyStage({ optimizer: { ...tinyStage().optimizer, learningRate: 5e-3 }, budget: { steps: 12 } })
    const { result, seen } = await trained({ stages: [fast], settings: { evaluateEverySteps: 4, checkpoint } })
    const losses = ofType(seen, 'evaluation').map(({ step, scores }) => ({ step, loss: scores.mlm.loss }))
    const top = losses.reduce((a, b) => (b.loss > a.loss ? b : a))
    assert.deepEqual(result.state.best, { metric: 'mlm.loss', score: top.loss, step: top.step })
    assert.equal(result.best, inRun('checkpoints', `step-${top.step}`))
    assert.deepEqual(steps(), [...new Set([`step-${top.step}`, 'step-12'])].sort())
    assert.equal(readlinkSync(inRun('best')), `checkpoints/step-${top.step}`)
  })

  it('names the scores there are and the nearest before the first step when one is watched that is not', async () => {
    let steps = 0
    const events = (all: TrainingEvents) => void all.on('step', () => void steps++)
    const refused = (settings: Partial<RunSettings>, message: RegExp) =>
      assert.rejects(trained({ settings, events, homeless: true }), { code: 'BAD_ARGUMENT', message })
    const best = (metric: string) => ({
      checkpoint: { everySteps: 0, keep: 0, best: { metric, mode: 'max' as const } },
    })
    await refused(best('mlm.f1'), /checkpoint\.best\.metric is mlm\.f1, one of .*nsp\.f1.*mlm\.loss.*mlm\.perplexity/)
    await refused(best('mlm.los'), /mlm\.los, one of .*; did you mean mlm\.loss\?$/)
    const earlyStopping = { metric: 'nsp.acuracy', mode: 'max' as const, patience: 1 }
    await refused(
      { evaluateEverySteps: 1, earlyStopping },
      /earlyStopping\.metric is nsp\.acuracy.*did you mean nsp\.accuracy\?/,
    )
    assert.equal(steps, 0)
  })

  it('knows every number that an evaluation tells beforehand', async () => {
    const { result } = await trained({ stages: [tinyStage({ budget: { steps: 1 } })], homeless: true })
    for (const metric of namedScores({ heads: result.scores, tasks: {} }).keys()) {
      checkWatched(
        [tinyStage()],
        { checkpoint: { everySteps: 0, keep: 0, best: { metric, mode: 'min' } } },
        model.config,
      )
    }
  })

  it('passes over batches without a label, and refuses data that have none', async () => {
    const task = tinyTask()
    const batches = task.source.batchCount(0)
    const without = (isLabelled: (index: number) => boolean) => {
      const labelsOf = (index: number) => (isLabelled(index) ? {} : { labels: {} })
      const part = (source: BatchSource): BatchSource => ({
        batchCount: (epoch) => source.batchCount(epoch),
        build: (epoch, index) => ({ ...source.build(epoch, index), ...labelsOf(index) }),
      })
      return tinyStage({
        tasks: [{ ...task, source: part(task.source), evaluation: part(task.evaluation!) }],
        budget: { steps: 2 },
      })
    }
    const { result, seen } = await trained({ stages: [without((index) => index % 3 === 1)], homeless: true })
    const { joint } = result.state.stage.tasks
    assert.deepEqual([result.state.step, joint.epoch * batches + joint.index, joint.unlabelled], [2, 5, 3])
    assert.match(ofType(seen, 'warning')[0].message, /^stage main: 3 of 5 batches of joint had no label for its heads/)
    assert.ok(result.scores.mlm.count > 0)
    await assert.rejects(trained({ stages: [without(() => false)], homeless: true }), {
      code: 'BAD_DATA',
      message: new RegExp(`^task joint: ${batches} batches in a row, .* hold no label for mlm, nsp`),
    })
  })

  it('an abort ends after the step with a checkpoint', async () => {
    const controller = new AbortController()
    const { result } = await trained({
      signal: controller.signal,
      events: (events) => events.on('step', ({ step }) => void (step === 4 && controller.abort())),
    })
    assert.equal(result.status, 'interrupted')
    assert.equal(result.state.step, 4)
    assert.deepEqual(steps(), ['step-3', 'step-4'])
  })

  it('a listener that throws does not end the run and is told of', async () => {
    const { result, seen } = await trained({
      homeless: true,
      events: (events) =>
        events.on('step', () => {
          throw new Error('my plot broke')
        }),
    })
    assert.equal(result.status, 'completed')
    assert.deepEqual(
      ofType(seen, 'warning').map(({ message }) => message),
      ['a listener failed on step: my plot broke'],
    )
  })

  describe('a loss that is not finite', () => {
    const poison = async (target: Model) => {
      const { 'heads.mlm.bias': bias } = await target.readTensors('value', ['heads.mlm.bias'])
      await target.writeTensors({ 'heads.mlm.bias': bias.map(() => Number.NaN) as Float32Array })
    }
    /** Spoils a head after the given steps, each once. */
    const poisonAfter = (...steps: number[]) => {
      const left = new Set(steps)
      return (events: TrainingEvents, target: Model) =>
        void events.on('step', async ({ step }) => {
          if (left.delete(step)) await poison(target)
        })
    }

    it('stop: names head, step and the newest good checkpoint', async () => {
      await assert.rejects(trained({ events: poisonAfter(4) }), (error: any) => {
        assert.equal(error.code, 'NON_FINITE')
        assert.equal(error.exitCode, 1)
        assert.deepEqual(error.details, { step: 5, heads: ['mlm'], checkpoint: inRun('checkpoints', 'step-3') })
        assert.match(error.message, /head mlm is not finite at step 5.*step-3/)
        return true
      })
      assert.deepEqual(steps(), ['step-3'])
    })

    it('stop: the step is exact even when losses are read later, and no bad checkpoint is written', async () => {
      const request = { events: poisonAfter(4), settings: { logEverySteps: 4 } }
      await assert.rejects(trained(request), (error: any) => error.code === 'NON_FINITE' && error.details.step === 5)
      assert.deepEqual(steps(), ['step-3'])
    })

    it('skip: counts, logs and goes on when the cause is gone', async () => {
      const good = await model.readTensors('value', ['heads.mlm.bias'])
      const { result, seen } = await trained({
        settings: { onNonFinite: 'skip' },
        events: (events, target) => {
          poisonAfter(4)(events, target)
          events.on('nonFinite', () => target.writeTensors(good))
        },
      })
      assert.equal(result.status, 'completed')
      assert.equal(result.state.skippedSteps, 1)
      assert.deepEqual(
        ofType(seen, 'nonFinite').map(({ step, heads, policy }) => ({ step, heads, policy })),
        [{ step: 5, heads: ['mlm'], policy: 'skip' }],
      )
      const log = readFileSync(inRun('metrics.jsonl'), 'utf8')
      assert.match(log, /"type":"step","step":5,.*"loss":"NaN"/)
      for (const values of Object.values(await weightsOf(model))) assert.ok(values.every(Number.isFinite))
    })

    it('skip: ends after too many in a row', async () => {
      const settings = { onNonFinite: 'skip' as const, maxSkippedInARow: 3 }
      await assert.rejects(trained({ settings, events: poisonAfter(4) }), {
        code: 'NON_FINITE',
        message: /at step 7.*3 steps in a row.*maxSkippedInARow/,
      })
    })

    it('rollback: goes back to the newest checkpoint and on with the following data', async () => {
      const { result, seen } = await trained({ settings: { onNonFinite: 'rollback' }, events: poisonAfter(4) })
      assert.equal(result.status, 'completed')
      const [rollback] = ofType(seen, 'rollback')
      assert.deepEqual(rollback, {
        type: 'rollback',
        step: 3,
        fromStep: 5,
        checkpoint: inRun('checkpoints', 'step-3'),
        rollbacks: 1,
      })
      assert.deepEqual(
        [result.state.step, result.state.stage.draws, result.state.stage.tasks.joint.steps],
        [12, 14, 14],
      )
      assert.equal(result.state.stage.tokens, result.state.tokens)
      // The moments are those of step 3 and of nine updates more.
      const { metadata } = inspectSafetensors(inRun('checkpoints', 'step-12', 'optimizer.safetensors'))
      assert.equal(metadata.stepCount, '12')
      const lines = readFileSync(inRun('metrics.jsonl'), 'utf8').trim().split('\n')
      const events = lines.map((line) => JSON.parse(line))
      assert.deepEqual(
        events.filter(({ type }) => type === 'step').map(({ step }) => step),
        Array.from({ length: 12 }, (_, index) => index + 1),
      )
      for (const values of Object.values(await weightsOf(model))) assert.ok(values.every(Number.isFinite))
    })

    it('rollback: early stopping counts from the checkpoint on', async () => {
      // Nothing is better by 10: of the misses at steps 2, 3 and 4 the last is undone with its step, and step 7 brings the sixth.
      const earlyStopping = { metric: 'mlm.loss', mode: 'min' as const, patience: 6, minDelta: 10 }
      const settings = { onNonFinite: 'rollback' as const, evaluateEverySteps: 1, earlyStopping }
      const { result } = await trained({ settings, events: poisonAfter(4) })
      const { step, endedBy, patience } = result.state.stage
      assert.deepEqual([step, endedBy, patience?.misses, result.state.rollbacks], [7, 'earlyStopping', 6, 1])
    })

    it('rollback: before the first checkpoint goes back to the start, and ends after too many', async () => {
      const settings = { onNonFinite: 'rollback' as const, maxRollbacks: 2 }
      const always = (events: TrainingEvents, target: Model) => void events.on('step', () => poison(target))
      await assert.rejects(trained({ settings, events: always }), {
        code: 'NON_FINITE',
        message: /2 rollbacks did not help.*step-0/,
      })
    })
  })

  describe('refuses a request that cannot be right', () => {
    const refused = (request: Run, message: RegExp, code = 'BAD_ARGUMENT') =>
      assert.rejects(trained({ homeless: true, ...request }), { code, message })

    it('names the field', async () => {
      await refused({ stages: [] }, /at least one stage/)
      await refused({ stages: [tinyStage({ budget: {} })] }, /budget sets nothing/)
      await refused({ stages: [tinyStage({ tasks: [{ ...tinyTask(), heads: ['nsq'] }] })] }, /nsq, one of nsp, mlm/)
      await refused({ stages: [tinyStage(), tinyStage()] }, /main twice/)
      await refused({ stages: [tinyStage({ accumulation: 0 })] }, /accumulation is 0/)
      await refused({ stages: [tinyStage({ freeze: ['bert.embedings'] })] }, /bert\.embedings/)
      await refused({ settings: { logEverySteps: -1 } }, /logEverySteps is -1/)
      await refused({ settings: { onNonFinite: 'rollback' } }, /without a run folder/)
      const empty = { batchCount: () => 0, build: () => assert.fail() }
      await refused({ stages: [tinyStage({ tasks: [{ ...tinyTask(), source: empty }] })] }, /no batch/, 'BAD_DATA')
    })
  })
})

describe('the steps between two lines of the log', () => {
  const watch = (settings: Partial<RunSettings> = {}) =>
    createStepWatch({
      model: { config: { heads: [1, 0.25, 3].map((weight, index) => ({ name: 'abc'[index], weight })) } },
      settings: tinySettings(settings),
      state: { skippedSteps: 0, rollbacks: 0 },
      emit: async () => {},
      nonFinite: (step: number, heads: string[], reason: string) => nonFiniteError(step, heads, reason),
    } as unknown as TrainingRun)
  const step = (
    losses: Record<string, [lossSum: number, count: number]>,
    part: object,
    applied = true,
  ): WatchedStep => {
    const read = async () =>
      Object.fromEntries(
        Object.entries(losses).map(([head, [lossSum, count]]) => [
          head,
          { lossSum, count, loss: lossSum / count, finite: true },
        ]),
      )
    const update = { read: async () => ({ gradNorm: 4, applied }) }
    const known = { step: 1, task: 'x', tokens: 1, seconds: 1, waitSeconds: 0, learningRate: 1 }
    return { ...known, losses: [{ read }], update, ...part } as unknown as WatchedStep
  }

  it('are summed: losses by their labels and weights, speed and waiting by their time', async () => {
    const steps = watch()
    assert.equal(steps.summary(), undefined)
    steps.add(step({ a: [6, 3] }, { tokens: 100, seconds: 2, waitSeconds: 0.5, learningRate: 0.1 }))
    const last = { task: 'y', tokens: 300, seconds: 3, waitSeconds: 0.5, learningRate: 0.2 }
    steps.add(step({ a: [2, 1], b: [8, 2] }, last))
    assert.equal(await steps.settle(), 'fine')
    const { losses, ...summary } = steps.summary()!
    assert.deepEqual([losses.a.loss, losses.b.loss], [2, 4])
    assert.deepEqual(summary, {
      task: 'y',
      tasks: { x: 1, y: 1 },
      loss: 2 + 0.25 * 4,
      learningRate: 0.2,
      gradNorm: 4,
      tokensPerSecond: 80,
      millisecondsPerStep: 2500,
      dataWaitShare: 0.2,
    })
    assert.equal(steps.summary(), undefined)
  })

  it('are skipped in a row only while none between them is applied', async () => {
    const steps = watch({ onNonFinite: 'skip', maxSkippedInARow: 2 })
    for (const applied of [false, true, false, true]) steps.add(step({ a: [1, 1] }, {}, applied))
    assert.equal(await steps.settle(), 'fine')
    for (const _ of [1, 2]) steps.add(step({ a: [1, 1] }, {}, false))
    await assert.rejects(steps.settle(), { code: 'NON_FINITE', message: /2 steps in a row were skipped/ })
  })
})
