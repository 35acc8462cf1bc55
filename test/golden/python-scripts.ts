import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'

/** Runs scripts one after the other in one Python process: importing transformers takes seconds. Scripts run one at a time. */
export class PythonScripts {
  readonly #python: string
  #process: ChildProcessWithoutNullStreams | undefined
  #answers: AsyncIterator<string> | undefined

  constructor(python: string) {
    this.#python = python
  }

  /** Throws with Python's traceback when the script fails. */
  async run(script: string, args: readonly string[]): Promise<void> {
    if (!this.#process) {
      this.#process = spawn(this.#python, [path.join(__dirname, 'run_scripts.py')])
      this.#process.stderr.resume()
      this.#answers = createInterface(this.#process.stdout)[Symbol.asyncIterator]()
    }
    this.#process.stdin.write(`${JSON.stringify([script, ...args])}\n`)
    const answer = await this.#answers!.next()
    if (answer.done) throw new Error(`${script}: Python ended without an answer`)
    const failure = JSON.parse(answer.value) as string | null
    if (failure) throw new Error(failure)
  }

  close(): void {
    this.#process?.stdin.end()
  }
}
