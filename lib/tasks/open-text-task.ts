/** Opens tasks of one text or a pair of texts: reads the files, numbers the labels, tokenises, makes the sets. */
import { createHash } from 'node:crypto'
import { RowTally } from '../data/index.js'
import { StrataError } from '../errors.js'
import { drawShare, splitBySeed } from './data-share.js'
import { EncodingQueue } from './encoding-queue.js'
import { ExampleBuilder } from './example-builder.js'
import type { FileCounts } from './example-folder.js'
import { ExampleSet } from './example-set.js'
import { type ExampleStore, shared } from './example-store.js'
import { LabelReader } from './label-reader.js'
import { isPredictionSplit, resolveTaskFiles } from './task-files.js'
import { TaskNotes } from './task-notes.js'
import { describeTally, endingsOf, readTaskRows, type TaskRow } from './task-rows.js'
import { checkLabels, checkTextDefinition, type TextTaskDefinition } from './text-definition.js'
import type { OpenedTask, OpenTaskOptions } from './types.js'

type Options = OpenTaskOptions<TextTaskDefinition>

/** Examples of the training part, and of the part held out of the same file. */
interface TrainingPlan {
  train: Uint32Array
  dev?: Uint32Array
}

/**
 * Opens a classification or regression task. Examples are tokenised in a worker thread, in one pass over the rows, and kept in memory or,
 * from `memoryBytes` on, in files (see ExampleStore).
 * A pair is [CLS] A [SEP] B [SEP] with segments 0 and 1; too long ones lose the end of the longer text and are counted in the notes.
 *
 * Throws BAD_RECIPE (a definition that contradicts itself), NOT_FOUND, BAD_FILE, and BAD_DATA with file and line: unknown or
 * out-of-range labels, a missing column, too many bad rows, an empty set, training rows of one class.
 */
export async function openTextTask(options: Options): Promise<OpenedTask> {
  const opening = new Opening(options)
  return opening.open()
}

class Opening {
  readonly #options: Options
  readonly #definition: TextTaskDefinition
  readonly #name: string
  readonly #labels: LabelReader
  readonly #notes = new TaskNotes()

  constructor(options: Options) {
    this.#options = options
    this.#definition = options.definition
    checkTextDefinition(this.#definition)
    this.#name = options.name ?? this.#definition.name
    this.#labels = new LabelReader(this.#name, this.#definition)
  }

  async open(): Promise<OpenedTask> {
    const { data, splits: wanted } = this.#options
    const definition = this.#definition
    const { splits, single } = resolveTaskFiles(this.#name, data, endingsOf(definition), definition.files)
    const isWanted = (split: string): boolean => !wanted || wanted.includes(split)
    const task: OpenedTask = {
      name: this.#name,
      kind: definition.kind,
      head: this.#options.head ?? this.#name,
      metrics: definition.metrics,
      definition,
      evaluation: {},
      prediction: {},
      ...this.#notes,
    }
    if (definition.labels) task.labels = definition.labels
    const training = splits.get('train')
    const trainingWanted = isWanted('train') || (single && isWanted('dev'))
    // Class names that the definition lacks come from the training rows, wanted or not.
    if (training && (trainingWanted || (definition.kind === 'classification' && !definition.labels))) {
      const { train, dev } = await this.#openTraining(training, single, task)
      if (isWanted('train')) task.train = train
      if (dev && isWanted('dev')) task.evaluation.dev = dev
    }
    for (const [split, files] of splits) {
      if (split === 'train' || !isWanted(split)) continue
      if (isPredictionSplit(split)) task.prediction[split] = await this.#openPrediction(split, files)
      else task.evaluation[split] = await this.#openEvaluation(split, files)
    }
    return task
  }

  async #openTraining(
    files: readonly string[],
    single: boolean,
    task: OpenedTask,
  ): Promise<{ train: ExampleSet; dev?: ExampleSet }> {
    const { fraction = 1 } = this.#options
    let plan: TrainingPlan | undefined
    let keep: Uint8Array | undefined
    if (fraction < 1) {
      // Reading is cheap beside tokenising: the share is drawn first and only its examples are tokenised.
      const targets = await this.#scan(files)
      plan = this.#plan(targets, single)
      keep = new Uint8Array(targets.length)
      for (const row of [...plan.train, ...(plan.dev ?? [])]) keep[row] = 1
    }
    const store = await this.#load('train', files, { collect: true, keep, quiet: plan !== undefined })
    if (keep && plan) plan = { train: renumber(plan.train, keep), dev: plan.dev && renumber(plan.dev, keep) }
    else plan = this.#plan(store.targets, single)
    this.#checkClasses(store, plan.train, files)
    const labels = this.#labels.names
    if (labels && !this.#definition.labels) {
      checkLabels(this.#name, labels, this.#definition.metrics)
      task.labels = labels
      task.definition = { ...this.#definition, labels }
    }
    const train = this.#set('train', store, plan.train, true, true)
    const dev = plan.dev && this.#set('dev', store, plan.dev, false, true)
    return dev ? { train, dev } : { train }
  }

  /** Targets of all usable training rows. */
  async #scan(files: readonly string[]): Promise<Float64Array> {
    const targets: number[] = []
    const counts = await this.#read(files, { collect: true }, async (rows) => {
      for (const { label } of rows) targets.push(label ?? Number.NaN)
    })
    this.#noteCounts('train', files, counts)
    this.#checkNotEmpty('train', targets.length, files)
    return Float64Array.from(targets)
  }

