/** Probing tasks out of a treebank and plain text. The text is read twice, sentence by sentence; memory holds what is kept and the vocabulary. */
import { basename } from 'node:path'
import { readConlluBlocks } from '../../data/conllu-file.js'
import { readDocuments } from '../../data/document-reader.js'
import { StrataError } from '../../errors.js'
import { type ConlluSentence, splitSentences, splitWords } from '../../text/index.js'
import type { ProbeBuilder, ProbeContext } from './builder.js'
import { BUILDABLE_PROBES, type BuildableProbe, probeName } from './probe-tasks.js'
import { type ProbeSentence, sentenceOfTree, sentenceOfWords } from './sentence.js'
import { LONGEST_SENTENCE, SHORTEST_SENTENCE } from './sentence-length.js'
import { checkSizes, type ProbeSizes } from './sizes.js'
import type { ProbeSet } from './types.js'
import { WordCounts } from './word-counts.js'

export const DEFAULT_PROBE_SIZES: ProbeSizes = { train: 10_000, dev: 1_000, test: 1_000 }

export interface BuildProbesOptions {
  /** CoNLL-U files with Universal Dependencies or ClearNLP labels. */
  treebank?: readonly string[]
  /** Text files for SentLen, WC and BShift, which otherwise come from the treebank. */
  corpus?: readonly string[]
  /** Names, without regard to case. Default: all that the given data allow. */
  tasks?: readonly string[]
  /** Examples of a task; targets of token probes, pairs of pair probes. Default 10,000, 1,000 and 1,000. */
  train?: number
  dev?: number
  test?: number
  /** Default 1. */
  seed?: number
  /**
   * Takes the error of a task for which the text is too little, which is then left out. Default: the error is thrown.
   */
  onLeftOut?: (error: StrataError) => void
  onProgress?: (progress: { pass: 1 | 2; source: 'treebank' | 'corpus'; sentences: number }) => void
  signal?: AbortSignal
}

/**
 * Builds probing tasks: balanced classes, no sentence in two splits (texts compared without regard to case, white space and Unicode's
 * compatibility forms), the same bytes for the same seed. A task that the text cannot fill is shrunk evenly, which stands in its notes.
 *
 * Throws BAD_ARGUMENT, what the CoNLL-U and document readers throw (BAD_DATA with file and line on a cycle, a missing head, a wrong
 * number of columns), and BAD_DATA when a task would have an empty class.
 */
export async function buildProbeSets(options: BuildProbesOptions): Promise<ProbeSet[]> {
  const { treebank = [], corpus = [], seed = 1 } = options
  const sizes: ProbeSizes = {
    train: options.train ?? DEFAULT_PROBE_SIZES.train,
    dev: options.dev ?? DEFAULT_PROBE_SIZES.dev,
    test: options.test ?? DEFAULT_PROBE_SIZES.test,
  }
  checkSizes(sizes)
  if (!Number.isSafeInteger(seed)) throw new StrataError('BAD_ARGUMENT', `seed is ${seed}; an integer was expected`)
  if (treebank.length === 0 && corpus.length === 0) {
    throw new StrataError('BAD_ARGUMENT', 'no data was given; a treebank (CoNLL-U) or a corpus (text) was expected')
  }
  const chosen = chooseTasks(options.tasks, treebank.length > 0)
  const ofCorpus = corpus.length > 0 ? chosen.filter(({ needs }) => needs === 'text') : []
  const ofTreebank = chosen.filter((task) => !ofCorpus.includes(task))
  const built = new Map<string, ProbeSet>()
  if (ofTreebank.length > 0) await new TextPasses('treebank', treebank, ofTreebank, sizes, seed, options).run(built)
  if (ofCorpus.length > 0) await new TextPasses('corpus', corpus, ofCorpus, sizes, seed, options).run(built)
  return chosen.flatMap(({ name }) => built.get(name) ?? [])
}

function chooseTasks(names: readonly string[] | undefined, hasTreebank: boolean): BuildableProbe[] {
  if (!names) return BUILDABLE_PROBES.filter(({ needs }) => hasTreebank || needs === 'text')
  const known = BUILDABLE_PROBES.map(({ name }) => name)
  const wanted = new Set(names.map((name) => probeName(name, known)))
  if (wanted.size === 0) throw new StrataError('BAD_ARGUMENT', 'no probing task was named; at least one was expected')
  return BUILDABLE_PROBES.filter((task) => {
    if (!wanted.has(task.name)) return false
    if (hasTreebank || task.needs === 'text') return true
    throw new StrataError('BAD_ARGUMENT', `task ${task.name} needs a treebank (CoNLL-U); only plain text was given`, {
      details: { task: task.name },
    })
  })
}

