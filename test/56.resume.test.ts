import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  huggingFaceModelFiles,
  openRunFolder,
  type RunSettings,
  type Stage,
  TrainingEvents,
  train,
} from '../lib/training/index.js'
import { readTrainingState } from '../lib/training/training-state.js'
import { tinyModel, tinySettings, tinyStage, tinyTask, weightsOf } from './helpers/tiny-training.js'

interface Part {
  stages: Stage[]
  settings?: Partial<RunSettings>
  /** Abort after so many steps. */
  stopAfter?: number
  plain?: boolean
}

describe('resume', function () {
  this.timeout(60_000)
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-resume-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  async function runPart(name: string, part: Part) {
    const model = await tinyModel()
    const controller = new AbortController()
    const messages: string[] = []
    const events = new TrainingEvents()
      .on('step', ({ step }) => {
        if (step === part.stopAfter) controller.abort()
      })
      .on('warning', ({ message }) => void messages.push(message))
    await using run = await openRunFolder(join(folder, name), { resume: true })
    const result = await train({
      model,
      stages: part.stages,
      settings: tinySettings(part.settings),
      run,
      events,
      signal: controller.signal,
      modelFiles: part.plain ? undefined : huggingFaceModelFiles(model),
    })
    const weights = await weightsOf(model)
    await model.dispose()
    return { result, weights, messages, metrics: curve(join(folder, name, 'metrics.jsonl')) }
  }

  /** What the log says of each step, without times. */
  function curve(path: string): unknown[] {
    const events = readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    return events
      .filter(({ type }) => type === 'step' || type === 'evaluation')
      .map(({ type, step, loss, learningRate, gradNorm, tasks, tokens, scores }) => {
        return { type, step, loss, learningRate, gradNorm, tasks, tokens, scores }
      })
  }

  const twoTasks = () => [tinyTask(), tinyTask({ name: 'text', seed: 9, heads: ['mlm'] })]
  const cases: [string, () => Part][] = [
    ['one task', () => ({ stages: [tinyStage()] })],
    ['own tensor names, no Hugging Face folder', () => ({ stages: [tinyStage()], plain: true })],
    [
      'accumulation, prefetch worker',
      () => ({ stages: [tinyStage({ accumulation: 3 })], settings: { prefetchWorkers: 1 } }),
    ],
    [
      'a growing batch by share of the budget',
      () => ({ stages: [tinyStage({ accumulation: 4, accumulationRamp: 0.75 })], settings: { prefetchWorkers: 1 } }),
    ],
    ['a growing batch by batches', () => ({ stages: [tinyStage({ accumulation: 3, accumulationRamp: 9 })] })],
    [
      'two sampled tasks, budget in tokens',
      () => ({ stages: [tinyStage({ tasks: twoTasks(), budget: { tokens: 2600 } })] }),
    ],
    [
      'two stages',
      () => ({
        stages: [
          tinyStage({ name: 'first', budget: { steps: 5 }, freeze: ['bert.embeddings.'] }),
          tinyStage({
            name: 'second',
            budget: { steps: 7 },
            schedule: { kind: 'cosine', warmup: 0.2, finalFactor: 0.1 },
          }),
        ],
      }),
    ],
  ]
  for (const [what, part] of cases) {
    it(`${what}: k + resume + the rest equals all at once, bit for bit`, async () => {
      const whole = await runPart('whole', { ...part(), settings: { ...part().settings, evaluateEverySteps: 4 } })
      assert.equal(whole.result.status, 'completed')
      for (const stopAfter of [1, 5, 7]) {
        const name = `cut-${stopAfter}`
        const cut = { ...part(), settings: { ...part().settings, evaluateEverySteps: 4 } }
        const first = await runPart(name, { ...cut, stopAfter })
        assert.equal(first.result.status, 'interrupted')
        assert.equal(first.result.state.step, stopAfter)
        const second = await runPart(name, cut)
        assert.equal(second.result.status, 'completed')
        assert.deepEqual(second.weights, whole.weights)
        assert.deepEqual(second.metrics, whole.metrics)
        const { elapsedSeconds: _, stage: __, ...state } = second.result.state
        const { elapsedSeconds: ___, stage: ____, ...expected } = whole.result.state
        assert.deepEqual(state, expected)
      }
    })
  }

  it('a stop after work that no checkpoint holds repeats that work', async () => {
    const whole = await runPart('whole', { stages: [tinyStage()] })
    await runPart('cut', { stages: [tinyStage()], stopAfter: 5 })
    // As a kill would leave it: the newest checkpoint is gone, the log knows later steps.
    rmSync(join(folder, 'cut', 'checkpoints', 'step-5'), { recursive: true })
    const second = await runPart('cut', { stages: [tinyStage()] })
    assert.deepEqual(second.weights, whole.weights)
    assert.deepEqual(second.metrics, whole.metrics)
  })

  it('an evaluation that a stop cut short is made by the run that resumes, and its best checkpoint kept', async () => {
    const best = { metric: 'mlm.loss', mode: 'min' as const }
    const part = () => ({
      stages: [tinyStage({ budget: { steps: 2 } })],
      settings: { evaluateEverySteps: 2, checkpoint: { everySteps: 0, keep: 1, best } },
    })
    const { result: cut } = await runPart('run', { ...part(), stopAfter: 2 })
    assert.deepEqual([cut.state.evaluationDue, cut.best], [true, undefined])
    const { result } = await runPart('run', part())
    const folder = result.checkpoint!
    assert.deepEqual([result.best, result.state.best?.score], [folder, result.scores.mlm.loss])
    const kept = await readTrainingState(folder)
    assert.deepEqual([kept.evaluationDue, kept.best], [undefined, result.state.best])
  })

  it('a damaged newest checkpoint is left out with a warning', async () => {
    const whole = await runPart('whole', { stages: [tinyStage()] })
    await runPart('cut', { stages: [tinyStage()], stopAfter: 5 })
    writeFileSync(join(folder, 'cut', 'checkpoints', 'step-5', 'model.safetensors'), 'torn')
    const second = await runPart('cut', { stages: [tinyStage()] })
    assert.ok(second.messages.some((message) => /step-5 is not whole/.test(message)))
    assert.deepEqual(second.weights, whole.weights)
  })

  it('a finished run has nothing left to do but tells its scores; a longer budget goes on', async () => {
    const first = await runPart('run', { stages: [tinyStage()] })
    const again = await runPart('run', { stages: [tinyStage()] })
    assert.equal(again.result.status, 'completed')
    assert.equal(again.result.state.step, 12)
    assert.deepEqual(again.weights, first.weights)
    assert.deepEqual(again.result.scores, first.result.scores)
    const longer = await runPart('run', { stages: [tinyStage({ budget: { steps: 14 } })] })
    assert.equal(longer.result.state.step, 14)
    assert.notDeepEqual(longer.weights, first.weights)
  })

  it('a wall-clock budget counts what went before', async () => {
    const stage = () =>
      tinyStage({ budget: { hours: 1.2 / 3600 }, schedule: { kind: 'triangle', warmup: 0, finalFactor: 0 } })
    const first = await runPart('run', { stages: [stage()], stopAfter: 3 })
    const second = await runPart('run', { stages: [stage()] })
    const { elapsedSeconds } = second.result.state
    assert.ok(first.result.state.elapsedSeconds > 0)
    assert.equal(second.result.status, 'completed')
    assert.ok(elapsedSeconds >= 1.2 && elapsedSeconds < 2.5, `${elapsedSeconds} s`)
  })

  it('another seed, stage, task or corpus is refused by name', async () => {
    await runPart('run', { stages: [tinyStage()], stopAfter: 3 })
    const refused = (part: Part, message: RegExp) =>
      assert.rejects(runPart('run', part), { code: 'BAD_CHECKPOINT', message })
    await refused({ stages: [tinyStage()], settings: { seed: 4 } }, /seed 3, this run has 4/)
    await refused({ stages: [tinyStage({ name: 'other' })] }, /named main, this run has other/)
    await refused({ stages: [tinyStage({ tasks: twoTasks() })] }, /tasks joint, this run has joint, text/)
    await refused({ stages: [tinyStage({ tasks: [tinyTask({ seed: 77 })] })] }, /batches of joint per pass/)
  })

  it('other rows in as many batches are refused by name, where they are trained on still', async () => {
    const stages = (first: string, second: string) => [
      tinyStage({ tasks: [{ ...tinyTask(), fingerprint: first }], budget: { steps: 3 } }),
      tinyStage({
        name: 'next',
        tasks: [{ ...tinyTask({ name: 'other' }), fingerprint: second }],
        budget: { steps: 3 },
      }),
    ]
    const refused = (part: Part, message: RegExp) =>
      assert.rejects(runPart('run', part), { code: 'BAD_CHECKPOINT', message })
    await runPart('run', { stages: stages('a', 'b'), stopAfter: 2 })
    await refused(
      { stages: stages('c', 'b') },
      /written with training rows of joint of the fingerprint a, this run has c/,
    )
    await refused({ stages: stages('a', 'c') }, /training rows of other of the fingerprint b, this run has c/)
    await runPart('run', { stages: stages('a', 'b'), stopAfter: 5 })
    const { result } = await runPart('run', { stages: stages('c', 'b') })
    assert.equal(result.status, 'completed')
  })
})
