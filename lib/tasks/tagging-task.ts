/**
 * One class a word: parts of speech, names, chunks. A word's class is read from its first piece (Devlin et al. 2019, arXiv 1810.04805
 * §5.3); its other pieces have no label.
 */
import { type ColumnChoice, type ConlluColumn, RowTally, readConlluTags } from '../data/index.js'
import type { HeadLabels } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import { isConlluName } from '../text/index.js'
import { pick, splitBySeed, trainingShare } from './data-share.js'
import { SequencePacker, SequenceSet, type SequenceSetOptions } from './sequence-set.js'
import { firstSequence, type TaggedWord, windows } from './tagged-sequences.js'
import { readWordLists } from './tagged-words.js'
import { isPredictionSplit, resolveTaskFiles } from './task-files.js'
import { TaskNotes } from './task-notes.js'
import { checkLabels } from './text-definition.js'
import type { ExamplePlace, MetricName, OpenedTask, OpenTaskOptions, TaskDefinition } from './types.js'

export interface TaggingTaskDefinition extends TaskDefinition {
  kind: 'tagging'
  /** Which column of a CoNLL-U file (.conllu, .conll) is the tag; default `upos`. */
  column?: ConlluColumn
  /** Fields of JSON lines or columns of Parquet that hold the lists; default `tokens` and `tags`. */
  words?: ColumnChoice
  tags?: ColumnChoice
  /** Files of an official folder: names without ending by split. */
  files?: Readonly<Record<string, readonly string[]>>
}

/** Universal parts of speech of English web text (UD English EWT). */
export const UPOS_EWT: TaggingTaskDefinition = {
  name: 'UPOS',
  kind: 'tagging',
  metrics: ['accuracy', 'f1Macro'],
  labels: 'ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X'.split(' '),
  files: {
    train: ['en_ewt-ud-train', 'train'],
    dev: ['en_ewt-ud-dev', 'dev', 'validation', 'valid'],
    test: ['en_ewt-ud-test', 'test'],
  },
}

/** An example as the scorer needs it. */
export interface TaggedExample {
  words: readonly string[]
  /** Class of each word; undefined where it has none. */
  classes: readonly (number | undefined)[]
  /** The words that have a label in the batches, in their order. */
  judged: readonly number[]
}

/** A split: an example is a sentence. Of training it is one sequence, held out as many windows as it takes. */
export class TaggingSet extends SequenceSet {
  readonly sentences: readonly TaggedExample[]

  /** @internal */
  constructor(options: SequenceSetOptions, sentences: readonly TaggedExample[]) {
    super(options)
    this.sentences = sentences
  }
}

type Options = OpenTaskOptions<TaggingTaskDefinition>

interface Read {
  words: string[]
  /** Undefined in a set for predictions. */
  tags?: (string | undefined)[]
  file: string
  line: number
}

/** Endings of the files, in the order in which a folder is searched. */
export const TAGGING_ENDINGS = ['conllu', 'conll', 'jsonl', 'ndjson', 'parquet']

const METRICS: readonly MetricName[] = ['accuracy', 'f1Macro', 'spanF1']

/**
 * Opens a tagging task from CoNLL-U, or lists of words and tags in JSON lines or Parquet. Training words that become no piece or lie
 * beyond `sequenceTokens` are counted in the notes and not trained on. Held-out sentences are read whole, as `Encoder.tag` reads them: longer
 * ones in windows of whole words, a word that becomes no piece as [UNK]. Without `labels` the tags of the training set are
 * the classes, sorted.
 *
 * A `test…` split without any tag (`_` in CoNLL-U) serves for predictions; of one with tags the words without are not judged.
 *
 * Throws what `readTable` and `readConlluTags` throw, BAD_RECIPE, and BAD_DATA on an unknown tag, a set without a word, or training
 * words of one class.
 */
export async function openTaggingTask(options: Options): Promise<OpenedTask> {
  return new Opening(options).open()
}

class Opening {
  readonly #options: Options
  readonly #name: string
  readonly #notes = new TaskNotes()
  #labels: readonly string[] | undefined

