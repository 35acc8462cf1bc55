import { spawn } from 'node:child_process'
import { resolve } from 'node:path'

export interface CliResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export const MAIN = resolve(__dirname, '../../lib/cli/main.ts')

export interface ProcessOptions {
  input?: string | Buffer
  cwd?: string
  env?: NodeJS.ProcessEnv
}

/** Runs the command line in a process of its own, as a user does. */
export function runCli(args: readonly string[], options: ProcessOptions = {}): Promise<CliResult> {
  return runScript(MAIN, args, options)
}

/** Runs any TypeScript file in a process of its own. */
export function runScript(script: string, args: readonly string[], options: ProcessOptions = {}): Promise<CliResult> {
  const child = spawn(process.execPath, ['--import', require.resolve('tsx'), script, ...args], {
    cwd: options.cwd ?? resolve(__dirname, '../..'),
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  // A child that ends before it has read everything closes the pipe.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input)
  return new Promise((done, failed) => {
    child.on('error', failed)
    child.on('close', (code, signal) => done({ code, signal, ...output }))
  })
}
