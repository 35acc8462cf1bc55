/**
 * The Fastify example under load: `npm run bench:load -- [--json] [--seconds 300] [--connections 200] [--route embed|openai] [--save]`.
 *
 * A service of its own process serves minilm_l6; autocannon keeps every connection busy with single sentences of STS-B dev, answered by their vectors. Three
 * phases: `steady` for the asked seconds; `swap`, in which SIGHUP replaces the checkpoint twice under the same load; `end`, in which SIGTERM
 * comes under load and every request that was sent must still be answered with 200 and the process end with code 0.
 *
 * Event-loop delay is the service's own /metrics (perf_hooks, resolution 10 ms, which is part of every figure: an idle loop has about 10), RSS is the kernel's,
 * once a second, its slope a straight line through the samples after the first fifth. Exit code 1 when a request failed or was dropped.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import autocannon from 'autocannon'
import { sharedData } from './enwiki-batches.js'
import { ROOT, runFacts, saveResult, say, THREADS } from './rounds.js'

const ROUTES = {
  embed: (text: string) => ({ path: '/embed', body: { texts: text, normalize: true } }),
  openai: (text: string) => ({ path: '/v1/embeddings', body: { input: text, encoding_format: 'base64' } }),
}

/** Sentences that a connection asks for in turn. */
const SENTENCES = 100

interface Options {
  json: boolean
  save: boolean
  seconds: number
  connections: number
  route: keyof typeof ROUTES
}

function parseArguments(list: string[]): Options {
  const options: Options = { json: false, save: false, seconds: 300, connections: 200, route: 'embed' }
  for (let index = 0; index < list.length; index++) {
    const next = list[index + 1]
    if (list[index] === '--json') options.json = true
    else if (list[index] === '--save') options.save = true
    else if (/^--(seconds|connections)$/.test(list[index]) && Number(next) >= 1) {
      options[list[index].slice(2) as 'seconds'] = Number(list[++index])
    } else if (list[index] === '--route' && next in ROUTES) options.route = list[++index] as keyof typeof ROUTES
    else {
      throw new Error(
        `unknown argument ${list[index]}; known are --json, --save, --seconds N, --connections N, --route embed|openai`,
      )
    }
  }
  return options
}

function sentences(): string[] {
  const [header, ...rows] = readFileSync(path.join(sharedData(), 'glue/STS-B/dev.tsv'), 'utf8')
    .split('\n')
    .filter((line) => line)
    .map((line) => line.split('\t'))
  return rows.map((row) => row[header.indexOf('sentence1')])
}

/** The example as a process of its own. */
class Service {
  readonly lines: string[] = []
  readonly ended: Promise<{ code: number | null; signal: string | null }>
  readonly #child: ChildProcess
  url = ''

  private constructor() {
    const server = path.join(ROOT, 'examples/fastify-service/server.ts')
    this.#child = spawn(
      process.execPath,
      ['--import', 'tsx', server, path.join(sharedData(), 'minilm_l6'), '0'],
      // Beyond the queue's default, 200 connections with single sentences never come.
      { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, THREADS: String(THREADS) } },
    )
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.lines.push(line))
    this.ended = new Promise((resolve) => this.#child.once('exit', (code, signal) => resolve({ code, signal })))
  }

  static async start(): Promise<Service> {
    const service = new Service()
    const line = await Promise.race([service.line(/listening at (\S+)/), service.ended])
    if ('code' in line) throw new Error(`the service ended with ${line.code ?? line.signal} before it listened`)
    service.url = line[1]
    return service
  }

  /** The next line that matches, from `from` on. */
  async line(pattern: RegExp, from = 0, seconds = 60): Promise<RegExpExecArray> {
    for (const end = performance.now() + 1000 * seconds; performance.now() < end; await pause(20)) {
      for (const line of this.lines.slice(from)) {
        const match = pattern.exec(line)
        if (match) return match
      }
    }
    throw new Error(`the service said nothing like ${pattern} within ${seconds} s; it said: ${this.lines.join(' | ')}`)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  rssBytes(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
  }

  /** The p99 since it was last asked, in milliseconds. */
  async loopDelayP99(): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text()
    return 1000 * Number(/^stratabert_event_loop_delay_p99_seconds (\S+)$/m.exec(text)?.[1] ?? Number.NaN)
  }

  /** Ends it whatever it does. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** What autocannon gives for a callback; its types leave `stop` out. */
