import { spawnSync } from 'node:child_process'

export interface ProgramAnswer {
  /** What it printed; null when there is no answer. */
  output: string | null
  /** Why not. */
  problem: string
  /** It neither answered nor ended, like nvidia-smi on a driver that hangs. */
  hangs: boolean
}

const TIMEOUT_MS = 30_000

/** Asks a program of the machine for a few lines; one that does not answer is killed. Throws nothing. */
export function askProgram(
  command: string,
  args: readonly string[],
  { environment = process.env, timeoutMs = TIMEOUT_MS }: { environment?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): ProgramAnswer {
  const limits = { timeout: timeoutMs, killSignal: 'SIGKILL' } as const
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env: environment, ...limits })
  const none = (problem: string, hangs = false): ProgramAnswer => ({ output: null, problem, hangs })
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT')
    return none(`${command} does not answer (${timeoutMs / 1000} s)`, true)
  if (error) return none(`${command} cannot be started: ${error.message}`)
  if (status !== 0) return none(`${command} failed: ${stderr.trim().split('\n').pop() ?? ''}`)
  return { output: stdout, problem: '', hangs: false }
}
