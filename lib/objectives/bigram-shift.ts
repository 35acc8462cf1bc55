/**
 * Bigram shift: is one pair of neighbouring words of a sentence swapped? The task is named in Aksoy, Ahmetoglu, Gungor 2020
 * (arXiv 2011.04451), whose abstract, all that we know of the paper, does not say how it is built. Ours follows SentEval's BShift probe
 * (Conneau & Kiela 2018) and works on every sentence of an input, whole words with all their pieces.
 */
import { IntList } from '../data/int-list.js'
import type { HeadLabels } from '../data/packed-batch.js'
import type { RandomStream } from '../data/random.js'
import { TOKEN_FLAGS } from '../data/token-corpus.js'
import { StrataError } from '../errors.js'
import type { BatchDraft, SentenceSpan } from './draft.js'

/** How words are swapped and who gets a label; all of it is our choice. */
export interface BigramShiftOptions {
  /** Probability that a sentence with a candidate is changed; default 0.5. */
  probability?: number
  /**
   * Share of a changed sentence's words that are touched; default 0 = one pair. Larger values give the token level more
   * positive labels; the sentence label is then "at least one pair is swapped".
   */
  rate?: number
  /**
   * Token level: whether tokens that masked LM predicts get a label too; default true. Swapped words are never masked, so a
   * masked token's label is always 0: reading nothing but the masks gives a balanced accuracy of (1 + mask share) / 2, about 0.58.
   * False leaves these tokens out, and the masks then tell nothing.
   */
  labelMaskedTokens?: boolean
}

/** Swaps words sentence by sentence and remembers the labels of one batch after the other. */
export class BigramShift {
  readonly #probability: number
  readonly #rate: number
  readonly #pieces: string[] | undefined
  readonly #spanStarts = new IntList()
  readonly #spanEnds = new IntList()
  readonly #labels = new IntList()
  /** First token of each word of the sentence at hand, then the sentence's end. */
  readonly #words = new IntList()
  /** Words w such that (w, w + 1) may be swapped. */
  readonly #candidates = new IntList()
  #held = new Int32Array(64)

  /**
   * @param pieces the vocabulary by id, for cased vocabularies: forms are then compared case-folded; without it by their ids
   * Throws BAD_ARGUMENT on a probability or rate outside 0…1.
   */
  constructor(options: BigramShiftOptions, pieces?: readonly string[]) {
    const { probability = 0.5, rate = 0 } = options
    for (const [name, share] of Object.entries({ probability, rate })) {
      if (!(share >= 0 && share <= 1)) {
        throw new StrataError('BAD_ARGUMENT', `bigram shift's ${name} ${share}: a share from 0 to 1 was expected`)
      }
    }
    this.#probability = probability
    this.#rate = rate
    this.#pieces = pieces?.map((piece) => piece.replace(/^##/, '').toLowerCase())
  }

