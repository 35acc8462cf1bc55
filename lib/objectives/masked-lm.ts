/**
 * Masked language model (Devlin et al. 2019, section 3.1 and `create_masked_lm_predictions`): 15 % of an input's tokens are
 * predicted; of these 80 % become [MASK], 10 % a random token, 10 % stay. `exact`, `exactSplit` and `includeSpecial` together are what
 * Cramming does (Geiping & Goldstein 2022, arXiv 2212.14034).
 */
import { IntList } from '../data/int-list.js'
import type { HeadLabels } from '../data/packed-batch.js'
import type { RandomStream } from '../data/random.js'
import { type SpecialTokens, TOKEN_FLAGS } from '../data/token-corpus.js'
import { StrataError } from '../errors.js'
import type { BatchDraft } from './draft.js'
import { specialTable } from './special-table.js'

/** How many tokens are predicted and what stands in their place; the defaults are BERT's. */
export interface MaskedLmOptions {
  /** Share of an input's tokens (special tokens counted) that are predicted; default 0.15. */
  maskShare?: number
  /** Share of the predicted tokens that become [MASK]; default 0.8. */
  maskTokenShare?: number
  /** Share of the predicted tokens that become a random, never special token; default 0.1. The rest stays. */
  randomTokenShare?: number
  /** Whole words are predicted, never a part; default false. A word that would exceed the count is passed over. */
  wholeWord?: boolean
  /** True: round(share · length) tokens of every input; false (BERT's rule): at least one. Default false. */
  exact?: boolean
  /**
   * True: of n predicted tokens of an input exactly round(0.8 n) become [MASK] and, up to round(0.9 n), the next random ones (with the
   * shares above); false: each token's fate is drawn by itself. Default false.
   */
  exactSplit?: boolean
  /** True: special tokens may be chosen for prediction as any other. Default false. */
  includeSpecial?: boolean
}

/** Chooses, corrupts and remembers the predicted tokens of one batch after the other. */
export class MaskedLm {
  readonly #share: number
  readonly #maskBelow: number
  readonly #randomBelow: number
  readonly #wholeWord: boolean
  readonly #exactSplit: boolean
  readonly #includeSpecial: boolean
  readonly #fewest: number
  readonly #special: SpecialTokens
  readonly #isSpecial: Uint8Array
  readonly #positions = new IntList()
  readonly #labels = new IntList()
  readonly #candidates = new IntList()

