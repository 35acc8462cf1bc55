import { type JsEncoding, Tokenizer as NativeTokenizer } from 'tokenizers'
import { StrataError } from '../errors.js'
import { badFile, type TokenizerDefinition, type TokenizerJson } from './wordpiece-files.js'

/** Ids of one text without special tokens, and what is known of each token (TOKEN_FLAGS). */
export interface EncodedPieces {
  tokenIds: Int32Array
  tokenFlags: Uint8Array
}

/** As in lib/data/token-corpus.ts (a room above this one). */
const WORD_START = 1
const PUNCTUATION = 2

const LARGEST_CACHE = 400_000
/** Longer chunks (links, base64) hardly come twice. */
const LONGEST_CACHED_CHUNK = 40
const MISSES_PER_CALL = 4096
const LETTER_OR_DIGIT = /[\p{L}\p{N}]/u

/**
 * Encodes many texts fast. A WordPiece tokenizer with BERT's normaliser and pre-tokeniser never looks across white space,
 * so each white-space-delimited chunk of text has its own ids whatever stands around it: the ids of the chunks seen before
 * come from a table, and only new chunks go through the library. Text repeats its words (Zipf), so this is several times
 * faster than encoding each sentence, with equal ids. A tokenizer of another make goes through the library as a whole.
 */
export class WordPieceEncoder {
  readonly #native: NativeTokenizer
  readonly #chunkwise: boolean
  readonly #continues: Uint8Array
  readonly #hasLetterOrDigit: Uint8Array
  readonly #unkId: number
  #cache = new Map<string, EncodedPieces>()

  /** `specials: 'plain'` takes a special token written in the text ("[SEP]") as ordinary characters. */
  constructor(definition: TokenizerDefinition, specials: 'match' | 'plain') {
    const json = specials === 'plain' ? withoutSpecialTokens(definition.json) : definition.json
    this.#native = compileTokenizer(definition.source, json)
    this.#chunkwise = isChunkwise(json)
    this.#unkId = definition.specialTokens.unkId
    const prefix = json.model.continuing_subword_prefix
    this.#continues = new Uint8Array(definition.tokens.length)
    this.#hasLetterOrDigit = new Uint8Array(definition.tokens.length)
    definition.tokens.forEach((token, id) => {
      if (token === undefined) return
      const continues = token.startsWith(prefix) && token.length > prefix.length
      this.#continues[id] = continues ? 1 : 0
      const surface = continues ? token.slice(prefix.length) : token
      this.#hasLetterOrDigit[id] = LETTER_OR_DIGIT.test(surface) ? 1 : 0
    })
  }

  /** Encodes every text; the answers share nothing with the cache. */
  async encode(texts: readonly string[]): Promise<EncodedPieces[]> {
    if (!this.#chunkwise) {
      const encodings = await this.#encodeNative(texts)
      return encodings.map((encoding, index) => this.#pieces(encoding, texts[index]))
    }
    if (this.#cache.size > LARGEST_CACHE) this.#cache = new Map()
    const passing = new Map<string, EncodedPieces>()
    const chunks = texts.map(splitAtWhiteSpace)
    const missing: string[] = []
    const asked = new Set<string>()
    for (const list of chunks) {
      for (const chunk of list) {
        if (this.#cache.has(chunk) || asked.has(chunk)) continue
        asked.add(chunk)
        missing.push(chunk)
      }
    }
    for (let start = 0; start < missing.length; start += MISSES_PER_CALL) {
      const part = missing.slice(start, start + MISSES_PER_CALL)
      const encodings = await this.#encodeNative(part)
      encodings.forEach((encoding, index) => {
        const chunk = part[index]
        const table = chunk.length > LONGEST_CACHED_CHUNK ? passing : this.#cache
        table.set(chunk, this.#pieces(encoding, chunk))
      })
    }
    return chunks.map((list) => join(list.map((chunk) => (this.#cache.get(chunk) ?? passing.get(chunk))!)))
  }

  async #encodeNative(texts: readonly string[]): Promise<JsEncoding[]> {
    try {
      return await this.#native.encodeBatch(texts as string[], { addSpecialTokens: false })
    } catch (error) {
      throw new StrataError('BAD_DATA', `the tokenizer could not encode the text: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  #pieces(encoding: JsEncoding, text: string): EncodedPieces {
    const tokenIds = Int32Array.from(encoding.getIds())
    const tokenFlags = new Uint8Array(tokenIds.length)
    let start = 0
    for (let index = 0; index < tokenIds.length; index++) {
      if (index === 0 || !this.#continues[tokenIds[index]]) {
        this.#markWord(encoding, text, tokenIds, tokenFlags, start, index)
        start = index
        tokenFlags[index] = WORD_START
      }
    }
    this.#markWord(encoding, text, tokenIds, tokenFlags, start, tokenIds.length)
    return { tokenIds, tokenFlags }
  }

  /** Sets PUNCTUATION on every token of a word without letter and digit. */
  #markWord(encoding: JsEncoding, text: string, ids: Int32Array, flags: Uint8Array, start: number, end: number): void {
    for (let index = start; index < end; index++) {
      if (ids[index] === this.#unkId) {
        const [from, to] = encoding.getOffsets()[index]
        if (LETTER_OR_DIGIT.test(Array.from(text).slice(from, to).join(''))) return
      } else if (this.#hasLetterOrDigit[ids[index]]) return
    }
    for (let index = start; index < end; index++) flags[index] |= PUNCTUATION
  }
}

/** Compiles a checked definition; what the library still finds wrong becomes a BAD_FILE that names the source. */
export function compileTokenizer(source: string, json: TokenizerJson): NativeTokenizer {
  try {
    return NativeTokenizer.fromString(JSON.stringify(json))
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
    json.added_tokens.every((token) => !/\s/u.test(token.content))
  )
}

function splitAtWhiteSpace(text: string): string[] {
  return text.split(/[ \t\n\r]+/).filter((chunk) => chunk !== '')
}

function join(parts: readonly EncodedPieces[]): EncodedPieces {
  let length = 0
  for (const part of parts) length += part.tokenIds.length
  const tokenIds = new Int32Array(length)
  const tokenFlags = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    tokenIds.set(part.tokenIds, offset)
    tokenFlags.set(part.tokenFlags, offset)
    offset += part.tokenIds.length
  }
  return { tokenIds, tokenFlags }
}
