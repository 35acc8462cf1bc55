import { spawn } from 'node:child_process'
import { resolve } from 'node:path'

export interface CliResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** How Node runs TypeScript. */
const WITH_TSX = ['--import', require.resolve('tsx')]

/**
 * Node's arguments for the command line: the built one where `npm test` has just built it, as it is what users run and starts in a third of the
 * time; else the sources.
 */
export const COMMAND_LINE: readonly string[] = process.env.STRATABERT_TEST_CLI
  ? [process.env.STRATABERT_TEST_CLI]
  : [...WITH_TSX, resolve(__dirname, '../../lib/cli/main.ts')]

export interface ProcessOptions {
  input?: string | Buffer
  cwd?: string
  env?: NodeJS.ProcessEnv
}

/** Runs the command line in a process of its own, as a user does. */
export function runCli(args: readonly string[], options: ProcessOptions = {}): Promise<CliResult> {
  return runNode([...COMMAND_LINE, ...args], options)
}

/** Runs any TypeScript file in a process of its own. */
export function runScript(script: string, args: readonly string[], options: ProcessOptions = {}): Promise<CliResult> {
  return runNode([...WITH_TSX, script, ...args], options)
}

function runNode(args: readonly string[], options: ProcessOptions): Promise<CliResult> {
  const child = spawn(process.execPath, args, {
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
