/** A service in a process of its own, started as its first comment says, and clients that keep asking it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const ROOT = resolve(__dirname, '../..')

export interface Service {
  address: string
  process: ChildProcess
  /** What it has written so far. */
  output(): string
  /** Resolves when a line of its output matches. */
  says(pattern: RegExp): Promise<void>
  /** Exit code and signal, when it has ended. */
  ended: Promise<[number | null, NodeJS.Signals | null]>
}

/** Starts a script on a free port. `args` come before the port. */
export async function startService(script: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Service> {
  const loader = script.endsWith('.ts') ? ['--import', require.resolve('tsx')] : []
  const child = spawn(process.execPath, [...loader, resolve(ROOT, script), ...args, '0'], {
    cwd: ROOT,
    env: { ...process.env, OMP_NUM_THREADS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let written = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      written += text
      child.emit('written')
    })
  }
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  const says = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(written)) {
      const what = await Promise.race([once(child, 'written'), ended.then(() => 'ended')])
      if (what === 'ended' && !pattern.test(written)) throw new Error(`${script} ended: ${written}`)
    }
  }
  const LISTENING = /listening at (http:\S+)/
  await says(LISTENING)
  const address = LISTENING.exec(written)![1]
  return { address, process: child, output: () => written, says, ended }
}

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: any
}

export async function post(address: string, body: unknown, signal?: AbortSignal): Promise<Reply> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(address, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: text,
    signal,
  })
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.json() }
}

/** One request over a connection that stays open for the next. */
function ask(address: string, body: string, agent: Agent): Promise<Reply> {
  return new Promise((done, failed) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const asked = request(address, { method: 'POST', headers, agent }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      response.on('end', () =>
        done({ status: response.statusCode!, headers: response.headers, body: JSON.parse(text) }),
      )
      response.on('error', failed)
    })
    asked.on('error', failed).end(body)
  })
}

export interface Load {
  /** Answers so far. */
  replies: Reply[]
  /** Errors of connections: requests without an answer. */
  dropped: Error[]
  /** Resolves when there are so many answers. */
  reached(replies: number): Promise<void>
  /** Every client stops after its present request. */
  stop(): Promise<void>
  /** Every client has left. */
  ended: Promise<void>
}

/**
 * Clients that ask one after the other over connections that stay open. A client that is told to close its connection is served
 * elsewhere from then on, as by a load balancer: it leaves.
 */
export function keepAsking(address: string, clients: number, bodyOf: (number: number) => unknown): Load {
  const replies: Reply[] = []
  const dropped: Error[] = []
  let stopped = false
  let asked = 0
  const client = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    try {
      while (!stopped) {
        const reply = await ask(address, JSON.stringify(bodyOf(asked++)), agent)
        replies.push(reply)
        if (reply.headers.connection === 'close') return
      }
    } catch (error) {
      dropped.push(error as Error)
    } finally {
      agent.destroy()
    }
  }
  let over = false
  const ended = Promise.all(Array.from({ length: clients }, client)).then(() => {
    over = true
  })
  const reached = async (count: number): Promise<void> => {
    while (replies.length < count && !over) await pause(5)
    if (replies.length < count) throw new Error(`all clients have left after ${replies.length} answers: ${dropped}`)
  }
  const stop = (): Promise<void> => {
    stopped = true
    return ended
  }
  return { replies, dropped, reached, stop, ended }
}
