import { open } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Tokenizer as NativeTokenizer } from 'tokenizers'
import { fileError, StrataError } from '../errors.js'
import { syncFile } from '../sync-path.js'
import { checkEncodeArguments, type EncodedText, type EncodeInput, type EncodeOptions } from './encoded-text.js'
import { encodeInputs } from './first-tokens.js'
import type { SpecialTokens } from './special-tokens.js'
import { encodeWithOffsets, type TokenOffsets } from './token-offsets.js'
import { encodeInWorker, offsetsInWorker } from './tokenizer-pool.js'
import { compileTokenizer, WordPieceEncoder } from './wordpiece-encoder.js'
import {
  definitionFromTokens,
  type LoadOptions,
  readTokenizerDefinition,
  SPECIAL_TOKENS,
  type TokenizerDefinition,
} from './wordpiece-files.js'

/** Longer texts go to the worker even one by one. */
const LONGEST_INLINE_TEXT = 20_000

/**
 * A WordPiece tokenizer with BERT's special tokens. It holds no native resources that need disposal.
 *
 * Special tokens written in a text ("[MASK]") become their ids; padding never happens.
 */
export class Tokenizer {
  /** Where it was loaded from. */
  readonly source: string
  /** Ids of [PAD] [UNK] [CLS] [SEP] [MASK], and the number of ids. */
  readonly specialTokens: SpecialTokens
  /** True when the text is lower-cased. */
  readonly lowercase: boolean
  /** SHA-256 (64 hex digits) over all that decides the ids: equal for tokenizers that behave alike. */
  readonly fingerprint: string
  readonly #definition: TokenizerDefinition
  readonly #native: NativeTokenizer
  readonly #encoder: WordPieceEncoder
  #ids: Map<string, number> | undefined

  /** Use {@link Tokenizer.load} or {@link Tokenizer.fromVocabulary}. */
  constructor(definition: TokenizerDefinition) {
    this.#definition = definition
    this.#native = compileTokenizer(definition.source, definition.json)
    this.#encoder = new WordPieceEncoder(definition, 'match')
    this.source = definition.source
    this.specialTokens = definition.specialTokens
    this.lowercase = definition.lowercase
    this.fingerprint = definition.fingerprint
  }

  /**
   * Loads a folder with `tokenizer.json`, else `vocab.txt` (and `tokenizer_config.json`), or one such file.
   * Throws NOT_FOUND, BAD_FILE (corrupt, or without one of [PAD] [UNK] [CLS] [SEP] [MASK]) or UNSUPPORTED (not WordPiece); each names the file.
   */
  static async load(path: string, options: LoadOptions = {}): Promise<Tokenizer> {
    return new Tokenizer(await readTokenizerDefinition(resolve(path), options))
  }

  /** A BERT tokenizer whose ids are the places in `tokens`. Throws BAD_FILE when a special token is missing or a token comes twice. */
  static fromVocabulary(tokens: readonly string[], options: LoadOptions & { source?: string } = {}): Tokenizer {
    return new Tokenizer(definitionFromTokens(tokens, options.source ?? 'the vocabulary', options))
  }

  /** Number of ids (largest id + 1). */
  get vocabSize(): number {
    return this.specialTokens.vocabSize
  }

  /** The checked definition, for a worker thread (structured-cloneable). */
  get definition(): TokenizerDefinition {
    return this.#definition
  }

  /** Encodes one text. */
  async encode(text: string, options: EncodeOptions = {}): Promise<EncodedText> {
    return this.#encodeOne(text, options)
  }

  /** Encodes two texts as one input: [CLS] first [SEP] second [SEP]. */
  async encodePair(first: string, second: string, options: EncodeOptions = {}): Promise<EncodedText> {
    return this.#encodeOne([first, second], options)
  }

