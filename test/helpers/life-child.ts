/** A process that trains and then ends in the way that its argument names. Prints `running` when a step is in progress. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { computeThreads, counters, type Model } from '../../lib/model/index.js'
import { spawnWorker } from '../../lib/runtime/spawn-worker.js'
import { adamw, smallBatch, smallModel } from './small-model.js'

const [mode, rounds = '1'] = process.argv.slice(2)
const say = (line: string) => process.stdout.write(`${line}\n`)

/** Steps of some 20 ms on two threads, three of them asked for ahead, without end. */
async function train(running: () => void): Promise<never> {
  const model = await smallModel({}, { hiddenSize: 128, heads: 4, layers: 3, intermediateSize: 512 })
  computeThreads(2)
  const optimizer = await adamw(model)
  const batch = smallBatch(1, new Array<number>(16).fill(32))
  for (let step = 0; ; step++) {
    const asked = [model.step(batch), model.step(batch), optimizer.step({ learningRate: 1e-3 })]
    if (step === 2) running()
    await Promise.all(asked)
  }
}

/** Calls `end` at some moment of the training. */
function inMidStep(end: () => void): void {
  void train(() => {
    say('running')
    setTimeout(end, Math.random() * 60)
  })
}

/** A worker that trains. */
async function busyWorker(workerData: object = {}): Promise<Worker> {
  const worker = spawnWorker(__dirname, 'life-worker', { workerData })
  worker.on('error', (error) => say(`worker error: ${error.message}`))
  await new Promise((resolve) => worker.once('message', resolve))
  return worker
}

async function manyWorkers(count: number): Promise<Worker[]> {
  return Promise.all(Array.from({ length: count }, () => busyWorker()))
}

const modes: Record<string, () => void | Promise<void>> = {
  exit: () => inMidStep(() => process.exit(7)),
  'exit-in-handler': () => {
    process.on('exit', (code) => say(`exit handler saw ${code}`))
    inMidStep(() => {
      process.exitCode = 9
      process.exit()
    })
  },
  uncaught: () =>
    inMidStep(() => {
      throw new Error('thrown on purpose')
    }),
  rejection: () => inMidStep(() => void Promise.reject(new Error('rejected on purpose'))),
  // The test sends the signal.
  signal: () => inMidStep(() => {}),
  'signal-handler': () => {
    process.on('SIGTERM', () => process.exit(3))
    inMidStep(() => {})
  },
  terminate: async () => {
    for (let round = 0; round < Number(rounds); round++) {
      const worker = await busyWorker()
      say('running')
      await delay(Math.random() * 60)
      const code = await worker.terminate()
      say(`terminated ${code}`)
    }
    // The process is sound: a model of the main thread trains after it.
    const model = await smallModel()
    const { nsp } = await (await model.step(smallBatch())).read()
    await model.dispose()
    const { liveModels, liveOptimizers, queuedJobs } = counters()
    say(JSON.stringify({ finite: nsp.finite, liveModels, liveOptimizers, queuedJobs }))
  },
  'four-workers': async () => {
    const workers = await manyWorkers(4)
    say('running')
    await delay(100)
    await Promise.all(workers.map((worker) => worker.terminate()))
    const { liveModels, queuedJobs } = counters()
    say(JSON.stringify({ liveModels, queuedJobs }))
  },
  'exit-under-workers': async () => {
    await manyWorkers(2)
    inMidStep(() => process.exit(5))
  },
  'worker-exits': async () => {
    const worker = await busyWorker({ end: 'exit' })
    say(`worker ended ${await new Promise((resolve) => worker.once('exit', resolve))}`)
  },
  'worker-throws': async () => {
    const worker = await busyWorker({ end: 'throw' })
    say(`worker ended ${await new Promise((resolve) => worker.once('exit', resolve))}`)
  },
  idle: async () => {
    const model: Model = await smallModel()
    await adamw(model)
    await model.step(smallBatch())
    say('idle')
  },
  pending: async () => {
    const model = await smallModel()
    void model.evaluate(smallBatch()).then(({ nsp }) => say(`answered ${nsp.count}`))
  },
  'exit-emitted': async () => {
    const model = await smallModel()
    await model.embed(smallBatch())
    process.emit('exit', 0)
    await model.embed(smallBatch()).catch(({ code }) => say(`refused ${code}`))
  },
  collected: async () => {
    const use = async () => {
      const model = await smallModel()
      await adamw(model)
      await model.step(smallBatch())
    }
    for (let i = 0; i < 5; i++) await use()
    for (let i = 0; i < 50 && counters().liveModels > 0; i++) {
      global.gc!()
      await delay(10)
    }
    const { liveModels, liveOptimizers, nativeBytes } = counters()
    say(JSON.stringify({ liveModels, liveOptimizers, nativeBytes }))
  },
}

void modes[mode]()
