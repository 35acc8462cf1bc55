/**
 * Which task the next optimiser step belongs to. Every choice is a pure function of (settings, sizes, seed, step), so a
 * resumed run needs no sampler state.
 *
 * Size-based sampling p_t ∝ N_t^α: α = 1 proportional, 0.5 square root, and annealed α_e = 1 − 0.8 (e − 1)/(E − 1) as in
 * BERT and PALs (Stickland & Murray, ICML 2019, section on sampling). Temperature with a cap: p_t ∝ min(N_t, cap)^(1/T).
 * Shuffled: the batches of all tasks in one list, in a new order every epoch, as in MT-DNN (Liu et al. 2019, algorithm 1).
 */
import { StrataError } from '../errors.js'
import { type RandomStream, stream } from './random.js'

/** Which task each optimiser step trains; the rules stand at the head of this file. */
export type SamplerConfig =
  | { kind: 'proportional' | 'sqrt' | 'roundRobin' | 'shuffled' }
  | {
      kind: 'annealed'
      /** E: over how many (nominal) epochs α falls from 1 to 0.2. */
      epochs: number
      /** Optimiser steps of a nominal epoch; without it the epoch follows the share of the budget that is spent. */
      stepsPerEpoch?: number
    }
  | {
      kind: 'temperature'
      /** T > 0; 1 = proportional, large = equal shares. */
      temperature: number
      /** Sizes above this count as this. */
      cap?: number
    }
  | {
      kind: 'weights'
      /** One weight ≥ 0 a task; they need not sum to 1. */
      weights: Record<string, number>
    }

/** A task as the sampler sees it. */
export interface SampledTask {
  name: string
  /** Number of training examples (or batches: only the ratios count), > 0. */
  size: number
  /** Draws that one pass over the task's data takes, > 0; a function where passes differ. Read by `shuffled` alone. */
  drawsPerPass?: number | ((pass: number) => number)
}

/** The task of every step: a pure function of settings, sizes, seed and step. */
export interface TaskSampler {
  /**
   * Index of the task of an optimiser step (0-based). `progress`, the share of the budget that is spent (0…1), is read
   * only by the annealed sampler without `stepsPerEpoch`.
   */
  taskAt(step: number, progress?: number): number
  /** Probability of each task at a step; one-hot for round robin, the tasks' shares of the epoch for `shuffled`. */
  probabilities(step: number, progress?: number): Float64Array
}

/** α of epoch `epoch` (1-based) of `epochs`: 1 − 0.8 (e − 1)/(E − 1); 1 when there is one epoch only. */
export function annealedExponent(epoch: number, epochs: number): number {
  return epochs <= 1 ? 1 : 1 - (0.8 * (epoch - 1)) / (epochs - 1)
}

/** Probabilities proportional to size^exponent. */
export function powerProbabilities(sizes: readonly number[], exponent: number): Float64Array {
  // Divided by the largest first: sizes^exponent then stay in (0, 1] whatever the sizes are.
  const largest = Math.max(...sizes)
  return normalised(sizes.map((size) => (size / largest) ** exponent))
}

function normalised(weights: readonly number[]): Float64Array {
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return Float64Array.from(weights, (weight) => weight / sum)
}

function fail(message: string): never {
  throw new StrataError('BAD_RECIPE', message)
}

function positive(value: number, key: string): number {
  if (!(Number.isFinite(value) && value > 0)) fail(`sampler.${key}: ${value}; a number above 0 was expected`)
  return value
}

function explicitWeights(weights: Record<string, number>, tasks: readonly SampledTask[]): Float64Array {
  const names = tasks.map((task) => task.name)
  for (const [name, weight] of Object.entries(weights)) {
    if (!names.includes(name)) fail(`sampler.weights.${name}: there is no such task; the tasks are ${names.join(', ')}`)
    if (!(Number.isFinite(weight) && weight >= 0)) {
      fail(`sampler.weights.${name}: ${weight}; a number of at least 0 was expected`)
    }
  }
  for (const name of names) {
    if (!Object.hasOwn(weights, name))
      fail(`sampler.weights.${name} is missing; give each task a weight (0 leaves it out)`)
  }
  const values = names.map((name) => weights[name])
  if (!values.some((value) => value > 0)) fail('sampler.weights: all are 0; at least one task needs a weight above 0')
  return normalised(values)
}

function annealed(config: SamplerConfig & { kind: 'annealed' }, sizes: readonly number[]) {
  const { epochs, stepsPerEpoch } = config
  if (!(Number.isInteger(epochs) && epochs >= 1))
    fail(`sampler.epochs: ${epochs}; an integer of at least 1 was expected`)
  if (stepsPerEpoch !== undefined) positive(stepsPerEpoch, 'stepsPerEpoch')
  return (step: number, progress?: number): Float64Array => {
    if (stepsPerEpoch === undefined && !(progress !== undefined && progress >= 0 && progress <= 1)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `annealed sampling without stepsPerEpoch was asked with progress ${progress}; the spent share of the budget (0…1) was expected`,
      )
    }
    const passed = stepsPerEpoch === undefined ? progress! * epochs : step / stepsPerEpoch
    // A share of the budget times E may come out a crumb below the whole number that it is.
    const epoch = Math.min(epochs, Math.floor(passed + 1e-9) + 1)
    return powerProbabilities(sizes, annealedExponent(epoch, epochs))
  }
}

