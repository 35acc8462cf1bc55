/** Dependency parsing of a treebank: head and relation of every word, and its part of speech on the same pass. */
import { RowTally, readConlluSentences } from '../data/index.js'
import { StrataError } from '../errors.js'
import type { ConlluSentence } from '../text/index.js'
import { pick, splitBySeed, trainingShare } from './data-share.js'
import { type ParsingSet, parsingSet } from './parsing-set.js'
import { isPredictionSplit, resolveTaskFiles } from './task-files.js'
import { TaskNotes } from './task-notes.js'
import { checkLabels } from './text-definition.js'
import type { MetricName, OpenedTask, OpenTaskOptions, TaskDefinition } from './types.js'

/** `labels` are the relations, subtypes included. */
export interface ParsingTaskDefinition extends TaskDefinition {
  kind: 'parsing'
  /** Parts of speech are learned too (default: where the treebank has them), or their names by number. */
  upos?: boolean | readonly string[]
  /** About how many words a batch has; default 1,000. */
  batchWords?: number
  /** Files of an official folder: names without ending by split. */
  files?: Readonly<Record<string, readonly string[]>>
}

/** A treebank of Universal Dependencies; of its folders that of English EWT. */
export const UD_PARSING: ParsingTaskDefinition = {
  name: 'Parsing',
  kind: 'parsing',
  metrics: ['LAS', 'UAS', 'UPOS', 'CLAS'],
  files: {
    train: ['en_ewt-ud-train', 'train'],
    dev: ['en_ewt-ud-dev', 'dev', 'validation', 'valid'],
    test: ['en_ewt-ud-test', 'test'],
  },
}

type Options = OpenTaskOptions<ParsingTaskDefinition>

const METRICS: readonly MetricName[] = ['LAS', 'UAS', 'UPOS', 'CLAS']

/**
 * Opens a parsing task from CoNLL-U files. Sentences without one whole tree are counted in the notes and left out, but in a `test…` split,
 * which then serves for predictions. Without `labels` the relations of the training set are the classes, sorted.
 *
 * Throws BAD_RECIPE, and BAD_DATA on a damaged file or a split without a sentence.
 */
export async function openParsingTask(options: Options): Promise<OpenedTask> {
  return new Opening(options).open()
}

class Opening {
  readonly #options: Options
  readonly #name: string
  readonly #notes = new TaskNotes()
  #relations: readonly string[] | undefined
  /** Undefined: not settled yet. */
  #upos: readonly string[] | false | undefined

