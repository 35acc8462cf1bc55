import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'
import { checkLink, parseUntrustedJson, type ReadingAs, readPlainFile } from '../untrusted-files.js'
import type { SpecialTokens } from './special-tokens.js'
import { checkTokenizerParts } from './tokenizer-limits.js'

/** The special tokens that BERT needs, in the order in which a new vocabulary begins. */
export const SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const

/** Words longer than this become [UNK], as in BERT. */
export const MAX_WORD_CHARACTERS = 100

const AS: ReadingAs = { doing: 'load the tokenizer', code: 'BAD_FILE' }

/** The parts of a Hugging Face `tokenizer.json` that this package reads; the rest is kept as it came. */
export interface TokenizerJson {
  version: string
  truncation: unknown
  padding: unknown
  added_tokens: AddedTokenJson[]
  normalizer: Record<string, unknown> | null
  pre_tokenizer: Record<string, unknown> | null
  post_processor: unknown
  decoder: unknown
  model: {
    type: string
    unk_token: string
    continuing_subword_prefix: string
    max_input_chars_per_word: number
    vocab: Record<string, number>
  }
}

export interface AddedTokenJson {
  id: number
  content: string
  special: boolean
  [option: string]: unknown
}

/** A checked WordPiece tokenizer, not yet compiled. */
export interface TokenizerDefinition {
  /** Where it came from: a path, or a word such as "trained". */
  source: string
  json: TokenizerJson
  /** Token by id; an id that no token has is undefined. */
  tokens: (string | undefined)[]
  specialTokens: SpecialTokens
  lowercase: boolean
  /** SHA-256 (hex) over everything that decides the ids of a text. */
  fingerprint: string
}

export interface LoadOptions {
  /** For a `vocab.txt` only: lower-case the text and strip accents. Default: `tokenizer_config.json` beside it, else true. */
  lowercase?: boolean
}

/** Reads a folder (`tokenizer.json`, else `vocab.txt`) or one such file. Throws NOT_FOUND, BAD_FILE or UNSUPPORTED, naming the file. */
export async function readTokenizerDefinition(path: string, options: LoadOptions = {}): Promise<TokenizerDefinition> {
  const info = await stat(path).catch((error) => {
    throw fileError(error, path, 'load the tokenizer')
  })
  if (!info.isDirectory()) {
    return path.endsWith('.json') ? readTokenizerJson(path) : readVocabularyFile(path, options, undefined)
  }
  const jsonPath = join(path, 'tokenizer.json')
  if (await exists(jsonPath)) {
    await checkLink(jsonPath, AS)
    return readTokenizerJson(jsonPath)
  }
  const vocabularyPath = join(path, 'vocab.txt')
  if (await exists(vocabularyPath)) {
    await checkLink(vocabularyPath, AS)
    return readVocabularyFile(vocabularyPath, options, join(path, 'tokenizer_config.json'))
  }
  throw new StrataError(
    'NOT_FOUND',
    `${path} holds no tokenizer: neither tokenizer.json nor vocab.txt is in it; give a Hugging Face BERT folder or train one with "stratabert tokenizer train"`,
    { details: { path } },
  )
}

/** The definition of a BERT WordPiece tokenizer over `tokens`, ids in order. */
export function definitionFromTokens(
  tokens: readonly string[],
  source: string,
  normalizer: { lowercase?: boolean; stripAccents?: boolean | null; handleChineseChars?: boolean } = {},
): TokenizerDefinition {
  const vocab: Record<string, number> = Object.create(null)
  tokens.forEach((token, id) => {
    if (Object.hasOwn(vocab, token)) {
      throw badFile(
        source,
        `line ${id + 1}: the token ${JSON.stringify(token)} stands there for the second time (first at line ${vocab[token] + 1}); every token must be unique`,
      )
    }
    vocab[token] = id
  })
  const id = (token: string): number => vocab[token] ?? 0
  return checkDefinition(source, {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.filter((token) => Object.hasOwn(vocab, token))
      .map((content) => addedToken(content, vocab[content]))
      .sort((left, right) => left.id - right.id),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: normalizer.handleChineseChars ?? true,
      strip_accents: normalizer.stripAccents ?? null,
      lowercase: normalizer.lowercase ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]', 0), sequence('A', 0), special('[SEP]', 0)],
      pair: [special('[CLS]', 0), sequence('A', 0), special('[SEP]', 0), sequence('B', 1), special('[SEP]', 1)],
      special_tokens: Object.fromEntries(
        ['[CLS]', '[SEP]'].map((token) => [token, { id: token, ids: [id(token)], tokens: [token] }]),
      ),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: MAX_WORD_CHARACTERS,
      vocab,
    },
  })
}

async function readTokenizerJson(path: string): Promise<TokenizerDefinition> {
  return checkDefinition(path, parseUntrustedJson(await readBytes(path), path, AS))
}

async function readVocabularyFile(
  path: string,
  options: LoadOptions,
  configPath: string | undefined,
): Promise<TokenizerDefinition> {
  const text = await readText(path)
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const windowsLines = lines.length > 0 && lines.every((line) => line.endsWith('\r'))
  const tokens = windowsLines ? lines.map((line) => line.slice(0, -1)) : lines
  const empty = tokens.indexOf('')
  if (empty >= 0) throw badFile(path, `line ${empty + 1} is empty; one token a line was expected`)
  const config = configPath !== undefined && (await exists(configPath)) ? await readConfig(configPath) : {}
  return definitionFromTokens(tokens, path, {
    lowercase: options.lowercase ?? booleanField(config, 'do_lower_case', configPath) ?? true,
    stripAccents: booleanField(config, 'strip_accents', configPath) ?? null,
    handleChineseChars: booleanField(config, 'tokenize_chinese_chars', configPath) ?? true,
  })
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  await checkLink(path, AS)
  const config = parseUntrustedJson(await readBytes(path), path, AS)
  if (isObject(config)) return config
  throw badFile(path, 'holds no JSON object')
}