function probabilityRule(
  config: Exclude<SamplerConfig, { kind: 'shuffled' }>,
  tasks: readonly SampledTask[],
): (step: number, progress?: number) => Float64Array {
  const sizes = tasks.map((task) => task.size)
  switch (config.kind) {
    case 'proportional':
    case 'sqrt': {
      const fixed = powerProbabilities(sizes, config.kind === 'sqrt' ? 0.5 : 1)
      return () => fixed
    }
    case 'annealed':
      return annealed(config, sizes)
    case 'temperature': {
      const temperature = positive(config.temperature, 'temperature')
      const cap = config.cap === undefined ? Infinity : positive(config.cap, 'cap')
      const fixed = powerProbabilities(
        sizes.map((size) => Math.min(size, cap)),
        1 / temperature,
      )
      return () => fixed
    }
    case 'weights': {
      const fixed = explicitWeights(config.weights, tasks)
      return () => fixed
    }
    case 'roundRobin':
      return (step) => Float64Array.from(tasks, (_, index) => (index === step % tasks.length ? 1 : 0))
    default:
      return fail(
        `sampler.kind: ${(config as { kind: unknown }).kind}; proportional, sqrt, annealed, temperature, weights, roundRobin or shuffled was expected`,
      )
  }
}

/** An epoch's draws of all tasks, every one of them once, in the order of a shuffle by (seed, epoch). */
function shuffledTasks(tasks: readonly SampledTask[], draws: RandomStream): TaskSampler {
  const drawsOf = ({ name, drawsPerPass }: SampledTask, epoch: number): number => {
    const count = typeof drawsPerPass === 'function' ? drawsPerPass(epoch) : drawsPerPass
    if (!(count !== undefined && Number.isSafeInteger(count) && count > 0)) {
      fail(`sampler shuffled: task ${name} has ${count} draws in pass ${epoch}; an integer above 0 was expected`)
    }
    return count
  }
  const counts = (epoch: number): number[] => tasks.map((task) => drawsOf(task, epoch))
  const lengthOf = (epoch: number): number => counts(epoch).reduce((sum, count) => sum + count, 0)
  /** First step of each epoch, one farther than was asked for. */
  const starts = [0, lengthOf(0)]
  let known: { epoch: number; order: Uint32Array } | undefined
  const epochOf = (step: number): number => {
    // A later epoch's start is known only by adding up those before it: their lengths may differ.
    while (starts[starts.length - 1] <= step) starts.push(starts[starts.length - 1] + lengthOf(starts.length - 1))
    let epoch = starts.length - 2
    while (starts[epoch] > step) epoch--
    return epoch
  }
  const orderOf = (epoch: number): Uint32Array => {
    const tasksOfDraws = counts(epoch).flatMap((count, task) => new Array<number>(count).fill(task))
    return draws.child('shuffled', epoch).shuffle(Uint32Array.from(tasksOfDraws))
  }
  return {
    probabilities: (step) => normalised(counts(epochOf(checkedStep(step)))),
    taskAt(step) {
      const epoch = epochOf(checkedStep(step))
      if (known?.epoch !== epoch) known = { epoch, order: orderOf(epoch) }
      return known.order[step - starts[epoch]]
    },
  }
}

function checkedStep(step: number): number {
  if (Number.isSafeInteger(step) && step >= 0) return step
  throw new StrataError('BAD_ARGUMENT', `step ${step}: an integer of at least 0 was expected`)
}

/**
 * Makes a sampler. Throws BAD_RECIPE, naming the key, on settings that do not fit the tasks.
 *
 * @example
 * const sampler = createTaskSampler({ kind: 'sqrt' }, [{ name: 'nli', size: 400 }, { name: 'rte', size: 100 }], 42)
 * sampler.taskAt(0) // 0 with probability 2/3
 */
export function createTaskSampler(config: SamplerConfig, tasks: readonly SampledTask[], seed: number): TaskSampler {
  if (tasks.length === 0) fail('a sampler was asked for no task; at least one was expected')
  for (const { name, size } of tasks) {
    if (!(Number.isFinite(size) && size > 0)) fail(`task ${name} has size ${size}; a number above 0 was expected`)
  }
  const draws = stream(seed, 'task-sampler')
  if (config.kind === 'shuffled') return shuffledTasks(tasks, draws)
  const rule = probabilityRule(config, tasks)
  const probabilities = (step: number, progress?: number): Float64Array => rule(checkedStep(step), progress)
  return {
    probabilities: (step, progress) => probabilities(step, progress).slice(),
    taskAt(step, progress) {
      const shares = probabilities(step, progress)
      if (config.kind === 'roundRobin') return step % tasks.length
      let rest = draws.child(step).float()
      let last = 0
      for (let task = 0; task < shares.length; task++) {
        if (shares[task] === 0) continue
        last = task
        if (rest < shares[task]) return task
        rest -= shares[task]
      }
      // Rounding may leave a crumb beyond the last share.
      return last
    },
  }
}
