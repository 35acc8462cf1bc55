/** What the side-by-side benchmarks share: the peers' Python, rounds in which the programs take turns, and the facts of a result. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { PeerProcess } from './peer-process.js'

export const ROOT = path.resolve(__dirname, '..')
export const THREADS = 2
/** Above this share of foreign work on the machine just before a round, the round is marked as disturbed. */
export const BUSY_SHARE = 0.1

export type Precision = 'bf16' | 'fp32'

/** What one program did in one round. */
export interface Turn {
  /** Real tokens a second. */
  rate: number
  /** Milliseconds a step. */
  ms: number
  /** Token places computed per real token, minus 1. */
  padding: number
  /** At the last step. */
  loss: number
}

export interface RoundsOptions {
  /** For messages. */
  label: string
  rounds: number
  warmUpSteps: number
  /** Steps of one turn of a program. */
  stepsOf: (program: string) => number
  /** The rate as messages tell it. */
  tell: (rate: number) => string
  beforeRound?: () => Promise<void>
  /** The programs' first answers have been read. */
  isReady?: boolean
}

/** The interpreter with the peers' packages. */
export function python(): string {
  const candidates = [process.env.STRATABERT_PYTHON, path.join(ROOT, '.venv/bin/python')]
  const found = candidates.find((candidate) => candidate && existsSync(candidate))
  if (!found) throw new Error('the peers need Python: run `npm run bench:setup`, or set STRATABERT_PYTHON')
  return found
}

/** Some virtual machines advertise AMX that oneDNN cannot use and dies on; then all programs run without it. */
export function instructionSet(interpreter: string): Record<string, string> {
  if (process.env.ONEDNN_MAX_CPU_ISA) return {}
  const code =
    'import torch; x=torch.ones(64,768).bfloat16(); torch.nn.functional.linear(x, torch.ones(768,768).bfloat16())'
  const probe = spawnSync(interpreter, ['-c', code], { stdio: 'ignore' })
  return probe.signal === 'SIGILL' ? { ONEDNN_MAX_CPU_ISA: 'AVX512_CORE_FP16' } : {}
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

export async function busyShare(): Promise<number> {
  const read = () => {
    const [user, nice, system, idle, wait] = readFileSync('/proc/stat', 'utf8')
      .split('\n')[0]
      .split(/\s+/)
      .slice(1)
      .map(Number)
    return { busy: user + nice + system, all: user + nice + system + idle + wait }
  }
  const before = read()
  await new Promise((resolve) => setTimeout(resolve, 400))
  const after = read()
  return (after.busy - before.busy) / Math.max(1, after.all - before.all)
}

/** Lets the programs take turns; `turns` are by program and round, `disturbed` counts the rounds that found other work. */
export async function takeTurns(
  peers: readonly PeerProcess[],
  options: RoundsOptions,
): Promise<{ turns: Map<string, Turn[]>; disturbed: number }> {
  const { label, rounds, warmUpSteps } = options
  for (const peer of peers) {
    say(`${label}: warming up ${peer.name}`)
    if (!options.isReady) await peer.ready()
    await peer.steps(0, warmUpSteps)
  }
  const turns = new Map(peers.map((peer) => [peer.name, [] as Turn[]]))
  let disturbed = 0
  for (let round = 0; round < rounds; round++) {
    const busy = await busyShare()
    if (busy > BUSY_SHARE) {
      disturbed++
      say(`${label}: round ${round + 1}: the machine is busy with other work (${Math.round(100 * busy)} %)`)
    }
    await options.beforeRound?.()
    // Each round starts with another program, so that no one always follows the same neighbour.
    for (let turn = 0; turn < peers.length; turn++) {
      const peer = peers[(turn + round) % peers.length]
      const count = options.stepsOf(peer.name)
      const first = warmUpSteps + round * (count + 1)
      // The first step after the others' turns takes longer, most of all in the program with the most memory.
      await peer.steps(first, 1)
      const result = await peer.steps(first + 1, count)
      const seconds = sum(result.seconds)
      turns.get(peer.name)!.push({
        rate: result.tokens / seconds,
        ms: (1000 * seconds) / count,
        padding: result.slots / result.tokens - 1,
        loss: result.loss,
      })
    }
    const rates = peers.map((peer) => `${peer.name} ${options.tell(turns.get(peer.name)![round].rate)}`)
    say(`${label}: round ${round + 1}/${rounds}: ${rates.join(', ')}`)
  }
  return { turns, disturbed }
}

/** Median over the rounds of one program's rate ÷ another's in the same round. */
export function ratioOf(turns: ReadonlyMap<string, readonly Turn[]>, above: string, below: string): number {
  return median(turns.get(above)!.map((turn, round) => turn.rate / turns.get(below)![round].rate))
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** Date, commit and machine of a result that was computed by so many threads. */
export function runFacts(isa: Record<string, string>, threads = THREADS) {
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    machine: {
      cpu: os.cpus()[0].model.trim(),
      threads,
      memoryGiB: Math.round(os.totalmem() / 2 ** 30),
      node: process.version,
      ...isa,
    },
  }
}

/** Writes a result into benchmarks/results. */
export function saveResult(result: { name: string; date: string; precision: string }): void {
  const folder = path.join(__dirname, 'results')
  mkdirSync(folder, { recursive: true })
  const file = path.join(folder, `${result.name}-${result.precision}-${result.date}.json`)
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
}

export function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}