interface Stoppable {
  stop(): void
}

interface Sample {
  requests: number
  rssBytes: number
}

/** Growth in bytes a 100,000 requests: least squares over the samples after the first fifth. */
function slope(samples: readonly Sample[]): number {
  const used = samples.slice(Math.floor(samples.length / 5))
  const mean = (value: (sample: Sample) => number) => used.reduce((sum, one) => sum + value(one), 0) / used.length
  const [x, y] = [mean(({ requests }) => requests), mean(({ rssBytes }) => rssBytes)]
  const above = used.reduce((sum, { requests, rssBytes }) => sum + (requests - x) * (rssBytes - y), 0)
  return (100_000 * above) / used.reduce((sum, { requests }) => sum + (requests - x) ** 2, 0)
}

/** Keeps every connection busy for some seconds, and until `also` is done. */
async function underLoad(
  service: Service,
  options: Options,
  texts: readonly string[],
  seconds: number,
  also?: Promise<unknown>,
) {
  await service.loopDelayP99()
  const samples: Sample[] = []
  let requests = 0
  let connection = 0
  const loaded: autocannon.Options = {
    url: service.url,
    connections: options.connections,
    duration: also ? 3600 : seconds,
    timeout: 30,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    // Each connection asks for sentences of its own.
    setupClient: (client) => {
      const first = connection++ * SENTENCES
      const own = Array.from({ length: SENTENCES }, (_, index) => texts[(first + index) % texts.length])
      client.setRequests(
        own.map((text) => {
          const { path, body } = ROUTES[options.route](text)
          return { method: 'POST', path, body: JSON.stringify(body) }
        }),
      )
    },
  }
  const timer = setInterval(() => samples.push({ requests, rssBytes: service.rssBytes() }), 1000)
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon(loaded, (error, done) => (error ? reject(error) : resolve(done)))
    instance.on('response', () => {
      requests++
    })
    if (also) Promise.all([also, pause(1000 * seconds)]).then(() => (instance as unknown as Stoppable).stop(), reject)
  })
  clearInterval(timer)
  const failed = result.errors + result.timeouts + result.non2xx + result.resets
  return {
    seconds: result.duration,
    requests: result['2xx'] + result.non2xx,
    requestsPerSecond: result.requests.average,
    errors: { errors: result.errors, timeouts: result.timeouts, non2xx: result.non2xx, resets: result.resets },
    failed,
    latencyMilliseconds: { p50: result.latency.p50, p99: result.latency.p99, max: result.latency.max },
    eventLoopP99Milliseconds: await service.loopDelayP99(),
    rssBytes: {
      first: samples[0].rssBytes,
      last: samples.at(-1)!.rssBytes,
      most: Math.max(...samples.map((one) => one.rssBytes)),
    },
    rssSlopeBytesPer100000: slope(samples),
    samples,
  }
}

/** As `underLoad`, while the checkpoint is replaced twice. */
async function swapping(service: Service, options: Options, texts: readonly string[]) {
  const milliseconds: number[] = []
  const swaps = async () => {
    for (let swap = 0; swap < 2; swap++) {
      await pause(2000)
      const from = service.lines.length
      const start = performance.now()
      service.signal('SIGHUP')
      await service.line(/checkpoint replaced/, from)
      milliseconds.push(performance.now() - start)
    }
    await pause(2000)
  }
  const load = await underLoad(service, options, texts, Math.min(60, options.seconds / 5), swaps())
  return { ...load, swaps: milliseconds }
}

type Outcome = 'answered' | 'refused' | 'dropped' | 'failed'

