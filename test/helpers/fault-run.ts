/** Runs a training process, kills it, resumes it, and compares the end with that of a run nobody touched. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { checkpointProblem, newestCheckpoint } from '../../lib/training/checkpoints.js'

export const STEPS = 16

export interface ChildEnd {
  code: number | null
  signal: NodeJS.Signals | null
  /** From the first step to the end. */
  trainingMs: number
  stderr: string
}

export interface ChildOptions {
  /** STRATABERT_FAULT of the child. */
  fault?: string
  /** Signal to send … */
  signal?: NodeJS.Signals
  /** … so many milliseconds after training began. */
  afterMs?: number
  /** Compute threads of the child; default 1. */
  threads?: number
}

/** Trains in `runPath` until the end or the kill. */
export function trainInChild(runPath: string, options: ChildOptions = {}): Promise<ChildEnd> {
  const script = join(__dirname, 'training-child.ts')
  // Waiting threads that spin cost a busy machine more than the work itself.
  const env = { OMP_WAIT_POLICY: 'passive', ...process.env, STRATABERT_FAULT: options.fault ?? '' }
  const args = ['--import=tsx', script, runPath, String(STEPS), String(options.threads ?? 1)]
  const child = spawn(process.execPath, args, {
    cwd: resolve(__dirname, '../..'),
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let began = 0
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
  })
  child.stdout.on('data', (data) => {
    if (began || !String(data).includes('training')) return
    began = performance.now()
    if (options.signal) setTimeout(() => child.kill(options.signal), options.afterMs)
  })
  return new Promise((done) => {
    child.on('close', (code, signal) => done({ code, signal, trainingMs: performance.now() - began, stderr }))
  })
}

/** What must be the same however often a run was killed: weights, moments and the loss curve. */
export function fingerprintOfRun(runPath: string): { weights: string; optimizer: string; curve: string } {
  const last = join(runPath, 'checkpoints', `step-${STEPS}`)
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(last, name)))
      .digest('hex')
  const events = readFileSync(join(runPath, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const steps = events.filter(({ type }) => type === 'step')
  const curve = JSON.stringify(
    steps.map(({ step, loss, learningRate, gradNorm }) => [step, loss, learningRate, gradNorm]),
  )
  return { weights: hash('model.safetensors'), optimizer: hash('optimizer.safetensors'), curve }
}

export interface FaultOutcome {
  /** The process was killed before it was done. */
  killed: boolean
  /** Step of the newest whole checkpoint that the kill left behind; undefined when there was none yet. */
  left?: number
  /** Folders that the kill left unfinished or torn. */
  warnings: string[]
}

/** Kills one run, checks what is left, resumes it to the end. Throws when the resumed process fails. */
export async function killAndResume(runPath: string, options: ChildOptions): Promise<FaultOutcome> {
  const end = await trainInChild(runPath, options)
  if (end.signal !== 'SIGKILL' && end.code !== 0) throw new Error(`the run failed with ${end.code}: ${end.stderr}`)
  const { found, warnings } = await newestCheckpoint(runPath)
  const latest = join(runPath, 'latest')
  if (existsSync(latest)) {
    const problem = await checkpointProblem(latest)
    if (problem) throw new Error(`latest points at a checkpoint that is not whole: ${problem}`)
  }
  const resumed = await trainInChild(runPath, { threads: options.threads })
  if (resumed.code !== 0)
    throw new Error(`the resumed run ended with ${resumed.code ?? resumed.signal}: ${resumed.stderr}`)
  return { killed: end.signal === 'SIGKILL', left: found?.step, warnings }
}
