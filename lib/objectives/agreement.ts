/**
 * Dependency agreements between chunks (DACBERT: Kuo, Zhang, Chen 2023, arXiv 2311.04799; the paper names neither chunks nor labels, so
 * both are our choice, docs/dacbert.md): for every chunk of a batch and every relation, the chunk of its sentence that it attaches to,
 * or none. It goes by places in the corpus alone and never sees a token: what masked LM hides stays hidden.
 */
import { IntList } from '../data/int-list.js'
import { type BatchChunks, type HeadLabels, NO_LABEL } from '../data/packed-batch.js'
import type { CorpusChunks, TokenCorpus } from '../data/token-corpus.js'
import { StrataError } from '../errors.js'
import { sentenceSpans } from './draft.js'

/** Relation by name of the head that gets its labels. */
export type AgreementHeads = Readonly<Record<string, string>>

const NOT_HERE = -1

/** Gathers the chunks of one batch after the other. */
export class AgreementLabels {
  readonly #corpus: TokenCorpus
  readonly #chunks: CorpusChunks
  /** Head's name and the relation's column. */
  readonly #heads: [head: string, column: number][]
  #ids = new Int32Array(0)
  readonly #sentences = new IntList()
  readonly #kinds = new IntList()
  readonly #labels: IntList[]
  /** By chunk of the running sentence: its number in the batch. */
  #numbers = new Int32Array(64)

  /** Throws BAD_ARGUMENT for a corpus without chunks or without one of the relations. */
  constructor(corpus: TokenCorpus, heads: AgreementHeads) {
    const { chunks } = corpus
    if (!chunks)
      throw new StrataError('BAD_ARGUMENT', 'the corpus has no chunks; open it with `chunks` (see openCorpus)')
    this.#corpus = corpus
    this.#chunks = chunks
    this.#heads = Object.entries(heads).map(([head, relation]): [string, number] => {
      const column = chunks.relations.indexOf(relation)
      if (column >= 0) return [head, column]
      const known = chunks.relations.join(', ')
      throw new StrataError(
        'BAD_ARGUMENT',
        `head ${head} learns the relation ${relation}, the corpus has ${known}; open it with this group of relations`,
      )
    })
    this.#labels = this.#heads.map(() => new IntList())
  }

  /** Begins a batch of T tokens. */
  begin(tokens: number): void {
    this.#ids = new Int32Array(tokens).fill(-1)
    for (const list of [this.#sentences, this.#kinds, ...this.#labels]) list.clear()
  }

  /** Adds a run of corpus tokens that stands at `start` of the batch. What the run cuts off a sentence is no part of it. */
  add(from: number, length: number, start: number): void {
    for (const span of sentenceSpans(this.#corpus, from, length, start)) {
      this.#addSentence(span.sentence, from + span.start - start, span.end - span.start, span.start)
    }
  }

  /** The batch's chunks; their sentences are numbered through. */
  chunks(): BatchChunks {
    return { ids: this.#ids, sentences: this.#sentences.toArray(), kinds: Uint8Array.from(this.#kinds.view()) }
  }

  /** Labels by head; a head that would get none is left out. */
  labels(): Record<string, HeadLabels> {
    const labels: Record<string, HeadLabels> = {}
    this.#heads.forEach(([head], index) => {
      const column = this.#labels[index].toArray()
      if (column.some((label) => label !== NO_LABEL)) labels[head] = { labels: column }
    })
    return labels
  }

  #addSentence(sentence: number, from: number, length: number, start: number): void {
    const { ids, offsets, kinds, targets, relations } = this.#chunks
    const [first, end] = [offsets[sentence], offsets[sentence + 1]]
    if (this.#numbers.length < end - first) this.#numbers = new Int32Array(2 * (end - first))
    const numbers = this.#numbers.fill(NOT_HERE, 0, end - first)
    const sentenceNumber = this.#sentences.length === 0 ? 0 : this.#sentences.at(this.#sentences.length - 1) + 1
    const before = this.#sentences.length
    for (let token = 0; token < length; token++) {
      const chunk = ids[from + token]
      if (chunk < 0) continue
      if (numbers[chunk] === NOT_HERE) {
        numbers[chunk] = this.#sentences.length
        this.#sentences.push(sentenceNumber)
        this.#kinds.push(kinds[first + chunk])
      }
      this.#ids[start + token] = numbers[chunk]
    }
    if (this.#sentences.length === before) return
    for (let chunk = 0; chunk < end - first; chunk++) {
      if (numbers[chunk] === NOT_HERE) continue
      this.#heads.forEach(([, column], index) => {
        const head = targets[(first + chunk) * relations.length + column]
        const label = head < 0 ? head : numbers[head] === NOT_HERE ? NO_LABEL : numbers[head]
        this.#labels[index].push(label)
      })
    }
  }
}