  /** Throws BAD_ARGUMENT on shares outside 0…1 and on a vocabulary that has nothing but special tokens. */
  constructor(options: MaskedLmOptions, special: SpecialTokens) {
    const { maskShare = 0.15, maskTokenShare = 0.8, randomTokenShare = 0.1 } = options
    for (const [name, share] of Object.entries({ maskShare, maskTokenShare, randomTokenShare })) {
      if (!(share >= 0 && share <= 1)) {
        throw new StrataError('BAD_ARGUMENT', `${name} ${share}: a share from 0 to 1 was expected`)
      }
    }
    if (maskTokenShare + randomTokenShare > 1 + 1e-9) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `maskTokenShare ${maskTokenShare} and randomTokenShare ${randomTokenShare} sum to more than 1`,
      )
    }
    this.#isSpecial = specialTable(special)
    if (this.#isSpecial.every((flag) => flag === 1)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `the vocabulary of ${special.vocabSize} tokens has special tokens only; masked LM needs ordinary ones, train a larger vocabulary`,
      )
    }
    this.#special = special
    this.#share = maskShare
    this.#maskBelow = maskTokenShare
    this.#randomBelow = maskTokenShare + randomTokenShare
    this.#wholeWord = options.wholeWord ?? false
    this.#exactSplit = options.exactSplit ?? false
    this.#includeSpecial = options.includeSpecial ?? false
    this.#fewest = options.exact ? 0 : 1
  }

  /** Corrupts the input that stands at [start, end) of the draft. */
  apply(draft: BatchDraft, start: number, end: number, random: RandomStream): void {
    const wanted = Math.max(this.#fewest, Math.round(this.#share * (end - start)))
    if (wanted === 0) return
    const first = this.#positions.length
    if (this.#wholeWord) this.#chooseWords(draft, start, end, wanted, random)
    else this.#chooseTokens(draft, start, end, wanted, random)
    // Ascending, so that the encoder's states are gathered in memory order.
    this.#positions.view().subarray(first).sort()
    const count = this.#positions.length - first
    let masksLeft = Math.round(this.#maskBelow * count)
    let changesLeft = Math.round(this.#randomBelow * count)
    for (let i = 0; i < count; i++) {
      const position = this.#positions.at(first + i)
      const tokenId = draft.tokenIds[position]
      draft.predicted[position] = 1
      this.#labels.push(tokenId)
      // An exact split draws without replacement from the fates that are left.
      const fate = this.#exactSplit ? random.float() * (count - i) : random.float()
      const maskBelow = this.#exactSplit ? masksLeft : this.#maskBelow
      const randomBelow = this.#exactSplit ? changesLeft : this.#randomBelow
      draft.tokenIds[position] = this.#replacement(tokenId, fate, maskBelow, randomBelow, random)
      if (fate < masksLeft) masksLeft--
      if (fate < changesLeft) changesLeft--
    }
  }

  /** The labels gathered since the last call; undefined when there are none. */
  takeLabels(): HeadLabels | undefined {
    const labels =
      this.#positions.length === 0
        ? undefined
        : { positions: this.#positions.toArray(), labels: this.#labels.toArray() }
    this.#positions.clear()
    this.#labels.clear()
    return labels
  }

  #mayMask(draft: BatchDraft, position: number): boolean {
    // What a swap protects stays protected.
    if (this.#includeSpecial) return draft.added[position] === 1 || draft.protectedFromMask[position] === 0
    return draft.protectedFromMask[position] === 0 && this.#isSpecial[draft.tokenIds[position]] === 0
  }

  #chooseTokens(draft: BatchDraft, start: number, end: number, wanted: number, random: RandomStream): void {
    const candidates = this.#candidates
    candidates.clear()
    for (let i = start; i < end; i++) if (this.#mayMask(draft, i)) candidates.push(i)
    const count = Math.min(wanted, candidates.length)
    for (let i = 0; i < count; i++) this.#positions.push(this.#drawFrom(i, random))
  }

  /** Words in random order, each taken whole when it still fits: Google's whole-word variant. */
  #chooseWords(draft: BatchDraft, start: number, end: number, wanted: number, random: RandomStream): void {
    const words = this.#candidates
    words.clear()
    for (let i = start; i < end; ) {
      const wordEnd = this.#wordEnd(draft, i, end)
      let usable = true
      for (let j = i; j < wordEnd; j++) usable &&= this.#mayMask(draft, j)
      if (usable) words.push(i)
      i = wordEnd
    }
    let room = wanted
    for (let i = 0; i < words.length && room > 0; i++) {
      const word = this.#drawFrom(i, random)
      const wordEnd = this.#wordEnd(draft, word, end)
      if (wordEnd - word > room) continue
      for (let j = word; j < wordEnd; j++) this.#positions.push(j)
      room -= wordEnd - word
    }
  }

  /** Step `index` of a Fisher–Yates draw without replacement from the candidates. */
  #drawFrom(index: number, random: RandomStream): number {
    const candidates = this.#candidates
    const other = index + random.below(candidates.length - index)
    const chosen = candidates.at(other)
    candidates.set(other, candidates.at(index))
    return chosen
  }

  #wordEnd(draft: BatchDraft, start: number, end: number): number {
    let i = start + 1
    if (draft.added[start]) return i
    while (i < end && draft.added[i] === 0 && (draft.flags[i] & TOKEN_FLAGS.wordStart) === 0) i++
    return i
  }

  #replacement(tokenId: number, fate: number, maskBelow: number, randomBelow: number, random: RandomStream): number {
    if (fate < maskBelow) return this.#special.maskId
    if (fate >= randomBelow) return tokenId
    let other = random.below(this.#special.vocabSize)
    while (this.#isSpecial[other]) other = random.below(this.#special.vocabSize)
    return other
  }
}
