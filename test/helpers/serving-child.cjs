// A process that serves and then ends, or that serves under hard conditions. Plain CommonJS, so that it also runs under flags that a
// TypeScript loader would not survive:  node [flags] serving-child.cjs LIBRARY MODE FOLDER [ROUNDS]
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads')
const { setTimeout: delay } = require('node:timers/promises')

const [library, mode, folder, rounds = '1'] = isMainThread ? process.argv.slice(2) : workerData.args
// Two rooms only: the whole package takes longer to load than such a process lives.
const { Encoder } = require(`${library}/inference/index`)
const { counters } = require(`${library}/model/index`)
const say = (value) => process.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value)}\n`)

const TEXTS = ['the cat is dancing in the city', 'a woman', 'a man and the river', 'of the of the of the of the a city']

/** Calls of several kinds, 24 of them open at any time, without end. */
async function serve(running) {
  const encoder = await Encoder.load(folder, { device: 'cpu', threads: 2 })
  let answered = 0
  const lane = async (number) => {
    for (let turn = number; ; turn++) {
      if (turn % 2) await encoder.embed([TEXTS[turn % 4].repeat(5), TEXTS[0]])
      else await encoder.classify(TEXTS, { task: 'tone' })
      if (++answered === 24) running(encoder)
    }
  }
  await Promise.all(Array.from({ length: 24 }, (_, number) => lane(number)))
}

function inMidCall(end) {
  void serve(() => {
    say('running')
    setTimeout(end, Math.random() * 40)
  })
}

const sum = (vectors) => vectors.reduce((all, vector) => vector.reduce((total, value) => total + value, all), 0)

const modes = {
  exit: () => inMidCall(() => process.exit(7)),
  uncaught: () =>
    inMidCall(() => {
      throw new Error('thrown on purpose')
    }),
  // The test sends the signal.
  signal: () => inMidCall(() => {}),
  // As a server does it: nothing that was accepted is lost.
  'signal-drain': async () => {
    let accepted = 0
    let answered = 0
    const encoder = await Encoder.load(folder, { device: 'cpu', threads: 2 })
    process.once('SIGTERM', async () => {
      await encoder.dispose()
      say({ lost: accepted - answered, live: counters().liveModels })
      process.exit(0)
    })
    say('running')
    for (;;) {
      accepted++
      encoder.embed(TEXTS).then(
        () => answered++,
        (error) => {
          accepted--
          if (error.code !== 'DISPOSED') throw error
        },
      )
      if (accepted % 20 === 0) await delay(1)
    }
  },
  // Worker: serves until it is terminated.
  'busy-worker': () => serve(() => parentPort.postMessage('running')),
  terminate: async () => {
    for (let round = 0; round < Number(rounds); round++) {
      const worker = new Worker(__filename, { workerData: { args: [library, 'busy-worker', folder] } })
      await new Promise((resolve) => worker.once('message', resolve))
      await delay(Math.random() * 40)
      say(`terminated ${await worker.terminate()}`)
    }
    await using_(async (encoder) => {
      const { vectors } = await encoder.embed(TEXTS)
      say({ finite: Number.isFinite(sum(vectors)) })
    })
    say(left())
  },
  'pool-worker': async () => {
    const encoder = await Encoder.load(folder, { device: 'cpu' })
    parentPort.on('message', async (texts) => {
      if (texts === undefined) {
        await encoder.dispose()
        return parentPort.close()
      }
      const { vectors } = await encoder.embed(texts)
      parentPort.postMessage(sum(vectors))
    })
  },
  // Workers with an encoder each answer as the main thread does.
  pool: async () => {
    const sums = await Promise.all(
      Array.from({ length: Number(rounds) }, async () => {
        const worker = new Worker(__filename, { workerData: { args: [library, 'pool-worker', folder] } })
        const answers = []
        for (let round = 0; round < 5; round++) {
          worker.postMessage(TEXTS)
          answers.push(await new Promise((resolve) => worker.once('message', resolve)))
        }
        worker.postMessage(undefined)
        await new Promise((resolve) => worker.once('exit', resolve))
        return answers
      }),
    )
    await using_(async (encoder) => {
      const { vectors } = await encoder.embed(TEXTS)
      const own = sum(vectors)
      say({ pool: sums.flat().filter((one) => Math.abs(one - own) < 1e-6).length })
    })
    say(left())
  },
  // node:cluster: a worker that is killed takes no other with it.
  cluster: async () => {
    const cluster = require('node:cluster')
    if (!cluster.isPrimary) {
      const encoder = await Encoder.load(folder, { device: 'cpu', threads: 1 })
      process.on('message', async ({ texts }) => process.send({ sum: sum((await encoder.embed(texts)).vectors) }))
      process.on('disconnect', () => void encoder.dispose())
      return process.send({ ready: true })
    }
    const workers = Array.from({ length: Number(rounds) }, () => cluster.fork())
    const next = (worker) => new Promise((resolve) => worker.once('message', resolve))
    const exits = workers.map((worker) => new Promise((resolve) => worker.once('exit', (code, signal) => resolve(signal ?? code))))
    await Promise.all(workers.map(next))
    const asked = (worker) => {
      worker.send({ texts: TEXTS })
      return next(worker)
    }
    await Promise.all(workers.map(asked))
    workers[0].process.kill('SIGKILL')
    await exits[0]
    const sums = await Promise.all(workers.slice(1).map(asked))
    for (const worker of workers.slice(1)) worker.disconnect()
    say({ cluster: sums.every((one) => one.sum === sums[0].sum), exits: await Promise.all(exits) })
  },
  // The package works where intrinsics are frozen, code from strings is forbidden and __proto__ is gone.
  strict: async () => {
    await using_(async (encoder) => {
      const { vectors } = await encoder.embed(TEXTS)
      const classes = await encoder.classify(TEXTS, { task: 'tone' })
      const parsed = await encoder.parse(TEXTS)
      say({ strict: vectors.length + classes.length + parsed.length })
    })
    say(left())
  },
  // A second model of another flavour: the CPU is loaded, CUDA is asked for and is not there.
  flavours: async () => {
    await using_(async (encoder) => {
      const { vectors } = await encoder.embed(TEXTS)
      const refused = await Encoder.load(folder, { device: 'cuda' }).then(
        (other) => other.dispose().then(() => 'loaded'),
        (error) => `${error.name} ${error.code}`,
      )
      const other = await Encoder.load(folder, { device: 'cpu', precision: 'bf16' })
      const [again, half] = await Promise.all([encoder.embed(TEXTS), other.embed(TEXTS)])
      await other.dispose()
      say({ refused, same: sum(again.vectors) === sum(vectors), near: Math.abs(sum(half.vectors) - sum(vectors)) < 1 })
    })
    say(left())
  },
  // Collections in the middle of calls, and encoders that nobody disposed.
  collected: async () => {
    const use = async () => {
      const encoder = await Encoder.load(folder, { device: 'cpu' })
      const calls = []
      for (let number = 0; number < 40; number++) {
        calls.push(encoder.embed(TEXTS), encoder.classify(TEXTS, { task: 'tone' }))
        if (number % 10 === 0) global.gc()
        if (number % 10 === 0) await delay(1)
      }
      await Promise.all(calls)
    }
    for (let round = 0; round < Number(rounds); round++) await use()
    for (let turn = 0; turn < 100 && counters().liveModels > 0; turn++) {
      global.gc()
      await delay(10)
    }
    say(left())
  },
}

async function using_(use) {
  const encoder = await Encoder.load(folder, { device: 'cpu', threads: 1 })
  try {
    await use(encoder)
  } finally {
    await encoder.dispose()
  }
}

function left() {
  const { liveModels, queuedJobs, nativeBytes } = counters()
  return { liveModels, queuedJobs, nativeBytes }
}

Promise.resolve(modes[mode]()).catch((error) => {
  console.error(error)
  process.exit(1)
})
