/** Batches of tokenised sequences; those of a unit (a question's candidates) always stand beside each other in one batch. */
import type { HeadLabels, PackedBatch } from '../data/packed-batch.js'
import { stream } from '../data/random.js'
import { StrataError } from '../errors.js'
import { arrayHash } from './array-hash.js'
import type { ExamplePlace, TaskSet } from './types.js'

/** Sequences of a set end to end. Legend: N sequences, R rows that they are chosen from, T tokens of all of these. */
export interface PackedSequences {
  /** Shape (T). */
  tokenIds: Int32Array | Uint16Array
  /** Where each row starts, shape (R + 1). */
  offsets: Uint32Array
  /** Where in each row segment 1 begins (its length when there is none), shape (R). */
  segmentBorders: Uint32Array
  /** The row that each sequence is, shape (N); default: those of its own number. */
  rows?: Uint32Array
  /** The example that each belongs to, ascending, shape (N). */
  examples: Uint32Array
}

export interface SequenceSetOptions {
  task: string
  split: string
  head: string
  adapter?: string
  /** Most sequences a batch; a larger unit is a batch of its own. */
  sequences: number
  seed: number
  /** Another order every pass. Else pass after pass is the same. */
  shuffle: boolean
  labelled: boolean
  /** Examples that were cut. */
  truncated: number
  packed: PackedSequences
  /** First sequence of each unit and the end, shape (U + 1); default: each sequence for itself. */
  units?: Uint32Array
  /** Instead of `sequences`: a batch takes sequences up to `most` of these weights (words), shape (N). Excludes `units`. */
  load?: { of: Uint32Array; most: number }
  /** One an example; a large set makes them when they are asked for. */
  places: { readonly length: number; at(example: number): ExamplePlace | undefined }
  /** Labels of some sequences that were laid into a batch at `sequenceOffsets`, shape (B + 1). */
  labels: (sequences: Uint32Array, sequenceOffsets: Int32Array) => HeadLabels
}

/** Passes whose order is kept: the current one and the one that prefetching has reached. */
const ORDERS_KEPT = 2

/** A task's split; the kinds differ in their labels alone. */
export class SequenceSet implements TaskSet {
  readonly split: string
  readonly examples: number
  readonly truncated: number
  readonly labelled: boolean
  readonly #options: SequenceSetOptions
  readonly #unitCount: number
  readonly #orders = new Map<number, { order: Uint32Array; starts: Uint32Array }>()
  #fingerprint: string | undefined

  constructor(options: SequenceSetOptions) {
    const { task, split, places, packed, sequences } = options
    if (!(Number.isInteger(sequences) && sequences >= 1)) {
      throw new StrataError('BAD_ARGUMENT', `task ${task}: ${sequences} sequences a batch; at least one was expected`)
    }
    if (packed.examples.length === 0) {
      throw new StrataError('BAD_DATA', `task ${task}: split ${split} has no example; give at least one`, {
        details: { task, split },
      })
    }
    this.#options = options
    this.split = split
    this.examples = places.length
    this.truncated = options.truncated
    this.labelled = options.labelled
    this.#unitCount = options.units ? options.units.length - 1 : packed.examples.length
  }

  batchCount(epoch: number): number {
    return this.#plan(epoch).starts.length - 1
  }

  build(epoch: number, index: number): PackedBatch {
    const { packed, labels, head, adapter } = this.#options
    const members = this.sequenceNumbers(epoch, index)
    const rows = rowsOf(packed, members)
    const sequenceOffsets = laidOut(packed, rows)
    const tokenIds = new Int32Array(sequenceOffsets[members.length])
    const segmentIds = new Int32Array(tokenIds.length)
    rows.forEach((row, i) => {
      tokenIds.set(packed.tokenIds.subarray(packed.offsets[row], packed.offsets[row + 1]), sequenceOffsets[i])
      segmentIds.fill(1, sequenceOffsets[i] + packed.segmentBorders[row], sequenceOffsets[i + 1])
    })
    const batch: PackedBatch = {
      tokenIds,
      segmentIds,
      sequenceOffsets,
      labels: { [head]: labels(members, sequenceOffsets) },
    }
    if (adapter !== undefined) batch.adapter = adapter
    return batch
  }