  constructor(options: Options) {
    this.#options = options
    const { definition } = options
    this.#name = options.name ?? definition.name
    this.#labels = definition.labels
    for (const metric of definition.metrics) {
      if (METRICS.includes(metric)) continue
      throw new StrataError(
        'BAD_RECIPE',
        `task ${this.#name}: metric ${metric} does not fit tagging; ${METRICS.join(', ')} were expected`,
        { details: { task: this.#name } },
      )
    }
    if (definition.labels) checkLabels(this.#name, definition.labels, definition.metrics)
  }

  async open(): Promise<OpenedTask> {
    const { definition, data, splits: wanted, seed, devShare = 0.1 } = this.#options
    const { splits, single } = resolveTaskFiles(this.#name, data, TAGGING_ENDINGS, definition.files)
    const isWanted = (split: string): boolean => !wanted || wanted.includes(split)
    const task: OpenedTask = {
      name: this.#name,
      kind: 'tagging',
      head: this.#options.head ?? this.#name,
      metrics: definition.metrics,
      definition,
      evaluation: {},
      prediction: {},
      ...this.#notes,
    }
    // Training first: it may have to tell the classes.
    const order = [...splits].sort(([left], [right]) => Number(right === 'train') - Number(left === 'train'))
    for (const [split, files] of order) {
      const needed = isWanted(split) || (split === 'train' && (!this.#labels || (single && isWanted('dev'))))
      if (!needed) continue
      const unlabelled = isPredictionSplit(split)
      const byFile: Read[][] = []
      for (const file of files) byFile.push(await this.#read(split, file, unlabelled))
      const sentences = byFile.flat()
      this.#settleLabels(split, sentences)
      if (single) {
        const parts = splitBySeed(
          sentences.length,
          devShare,
          seed,
          `task ${this.#name} (${this.#options.data}): sentences`,
        )
        this.#notes.tell(
          `dev: ${parts.dev.length} of ${sentences.length} sentences of the one file, drawn by seed ${seed}`,
        )
        if (isWanted('train')) task.train = await this.#train(pick(sentences, parts.train))
        if (isWanted('dev')) task.evaluation.dev = await this.#open('dev', pick(sentences, parts.dev), {})
      } else if (split === 'train') {
        if (isWanted(split)) task.train = await this.#train(sentences)
      } else if (unlabelled) {
        const labelled = sentences.some(({ tags }) => tags?.some((tag) => tag !== undefined))
        task.prediction[split] = await this.#open(split, sentences, { unlabelled: !labelled })
      } else task.evaluation[split] = await this.#open(split, sentences, {})
    }
    task.labels = this.#labels
    task.definition = { ...definition, labels: this.#labels } as TaggingTaskDefinition
    return task
  }

  async #read(split: string, file: string, unlabelled: boolean): Promise<Read[]> {
    const { maxBadShare = 0.05, signal, definition } = this.#options
    const tally = new RowTally(file)
    const sentences: Read[] = []
    const blocks = isConlluName(file)
      ? readConlluTags(file, { column: definition.column, tally, maxBadShare, signal })
      : readWordLists(file, definition, { unlabelled, tally, maxBadShare, signal })
    for await (const block of blocks) {
      for (const { line, words, tags } of block) sentences.push({ words, tags, file, line })
    }
    if (tally.bad > 0) {
      this.#notes.warn(
        `${split}: ${tally.bad} of ${tally.rows} sentences cannot be used and are left out:\n  ${tally.shown()}`,
      )
    }
    return sentences
  }

  #settleLabels(split: string, sentences: readonly Read[]): void {
    if (this.#labels) return
    if (split !== 'train') {
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}: the classes are not known without training sentences; list them as labels in the definition`,
        { details: { task: this.#name } },
      )
    }
    const tags = new Set(sentences.flatMap((sentence) => sentence.tags ?? []).filter((tag) => tag !== undefined))
    this.#labels = [...tags].sort()
    checkLabels(this.#name, this.#labels, this.#options.definition.metrics)
  }

  #train(all: Read[]): Promise<TaggingSet> {
    return this.#open('train', trainingShare(all, this.#options, 'sentences', this.#notes.notes), { training: true })
  }

  async #open(split: string, data: Read[], how: { training?: boolean; unlabelled?: boolean }): Promise<TaggingSet> {
    const { tokenizer, sequences = 32, sequenceTokens = 128, seed, adapter, head = this.#name } = this.#options
    const classes = new Map<string, number>()
    // Copies that hold class numbers instead of names are understood.
    if (!this.#labels!.some((label) => /^\d+$/.test(label))) {
      this.#labels!.forEach((_, index) => {
        classes.set(String(index), index)
      })
    }
    this.#labels!.forEach((label, index) => {
      classes.set(label, index)
    })
    const forms = [...new Set(data.flatMap(({ words }) => words))]
    const encoded = await tokenizer.encodeBatch(forms, { addSpecialTokens: false })
    const pieces = new Map(forms.map((form, index) => [form, encoded[index].tokenIds]))
    const packer = new SequencePacker()
    const sentences: TaggedExample[] = []
    const places: ExamplePlace[] = []
    /** First pieces of the judged words, and their classes, by sequence. */
    const positions: Int32Array[] = []
    const marks: Int32Array[] = []
    let withoutPiece = 0
    let beyond = 0
    let untagged = 0
    let without = 0
    let truncated = 0
    for (const { words, tags, file, line } of data) {
      const sentence = words.map((_, word) => this.#classOf(classes, tags?.[word], file, line))
      const all = words.map((form, number): TaggedWord => ({ number, pieces: pieces.get(form)! }))
      const spelled = all.filter((word) => word.pieces.length > 0)
      withoutPiece += all.length - spelled.length
      const sequences = how.training
        ? [firstSequence(spelled, sequenceTokens, tokenizer.specialTokens)]
        : windows(all, sequenceTokens, tokenizer.specialTokens)
      const isJudged = (word: number): boolean => how.unlabelled === true || sentence[word] !== undefined
      const shown = sequences.flatMap((sequence) => sequence.words)
      const judged = shown.filter(isJudged)
      if (how.training) beyond += spelled.length - shown.length
      untagged += shown.length - judged.length
      if (judged.length === 0) {
        without++
        continue
      }
      if (sequences.some(({ cut }) => cut)) truncated++
      for (const sequence of sequences) {
        packer.add(sentences.length, sequence.tokenIds)
        positions.push(Int32Array.from(sequence.places.filter((_, i) => isJudged(sequence.words[i]))))
        marks.push(Int32Array.from(sequence.words.filter(isJudged), (word) => (how.unlabelled ? 0 : sentence[word]!)))
      }
      sentences.push({ words, classes: sentence, judged })
      places.push({ file, line })
    }
    const count = data.reduce((sum, sentence) => sum + sentence.words.length, 0)
    this.#notes.tell(`${split}: ${data.length} sentences with ${count} words`)
    const words = (number: number, what: string): string[] =>
      number > 0 ? [`${split}: ${number} of ${count} words ${what}`] : []
    if (how.training) this.#notes.warn(...words(withoutPiece, 'become no piece of the vocabulary and are left out'))
    else this.#notes.tell(...words(withoutPiece, 'become no piece of the vocabulary and are read as [UNK]'))
    this.#notes.warn(
      ...words(beyond, `lie beyond ${sequenceTokens} tokens and are left out`),
      ...words(untagged, 'have no tag in the data'),
    )
    if (without > 0) this.#notes.warn(`${split}: ${without} sentences without a word to tag are left out`)
    if (sentences.length === 0) {
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}: split ${split} has no word with a tag; at least one was expected`,
        { details: { task: this.#name, split } },
      )
    }
    if (how.training) this.#checkClasses(marks, places)
    const labels = (members: Uint32Array, offsets: Int32Array): HeadLabels => {
      const total = members.reduce((sum, sequence) => sum + positions[sequence].length, 0)
      const all = { positions: new Int32Array(total), labels: new Int32Array(total) }
      let place = 0
      members.forEach((sequence, i) => {
        all.positions.set(
          positions[sequence].map((position) => position + offsets[i]),
          place,
        )
        all.labels.set(marks[sequence], place)
        place += positions[sequence].length
      })
      return all
    }
    const labelled = how.unlabelled !== true
    const shuffle = how.training === true
    const set = { task: this.#name, split, head, adapter, sequences, seed, shuffle, labelled, truncated }
    return new TaggingSet({ ...set, packed: packer.finish(), places, labels }, sentences)
  }

  #classOf(
    classes: ReadonlyMap<string, number>,
    tag: string | undefined,
    file: string,
    line: number,
  ): number | undefined {
    if (tag === undefined) return undefined
    const found = classes.get(tag)
    if (found !== undefined) return found
    const known = this.#labels!.slice(0, 20).join(', ')
    throw new StrataError(
      'BAD_DATA',
      `${file}:${line}: task ${this.#name}: unknown tag "${tag.slice(0, 60)}"; known are ${known}${this.#labels!.length > 20 ? ', …' : ''}: correct it, or list it in labels of the definition`,
      { details: { task: this.#name, path: file, line } },
    )
  }

  #checkClasses(marks: readonly Int32Array[], places: readonly ExamplePlace[]): void {
    const first = marks[0][0]
    if (marks.some((classes) => classes.some((mark) => mark !== first))) return
    const words = marks.reduce((sum, { length }) => sum + length, 0)
    const files = [...new Set(places.map(({ file }) => file))]
    throw new StrataError(
      'BAD_DATA',
      `task ${this.#name}: all ${words} training words (${files.join(', ')}) have the tag "${this.#labels![first]}"; at least two classes were expected, check the column of tags or add sentences with another tag`,
      { details: { task: this.#name, path: files[0] } },
    )
  }
}