  #plan(targets: ArrayLike<number>, single: boolean): TrainingPlan {
    const { seed, devShare = 0.1, fraction = 1, drawSeed = seed } = this.#options
    const count = targets.length
    let train: Uint32Array = Uint32Array.from({ length: count }, (_, row) => row)
    let dev: Uint32Array | undefined
    if (single) {
      const parts = splitBySeed(count, devShare, seed, `task ${this.#name} (${this.#options.data}): examples`)
      train = parts.train
      dev = parts.dev
      this.#notes.tell(
        `dev: ${dev.length} of ${count} examples of the one file, drawn by seed ${seed}; classes are not balanced between the parts`,
      )
    }
    if (fraction === 1) return { train, dev }
    const classes = this.#definition.kind === 'classification' ? train.map((row) => targets[row]) : undefined
    const all = train
    train = drawShare(all.length, fraction, drawSeed, classes).map((example) => all[example])
    this.#notes.tell(
      `train: ${train.length} of ${all.length} examples (fraction ${fraction}, drawn by seed ${drawSeed})`,
    )
    return { train, dev }
  }

  async #openEvaluation(split: string, files: readonly string[]): Promise<ExampleSet> {
    const store = await this.#load(split, files, {})
    return this.#set(split, store, allRows(store), false, true)
  }

  /** A test set's labels may be there, secret for all rows, or missing for some. */
  async #openPrediction(split: string, files: readonly string[]): Promise<ExampleSet> {
    const store = await this.#load(split, files, { labelOptional: true })
    const labelled = allRows(store).filter((row) => !Number.isNaN(store.targets[row]))
    if (labelled.length === 0) return this.#set(split, store, allRows(store), false, false)
    const without = store.targets.length - labelled.length
    if (without > 0) this.#notes.warn(`${split}: ${without} rows without a label are left out`)
    return this.#set(split, store, labelled, false, true)
  }

  async #load(
    split: string,
    files: readonly string[],
    options: { collect?: boolean; labelOptional?: boolean; keep?: Uint8Array; quiet?: boolean },
  ): Promise<ExampleStore> {
    const { tokenizer, sequenceTokens = 128, memoryBytes, cacheDirectory, signal, maxBadShare } = this.#options
    const { keep, ...how } = options
    const { name: _, ...definition } = this.#definition
    const names = this.#labels.names
    const drawn = keep && createHash('sha256').update(keep).digest('hex')
    const builder = new ExampleBuilder({
      task: this.#name,
      files,
      vocabSize: tokenizer.vocabSize,
      memoryBytes,
      cacheDirectory,
      origin: { definition, names, tokenizer: tokenizer.fingerprint, sequenceTokens, maxBadShare, ...how, drawn },
      signal,
    })
    const found = await builder.find()
    if (found) {
      if (found.labels) this.#labels.restore(found.labels)
      if (!options.quiet) this.#noteCounts(split, files, found.counts)
      return found.store
    }
    try {
      const counts = await this.#encode(files, options, builder)
      if (!options.quiet) this.#noteCounts(split, files, counts)
      this.#checkNotEmpty(split, builder.count, files)
      const settled = options.collect ? this.#labels.settle() : undefined
      return await builder.finish({ labels: settled?.labels, counts }, settled?.renumbered)
    } finally {
      builder.discard()
    }
  }

  /** Tokenises the rows of a split in one pass. */
  async #encode(
    files: readonly string[],
    options: { collect?: boolean; labelOptional?: boolean; keep?: Uint8Array },
    builder: ExampleBuilder,
  ): Promise<FileCounts[]> {
    const { tokenizer, sequenceTokens = 128 } = this.#options
    const encoding = new EncodingQueue(builder, tokenizer, sequenceTokens, options.labelOptional)
    let ordinal = 0
    const reversed = this.#definition.hypothesisFirst && this.#definition.texts.length === 2
    const counts = await this.#read(
      files,
      options,
      async (rows) => {
        for (const row of rows) {
          if (options.keep && options.keep[ordinal++] === 0) continue
          await encoding.add(reversed ? { ...row, texts: [row.texts[1], row.texts[0]] } : row)
        }
      },
      async () => {
        await encoding.flush()
        return builder.count
      },
    )
    await encoding.flush()
    return counts
  }

  /** Reads the files of a split. `begin` is asked before each file how many examples there are so far. */
  async #read(
    files: readonly string[],
    { collect, labelOptional }: { collect?: boolean; labelOptional?: boolean },
    take: (rows: TaskRow[]) => Promise<void>,
    begin: () => Promise<number> = async () => 0,
  ): Promise<FileCounts[]> {
    const { maxBadShare, signal } = this.#options
    const counts: FileCounts[] = []
    for (const file of files) {
      const tally = new RowTally(file)
      const firstExample = await begin()
      let unlabelled = 0
      const blocks = readTaskRows({
        definition: this.#definition,
        file,
        labels: this.#labels,
        collect,
        labelOptional,
        maxBadShare,
        signal,
        tally,
      })
      for await (const block of blocks) {
        if (signal?.aborted) throw new StrataError('ABORTED', `opening task ${this.#name} was stopped`)
        const rows = labelOptional ? block : block.filter(({ label }) => label !== undefined)
        unlabelled += block.length - rows.length
        await take(rows)
      }
      const { rows, bad, problems } = tally
      counts.push({ firstExample, rows, bad, problems, unlabelled })
    }
    return counts
  }

  /** Notes what was left out. */
  #noteCounts(split: string, files: readonly string[], counts: readonly FileCounts[]): void {
    counts.forEach(({ rows, bad, problems, unlabelled }, index) => {
      const file = files[index]
      const told = describeTally(split, Object.assign(new RowTally(file), { rows, bad, problems }))
      if (told) this.#notes.warn(told)
      if (unlabelled > 0) this.#notes.warn(`${split}: ${unlabelled} rows of ${file} without a label are left out`)
    })
  }

  #set(split: string, store: ExampleStore, rows: Uint32Array, shuffle: boolean, labelled: boolean): ExampleSet {
    const { sequences = 32, sequenceTokens = 128, seed, head = this.#name, adapter } = this.#options
    const kind = this.#definition.kind
    const task = this.#name
    const numbers = shared(Uint32Array, rows.length)
    numbers.set(rows)
    const options = { split, store, rows: numbers, kind, head, adapter, sequences, shuffle, task, seed, labelled }
    const set = new ExampleSet(options)
    if (set.truncated > 0) {
      this.#notes.tell(
        `${split}: ${set.truncated} of ${set.examples} examples are longer than ${sequenceTokens} tokens and were cut`,
      )
    }
    return set
  }

  #checkNotEmpty(split: string, count: number, files: readonly string[]): void {
    if (count > 0) return
    throw new StrataError(
      'BAD_DATA',
      `task ${this.#name}: split ${split} (${files.join(', ')}) has no usable example; at least one was expected, give a file with rows`,
      { details: { task: this.#name, split, path: files[0] } },
    )
  }

  #checkClasses(store: ExampleStore, rows: Uint32Array, files: readonly string[]): void {
    if (this.#definition.kind !== 'classification') return
    const first = store.targets[rows[0]]
    if (rows.some((row) => store.targets[row] !== first)) return
    throw new StrataError(
      'BAD_DATA',
      `task ${this.#name}: all ${rows.length} training examples (${files.join(', ')}) have the label "${this.#labels.nameOf(first)}"; at least two classes were expected, check the label column or add rows of another class`,
      { details: { task: this.#name, path: files[0] } },
    )
  }
}

function allRows(store: ExampleStore): Uint32Array {
  return Uint32Array.from({ length: store.lines.length }, (_, row) => row)
}

/** Numbers of rows among those that are kept. */
function renumber(rows: Uint32Array, keep: Uint8Array): Uint32Array {
  const numbers = new Uint32Array(keep.length)
  let next = 0
  keep.forEach((kept, row) => {
    numbers[row] = next
    next += kept
  })
  return rows.map((row) => numbers[row])
}
