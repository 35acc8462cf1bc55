/**
 * Places where a test kills the process, to show that a checkpoint is whole or not there at all, and that a corpus goes on.
 * `STRATABERT_FAULT=<point>:<n>` sends SIGKILL to this process when the point is passed for the n-th time
 * (n defaults to 1). Inert when the variable is unset.
 */
import { statSync, truncateSync } from 'node:fs'

export const FAULT_POINTS = [
  /** model.safetensors is cut in the middle of a tensor. */
  'inside-tensor',
  /** Weights are there, the optimiser's moments are not. */
  'before-optimizer',
  'before-manifest',
  'after-manifest',
  'before-rename',
  'after-rename',
  'before-latest',
  'after-latest',
] as const

/** The same in the building of a corpus, whose parts are written and then entered in its journal. */
const CORPUS_FAULT_POINTS = ['before-corpus-part', 'after-corpus-part'] as const

export type FaultPoint = (typeof FAULT_POINTS | typeof CORPUS_FAULT_POINTS)[number]

const passed = new Map<FaultPoint, number>()

/** `tornFile` is cut to half its size before the process dies. */
export function faultPoint(point: FaultPoint, tornFile?: string): void {
  const wanted = process.env.STRATABERT_FAULT
  if (!wanted) return
  const [name, count = '1'] = wanted.split(':')
  if (name !== point) return
  passed.set(point, (passed.get(point) ?? 0) + 1)
  if (passed.get(point) !== Number(count)) return
  if (tornFile) truncateSync(tornFile, Math.floor(statSync(tornFile).size / 2))
  process.kill(process.pid, 'SIGKILL')
}
