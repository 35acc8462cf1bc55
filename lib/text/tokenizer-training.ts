/**
 * Learning a WordPiece vocabulary from raw text, as Hugging Face's WordPieceTrainer does: byte-pair merges by frequency over
 * BERT's words, pieces inside a word marked by "##".
 *
 * The library's own `train` is not used: its ties follow the order of a randomly seeded hash map (two runs over 6 MB of
 * Wikipedia gave different vocabularies), it takes no options and it prints to standard output. Here ties go to the
 * earlier pieces, so the same words always give the same vocabulary.
 */
import { bertNormalizer, bertPreTokenizer } from 'tokenizers'
import { StrataError } from '../errors.js'
import { ownString, wellFormed } from './encoded-text.js'
import { MAX_WORD_CHARACTERS, SPECIAL_TOKENS } from './wordpiece-files.js'

export interface VocabularyOptions {
  /** Number of tokens, special tokens included. The result is smaller when the text has no more pairs that repeat. */
  vocabSize: number
  /** Pairs rarer than this are never merged. Default 2. */
  minFrequency?: number
  /** How many different characters are kept, the most frequent first; words with others become [UNK]. Default: an eighth of vocabSize, at most 1,000 (our choice; the latter is Hugging Face's). */
  alphabetSize?: number
  /** Called now and then with the number of tokens learned. */
  onProgress?: (learned: number) => void
}

const LARGEST_CHUNK_TABLE = 1_000_000
const PROGRESS_MERGES = 500
/** Pairs of ids share one key: left * 2^26 + right stays an exact integer. */
const KEY_BASE = 2 ** 26

/** Counts the words of a text, cut as BERT cuts it. */
export class WordCounter {
  readonly #lowercase: boolean
  #chunks = new Map<string, number>()
  /** Chunks that came once and were dropped to bound memory. */
  droppedChunks = 0

  constructor(options: { lowercase: boolean }) {
    this.#lowercase = options.lowercase
  }

  add(text: string): void {
    for (const chunk of text.split(/\s+/)) {
      if (chunk === '') continue
      const count = this.#chunks.get(chunk)
      if (count === undefined) this.#chunks.set(ownString(chunk), 1)
      else this.#chunks.set(chunk, count + 1)
    }
    if (this.#chunks.size > LARGEST_CHUNK_TABLE) this.#dropRare()
  }

  /** Word → how often it came. */
  words(): Map<string, number> {
    const normalizer = bertNormalizer({
      cleanText: true,
      handleChineseChars: true,
      lowercase: this.#lowercase,
    })
    const preTokenizer = bertPreTokenizer()
    const words = new Map<string, number>()
    for (const [chunk, count] of this.#chunks) {
      const normal = normalizer.normalizeString(wellFormed(chunk))
      if (normal === '') continue
      for (const [word] of preTokenizer.preTokenizeString(normal)) words.set(word, (words.get(word) ?? 0) + count)
    }
    return words
  }

  #dropRare(): void {
    for (let least = 2; this.#chunks.size > LARGEST_CHUNK_TABLE / 2; least *= 2) {
      for (const [chunk, count] of this.#chunks) {
        if (count < least) {
          this.#chunks.delete(chunk)
          this.droppedChunks++
        }
      }
    }
  }
}

