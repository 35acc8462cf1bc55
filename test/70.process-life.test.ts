/**
 * Every way in which a process or a worker can end while a model computes: the right exit code, no signal, no abort.
 * Three runs each; twenty with STRATABERT_LONG=1.
 */
import assert from 'node:assert/strict'
import { type ChildResult, runChild } from './helpers/run-child.js'

const LONG = process.env.STRATABERT_LONG === '1'
const RUNS = LONG ? 20 : 3
const FEW_RUNS = LONG ? 5 : 1

describe('the life of a process', function () {
  this.timeout(LONG ? 900_000 : 120_000)

  /** Runs a mode of life-child.ts several times, two at a time. */
  async function times(
    runs: number,
    mode: string,
    check: (result: ChildResult) => void,
    options: Parameters<typeof runChild>[1] = {},
  ): Promise<void> {
    let started = 0
    const lane = async () => {
      while (started < runs) {
        started++
        check(await runChild('life-child', { ...options, args: [mode, ...(options.args ?? [])] }))
      }
    }
    await Promise.all([lane(), lane()])
  }

  /** Asserts how the process ended and that it was computing before. */
  function ended(code: number | null, signal: NodeJS.Signals | null, ...parts: (string | RegExp)[]) {
    return (result: ChildResult) => {
      const told = `${result.out}\n${result.err}`
      assert.deepEqual([result.code, result.signal], [code, signal], told)
      for (const part of parts) assert.match(told, typeof part === 'string' ? new RegExp(part) : part)
    }
  }

  const kill = (signal: NodeJS.Signals): Parameters<typeof runChild>[1] => ({
    watch: (line, child) => {
      if (line === 'running') setTimeout(() => child.kill(signal), Math.random() * 60)
    },
  })

  it(`process.exit(7) in mid-step: code 7, ${RUNS} times`, () => times(RUNS, 'exit', ended(7, null, 'running')))

  it(`an uncaught exception in mid-step: code 1 and its message, ${RUNS} times`, () =>
    times(RUNS, 'uncaught', ended(1, null, 'running', 'thrown on purpose')))

  it(`SIGTERM in mid-step: ended by SIGTERM, ${RUNS} times`, () =>
    times(RUNS, 'signal', ended(null, 'SIGTERM', 'running'), kill('SIGTERM')))

  it(`SIGTERM with a handler that exits: its code, ${RUNS} times`, () =>
    times(RUNS, 'signal-handler', ended(3, null, 'running'), kill('SIGTERM')))

  it(`worker.terminate() in mid-step, ${RUNS} workers one after the other: the process goes on, nothing stays alive`, async () => {
    const result = await runChild('life-child', { args: ['terminate', String(RUNS)], timeoutMs: 300_000 })
    ended(0, null)(result)
    assert.equal(result.out.match(/terminated 1/g)?.length, RUNS, result.out)
    const last = JSON.parse(result.out.trim().split('\n').at(-1)!)
    assert.deepEqual(last, { finite: true, liveModels: 0, liveOptimizers: 0, queuedJobs: 0 })
  })

  it(`four workers at once, each with a model; all terminated in mid-step, ${RUNS} times`, () =>
    times(RUNS, 'four-workers', ended(0, null, '"liveModels":0,"queuedJobs":0')))

  it('process.exit() in mid-step while two workers compute: the main thread goes first', () =>
    times(FEW_RUNS, 'exit-under-workers', ended(5, null, 'running')))

  it('exit handlers run and see the code', () =>
    times(FEW_RUNS, 'exit-in-handler', ended(9, null, 'exit handler saw 9')))

  it('an unhandled rejection in mid-step: code 1 and its message', () =>
    times(FEW_RUNS, 'rejection', ended(1, null, 'rejected on purpose')))

  it('process.exit() in a worker ends the worker only', () =>
    times(FEW_RUNS, 'worker-exits', ended(0, null, 'worker ended 6')))

  it('an error thrown in a worker reaches the main thread, which goes on', () =>
    times(FEW_RUNS, 'worker-throws', ended(0, null, 'worker error: thrown in the worker', 'worker ended 1')))

  it('an idle model does not keep the process alive', () => times(FEW_RUNS, 'idle', ended(0, null, 'idle')))

  it('a promise that is not settled does', () => times(FEW_RUNS, 'pending', ended(0, null, 'answered 4')))

  it("after somebody emits 'exit' calls are refused, and the process ends by itself", () =>
    times(1, 'exit-emitted', ended(0, null, 'refused DISPOSED')))

  it('models and optimizers that nobody disposed are freed with their handles', () =>
    times(FEW_RUNS, 'collected', ended(0, null, '"liveModels":0,"liveOptimizers":0,"nativeBytes":0'), {
      nodeOptions: ['--expose-gc'],
    }))
})
