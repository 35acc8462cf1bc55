import { type JsEncoding, Tokenizer as NativeTokenizer } from 'tokenizers'
import { StrataError } from '../errors.js'
import { ownString } from './encoded-text.js'
import { TOKEN_FLAGS } from './token-flags.js'
import { codePointStarts } from './token-offsets.js'
import { badFile, type TokenizerDefinition, type TokenizerJson } from './wordpiece-files.js'

/** Ids of N texts end to end, without special tokens. */
export interface PackedPieces {
  /** Shape (T). */
  tokenIds: Int32Array
  /** TOKEN_FLAGS of each token, shape (T). */
  tokenFlags: Uint8Array
  /** First token of each text, shape (N + 1). */
  offsets: Uint32Array
}

/** As {@link PackedPieces}, with the characters that each token was made of: UTF-16 units of its text, shape (T). */
export interface PlacedPieces extends PackedPieces {
  starts: Int32Array
  ends: Int32Array
}

interface Pieces {
  ids: ArrayLike<number>
  flags: ArrayLike<number>
  /** Within the chunk, in UTF-16 units; missing unless places are asked for. */
  starts?: ArrayLike<number>
  ends?: ArrayLike<number>
}

/** Entries of the table; about 250 bytes each. */
const LARGEST_CACHE = 150_000
/** Longer chunks (links, base64) hardly come twice. */
const LONGEST_CACHED_CHUNK = 40
const CHUNKS_PER_CALL = 4096
const LETTER_OR_DIGIT = /[\p{L}\p{N}]/u
const IDEOGRAPH = /[\u4e00-\u9fff]/
const ASCII = /^[!-~]+$/
/** What BERT's pre-tokeniser makes of ASCII: every punctuation mark stands alone. */
const ASCII_WORDS = /[0-9A-Za-z]+|[!-~]/g

/**
 * Encodes many texts fast. A WordPiece tokenizer with BERT's normaliser and pre-tokeniser never looks across white space,
 * so each white-space-delimited chunk of text has its own ids whatever stands around it: the ids of the chunks seen before
 * come from a table (text repeats its words: Zipf). A new ASCII chunk is cut here by WordPiece's greedy rule; any other
 * goes through the library, which knows Unicode. A tokenizer of another make goes through the library as a whole.
 * The ids are the library's own in each case.
 */
export class WordPieceEncoder {
  readonly #native: NativeTokenizer
  readonly #json: TokenizerJson
  readonly #chunkwise: boolean
  readonly #vocabulary = new Map<string, number>()
  /** Texts of the added tokens, which may stand anywhere in a chunk. */
  readonly #added: string[]
  readonly #continues: Uint8Array
  readonly #hasLetterOrDigit: Uint8Array
  readonly #unkId: number
  readonly #longestToken: number
  readonly #placed: boolean
  /** Where a text falls apart: tokens before and behind such a place do not depend on each other. */
  readonly breaks: { spaces: boolean; ideographs: boolean }
  #cache = new Map<string, Pieces>()