  /** Encodes many texts or pairs in a worker thread; the answers come in the order of the inputs. */
  async encodeBatch(inputs: readonly EncodeInput[], options: EncodeOptions = {}): Promise<EncodedText[]> {
    checkEncodeArguments(inputs, options)
    return encodeInWorker(this.#definition, inputs, options)
  }

  /**
   * Encodes texts without special tokens around them and tells which characters each token was made of, for answers that are cut out of
   * a text. Slower than {@link encodeBatch}; long texts are encoded in the worker thread too.
   */
  async encodeWithOffsets(texts: readonly string[]): Promise<TokenOffsets[]> {
    checkEncodeArguments(texts, {})
    return encodeWithOffsets(this.#native, texts, (text) => offsetsInWorker(this.#definition, text))
  }

  async #encodeOne(input: EncodeInput, options: EncodeOptions): Promise<EncodedText> {
    checkEncodeArguments([input], options)
    const texts = typeof input === 'string' ? [input] : input
    if (texts.some((text) => text.length > LONGEST_INLINE_TEXT)) {
      return (await encodeInWorker(this.#definition, [input], options))[0]
    }
    return (await encodeInputs(this.#encoder, [input], this.specialTokens, options))[0]
  }

  /** The text of some ids; pieces are joined and [CLS], [SEP] and the like left out unless asked for. */
  async decode(ids: ArrayLike<number>, options: { skipSpecialTokens?: boolean } = {}): Promise<string> {
    const list = Array.from(ids)
    for (const id of list) this.#checkId(id)
    const text = await this.#native.decode(list, options.skipSpecialTokens ?? true)
    const { decoder } = this.#definition.json as { decoder?: { cleanup?: boolean } | null }
    return decoder?.cleanup === false ? text : closeUp(text)
  }

  /** The token of an id, undefined for an id that none has. */
  idToToken(id: number): string | undefined {
    return this.#definition.tokens[id]
  }

  /** The id of a token, undefined when the vocabulary lacks it. */
  tokenToId(token: string): number | undefined {
    if (this.#ids === undefined) {
      this.#ids = new Map()
      for (const [id, name] of this.#definition.tokens.entries()) if (name !== undefined) this.#ids.set(name, id)
    }
    return this.#ids.get(token)
  }

  /** 1 where a word begins, 0 where a piece continues one, shape (T). Special tokens begin a word. */
  wordStarts(ids: ArrayLike<number>): Uint8Array {
    const prefix = this.#definition.json.model.continuing_subword_prefix
    return Uint8Array.from(ids, (id) => {
      this.#checkId(id)
      const token = this.#definition.tokens[id]
      return token?.startsWith(prefix) && token.length > prefix.length ? 0 : 1
    })
  }

  /** Every token by id; an unused id reads "[unused:ID]". */
  vocabulary(): string[] {
    return this.#definition.tokens.map((token, id) => token ?? `[unused:${id}]`)
  }

  /**
   * Writes Hugging Face's files into an existing folder (each flushed to disk) and returns their names. `longest` = where transformers cuts
   * texts that are to be truncated: the encoder's positions; default 512.
   */
  async save(folder: string, { longest = 512 }: { longest?: number } = {}): Promise<string[]> {
    const normalizer = this.#definition.json.normalizer ?? {}
    const named = {
      pad_token: '[PAD]',
      unk_token: '[UNK]',
      cls_token: '[CLS]',
      sep_token: '[SEP]',
      mask_token: '[MASK]',
    }
    const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
    const files: Record<string, string> = {
      'tokenizer.json': json(this.#definition.json),
      'tokenizer_config.json': json({
        tokenizer_class: 'BertTokenizer',
        do_lower_case: this.lowercase,
        strip_accents: normalizer.strip_accents ?? null,
        tokenize_chinese_chars: normalizer.handle_chinese_chars ?? true,
        model_max_length: longest,
        ...named,
      }),
      'special_tokens_map.json': json(named),
      'vocab.txt': `${this.vocabulary().join('\n')}\n`,
    }
    for (const [name, content] of Object.entries(files)) {
      const path = join(folder, name)
      try {
        const file = await open(path, 'w')
        try {
          await file.writeFile(content)
          await syncFile(file)
        } finally {
          await file.close()
        }
      } catch (error) {
        throw fileError(error, path, 'save the tokenizer')
      }
    }
    return Object.keys(files)
  }

  #checkId(id: number): void {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `the token id ${id} is outside the vocabulary of ${this.vocabSize}; ids from 0 to ${this.vocabSize - 1} were expected`,
      )
    }
  }
}

/** Spaces that Hugging Face's `clean_up_tokenization` takes out of decoded text, in its order. */
const CLOSED_UP = [' .', ' ?', ' !', ' ,', " ' ", " n't", " 'm", " 's", " 've", " 're"]

function closeUp(text: string): string {
  return CLOSED_UP.reduce((result, part) => result.replaceAll(part, part.trim()), text)
}

export { SPECIAL_TOKENS }
