/** Batches of a fixed number of examples: the task set of classification and regression. */
import { type DescribedSource, NO_LABEL, type PackedBatch, type SourceDescription, stream } from '../data/index.js'
import type { HeadLabels } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import { arrayHash } from './array-hash.js'
import { mapExamples } from './example-folder.js'
import { type ExampleStore, exampleId } from './example-store.js'
import type { ExamplePlace, TaskSet } from './types.js'

export interface ExampleSetOptions {
  split: string
  store: ExampleStore
  /** Examples of the store that belong to the set, in the order of evaluation; in shared memory where threads build batches. */
  rows: Uint32Array
  kind: 'classification' | 'regression'
  /** Key of the labels in the batches. */
  head: string
  adapter?: string
  /** Examples a batch. */
  sequences: number
  /** Reshuffled every pass (training) or in the order of `rows`. */
  shuffle: boolean
  /** Names the order together with `seed`. */
  task: string
  seed: number
  /** False: every label is a stand-in of 0, so that the head answers for every sequence. */
  labelled: boolean
}

/** What goes to a thread: arrays in shared memory, or the folder that they are mapped from. */
type DescribedOptions = Omit<ExampleSetOptions, 'store'> & {
  store: ExampleStore | Required<Pick<ExampleStore, 'directory' | 'files'>>
}

/** The running pass and the one that prefetching has reached. */
const ORDERS_KEPT = 2

export class ExampleSet implements TaskSet, DescribedSource {
  readonly split: string
  readonly examples: number
  readonly truncated: number
  readonly labelled: boolean
  readonly #options: ExampleSetOptions
  readonly #orders = new Map<number, Uint32Array>()
  #fingerprint: string | undefined

  constructor(options: ExampleSetOptions) {
    const { store, rows, sequences } = options
    if (!(Number.isInteger(sequences) && sequences >= 1)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `${sequences} sequences a batch for task ${options.task}; at least 1 was expected`,
      )
    }
    this.#options = options
    this.split = options.split
    this.examples = rows.length
    this.labelled = options.labelled
    this.truncated = rows.reduce((sum, row) => sum + store.truncated[row], 0)
  }

  batchCount(_epoch = 0): number {
    return Math.ceil(this.examples / this.#options.sequences)
  }

  exampleNumbers(epoch: number, index: number): Uint32Array {
    if (!(Number.isInteger(index) && index >= 0 && index < this.batchCount())) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `batch ${index} of task ${this.#options.task}, split ${this.split}: an index from 0 to ${this.batchCount() - 1} was expected`,
      )
    }
    const { sequences, shuffle } = this.#options
    const from = index * sequences
    const to = Math.min(this.examples, from + sequences)
    if (shuffle) return this.#order(epoch).slice(from, to)
    return Uint32Array.from({ length: to - from }, (_, i) => from + i)
  }

  build(epoch: number, index: number): PackedBatch {
    const { store, rows, head, adapter } = this.#options
    const chosen = this.exampleNumbers(epoch, index).map((example) => rows[example])
    const sequenceOffsets = new Int32Array(chosen.length + 1)
    chosen.forEach((row, i) => {
      sequenceOffsets[i + 1] = sequenceOffsets[i] + store.offsets[row + 1] - store.offsets[row]
    })
    const tokenIds = new Int32Array(sequenceOffsets[chosen.length])
    const segmentIds = new Int32Array(tokenIds.length)
    chosen.forEach((row, i) => {
      const start = sequenceOffsets[i]
      tokenIds.set(store.tokenIds.subarray(store.offsets[row], store.offsets[row + 1]), start)
      segmentIds.fill(1, start + store.secondStarts[row], sequenceOffsets[i + 1])
    })
    const batch: PackedBatch = { tokenIds, segmentIds, sequenceOffsets, labels: { [head]: this.#labels(chosen) } }
    if (adapter !== undefined) batch.adapter = adapter
    return batch
  }

  fingerprint(): string {
    this.#fingerprint ??= arrayHash(this.#contents())
    return this.#fingerprint
  }

  place(example: number): ExamplePlace {
    const { store, rows } = this.#options
    const row = rows[example]
    if (row === undefined) {
      throw new StrataError('BAD_ARGUMENT', `example ${example} of ${this.examples} in split ${this.split}`)
    }
    const place: ExamplePlace = {
      file: store.files.findLast(({ firstExample }) => firstExample <= row)!.file,
      line: store.lines[row],
    }
    const id = exampleId(store, row)
    if (id !== undefined) place.id = id
    return place
  }

  /** The class or target of an example; NaN where there is none. */
  target(example: number): number {
    return this.#options.store.targets[this.#options.rows[example]]
  }

  describe(): SourceDescription {
    const { store, ...rest } = this.#options
    const { directory, files } = store
    // Mapped arrays would be copied: a thread maps them itself.
    const options: DescribedOptions = { ...rest, store: directory === undefined ? store : { directory, files } }
    return { module: __filename, options }
  }

  *#contents(): Generator<NodeJS.ArrayBufferView> {
    const { store, rows } = this.#options
    const { offsets, secondStarts, targets, tokenIds } = store
    yield rows.map((row) => offsets[row + 1] - offsets[row])
    yield rows.map((row) => secondStarts[row])
    yield Float64Array.from(rows, (row) => targets[row])
    // Neighbours at once: a set of all rows is hashed in one piece.
    for (let first = 0, end = 1; first < rows.length; first = end++) {
      while (rows[end] === rows[end - 1] + 1) end++
      yield tokenIds.subarray(offsets[rows[first]], offsets[rows[end - 1] + 1])
    }
  }

  #labels(chosen: Uint32Array): HeadLabels {
    const { store, kind } = this.#options
    const target = (row: number): number => (this.labelled ? store.targets[row] : 0)
    if (kind === 'classification') {
      return { labels: Int32Array.from(chosen, (row) => (Number.isNaN(target(row)) ? NO_LABEL : target(row))) }
    }
    return { labels: new Int32Array(chosen.length), values: Float32Array.from(chosen, target) }
  }

  #order(epoch: number): Uint32Array {
    let order = this.#orders.get(epoch)
    if (!order) {
      const { seed, task } = this.#options
      order = Uint32Array.from({ length: this.examples }, (_, example) => example)
      stream(seed, 'task-order', task, epoch).shuffle(order)
      if (this.#orders.size === ORDERS_KEPT) this.#orders.delete(this.#orders.keys().next().value!)
      this.#orders.set(epoch, order)
    }
    return order
  }
}

/** Rebuilds a set from its description; called in prefetch workers. */
export function createSource(options: unknown): ExampleSet {
  const { store, ...rest } = options as DescribedOptions
  if ('tokenIds' in store) return new ExampleSet({ ...rest, store })
  const names = store.files.map(({ file }) => file)
  return new ExampleSet({ ...rest, store: mapExamples(store.directory, names) })
}