  /**
   * `specials: 'plain'` takes a special token written in the text ("[SEP]") as ordinary characters; `placed` is needed by
   * {@link encodePlaced} and costs memory.
   */
  constructor(definition: TokenizerDefinition, specials: 'match' | 'plain', { placed = false } = {}) {
    this.#placed = placed
    const json = specials === 'plain' ? withoutSpecialTokens(definition.json) : definition.json
    this.#json = json
    this.#native = compileTokenizer(definition.source, json)
    this.#chunkwise = isChunkwise(json)
    this.#added = json.added_tokens.map((token) => token.content)
    const ideographs =
      json.normalizer?.handle_chinese_chars === true && !this.#added.some((token) => IDEOGRAPH.test(token))
    this.breaks = { spaces: this.#chunkwise, ideographs: this.#chunkwise && ideographs }
    this.#unkId = definition.specialTokens.unkId
    for (const [token, id] of Object.entries(json.model.vocab)) this.#vocabulary.set(token, id)
    const prefix = json.model.continuing_subword_prefix
    this.#continues = new Uint8Array(definition.tokens.length)
    this.#hasLetterOrDigit = new Uint8Array(definition.tokens.length)
    let longest = 0
    definition.tokens.forEach((token, id) => {
      if (token === undefined) return
      const continues = token.startsWith(prefix) && token.length > prefix.length
      this.#continues[id] = continues ? 1 : 0
      const surface = continues ? token.slice(prefix.length) : token
      this.#hasLetterOrDigit[id] = LETTER_OR_DIGIT.test(surface) ? 1 : 0
      longest = Math.max(longest, token.length)
    })
    this.#longestToken = longest
  }

  async encode(texts: readonly string[]): Promise<PackedPieces> {
    const { pieces, chunkCounts } = await this.#encode(texts)
    return pack(pieces, chunkCounts)
  }

  /** Tells where in its text each token stands as well; of an encoder with `placed`. */
  async encodePlaced(texts: readonly string[]): Promise<PlacedPieces> {
    const { pieces, chunkCounts, chunkStarts } = await this.#encode(texts)
    return { ...pack(pieces, chunkCounts), ...places(pieces, chunkStarts) }
  }

  async #encode(texts: readonly string[]) {
    const chunkStarts: number[] = []
    const chunkCounts = new Uint32Array(texts.length)
    const pieces: Pieces[] = []
    const newChunks: string[] = []
    const newPieces: Pieces[] = []
    if (this.#cache.size > LARGEST_CACHE) this.#cache = new Map()
    const own = new Map<string, Pieces>()
    const pieceOf = (chunk: string): Pieces => {
      const known = this.#cache.get(chunk) ?? own.get(chunk)
      if (known !== undefined) return known
      const fresh: Pieces = { ids: [], flags: [] }
      if (this.#chunkwise && chunk.length <= LONGEST_CACHED_CHUNK) own.set(ownString(chunk), fresh)
      newChunks.push(chunk)
      newPieces.push(fresh)
      return fresh
    }
    texts.forEach((text, index) => {
      const before = pieces.length
      const add = (chunk: string, start: number): void => {
        pieces.push(pieceOf(chunk))
        if (this.#placed) chunkStarts.push(start)
      }
      if (this.#chunkwise) forEachChunk(text, add)
      else add(text, 0)
      chunkCounts[index] = pieces.length - before
    })
    await this.#fill(newChunks, newPieces)
    // Not before: another call may look into the table while the library works.
    for (const [chunk, filled] of own) this.#cache.set(chunk, filled)
    return { pieces, chunkCounts, chunkStarts }
  }

  async #fill(chunks: readonly string[], pieces: readonly Pieces[]): Promise<void> {
    const forLibrary: number[] = []
    chunks.forEach((chunk, index) => {
      if (this.#chunkwise && ASCII.test(chunk) && !this.#added.some((token) => chunk.includes(token))) {
        this.#cutAscii(chunk, pieces[index])
      } else forLibrary.push(index)
    })
    for (let start = 0; start < forLibrary.length; start += CHUNKS_PER_CALL) {
      const part = forLibrary.slice(start, start + CHUNKS_PER_CALL)
      const encodings = await this.#encodeNative(part.map((index) => chunks[index]))
      encodings.forEach((encoding, place) => {
        this.#takeOver(encoding, chunks[part[place]], pieces[part[place]])
      })
    }
  }

  async #encodeNative(texts: string[]): Promise<JsEncoding[]> {
    try {
      return await this.#native.encodeBatch(texts, { addSpecialTokens: false })
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new StrataError('BAD_DATA', `the tokenizer could not encode the text: ${message}`, { cause: error })
    }
  }

  /** WordPiece: the longest token that fits, again and again; a word that cannot be cut whole is one [UNK]. */
  #cutAscii(chunk: string, result: Pieces): void {
    const { continuing_subword_prefix: prefix, max_input_chars_per_word: longestWord } = this.#json.model
    const ids: number[] = []
    const flags: number[] = []
    const starts: number[] = []
    const ends: number[] = []
    const text = this.#json.normalizer?.lowercase === true ? chunk.toLowerCase() : chunk
    for (const { 0: word, index } of text.matchAll(ASCII_WORDS)) {
      const first = ids.length
      let start = word.length > longestWord ? -1 : 0
      while (start >= 0 && start < word.length) {
        let end = Math.min(word.length, start + this.#longestToken)
        let id: number | undefined
        for (; end > start; end--) {
          const piece = start === 0 ? word.slice(0, end) : prefix + word.slice(start, end)
          id = this.#vocabulary.get(piece)
          if (id !== undefined) break
        }
        if (id === undefined) start = -1
        else {
          ids.push(id)
          starts.push(index + start)
          ends.push(index + end)
          start = end
        }
      }
      if (start < 0) {
        for (const list of [ids, starts, ends]) list.length = first
        ids.push(this.#unkId)
        starts.push(index)
        ends.push(index + word.length)
      }
      const kind = /[0-9A-Za-z]/.test(word) ? 0 : TOKEN_FLAGS.punctuation
      for (let place = first; place < ids.length; place++) flags[place] = kind
      flags[first] |= TOKEN_FLAGS.wordStart
    }
    result.ids = ids
    result.flags = flags
    if (this.#placed) Object.assign(result, { starts, ends })
  }

  #takeOver(encoding: JsEncoding, text: string, result: Pieces): void {
    const ids = encoding.getIds()
    const flags = new Uint8Array(ids.length)
    // Made once, and only where an unknown word asks: each takes time with the length of the text.
    let asked: { characters: string[]; offsets: [number, number][] } | undefined
    const surfaceOf = (index: number): string => {
      asked ??= { characters: Array.from(text), offsets: encoding.getOffsets() as [number, number][] }
      return asked.characters.slice(...asked.offsets[index]).join('')
    }
    let start = 0
    for (let index = 0; index < ids.length; index++) {
      if (index > 0 && this.#continues[ids[index]]) continue
      this.#markPunctuation(surfaceOf, ids, flags, start, index)
      start = index
      flags[index] = TOKEN_FLAGS.wordStart
    }
    this.#markPunctuation(surfaceOf, ids, flags, start, ids.length)
    result.ids = ids
    result.flags = flags
    if (!this.#placed) return
    const units = codePointStarts(text)
    const offsets = encoding.getOffsets()
    result.starts = offsets.map(([from]) => units?.[from] ?? from)
    result.ends = offsets.map(([, to]) => units?.[to] ?? to)
  }

  /** Flags every token of a word without letter and digit. */
  #markPunctuation(
    surfaceOf: (index: number) => string,
    ids: number[],
    flags: Uint8Array,
    start: number,
    end: number,
  ): void {
    for (let index = start; index < end; index++) {
      if (ids[index] === this.#unkId) {
        if (LETTER_OR_DIGIT.test(surfaceOf(index))) return
      } else if (this.#hasLetterOrDigit[ids[index]]) return
    }
    for (let index = start; index < end; index++) flags[index] |= TOKEN_FLAGS.punctuation
  }
}

/**
 * Compiles a checked definition; what the library still finds wrong becomes a BAD_FILE that names the source.
 * @internal the library's own types do not compile without skipLibCheck: they stay out of the published ones
 */
export function compileTokenizer(source: string, json: TokenizerJson): NativeTokenizer {
  try {
    // Special tokens are put around here (encoded-text.ts); a template from elsewhere could repeat its text without end.
    return NativeTokenizer.fromString(JSON.stringify({ ...json, post_processor: null }))
  } catch (error) {
    throw badFile(source, `is no tokenizer that can be used: ${(error as Error).message}`, error)
  }
}

function withoutSpecialTokens(json: TokenizerJson): TokenizerJson {
  // A token outside the model's own vocabulary takes its id from its place in the list: then nothing may be left out.
  if (json.added_tokens.some((token) => !Object.hasOwn(json.model.vocab, token.content))) return json
  return { ...json, added_tokens: json.added_tokens.filter((token) => !token.special), post_processor: null }
}

function isChunkwise(json: TokenizerJson): boolean {
  return (
    json.normalizer?.type === 'BertNormalizer' &&
    json.normalizer.clean_text !== false &&
    json.pre_tokenizer?.type === 'BertPreTokenizer' &&
    json.added_tokens.length <= 32 &&
    json.added_tokens.every((token) => !/\s/u.test(token.content) && token.normalized !== true)
  )
}

/** Calls back for each run of characters between spaces, tabs and line ends. Other white space is the library's matter. */
function forEachChunk(text: string, callback: (chunk: string, start: number) => void): void {
  let start = -1
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 32 || code === 10 || code === 9 || code === 13) {
      if (start >= 0) callback(text.slice(start, index), start)
      start = -1
    } else if (start < 0) start = index
  }
  if (start >= 0) callback(text.slice(start), start)
}

function pack(pieces: readonly Pieces[], chunkCounts: Uint32Array): PackedPieces {
  let length = 0
  for (const { ids } of pieces) length += ids.length
  const tokenIds = new Int32Array(length)
  const tokenFlags = new Uint8Array(length)
  const offsets = new Uint32Array(chunkCounts.length + 1)
  let next = 0
  let offset = 0
  for (let text = 0; text < chunkCounts.length; text++) {
    for (let chunk = 0; chunk < chunkCounts[text]; chunk++) {
      const { ids, flags } = pieces[next++]
      for (let index = 0; index < ids.length; index++) {
        tokenIds[offset] = ids[index]
        tokenFlags[offset++] = flags[index]
      }
    }
    offsets[text + 1] = offset
  }
  return { tokenIds, tokenFlags, offsets }
}

function places(pieces: readonly Pieces[], chunkStarts: readonly number[]) {
  const length = pieces.reduce((sum, { ids }) => sum + ids.length, 0)
  const starts = new Int32Array(length)
  const ends = new Int32Array(length)
  let at = 0
  pieces.forEach((piece, chunk) => {
    if (!piece.starts || !piece.ends) throw new StrataError('BAD_ARGUMENT', 'the encoder was made without `placed`')
    for (let index = 0; index < piece.ids.length; index++) {
      starts[at] = chunkStarts[chunk] + piece.starts[index]
      ends[at++] = chunkStarts[chunk] + piece.ends[index]
    }
  })
  return { starts, ends }
}
