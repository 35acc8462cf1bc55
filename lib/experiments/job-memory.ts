/** Memory for jobs that run at the same time: a further one starts only when what it is expected to take fits beside the others. */
import { memoryWithoutData } from '../recipes/index.js'
import { freeMemory } from '../runtime/index.js'
import { readResult } from './job-folder.js'
import type { Job } from './plan.js'

/** Of Node, libtorch and the data of a small run: our choice, on the safe side. */
const PROCESS_BYTES = 0.75e9
/** What is expected of a job of which nothing is known, or whose model lies on a GPU. */
const USUAL_BYTES = 1.5e9
/** Of what finished runs logged: they log at their steps, not at their peaks. */
const MARGIN = 1.25
/** Vocabulary of a checkpoint that is not there yet: that of BERT. */
const USUAL_VOCABULARY = 30_522

/**
 * Gives jobs their memory. A job that has just started has taken little of it yet, so that what is free now says too much: each holds
 * what is expected of it until it ends.
 */
export class JobMemory {
  readonly #free: () => number
  /** Bytes by job that runs. */
  readonly #held = new Map<Job, number>()
  /** The most that a finished run took, by variant and step. */
  readonly #measured = new Map<string, { step: string; bytes: number }>()
  /** Free bytes when no job ran. */
  #freeAtRest = 0

  /** `jobs` that are done tell what those like them will take; `free` measures the bytes that machine and container have left. */
  constructor(jobs: readonly Job[], free: () => number = freeMemory) {
    this.#free = free
    for (const job of jobs) this.learn(job)
  }

  /** Whether the job may start now; it then holds its memory until {@link release}. The only one always may. */
  claim(job: Job): boolean {
    const free = this.#free()
    const bytes = this.expected(job)
    if (this.#held.size === 0) this.#freeAtRest = free
    else if (bytes > Math.min(this.#freeAtRest - this.#heldBytes(), free)) return false
    this.#held.set(job, bytes)
    return true
  }

  release(job: Job): void {
    this.#held.delete(job)
  }

  /** Takes in what a finished job took. */
  learn(job: Job): void {
    const bytes = readResult(job)?.values.memoryBytes
    if (bytes === undefined) return
    const key = keyOf(job)
    const before = this.#measured.get(key)?.bytes ?? 0
    this.#measured.set(key, { step: job.step, bytes: Math.max(before, bytes) })
  }

  /** Bytes: as runs of this variant and step took, else the largest of this step, else by the recipe's shapes. */
  expected(job: Job): number {
    const ofStep = [...this.#measured.values()].filter(({ step }) => step === job.step)
    const measured = this.#measured.get(keyOf(job))?.bytes ?? Math.max(0, ...ofStep.map(({ bytes }) => bytes))
    return measured > 0 ? MARGIN * measured : bytesByShape(job)
  }

  /** Why a job waits. */
  shortage(job: Job): string {
    const left = Math.max(0, Math.min(this.#freeAtRest - this.#heldBytes(), this.#free()))
    return `needs about ${gigabytes(this.expected(job))} of memory, ${gigabytes(left)} are left beside the other runs; waiting for one to end`
  }

  #heldBytes(): number {
    return [...this.#held.values()].reduce((sum, bytes) => sum + bytes, 0)
  }
}

const keyOf = ({ variant, step }: Job): string => JSON.stringify([variant, step])

/** Looking at a checkpoint takes less than training it did. */
function bytesByShape(job: Job): number {
  const trained = job.kind === 'train' ? job : job.parent?.kind === 'train' ? job.parent : undefined
  if (!trained || trained.recipe.device.startsWith('cuda')) return USUAL_BYTES
  const { tokenizer } = trained.recipe
  const vocabulary = typeof tokenizer === 'string' ? USUAL_VOCABULARY : tokenizer.train.vocabSize
  return PROCESS_BYTES + memoryWithoutData(trained.recipe, vocabulary)
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`