/** The two passes over one source. */
class TextPasses {
  readonly #kind: 'treebank' | 'corpus'
  readonly #files: readonly string[]
  readonly #tasks: readonly BuildableProbe[]
  readonly #options: BuildProbesOptions
  readonly #context: ProbeContext
  readonly #builders: Map<string, ProbeBuilder>
  /** Counted in the second pass. */
  #sentences = 0
  #otherLengths = 0
  #unspelled = 0
  #crlf = 0

  constructor(
    kind: 'treebank' | 'corpus',
    files: readonly string[],
    tasks: readonly BuildableProbe[],
    sizes: ProbeSizes,
    seed: number,
    options: BuildProbesOptions,
  ) {
    this.#kind = kind
    this.#files = files
    this.#tasks = tasks
    this.#options = options
    const counts = new WordCounts({ bigrams: tasks.some((task) => task.counts === 'bigrams') })
    const source = `built from ${files.map((file) => basename(file)).join(', ')}, seed ${seed}`
    this.#context = { seed, sizes, counts, source }
    this.#builders = new Map(tasks.map((task) => [task.name, task.make(this.#context)]))
  }

  async run(built: Map<string, ProbeSet>): Promise<void> {
    const counting = this.#tasks.some((task) => task.counts) || [...this.#builders.values()].some(({ count }) => count)
    if (counting) {
      const countWords = this.#tasks.some((task) => task.counts)
      for await (const sentence of this.#read(1)) {
        if (countWords) this.#context.counts.add(sentence)
        if (!fits(sentence)) continue
        for (const builder of this.#builders.values()) builder.count?.(sentence)
      }
      for (const [name, builder] of this.#builders) this.#try(name, () => builder.settle?.())
    }
    for await (const sentence of this.#read(2)) {
      if (!fits(sentence)) this.#otherLengths++
      else for (const builder of this.#builders.values()) builder.offer(sentence)
    }
    for (const [name, builder] of [...this.#builders]) {
      this.#try(name, () => {
        const set = builder.finish()
        built.set(name, { ...set, notes: [...set.notes, ...this.#readNotes()] })
      })
    }
  }

  #readNotes(): string[] {
    const notes: string[] = []
    const number = (count: number): string => count.toLocaleString('en-US')
    if (this.#unspelled > 0) {
      notes.push(`${number(this.#unspelled)} sentences are left out: their words do not spell their text`)
    }
    if (this.#crlf > 0) notes.push(`${number(this.#crlf)} sentences have lines that end in CR LF; read as LF`)
    return notes
  }

  #try(name: string, work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!this.#options.onLeftOut || !(error instanceof StrataError) || error.code !== 'BAD_DATA') throw error
      this.#builders.delete(name)
      this.#options.onLeftOut(error)
    }
  }

  async *#read(pass: 1 | 2): AsyncGenerator<ProbeSentence> {
    this.#sentences = this.#otherLengths = this.#unspelled = this.#crlf = 0
    for await (const sentence of this.#kind === 'treebank' ? this.#treeSentences() : this.#textSentences()) {
      yield sentence
      if (++this.#sentences % 1000 === 0) this.#say(pass)
    }
    this.#say(pass)
  }

  #say(pass: 1 | 2): void {
    this.#options.onProgress?.({ pass, source: this.#kind, sentences: this.#sentences })
  }

  async *#treeSentences(): AsyncGenerator<ProbeSentence> {
    const strict = this.#tasks.some(({ needs }) => needs === 'tree')
    const tagged = this.#tasks.find(({ needs }) => needs !== 'text')
    const { signal } = this.#options
    for (const file of this.#files) {
      for await (const block of readConlluBlocks(file, { strict, tolerant: true, signal })) {
        for (const sentence of block) {
          if (tagged) checkTags(sentence, tagged.name)
          if (sentence.lineEnd === '\r\n') this.#crlf++
          const read = sentenceOfTree(sentence)
          if (read) yield read
          else this.#unspelled++
        }
      }
    }
  }

  async *#textSentences(): AsyncGenerator<ProbeSentence> {
    const { signal } = this.#options
    for await (const { paragraphs } of readDocuments({ inputs: this.#files, signal })) {
      for (const paragraph of paragraphs) {
        for (const sentence of splitSentences(paragraph)) {
          const words = splitWords(sentence)
          if (words.length > 0) yield sentenceOfWords(words)
        }
      }
    }
  }
}

function fits({ words }: ProbeSentence): boolean {
  return words.length >= SHORTEST_SENTENCE && words.length <= LONGEST_SENTENCE
}

/** Tags and trees must be whole: a sentence without them would be left out in silence. */
function checkTags({ source, words }: ConlluSentence, task: string): void {
  const missing = words.find(({ upos }) => upos === '_')
  if (!missing) return
  throw new StrataError(
    'BAD_DATA',
    `${source}:${missing.line}: the word has no part of speech (column 4 is "_"); task ${task} needs one for every word: choose other tasks or tag the file`,
    { details: { path: source, line: missing.line, task } },
  )
}
