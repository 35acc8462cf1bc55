/** Commands of our own in child processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { programArguments } from '../runtime/index.js'

export interface CommandEnd {
  /** Null after a signal. */
  code: number | null
  signal: NodeJS.Signals | null
}

export interface RunningCommand {
  ended: Promise<CommandEnd>
  /** Asks for an end: a training run writes its checkpoint first. */
  stop(): void
  kill(): void
}

export interface CommandOptions {
  /** Files that take what the command prints: an orphan must not fail on a closed pipe. */
  stdout: string
  stderr: string
  /** Compute threads; default as many as there are. */
  threads?: number
}

/**
 * Starts `stratabert …args`. The child is in a process group of its own, so that Ctrl-C reaches only us and we pass it on
 * once; when this process dies, the child stops as after SIGTERM (see cli/main.ts).
 */
export function startOwnCommand(args: readonly string[], { stdout, stderr, threads }: CommandOptions): RunningCommand {
  const [out, err] = [openSync(stdout, 'w'), openSync(stderr, 'a')]
  let child: ChildProcess
  try {
    child = spawn(process.execPath, [...programArguments(join(__dirname, '../cli'), 'main'), ...args], {
      detached: true,
      stdio: ['ignore', out, err, 'ipc'],
      env: {
        ...process.env,
        NO_COLOR: '1',
        STRATABERT_STOP_WITH_PARENT: '1',
        ...(threads !== undefined && { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) }),
      },
    })
  } finally {
    closeSync(out)
    closeSync(err)
  }
  const ended = new Promise<CommandEnd>((done, failed) => {
    child.on('error', failed)
    child.on('close', (code, signal) => done({ code, signal }))
  })
  return { ended, stop: () => void child.kill('SIGTERM'), kill: () => void child.kill('SIGKILL') }
}
