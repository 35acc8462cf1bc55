import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { taskTable } from '../lib/recipes/index.js'
import { type StepEvent, type TrainingEvent, TrainingEvents } from '../lib/training/events.js'
import { openMetricsLog } from '../lib/training/metrics-log.js'
import { createProgressLine, duration } from '../lib/training/progress-line.js'
import { crc32c, encodeRecord, openTensorBoardLog } from '../lib/training/tensorboard.js'

const stepEvent = (step: number, more: Partial<StepEvent> = {}): StepEvent => ({
  type: 'step',
  step,
  stage: 'main',
  task: 'joint',
  tasks: { joint: 1 },
  loss: 7.5,
  losses: {
    mlm: { lossSum: 68, count: 10, loss: 6.8, finite: true },
    nsp: { lossSum: 2.8, count: 4, loss: 0.7, finite: true },
  },
  learningRate: 1e-4,
  gradNorm: 1.25,
  tokens: 2048 * step,
  tokensPerSecond: 12_345.6,
  millisecondsPerStep: 166,
  dataWaitShare: 0.01,
  progress: step / 100,
  elapsedSeconds: step,
  secondsLeft: 185,
  memoryBytes: 2 ** 30,
  skippedSteps: 0,
  ...more,
})

describe('loggers', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-loggers-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  describe('events', () => {
    it('a listener that throws becomes one warning; the others and the caller go on', async () => {
      const seen: string[] = []
      const events = new TrainingEvents()
        .on('step', () => {
          throw new Error('my plot broke')
        })
        .on('step', ({ step }) => void seen.push(`step ${step}`))
        .on('warning', ({ message }) => void seen.push(message))
      await events.emit(stepEvent(1))
      await events.emit(stepEvent(2))
      assert.deepEqual(seen, ['a listener failed on step: my plot broke', 'step 1', 'step 2'])
    })

    it('a listener of warnings that throws does not loop', async () => {
      const events = new TrainingEvents().on('warning', () => {
        throw new Error('again')
      })
      await events.emit({ type: 'warning', step: 0, message: 'first' })
    })

    it('loggers get every event, are waited for and closed; off disconnects', async () => {
      const seen: string[] = []
      const listener = () => void seen.push('listener')
      const events = new TrainingEvents().on('step', listener).addLogger({
        log: async (event) => {
          await new Promise((done) => setTimeout(done, 5))
          seen.push(event.type)
        },
        close: () => void seen.push('closed'),
      })
      await events.emit(stepEvent(1))
      events.off(listener)
      await events.emit(stepEvent(2))
      await events.close()
      assert.deepEqual(seen, ['listener', 'step', 'step', 'closed'])
    })

    it('an essential logger’s error reaches the caller', async () => {
      const failing = { log: () => Promise.reject(new Error('disk')) }
      await assert.rejects(new TrainingEvents().addLogger(failing, { essential: true }).emit(stepEvent(1)), /disk/)
    })
  })

  describe('metrics.jsonl', () => {
    const lines = (path: string): { type: string; step: number }[] =>
      readFileSync(path, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line))

    it('holds one event a line and never hides a NaN', async () => {
      const path = join(folder, 'metrics.jsonl')
      const log = await openMetricsLog(path, 0)
      await log.log(stepEvent(1, { loss: Number.NaN, gradNorm: Number.POSITIVE_INFINITY }))
      await log.close()
      const [line] = lines(path) as unknown as Record<string, unknown>[]
      assert.equal(line.loss, 'NaN')
      assert.equal(line.gradNorm, 'Infinity')
      assert.equal(line.type, 'step')
      assert.match(String(line.time), /^\d{4}-\d\d-\d\dT/)
    })

    it('on resume the lines of lost steps and a torn last line go', async () => {
      const path = join(folder, 'metrics.jsonl')
      const first = await openMetricsLog(path, 0)
      for (const step of [1, 2, 3, 4, 5]) await first.log(stepEvent(step))
      await first.close()
      appendFileSync(path, '{"type":"step","step":2,"lo')
      const second = await openMetricsLog(path, 3)
      await second.log(stepEvent(4))
      await second.close()
      assert.deepEqual(
        lines(path).map(({ step }) => step),
        [1, 2, 3, 4],
      )
    })

    it('a rollback cuts in the same way and stands in the file', async () => {
      const path = join(folder, 'metrics.jsonl')
      const log = await openMetricsLog(path, 0)
      for (const step of [1, 2, 3]) await log.log(stepEvent(step))
      await log.log({ type: 'rollback', step: 1, fromStep: 3, checkpoint: 'step-1', rollbacks: 1 })
      await log.log(stepEvent(2))
      await log.close()
      assert.deepEqual(
        lines(path).map(({ type, step }) => `${type} ${step}`),
        ['step 1', 'rollback 1', 'step 2'],
      )
    })
  })

  describe('TensorBoard events', () => {
    const golden = JSON.parse(readFileSync(join(__dirname, 'golden/tensorboard.json'), 'utf8'))

    it('CRC-32C has its check value', () => {
      assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
    })

    it('records equal TensorBoard’s own, byte for byte', () => {
      for (const { event, hex } of golden.cases) {
        const scalars =
          event.scalars &&
          Object.fromEntries(
            Object.entries(event.scalars).map(([name, value]) => [
              name,
              value === null ? Number.NaN : (value as number),
            ]),
          )
        assert.equal(encodeRecord({ ...event, scalars }).toString('hex'), hex)
      }
    })

    it('holds the scores of every task and split, their mean and the learned mixes', async () => {
      const log = await openTensorBoardLog(folder, 0)
      const rte = { main: 0.5, loss: 0.75, count: 8, metrics: { accuracy: 0.5, f1: 0.25 } }
      const mixes = { rte: { weights: [0.125, 0.875], gamma: 1.5 } }
      const mean = 0.5
      await log.log({
        type: 'evaluation',
        step: 3,
        stage: 's',
        scores: {},
        tasks: { rte: { dev: rte } },
        mean,
        mixes,
        seconds: 1,
      })
      await log.close?.()
      const bytes = readFileSync(join(folder, readdirSync(folder)[0]))
      const expected = {
        'evaluation/rte/dev/accuracy': 0.5,
        'evaluation/rte/dev/f1': 0.25,
        'evaluation/rte/dev/loss': 0.75,
        'evaluation/mean': 0.5,
        'mixes/rte/gamma': 1.5,
        'mixes/rte/weight-0': 0.125,
        'mixes/rte/weight-1': 0.875,
      }
      for (const [key, value] of Object.entries(expected)) {
        // A name is followed by the tag of its float.
        const at = bytes.indexOf(key)
        assert.ok(at > 0, key)
        assert.equal(bytes.readFloatLE(at + key.length + 1), value, key)
      }
    })

    // Only where a Python with the tensorboard package is named; the golden bytes above need none.
    const python = process.env.STRATABERT_TENSORBOARD_PYTHON
    const withTensorBoard = python ? it : () => {}
    withTensorBoard('a folder of a resumed run reads as one curve in TensorBoard', async () => {
      const first = await openTensorBoardLog(folder, 0)
      for (const step of [1, 2, 3]) await first.log(stepEvent(step, { loss: step }))
      await first.close?.()
      await new Promise((done) => setTimeout(done, 1100))
      const second = await openTensorBoardLog(folder, 2)
      for (const step of [3, 4]) await second.log(stepEvent(step, { loss: 10 * step }))
      await second.close?.()
      assert.equal(readdirSync(folder).length, 2)
      const script = join(__dirname, 'golden/tensorboard.py')
      const read = JSON.parse(execFileSync(python!, [script, 'read', folder], { encoding: 'utf8' }))
      assert.deepEqual(read['train/loss'], [
        [1, 1],
        [2, 2],
        [3, 30],
        [4, 40],
      ])
    })
  })

  describe('progress line', () => {
    const written = (isTTY: boolean, columns: number, events: TrainingEvent[]) => {
      let text = ''
      const stream = {
        isTTY,
        columns,
        write: (part: string) => {
          text += part
        },
      }
      const logger = createProgressLine({ stream })
      for (const event of events) void logger.log(event)
      void logger.close?.()
      return text
    }

    it('is plain lines where there is no terminal', () => {
      const text = written(false, 80, [stepEvent(10), stepEvent(20, { skippedSteps: 2 })])
      assert.equal(
        text,
        'main  step 10  10.0 %  mlm 6.800  nsp 0.700  lr 1.00e-4  grad 1.25  12,346 tokens/s  166 ms/step  3m05s left  1.00 GiB\n' +
          'main  step 20  20.0 %  mlm 6.800  nsp 0.700  lr 1.00e-4  grad 1.25  12,346 tokens/s  166 ms/step  3m05s left  1.00 GiB  2 skipped\n',
      )
    })

    it('rewrites one line on a terminal, no longer than it is wide', () => {
      const warning: TrainingEvent = { type: 'warning', step: 2, message: 'look' }
      const text = written(true, 40, [stepEvent(1), stepEvent(2), warning, stepEvent(3)])
      const rewritten = text.split('\r\x1b[K').slice(1)
      assert.equal(rewritten.length, 4)
      assert.ok(rewritten.every((part) => part.length <= 40))
      assert.equal(rewritten[2], 'warning: look\n')
      assert.ok(text.endsWith('\n'))
    })

    it('shows a long evaluation on a terminal only', () => {
      const evaluating: TrainingEvent = { type: 'evaluating', step: 2, task: 'joint', batches: 30, of: 80 }
      assert.match(written(true, 100, [evaluating]), /scoring held-out data of joint {2}30\/80/)
      assert.equal(written(false, 100, [evaluating]), '')
    })

    it('shows shares × 100 and a threshold as what it is, as the table does', () => {
      const metrics = { f1: 0.75, exactMatch: 0.7, bestF1: 0.8, bestF1Threshold: -1.5 }
      const tasks = { qa: { dev: { main: 0.75, loss: 1, count: 8, metrics } } }
      const evaluation: TrainingEvent = { type: 'evaluation', step: 3, stage: 'main', scores: {}, tasks, seconds: 1 }
      assert.equal(
        written(false, 80, [evaluation]),
        'step 3  held out\n  qa  f1 75.00   exactMatch 70.00   bestF1 80.00   bestF1Threshold -1.50 logits   loss 1.000\n',
      )
      assert.deepEqual(taskTable(tasks), [
        'task  split  examples    loss                                                             score × 100',
        'qa    dev           8  1.0000  f1 75.00  exactMatch 70.00  bestF1 80.00  bestF1Threshold -1.50 logits',
      ])
    })

    it('tells the learned mixes at the end, and why a stage ended early', () => {
      const end = { type: 'end', step: 9, status: 'completed', tokens: 2e6, elapsedSeconds: 61 } as const
      const stageEnd = { type: 'stageEnd', step: 9, stage: 'main', reason: 'x did not get better' } as const
      const text = written(false, 80, [
        { ...stageEnd, endedBy: 'budget' },
        { ...stageEnd, endedBy: 'earlyStopping' },
        { ...end, mixes: { rte: { weights: [0.25, 0.75], gamma: 1.0625 } } },
        end,
      ])
      assert.equal(
        text,
        'stage main ends at step 9: x did not get better\n' +
          'mix rte: gamma 1.063, layers 0.250 0.750\n' +
          'completed at step 9: 2.00 M tokens in 1m01s\n' +
          'completed at step 9: 2.00 M tokens in 1m01s\n',
      )
    })

    it('durations read well', () => {
      assert.deepEqual([12.4, 185, 3725, 359_999].map(duration), ['12s', '3m05s', '1h02m', '99h59m'])
    })
  })
})