  /**
   * Swaps, or only marks a dummy pair, in one sentence. A sentence that the length limit cut, or without a candidate, is left
   * alone and gets no label.
   */
  apply(draft: BatchDraft, sentence: SentenceSpan, random: RandomStream): void {
    if (!sentence.whole) return
    this.#findWords(draft, sentence)
    this.#findCandidates(draft)
    if (this.#candidates.length === 0) return
    const pairs = this.#choosePairs(random)
    // The pairs are drawn before the coin: a dummy pair is drawn exactly as a swapped one.
    const swap = random.chance(this.#probability)
    for (let i = 0; i < pairs; i++) {
      const word = this.#candidates.at(i)
      const start = this.#words.at(word)
      const end = this.#words.at(word + 2)
      draft.protectedFromMask.fill(1, start, end)
      if (swap) this.#swap(draft, start, this.#words.at(word + 1), end)
    }
    this.#spanStarts.push(sentence.start)
    this.#spanEnds.push(sentence.end)
    this.#labels.push(swap ? 1 : 0)
  }

  /** One label a sentence, gathered since the last call; undefined when there are none. */
  takeSentenceLabels(): HeadLabels | undefined {
    const labels =
      this.#labels.length === 0
        ? undefined
        : {
            spanStarts: this.#spanStarts.toArray(),
            spanEnds: this.#spanEnds.toArray(),
            labels: this.#labels.toArray(),
          }
    this.#spanStarts.clear()
    this.#spanEnds.clear()
    this.#labels.clear()
    return labels
  }

  #findWords(draft: BatchDraft, sentence: SentenceSpan): void {
    this.#words.clear()
    for (let i = sentence.start; i < sentence.end; i++) {
      if (i === sentence.start || draft.flags[i] & TOKEN_FLAGS.wordStart) this.#words.push(i)
    }
    this.#words.push(sentence.end)
  }

  /** Neither word is the sentence's first or punctuation, and their forms differ. */
  #findCandidates(draft: BatchDraft): void {
    const words = this.#words
    this.#candidates.clear()
    for (let word = 1; word + 2 < words.length; word++) {
      const first = words.at(word)
      const second = words.at(word + 1)
      if ((draft.flags[first] | draft.flags[second]) & TOKEN_FLAGS.punctuation) continue
      if (!this.#sameForm(draft.tokenIds, first, second, words.at(word + 2))) this.#candidates.push(word)
    }
  }

  #sameForm(tokenIds: Int32Array, first: number, second: number, end: number): boolean {
    if (this.#pieces) return this.#form(tokenIds, first, second) === this.#form(tokenIds, second, end)
    if (end - second !== second - first) return false
    for (let i = first; i < second; i++) if (tokenIds[i] !== tokenIds[i + second - first]) return false
    return true
  }

  #form(tokenIds: Int32Array, start: number, end: number): string {
    let form = ''
    for (let i = start; i < end; i++) form += this.#pieces![tokenIds[i]]
    return form
  }

  /** Moves the drawn pairs, which share no word, to the front of the candidates; returns how many there are. */
  #choosePairs(random: RandomStream): number {
    const candidates = this.#candidates
    const wanted = Math.max(1, Math.round((this.#rate * (this.#words.length - 1)) / 2))
    let taken = 0
    for (let i = 0; i < candidates.length && taken < wanted; i++) {
      const other = i + random.below(candidates.length - i)
      const word = candidates.at(other)
      candidates.set(other, candidates.at(i))
      candidates.set(i, word)
      let free = true
      for (let j = 0; j < taken; j++) free &&= Math.abs(candidates.at(j) - word) > 1
      if (!free) continue
      candidates.set(i, candidates.at(taken))
      candidates.set(taken++, word)
    }
    return taken
  }

  /** Exchanges [start, middle) and [middle, end), flags included. */
  #swap(draft: BatchDraft, start: number, middle: number, end: number): void {
    const length = middle - start
    if (length > this.#held.length) this.#held = new Int32Array(2 * length)
    for (const array of [draft.tokenIds, draft.flags]) {
      for (let i = 0; i < length; i++) this.#held[i] = array[start + i]
      array.copyWithin(start, middle, end)
      for (let i = 0; i < length; i++) array[end - length + i] = this.#held[i]
    }
    draft.swapped.fill(1, start, end)
  }
}

/**
 * One label a token of the text ([CLS] and [SEP] left out): 1 = stands at a swapped place. Undefined without such a token.
 *
 * @param labelMasked whether tokens that masked LM predicts are among them
 */
export function swappedTokenLabels(draft: BatchDraft, labelMasked = true): HeadLabels | undefined {
  const { added, predicted, swapped } = draft
  const isLabelled = (i: number): boolean => added[i] === 0 && (labelMasked || predicted[i] === 0)
  let count = 0
  for (let i = 0; i < added.length; i++) if (isLabelled(i)) count++
  if (count === 0) return undefined
  const positions = new Int32Array(count)
  const labels = new Int32Array(count)
  let next = 0
  for (let i = 0; i < added.length; i++) {
    if (!isLabelled(i)) continue
    positions[next] = i
    labels[next++] = swapped[i]
  }
  return { positions, labels }
}
