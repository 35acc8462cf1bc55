/**
 * Chunks of tokens, where nobody has parsed the text or even kept it: by the rules of {@link chunkWithoutParse} on the words that the
 * pieces spell, so that text of which tokens are masked has its chunks as well. [MASK] is a word that the lexicon does not know.
 * Sentences end at a full stop, question or exclamation mark and at special tokens.
 */

import { chunkWithoutParse } from './chunk-fallback.js'
import { CHUNK_KINDS } from './chunker.js'
import type { SpecialTokens } from './special-tokens.js'

const ENDS = new Set(['.', '!', '?', '。', '…'])
const CLOSERS = new Set(['"', "'", ')', ']', '”', '’', '»'])
/** Written with a full stop that ends no sentence; single letters are no end either. */
const ABBREVIATIONS = new Set(
  `mr mrs ms dr prof st gen rep sen gov lt col capt sgt rev hon mt ft vs inc corp co ltd bros jr sr dept no vol fig pp etc
  jan feb mar apr jun jul aug sep sept oct nov dec`.split(/\s+/),
)
const APOSTROPHE = /^['’]$/
const CLITIC = /^(?:s|m|d|ll|re|ve)$/i

interface Word {
  form: string
  /** Tokens [start, end) of the batch. */
  start: number
  end: number
}

export interface TokenChunkerOptions {
  special: SpecialTokens
  /** The vocabulary by id. */
  pieces: readonly string[]
  /** `word` makes every word a chunk. Default `chunk`. */
  unit?: 'chunk' | 'word'
}

/** Chunks of T tokens: C of them, numbered through, and each of one sequence. */
export interface TokenChunks {
  /** Chunk of each token, -1 at special tokens; shape (T). */
  ids: Int32Array
  /** Sentence of each chunk, numbered through; shape (C). */
  sentences: Int32Array
  /** Index into CHUNK_KINDS, shape (C). */
  kinds: Uint8Array
}

/** A pure function of the token ids. */
export class TokenChunker {
  /** What each token adds to its word, and whether it goes on with the one before. */
  readonly #surfaces: string[]
  readonly #continues: Uint8Array
  readonly #unit: 'chunk' | 'word'
  /** 1 = stands between sentences. */
  readonly #isBorder: Uint8Array

  constructor({ special, pieces, unit = 'chunk' }: TokenChunkerOptions) {
    this.#continues = Uint8Array.from(pieces, (piece) => Number(/^##./.test(piece)))
    this.#surfaces = pieces.map((piece, id) => (this.#continues[id] === 1 ? piece.slice(2) : piece))
    this.#unit = unit
    this.#isBorder = new Uint8Array(pieces.length)
    for (const id of [special.padId, special.clsId, special.sepId]) this.#isBorder[id] = 1
  }

  /** Chunks of T tokens in B sequences; `sequenceOffsets`, (B + 1), says where each begins, and the end. No sentence goes on beyond a sequence. */
  chunksOf(tokenIds: Int32Array, sequenceOffsets: Int32Array): TokenChunks {
    const ids = new Int32Array(tokenIds.length).fill(-1)
    const sentences: number[] = []
    const kinds: number[] = []
    let sentence = 0
    for (let sequence = 0; sequence + 1 < sequenceOffsets.length; sequence++) {
      const end = Math.min(sequenceOffsets[sequence + 1], tokenIds.length)
      for (const words of this.#sentences(tokenIds, sequenceOffsets[sequence], end)) {
        const { chunks, chunkOfWord } = chunkWithoutParse(words.map(({ form }) => form))
        let last = -1
        words.forEach(({ start, end: after }, word) => {
          const chunk = this.#unit === 'word' ? word : chunkOfWord[word]
          if (chunk !== last) {
            sentences.push(sentence)
            kinds.push(CHUNK_KINDS.indexOf(chunks[chunkOfWord[word]].kind))
            last = chunk
          }
          ids.fill(sentences.length - 1, start, after)
        })
        sentence++
      }
    }
    return { ids, sentences: Int32Array.from(sentences), kinds: Uint8Array.from(kinds) }
  }

  /** The words of a sequence, sentence by sentence; none is empty. */
  *#sentences(tokenIds: Int32Array, start: number, end: number): Generator<Word[]> {
    let words: Word[] = []
    let over = false
    for (const word of this.#words(tokenIds, start, end)) {
      const stays = word !== undefined && (!over || ENDS.has(word.form) || CLOSERS.has(word.form))
      if (!stays && words.length > 0) {
        yield words
        words = []
      }
      if (!stays) over = false
      if (word === undefined) continue
      over ||= ENDS.has(word.form) && !isInside(words, word)
      words.push(word)
    }
    if (words.length > 0) yield words
  }

  /** Pieces joined to words, with clitics as the treebanks split them; undefined for a special token. */
  *#words(tokenIds: Int32Array, start: number, end: number): Generator<Word | undefined> {
    let waiting: Word | undefined
    for (let at = start; at < end; ) {
      if (this.#isBorder[tokenIds[at]] === 1) {
        if (waiting) yield waiting
        waiting = undefined
        yield undefined
        at++
        continue
      }
      let word = this.#wordAt(tokenIds, at, end)
      if (waiting && APOSTROPHE.test(word.form) && word.end < end) {
        const next = this.#wordAt(tokenIds, word.end, end)
        const joined = clitic(waiting.form, next.form)
        if (joined) {
          waiting.form = joined[0]
          word = { form: joined[1], start: word.start, end: next.end }
        }
      }
      if (waiting) yield waiting
      waiting = word
      at = word.end
    }
    if (waiting) yield waiting
  }

  #wordAt(tokenIds: Int32Array, start: number, limit: number): Word {
    let form = this.#surfaces[tokenIds[start]] ?? ''
    let end = start + 1
    for (; end < limit && this.#continues[tokenIds[end]] === 1; end++) form += this.#surfaces[tokenIds[end]]
    return { form, start, end }
  }
}

/** "don" "'" "t" as "do" "n't", "it" "'" "s" as "it" "'s". */
function clitic(before: string, after: string): [string, string] | undefined {
  if (/.n$/i.test(before) && /^t$/i.test(after)) return [before.slice(0, -1), "n't"]
  return CLITIC.test(after) && /\p{L}$/u.test(before) ? [before, `'${after}`] : undefined
}

/** A full stop behind an initial, an abbreviation or a number within a sentence. */
function isInside(words: readonly Word[], { form }: Word): boolean {
  const before = words.at(-1)?.form.toLowerCase() ?? ''
  return form === '.' && (/^(?:\p{L}|\p{N}{1,2})$/u.test(before) || ABBREVIATIONS.has(before))
}