/** Learns a vocabulary: [PAD] [UNK] [CLS] [SEP] [MASK], the characters, then the merges in the order in which they were made. */
export function learnVocabulary(words: ReadonlyMap<string, number>, options: VocabularyOptions): string[] {
  const { vocabSize, minFrequency = 2 } = options
  const alphabetSize = options.alphabetSize ?? Math.min(1000, Math.floor(vocabSize / 8))
  if (!Number.isInteger(vocabSize) || vocabSize < 32 || vocabSize > 1_000_000) {
    throw new StrataError('BAD_ARGUMENT', `vocabSize is ${vocabSize}; an integer from 32 to 1000000 was expected`)
  }
  if (!Number.isInteger(alphabetSize) || alphabetSize < 1) {
    throw new StrataError('BAD_ARGUMENT', `alphabetSize is ${alphabetSize}; an integer of at least 1 was expected`)
  }
  if (!Number.isInteger(minFrequency) || minFrequency < 1) {
    throw new StrataError('BAD_ARGUMENT', `minFrequency is ${minFrequency}; an integer of at least 1 was expected`)
  }
  const pieces = new PieceTable(words, alphabetSize)
  if (pieces.tokens.length === 0) {
    throw new StrataError('BAD_DATA', 'the text has no words to learn a vocabulary from; text with words was expected')
  }
  const target = vocabSize - SPECIAL_TOKENS.length
  if (pieces.tokens.length > target) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `vocabSize ${vocabSize} has no room for the ${pieces.tokens.length} characters of the text; choose a larger vocabSize or an alphabetSize below ${alphabetSize}`,
    )
  }
  while (pieces.tokens.length < target && pieces.mergeMostFrequent(minFrequency)) {
    if (pieces.tokens.length % PROGRESS_MERGES === 0) options.onProgress?.(pieces.tokens.length + SPECIAL_TOKENS.length)
  }
  const special: readonly string[] = SPECIAL_TOKENS
  return [...special, ...pieces.tokens.filter((token) => !special.includes(token))]
}

/** The words as lists of piece ids, with the counts of neighbouring pairs kept up to date while pairs are merged. */
class PieceTable {
  readonly tokens: string[] = []
  readonly #ids = new Map<string, number>()
  readonly #words: { pieces: number[]; count: number; visited: number }[] = []
  readonly #pairCounts = new Map<number, number>()
  /** Words that hold or once held a pair. */
  readonly #pairWords = new Map<number, number[]>()
  readonly #heap = new PairHeap()
  #merges = 0

