import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'

export interface ChildResult {
  code: number | null
  signal: NodeJS.Signals | null
  out: string
  err: string
  /** From the start to the end. */
  milliseconds: number
}

/** Runs test/helpers/<name>.ts in a Node process of its own. `watch` sees the child and each line that it writes. */
export function runChild(
  name: string,
  options: {
    args?: readonly string[]
    nodeOptions?: readonly string[]
    /** Beside this process's own. */
    env?: Readonly<Record<string, string>>
    watch?: (line: string, child: ChildProcess) => void
    timeoutMs?: number
  } = {},
): Promise<ChildResult> {
  const { args = [], nodeOptions = [], env, watch, timeoutMs = 60_000 } = options
  const started = performance.now()
  const child = spawn(
    process.execPath,
    [...nodeOptions, '--import', require.resolve('tsx'), join(__dirname, `${name}.ts`), ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  )
  let [out, err, line] = ['', '', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    const lines = (line + text).split('\n')
    line = lines.pop()!
    for (const whole of lines) watch?.(whole, child)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, out, err, milliseconds: performance.now() - started })
    })
  })
}