/** One request on a connection that is kept; `close`: the service asks to leave. */
function request(
  agent: http.Agent,
  url: string,
  route: string,
  body: string,
): Promise<{ outcome: Outcome; close: boolean }> {
  return new Promise((resolve) => {
    const call = http.request(
      `${url}${route}`,
      {
        agent,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (answer) => {
        answer.resume()
        answer.once('end', () => {
          const outcome = answer.statusCode === 200 ? 'answered' : 'failed'
          resolve({ outcome, close: answer.headers.connection === 'close' })
        })
        answer.once('error', () => resolve({ outcome: 'dropped', close: true }))
      },
    )
    // Refused: the connection was never accepted, so another server gets the request.
    call.once('error', (error: NodeJS.ErrnoException) => {
      resolve({ outcome: error.code === 'ECONNREFUSED' ? 'refused' : 'dropped', close: true })
    })
    call.end(body)
  })
}

/** SIGTERM under load: clients leave when they are told to, as a load balancer's do. */
async function ending(service: Service, options: Options, texts: readonly string[]) {
  const counts: Record<Outcome, number> = { answered: 0, refused: 0, dropped: 0, failed: 0 }
  let afterSignal = 0
  let signalled = false
  const client = async (number: number) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    for (let index = number; ; index += options.connections) {
      const { path: route, body } = ROUTES[options.route](texts[index % texts.length])
      const { outcome, close } = await request(agent, service.url, route, JSON.stringify(body))
      counts[outcome]++
      if (signalled) afterSignal++
      if (close) break
    }
    agent.destroy()
  }
  const clients = Promise.all(Array.from({ length: options.connections }, (_, number) => client(number)))
  await pause(3000)
  const start = performance.now()
  signalled = true
  service.signal('SIGTERM')
  await clients
  const { code, signal } = await service.ended
  return { ...counts, afterSignal, exit: code ?? signal, milliseconds: performance.now() - start }
}

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2))
  const texts = sentences()
  const facts = runFacts({})
  const service = await Service.start()
  try {
    await pause(2000)
    const idleEventLoopP99Milliseconds = await service.loopDelayP99()
    say(`${service.url}: warming up`)
    await underLoad(service, options, texts, Math.max(2, options.seconds / 30))
    say(`steady: ${options.seconds} s`)
    const steady = await underLoad(service, options, texts, options.seconds)
    say('hot swap')
    const { samples: _, ...swap } = await swapping(service, options, texts)
    say('SIGTERM')
    const end = await ending(service, options, texts)
    const result = {
      name: 'load',
      precision: 'fp32',
      ...facts,
      route: options.route,
      connections: options.connections,
      idleEventLoopP99Milliseconds,
      steady,
      swap,
      end,
      dropped: steady.failed + swap.failed + end.dropped + end.failed,
    }
    if (options.save) saveResult(result)
    if (options.json) console.log(JSON.stringify(result, null, 2))
    else {
      for (const [name, phase] of Object.entries({ steady, swap })) {
        const { p50, p99 } = phase.latencyMilliseconds
        console.log(
          `${name}: ${phase.requests} requests, ${phase.failed} failed, ${phase.requestsPerSecond.toFixed(0)}/s, latency p50 ${p50} ms, p99 ${p99} ms, ` +
            `event loop p99 ${phase.eventLoopP99Milliseconds.toFixed(1)} ms, RSS ${(phase.rssBytes.last / 2 ** 20).toFixed(0)} MiB, ` +
            `${(phase.rssSlopeBytesPer100000 / 1e6).toFixed(2)} MB per 100,000 requests`,
        )
      }
      console.log(`swaps: ${swap.swaps.map((one) => `${one.toFixed(0)} ms`).join(', ')}`)
      console.log(
        `SIGTERM: ${end.afterSignal} requests answered after it, ${end.dropped} dropped, ${end.failed} failed, ended with ${end.exit} after ${end.milliseconds.toFixed(0)} ms`,
      )
    }
    if (result.dropped > 0 || end.exit !== 0) process.exitCode = 1
  } finally {
    service.kill()
  }
}

main().catch((error) => {
  console.error(`error: ${error.message}`)
  process.exitCode = 1
})
