import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'

/** What a peer answers to `steps`. */
export interface StepsAnswer {
  /** Wall-clock seconds of each step. */
  seconds: number[]
  /** Real tokens trained on. */
  tokens: number
  /** Token places computed, padding included. */
  slots: number
  /** Sum of the heads' losses at the last step. */
  loss: number
}

/** A rival (or ours) as a child process that answers one JSON line to each JSON line. It idles between its turns. */
export class PeerProcess {
  readonly name: string
  private readonly child: ChildProcess
  private readonly lines: Interface
  private readonly answers: AsyncIterator<string>

  constructor(name: string, command: string[], environment: Record<string, string> = {}) {
    this.name = name
    this.child = spawn(command[0], command.slice(1), {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    })
    // What a program that has died does not read is told by the answer that does not come.
    this.child.stdin!.on('error', () => {})
    this.lines = createInterface({ input: this.child.stdout! })
    this.answers = this.lines[Symbol.asyncIterator]()
  }

  async ready(): Promise<Record<string, unknown>> {
    return this.answer<Record<string, unknown>>()
  }

  async ask<Answer>(request: Record<string, unknown>): Promise<Answer> {
    this.child.stdin!.write(`${JSON.stringify(request)}\n`)
    return this.answer<Answer>()
  }

  steps(first: number, count: number): Promise<StepsAnswer> {
    return this.ask<StepsAnswer>({ command: 'steps', first, count })
  }

  /** Ends the process and waits for it. */
  async quit(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const gone = new Promise<void>((resolve) => this.child.once('exit', () => resolve()))
    this.child.stdin!.end('{"command":"quit"}\n')
    await gone
  }

  private async answer<Answer>(): Promise<Answer> {
    const next = await this.answers.next()
    if (next.done) throw new Error(`${this.name} ended without an answer; its messages stand above`)
    return JSON.parse(next.value) as Answer
  }
}
