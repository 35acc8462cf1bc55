/** Bounds that a device must keep, and how far tensors lie apart. */
import type { ModelOptions } from '../../lib/model/index.js'
import { normOf } from './small-model.js'

/** The side that is looked at; the other one is the CPU with its own kernels. */
export type Side = Pick<ModelOptions, 'device' | 'kernels'>

export interface Check {
  name: string
  value: number
  rule: 'at most' | 'at least'
  bound: number
  ok: boolean
}

export function atMost(name: string, value: number, bound: number): Check {
  return { name, value, rule: 'at most', bound, ok: value <= bound }
}

export function atLeast(name: string, value: number, bound: number): Check {
  return { name, value, rule: 'at least', bound, ok: value >= bound }
}

export const isTrue = (name: string, value: boolean): Check => atLeast(name, value ? 1 : 0, 1)

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  let largest = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i])
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference
  }
  return largest
}

/**
 * ‖a − b‖ / max(‖b‖, floor) of the tensor that differs most; the floor is 1e-6 · norm of all, or more where `floorOf` says so.
 */
export function worstTensor(
  a: Record<string, ArrayLike<number>>,
  b: Record<string, ArrayLike<number>>,
  floorOf: (name: string) => number = () => 0,
): number {
  const floor = 1e-6 * normOf(...Object.values(b))
  let worst = 0
  for (const [name, tensor] of Object.entries(b)) {
    const difference = normOf(Float64Array.from(tensor, (value, i) => a[name][i] - value))
    const relative = difference / Math.max(normOf(tensor), floor, floorOf(name))
    if (!(relative <= worst)) worst = Number.isNaN(relative) ? Number.POSITIVE_INFINITY : relative
  }
  return worst
}