  constructor(words: ReadonlyMap<string, number>, alphabetSize: number) {
    const usable = [...words]
      .map(([word, count]) => ({ characters: Array.from(word), word, count }))
      .filter(({ characters }) => characters.length <= MAX_WORD_CHARACTERS)
      .sort((left, right) => (left.word < right.word ? -1 : left.word > right.word ? 1 : 0))
    const frequencies = new Map<string, number>()
    for (const { characters, count } of usable)
      for (const character of characters) frequencies.set(character, (frequencies.get(character) ?? 0) + count)
    const alphabet = new Set(
      [...frequencies]
        .sort((left, right) => right[1] - left[1] || compareCodePoints(left[0], right[0]))
        .slice(0, alphabetSize)
        .map(([character]) => character),
    )
    const kept = usable.filter(({ characters }) => characters.every((character) => alphabet.has(character)))
    const inner = new Set(kept.flatMap(({ characters }) => characters.slice(1)))
    for (const character of [...alphabet].sort(compareCodePoints)) this.#idOf(character)
    for (const character of [...inner].sort(compareCodePoints)) this.#idOf(`##${character}`)
    for (const { characters, count } of kept) {
      const ids = characters.map((character, place) => this.#idOf(place === 0 ? character : `##${character}`))
      const index = this.#words.push({ pieces: ids, count, visited: 0 }) - 1
      for (let place = 0; place + 1 < ids.length; place++) this.#count(ids[place], ids[place + 1], count, index)
    }
    for (const [key, count] of this.#pairCounts) this.#heap.push(key, count)
  }

  /** Merges the most frequent pair; false when none is left that comes `least` times. */
  mergeMostFrequent(least: number): boolean {
    const key = this.#nextPair(least)
    if (key === undefined) return false
    const left = Math.floor(key / KEY_BASE)
    const right = key % KEY_BASE
    const merged = this.#idOf(this.tokens[left] + this.tokens[right].slice(2))
    const grown = new Set<number>()
    const stamp = ++this.#merges
    for (const index of this.#pairWords.get(key) ?? []) {
      const word = this.#words[index]
      if (word.visited === stamp) continue
      word.visited = stamp
      this.#mergeInWord(index, left, right, merged, grown)
    }
    this.#pairCounts.delete(key)
    this.#pairWords.delete(key)
    for (const pair of grown) {
      const count = this.#pairCounts.get(pair)
      if (count !== undefined && count > 0) this.#heap.push(pair, count)
    }
    return true
  }

  #nextPair(least: number): number | undefined {
    for (;;) {
      const top = this.#heap.pop()
      if (top === undefined) return undefined
      const current = this.#pairCounts.get(top.key) ?? 0
      if (current < least) continue
      // The count fell since the entry was made: back to its right place.
      if (current !== top.count) this.#heap.push(top.key, current)
      else return top.key
    }
  }

  #mergeInWord(index: number, left: number, right: number, merged: number, grown: Set<number>): void {
    const { pieces, count } = this.#words[index]
    let write = 0
    for (let read = 0; read < pieces.length; read++) {
      if (pieces[read] !== left || pieces[read + 1] !== right) {
        pieces[write++] = pieces[read]
        continue
      }
      if (write > 0) {
        this.#count(pieces[write - 1], left, -count, index)
        grown.add(this.#count(pieces[write - 1], merged, count, index))
      }
      if (read + 2 < pieces.length) {
        this.#count(right, pieces[read + 2], -count, index)
        grown.add(this.#count(merged, pieces[read + 2], count, index))
      }
      pieces[write++] = merged
      read++
    }
    pieces.length = write
  }

  #count(left: number, right: number, change: number, word: number): number {
    const key = left * KEY_BASE + right
    this.#pairCounts.set(key, (this.#pairCounts.get(key) ?? 0) + change)
    if (change > 0) {
      const words = this.#pairWords.get(key)
      if (words === undefined) this.#pairWords.set(key, [word])
      else if (words[words.length - 1] !== word) words.push(word)
    }
    return key
  }

  #idOf(token: string): number {
    let id = this.#ids.get(token)
    if (id === undefined) {
      id = this.tokens.push(token) - 1
      this.#ids.set(token, id)
    }
    return id
  }
}

/** Most frequent pair first; of equal ones the pair of the earlier pieces. */
class PairHeap {
  readonly #keys: number[] = []
  readonly #counts: number[] = []

  push(key: number, count: number): void {
    let place = this.#keys.length
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!before(key, count, this.#keys[parent], this.#counts[parent])) break
      this.#keys[place] = this.#keys[parent]
      this.#counts[place] = this.#counts[parent]
      place = parent
    }
    this.#keys[place] = key
    this.#counts[place] = count
  }

  pop(): { key: number; count: number } | undefined {
    if (this.#keys.length === 0) return undefined
    const top = { key: this.#keys[0], count: this.#counts[0] }
    const key = this.#keys.pop()!
    const count = this.#counts.pop()!
    const length = this.#keys.length
    let place = 0
    while (length > 0) {
      let child = 2 * place + 1
      if (child >= length) break
      if (
        child + 1 < length &&
        before(this.#keys[child + 1], this.#counts[child + 1], this.#keys[child], this.#counts[child])
      )
        child++
      if (!before(this.#keys[child], this.#counts[child], key, count)) break
      this.#keys[place] = this.#keys[child]
      this.#counts[place] = this.#counts[child]
      place = child
    }
    if (length > 0) {
      this.#keys[place] = key
      this.#counts[place] = count
    }
    return top
  }
}

function before(key: number, count: number, otherKey: number, otherCount: number): boolean {
  return count > otherCount || (count === otherCount && key < otherKey)
}

function compareCodePoints(left: string, right: string): number {
  return left.codePointAt(0)! - right.codePointAt(0)!
}