  constructor(options: Options) {
    this.#options = options
    const { definition } = options
    this.#name = options.name ?? definition.name
    this.#relations = definition.labels
    this.#upos = definition.upos === true ? undefined : definition.upos
    // A definition that a checkpoint keeps is settled.
    if (this.#relations) this.#upos ??= false
    const wrong = definition.metrics.find((metric) => !METRICS.includes(metric))
    if (wrong === undefined) return
    throw new StrataError(
      'BAD_RECIPE',
      `task ${this.#name}: metric ${wrong} does not fit parsing; ${METRICS.join(', ')} were expected`,
      { details: { task: this.#name } },
    )
  }

  async open(): Promise<OpenedTask> {
    const { definition, data, splits: wanted, seed, devShare = 0.1 } = this.#options
    const { splits, single } = resolveTaskFiles(this.#name, data, ['conllu', 'conll'], definition.files)
    const isWanted = (split: string): boolean => !wanted || wanted.includes(split)
    const opened: Pick<OpenedTask, 'train' | 'evaluation' | 'prediction'> = { evaluation: {}, prediction: {} }
    // Training first: it may have to tell the relations.
    const order = [...splits].sort(([left], [right]) => Number(right === 'train') - Number(left === 'train'))
    for (const [split, files] of order) {
      const isTrain = split === 'train'
      if (!isWanted(split) && !(isTrain && (!this.#relations || (single && isWanted('dev'))))) continue
      const byFile: ConlluSentence[][] = []
      for (const file of files) byFile.push(await this.#read(split, file))
      const all = byFile.flat()
      const whole = all.filter(hasTree)
      const labelled = !isPredictionSplit(split) || whole.length === all.length
      if (labelled && whole.length < all.length) {
        this.#notes.warn(`${split}: ${all.length - whole.length} sentences without one whole tree are left out`)
      }
      if (isTrain) this.#settleNames(whole)
      this.#checkNames()
      if (isTrain && single) {
        const what = `task ${this.#name} (${this.#options.data}): sentences`
        const parts = splitBySeed(whole.length, devShare, seed, what)
        this.#notes.tell(`dev: ${parts.dev.length} of ${whole.length} sentences of the one file, drawn by seed ${seed}`)
        if (isWanted('train')) opened.train = await this.#train(pick(whole, parts.train))
        if (isWanted('dev')) opened.evaluation.dev = await this.#open('dev', pick(whole, parts.dev), {})
      } else if (isTrain) {
        if (isWanted(split)) opened.train = await this.#train(whole)
      } else if (isPredictionSplit(split)) {
        opened.prediction[split] = await this.#open(split, all, { unlabelled: !labelled })
      } else opened.evaluation[split] = await this.#open(split, whole, {})
    }
    const metrics = definition.metrics.filter((metric) => metric !== 'UPOS' || this.#upos !== false)
    return {
      ...opened,
      name: this.#name,
      kind: 'parsing',
      head: this.#options.head ?? this.#name,
      labels: this.#relations,
      metrics,
      definition: { ...definition, metrics, labels: this.#relations, upos: this.#upos } as ParsingTaskDefinition,
      ...this.#notes,
    }
  }

  async #read(split: string, file: string): Promise<ConlluSentence[]> {
    const { maxBadShare = 0.05, signal } = this.#options
    const tally = new RowTally(file)
    const sentences: ConlluSentence[] = []
    for await (const block of readConlluSentences(file, { tally, maxBadShare, signal })) sentences.push(...block)
    if (tally.bad > 0) {
      this.#notes.warn(
        `${split}: ${tally.bad} of ${tally.rows} sentences cannot be used and are left out:\n  ${tally.shown()}`,
      )
    }
    return sentences
  }

  #settleNames(sentences: readonly ConlluSentence[]): void {
    const names = (column: 'deprel' | 'upos'): string[] => {
      const found = new Set(sentences.flatMap(({ words }) => words.map((word) => word[column])))
      found.delete('_')
      return [...found].sort()
    }
    this.#relations ??= names('deprel')
    if (this.#upos !== undefined) return
    const upos = names('upos')
    this.#upos = upos.length > 1 && upos
    if (this.#upos === false) this.#notes.tell('the training sentences have no parts of speech; none are learned')
  }

  #checkNames(): void {
    if (!this.#relations) {
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}: the relations are not known without training sentences; list them as labels in the definition`,
        { details: { task: this.#name } },
      )
    }
    checkLabels(this.#name, this.#relations, this.#options.definition.metrics)
  }

  #train(all: ConlluSentence[]): Promise<ParsingSet> {
    return this.#open('train', trainingShare(all, this.#options, 'sentences', this.#notes.notes), { training: true })
  }

  async #open(
    split: string,
    sentences: ConlluSentence[],
    how: { training?: boolean; unlabelled?: boolean },
  ): Promise<ParsingSet> {
    const { definition, tokenizer, sequenceTokens = 128, seed, adapter, head = this.#name } = this.#options
    const details = { task: this.#name, split }
    if (sentences.length === 0) {
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}: split ${split} has no sentence with a tree; at least one was expected`,
        { details },
      )
    }
    const { set, counts } = await parsingSet(sentences, {
      ...details,
      tokenizer,
      sequenceTokens,
      batchWords: definition.batchWords ?? 1000,
      relations: numbers(this.#relations!),
      upos: this.#upos ? numbers(this.#upos) : undefined,
      head,
      adapter,
      seed,
      shuffle: how.training === true,
      labelled: how.unlabelled !== true,
    })
    this.#notes.tell(`${split}: ${sentences.length} sentences with ${counts.words} words`)
    if (counts.beyond > 0) {
      this.#notes.warn(
        `${split}: ${counts.beyond} of ${counts.words} words lie beyond ${sequenceTokens} tokens and are not parsed`,
      )
    }
    if (counts.unknown > 0 && counts.unknown === counts.words - counts.beyond) {
      const came = [...new Set(sentences.flatMap(({ words }) => words.map(({ deprel }) => deprel)))]
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}: split ${split} has no relation that was learned: came ${firstOf(came)}, expected some of ${firstOf(this.#relations!)}; give a treebank with the same labels`,
        { details },
      )
    }
    if (counts.unknown > 0) {
      this.#notes.tell(
        `${split}: ${counts.unknown} of ${counts.words} words have a relation that the training set lacks`,
      )
    }
    return set
  }
}

const firstOf = (names: readonly string[]): string => names.slice(0, 8).join(', ') + (names.length > 8 ? ' …' : '')

/** Every word has a head, one of them is the root; cycles do not pass the reader. */
export function hasTree({ heads }: ConlluSentence): boolean {
  let roots = 0
  for (const head of heads) {
    if (head < 0) return false
    if (head === 0) roots++
  }
  return roots === 1
}

function numbers(names: readonly string[]): ReadonlyMap<string, number> {
  return new Map(names.map((name, number) => [name, number]))
}