  /** Which sequences of the set a batch holds, shape (B). */
  sequenceNumbers(epoch: number, index: number): Uint32Array {
    const { order, starts } = this.#plan(epoch)
    if (!(Number.isInteger(index) && index >= 0 && index + 1 < starts.length)) {
      const { task, split } = this.#options
      throw new StrataError(
        'BAD_ARGUMENT',
        `task ${task}, ${split}: batch ${index} of pass ${epoch}; an index from 0 to ${starts.length - 2} was expected`,
      )
    }
    const { units } = this.#options
    if (!units) return order.slice(starts[index], starts[index + 1])
    const members: number[] = []
    for (const unit of order.subarray(starts[index], starts[index + 1])) {
      for (let sequence = units[unit]; sequence < units[unit + 1]; sequence++) members.push(sequence)
    }
    return Uint32Array.from(members)
  }

  exampleNumbers(epoch: number, index: number): Uint32Array {
    const { examples } = this.#options.packed
    return this.sequenceNumbers(epoch, index).map((sequence) => examples[sequence])
  }

  fingerprint(): string {
    this.#fingerprint ??= arrayHash(this.#contents())
    return this.#fingerprint
  }

  place(example: number): ExamplePlace {
    const place = example >= 0 ? this.#options.places.at(example) : undefined
    if (!place) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `example ${example} of task ${this.#options.task}, ${this.split}: a number from 0 to ${this.examples - 1} was expected`,
      )
    }
    return place
  }

  *#contents(): Generator<NodeJS.ArrayBufferView> {
    const { packed, labels } = this.#options
    const all = packed.examples.map((_, sequence) => sequence)
    const rows = rowsOf(packed, all)
    const offsets = laidOut(packed, rows)
    yield* [offsets, rows.map((row) => packed.segmentBorders[row]), packed.examples]
    // Neighbours at once: a set of all rows is hashed in one piece.
    for (let first = 0, end = 1; first < rows.length; first = end++) {
      while (rows[end] === rows[end - 1] + 1) end++
      yield packed.tokenIds.subarray(packed.offsets[rows[first]], packed.offsets[rows[end - 1] + 1])
    }
    yield* Object.values(labels(all, offsets))
  }

  /** Order of the units, and where each batch begins in it. */
  #plan(epoch: number): { order: Uint32Array; starts: Uint32Array } {
    const { shuffle, seed, task, split, units, load, sequences } = this.#options
    const most = load?.most ?? sequences
    const key = shuffle ? epoch : 0
    let plan = this.#orders.get(key)
    if (plan) return plan
    const order = Uint32Array.from({ length: this.#unitCount }, (_, unit) => unit)
    if (shuffle) stream(seed, 'task-order', task, split, epoch).shuffle(order)
    const starts = [0]
    let held = 0
    order.forEach((unit, place) => {
      const size = units ? units[unit + 1] - units[unit] : (load?.of[unit] ?? 1)
      if (held > 0 && held + size > most) {
        starts.push(place)
        held = 0
      }
      held += size
    })
    starts.push(order.length)
    plan = { order, starts: Uint32Array.from(starts) }
    if (this.#orders.size === ORDERS_KEPT) this.#orders.delete(this.#orders.keys().next().value!)
    this.#orders.set(key, plan)
    return plan
  }
}

function rowsOf({ rows }: PackedSequences, sequences: Uint32Array): Uint32Array {
  return rows ? sequences.map((sequence) => rows[sequence]) : sequences
}

/** Where each of these rows starts when they lie end to end, and the end. */
function laidOut({ offsets }: PackedSequences, rows: Uint32Array): Int32Array {
  const starts = new Int32Array(rows.length + 1)
  rows.forEach((row, i) => {
    starts[i + 1] = starts[i] + offsets[row + 1] - offsets[row]
  })
  return starts
}

/** Collects sequences for a {@link PackedSequences}. */
export class SequencePacker {
  readonly #sequences: Int32Array[] = []
  readonly #borders: number[] = []
  readonly #examples: number[] = []

  /** `segmentBorder`: where segment 1 begins; default nowhere. */
  add(example: number, tokenIds: Int32Array, segmentBorder = tokenIds.length): void {
    this.#sequences.push(tokenIds)
    this.#borders.push(segmentBorder)
    this.#examples.push(example)
  }

  get length(): number {
    return this.#sequences.length
  }

  finish(): PackedSequences {
    const offsets = new Uint32Array(this.#sequences.length + 1)
    this.#sequences.forEach((sequence, i) => {
      offsets[i + 1] = offsets[i] + sequence.length
    })
    const tokenIds = new Int32Array(offsets[offsets.length - 1])
    this.#sequences.forEach((sequence, i) => {
      tokenIds.set(sequence, offsets[i])
    })
    return {
      tokenIds,
      offsets,
      segmentBorders: Uint32Array.from(this.#borders),
      examples: Uint32Array.from(this.#examples),
    }
  }
}