function booleanField(config: Record<string, unknown>, name: string, path: string | undefined): boolean | undefined {
  const value = config[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'boolean') return value
  throw badFile(path ?? name, `"${name}" is ${shownValue(value)}, true or false was expected`)
}

/** Checks what the tokenizer library leaves to chance and gathers what the rest of the package needs. */
function checkDefinition(source: string, value: unknown): TokenizerDefinition {
  if (!isObject(value)) throw badFile(source, 'holds no JSON object; a Hugging Face tokenizer.json was expected')
  const model = value.model
  if (!isObject(model)) throw badFile(source, '"model" is missing; a Hugging Face tokenizer.json was expected')
  if (model.type !== undefined && model.type !== 'WordPiece') {
    throw new StrataError(
      'UNSUPPORTED',
      `${source}: "model.type" is ${shownValue(model.type)}; only WordPiece tokenizers (BERT) are supported`,
      { details: { path: source } },
    )
  }
  if (!isObject(model.vocab)) throw badFile(source, '"model.vocab" is missing; an object from token to id was expected')
  for (const part of ['normalizer', 'pre_tokenizer'] as const) {
    if (value[part] !== undefined && value[part] !== null && !isObject(value[part])) {
      throw badFile(source, `"${part}" is ${typeof value[part]}, an object or null was expected`)
    }
  }
  const addedTokens = value.added_tokens ?? []
  if (!Array.isArray(addedTokens)) throw badFile(source, '"added_tokens" is not a list')
  const tokens: (string | undefined)[] = []
  const entries: [string, unknown][] = Object.entries(model.vocab)
  for (const added of addedTokens as unknown[]) {
    if (!isObject(added) || typeof added.content !== 'string') {
      throw badFile(source, `"added_tokens" holds ${shownValue(added)}; { id, content } was expected`)
    }
    entries.push([added.content, added.id])
  }
  const largestId = Math.max(1000, entries.length * 4)
  for (const [token, id] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > largestId) {
      throw badFile(
        source,
        `the id of ${shownValue(token)} is ${shownValue(id)}; an integer from 0 to about the vocabulary's size (${entries.length}) was expected`,
      )
    }
    if (tokens[id] !== undefined && tokens[id] !== token) {
      throw badFile(
        source,
        `the id ${id} belongs to both ${shownValue(tokens[id])} and ${shownValue(token)}; ids must be unique`,
      )
    }
    tokens[id] = token
  }
  for (let id = 0; id < tokens.length; id++) if (!(id in tokens)) tokens[id] = undefined
  const idOf = (token: string): number => {
    const id = tokens.indexOf(token)
    if (id < 0)
      throw badFile(
        source,
        `the vocabulary has no ${token}; a BERT vocabulary with ${SPECIAL_TOKENS.join(' ')} was expected`,
      )
    return id
  }
  const [padId, unkId, clsId, sepId, maskId] = SPECIAL_TOKENS.map(idOf)
  const json = {
    ...value,
    added_tokens: addedTokens,
    normalizer: value.normalizer ?? null,
    pre_tokenizer: value.pre_tokenizer ?? null,
    // Padding and truncation belong to the caller here: a file that pads everything to 128 must not change the ids.
    truncation: null,
    padding: null,
    model: {
      ...model,
      type: 'WordPiece',
      unk_token: model.unk_token ?? '[UNK]',
      continuing_subword_prefix: model.continuing_subword_prefix ?? '##',
      max_input_chars_per_word: model.max_input_chars_per_word ?? MAX_WORD_CHARACTERS,
    },
  } as unknown as TokenizerJson
  checkTokenizerParts(source, json as unknown as Record<string, unknown>)
  const { normalizer, pre_tokenizer } = json
  return {
    source,
    json,
    tokens,
    specialTokens: { vocabSize: tokens.length, padId, unkId, clsId, sepId, maskId },
    lowercase: lowercases(normalizer),
    fingerprint: createHash('sha256')
      .update(
        canonical({ normalizer, pre_tokenizer, model: { ...json.model, vocab: tokens }, added: json.added_tokens }),
      )
      .digest('hex'),
  }
}

/** JSON with sorted keys: equal values give equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    isObject(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([left], [right]) => (left < right ? -1 : 1)))
      : inner,
  )
}

function lowercases(normalizer: Record<string, unknown> | null): boolean {
  if (normalizer === null) return false
  if (normalizer.type === 'Lowercase') return true
  if (normalizer.type === 'BertNormalizer') return normalizer.lowercase === true
  const parts = normalizer.normalizers
  return Array.isArray(parts) && parts.some((part) => isObject(part) && lowercases(part))
}

async function readBytes(path: string): Promise<Buffer> {
  const bytes = await readPlainFile(path, AS)
  if (bytes.length === 0) throw badFile(path, 'is empty; a tokenizer file was expected')
  return bytes
}

async function readText(path: string): Promise<string> {
  const bytes = await readBytes(path)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw badFile(path, 'is not valid UTF-8', error)
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function addedToken(content: string, id: number): AddedTokenJson {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
}

const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } })
const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } })

export function badFile(path: string, what: string, cause?: unknown): StrataError {
  return new StrataError('BAD_FILE', `${path} ${what}`, { cause, details: { path } })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
