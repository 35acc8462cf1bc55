import { isUtf8 } from 'node:buffer'
import { StrataError } from '../errors.js'
import type { ConlluSentence } from '../text/conllu.js'
import { readConlluDocuments } from './conllu-documents.js'
import { decideConllu, formatByName } from './conllu-input.js'
import { type FileLines, readLines } from './corpus-line-reader.js'

/**
 * How documents are laid out:
 * - `titled`: a line `= Title =`, then one paragraph a line; a blank line stands before the next title. Section headings are short lines.
 * - `plain`: one paragraph a line, a blank line begins a new document.
 * - `jsonl`: one JSON object a line with the text in one field (and the title in `title`).
 * - `conllu`: parsed sentences, `# newdoc` begins a document and `# newpar` a paragraph.
 * - `auto`: by the file's name (.jsonl, .ndjson, .conllu, .conll), else its first line; CoNLL-U by the first that tells it from text.
 * Each may be gzipped.
 */
export type DocumentFormat = (typeof DOCUMENT_FORMATS)[number]
export const DOCUMENT_FORMATS = ['auto', 'titled', 'plain', 'jsonl', 'conllu'] as const

/** A document as paragraphs of text. */
export interface TextDocument {
  title?: string
  /** Never empty; no paragraph is blank. */
  paragraphs: string[]
  /** The file, and the line (from 1) where the document begins. */
  source: string
  line: number
  /** Of CoNLL-U: the sentences that the paragraphs were made of. */
  sentences?: ConlluSentence[]
}

/** What {@link readDocuments} reads, and how. */
export interface ReadOptions {
  inputs: readonly string[]
  /** Default `auto`, decided for each file. */
  format?: DocumentFormat
  /** The field of a JSON line that holds the text. Default `text`. */
  textField?: string
  /** `error` (default) throws BAD_DATA with file and line; `replace` puts U+FFFD there and counts the lines. */
  invalidUtf8?: 'error' | 'replace'
  signal?: AbortSignal
  /** Filled while documents are read; make one with {@link emptyReadStatistics}. */
  statistics?: ReadStatistics
}

export interface ReadStatistics {
  files: number
  /** As stored, so compressed ones of a .gz. */
  bytes: number
  lines: number
  documents: number
  /** Titles without text, JSON lines with blank text: skipped. */
  emptyDocuments: number
  paragraphs: number
  /** UTF-16 units of all paragraphs. */
  characters: number
  /** Lines where invalid UTF-8 was replaced. */
  replacedLines: number
  /** Documents so long that they were cut into several (see {@link LONGEST_DOCUMENT_CHARACTERS}). */
  cutDocuments: number
}

/** A longer document is handed on in parts cut between paragraphs, so that memory stays bounded; the parts count as one cut document. */
const LONGEST_DOCUMENT_CHARACTERS = 16 * 1024 * 1024

const TITLE = /^\s*= (?!=)(.*\S)\s*(?<!=) =\s*$/
const SECTION = /^\s*(=(?: ?=)+) (.*\S) \1\s*$/
const BLANK = /^\s*$/

/** Counts for {@link readDocuments} to add to: all are 0. */
export function emptyReadStatistics(): ReadStatistics {
  return {
    files: 0,
    bytes: 0,
    lines: 0,
    documents: 0,
    emptyDocuments: 0,
    paragraphs: 0,
    characters: 0,
    replacedLines: 0,
    cutDocuments: 0,
  }
}

/**
 * Reads documents one by one in bounded memory, in the order of the inputs.
 * Throws NOT_FOUND, BAD_FILE (a folder, an empty file, a broken .gz) or BAD_DATA (invalid UTF-8, NUL bytes, bad JSON, no usable
 * document); each names the file and, where there is one, the line.
 */
export async function* readDocuments(options: ReadOptions): AsyncGenerator<TextDocument> {
  const { inputs, statistics = emptyReadStatistics() } = options
  if (!Array.isArray(inputs) || inputs.length === 0) {
    throw new StrataError('BAD_ARGUMENT', 'no input file was given; at least one text file was expected')
  }
  checkOptions(options)
  for (const source of inputs) {
    statistics.files++
    const before = statistics.documents
    const lines = readLines(source, {
      signal: options.signal,
      onBytes: (count) => {
        statistics.bytes += count
      },
    })
    const { isConllu, blocks } = await decideConllu(source, options.format ?? 'auto', lines)
    if (isConllu) {
      yield* readConlluDocuments(source, blocks, statistics)
      checkFound(source, statistics, before)
      continue
    }
    const builder = new DocumentBuilder(source, statistics)
    let parse: ((line: string, number: number) => void) | undefined
    for await (const block of blocks) {
      if (block.lines.length === 0) continue
      const texts = decodeBlock(block, options.invalidUtf8 ?? 'error', statistics)
      parse ??= parserFor(detectFormat(source, texts, options.format ?? 'auto'), builder, options)
      for (let index = 0; index < texts.length; index++) {
        parse(texts[index], block.firstLine + index)
        if (builder.ready.length > 0) yield* builder.ready.splice(0)
      }
      statistics.lines += texts.length
    }
    builder.finish()
    yield* builder.ready.splice(0)
    checkFound(source, statistics, before)
  }
}

function checkFound(source: string, { documents, emptyDocuments }: ReadStatistics, before: number): void {
  if (documents > before) return
  throw new StrataError(
    'BAD_DATA',
    `${source} holds no usable document (${emptyDocuments} empty ones were skipped); text was expected`,
    { details: { path: source } },
  )
}

function checkOptions({ format = 'auto', invalidUtf8 = 'error', textField = 'text' }: ReadOptions): void {
  if (!DOCUMENT_FORMATS.includes(format)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `format is ${JSON.stringify(format)}; one of ${DOCUMENT_FORMATS.join(', ')} was expected`,
    )
  }
  if (!['error', 'replace'].includes(invalidUtf8)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `invalidUtf8 is ${JSON.stringify(invalidUtf8)}; error or replace was expected`,
    )
  }
  if (typeof textField !== 'string' || textField === '') {
    throw new StrataError('BAD_ARGUMENT', `textField is ${JSON.stringify(textField)}; the name of a field was expected`)
  }
}

/** Gathers paragraphs into documents. */
class DocumentBuilder {
  readonly ready: TextDocument[] = []
  #current: TextDocument | undefined
  #characters = 0
  #wasCut = false

  constructor(
    readonly source: string,
    readonly statistics: ReadStatistics,
  ) {}

  begin(line: number, title?: string): void {
    this.finish()
    this.#current = { paragraphs: [], source: this.source, line }
    if (title !== undefined) this.#current.title = title
  }

  get open(): boolean {
    return this.#current !== undefined
  }

  add(paragraph: string, line: number): void {
    const text = paragraph.trim()
    if (text === '') return
    if (this.#current === undefined) this.begin(line)
    if (this.#characters + text.length > LONGEST_DOCUMENT_CHARACTERS && this.#current!.paragraphs.length > 0) {
      const { title } = this.#current!
      if (!this.#wasCut) this.statistics.cutDocuments++
      this.#push()
      this.#current = { paragraphs: [], source: this.source, line }
      if (title !== undefined) this.#current.title = title
      this.#wasCut = true
    }
    this.#current!.paragraphs.push(text)
    this.#characters += text.length
    this.statistics.paragraphs++
    this.statistics.characters += text.length
  }

  finish(): void {
    if (this.#current !== undefined) this.#push()
    this.#current = undefined
    this.#wasCut = false
  }

  #push(): void {
    if (this.#current!.paragraphs.length === 0) this.statistics.emptyDocuments++
    else {
      this.statistics.documents++
      this.ready.push(this.#current!)
    }
    this.#characters = 0
  }
}

function decodeBlock(block: FileLines, invalidUtf8: 'error' | 'replace', statistics: ReadStatistics): string[] {
  const { source, firstLine, lines } = block
  const whole = lines
  const nul = whole.indexOf(0)
  if (nul >= 0) {
    const line = firstLine + countLines(whole.subarray(0, nul))
    throw new StrataError(
      'BAD_DATA',
      `${source}:${line}: a NUL byte stands there; UTF-8 text was expected (UTF-16 files must be converted first)`,
      { details: { path: source, line } },
    )
  }
  if (isUtf8(whole)) return splitLines(whole.toString('utf8'))
  let start = 0
  let number = firstLine
  let firstBad: number | undefined
  while (start < whole.length) {
    const end = whole.indexOf(10, start)
    const line = whole.subarray(start, end < 0 ? whole.length : end)
    if (!isUtf8(line)) {
      firstBad ??= number
      if (invalidUtf8 === 'replace') statistics.replacedLines++
      else break
    }
    if (end < 0) break
    start = end + 1
    number++
  }
  if (invalidUtf8 === 'error') {
    const hint = whole[0] === 0xff || whole[0] === 0xfe ? ' (it looks like UTF-16)' : ''
    throw new StrataError(
      'BAD_DATA',
      `${source}:${firstBad}: invalid UTF-8${hint}; convert the file, or read it with invalidUtf8 "replace"`,
      { details: { path: source, line: firstBad } },
    )
  }
  return splitLines(whole.toString('utf8'))
}

function splitLines(text: string): string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

function countLines(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++
  return count
}

type LineFormat = Exclude<DocumentFormat, 'auto' | 'conllu'>

function detectFormat(source: string, firstLines: string[], format: DocumentFormat): LineFormat {
  if (format !== 'auto') return format as LineFormat
  if (formatByName(source) === 'jsonl') return 'jsonl'
  const first = firstLines.find((line) => !BLANK.test(line))
  if (first === undefined) return 'plain'
  if (TITLE.test(first)) return 'titled'
  if (first.startsWith('{')) {
    try {
      const value: unknown = JSON.parse(first)
      if (typeof value === 'object' && value !== null) return 'jsonl'
    } catch {
      // No JSON line: text that begins with a brace.
    }
  }
  return 'plain'
}

function parserFor(
  format: LineFormat,
  builder: DocumentBuilder,
  options: ReadOptions,
): (line: string, number: number) => void {
  if (format === 'jsonl') return jsonLineParser(builder, options)
  return format === 'titled' ? titledParser(builder) : plainParser(builder)
}

function plainParser(builder: DocumentBuilder) {
  return (line: string, number: number): void => {
    if (BLANK.test(line)) builder.finish()
    else builder.add(line, number)
  }
}

/** Only a title after a blank line (or at the head of the file) begins a document: WikiText has blank lines inside articles. */
function titledParser(builder: DocumentBuilder) {
  let afterBlank = true
  return (line: string, number: number): void => {
    if (BLANK.test(line)) {
      afterBlank = true
      return
    }
    const title = afterBlank ? TITLE.exec(line)?.[1] : undefined
    afterBlank = false
    if (title !== undefined) builder.begin(number, title.trim())
    else builder.add(SECTION.exec(line)?.[2] ?? line, number)
  }
}

function jsonLineParser(builder: DocumentBuilder, options: ReadOptions) {
  const { textField = 'text', invalidUtf8 = 'error' } = options
  const { source, statistics } = builder
  return (line: string, number: number): void => {
    if (BLANK.test(line)) return
    const bad = (what: string, cause?: unknown): StrataError =>
      new StrataError('BAD_DATA', `${source}:${number}: ${what}`, { cause, details: { path: source, line: number } })
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch (error) {
      throw bad(`is no JSON (${(error as Error).message.slice(0, 200)}); one JSON object a line was expected`, error)
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw bad(`holds ${JSON.stringify(value).slice(0, 40)}; a JSON object with "${textField}" was expected`)
    }
    const record = value as Record<string, unknown>
    const text = Object.hasOwn(record, textField) ? record[textField] : undefined
    if (typeof text !== 'string') {
      const fields = Object.keys(record).slice(0, 10).join(', ')
      throw bad(
        `"${textField}" is ${text === undefined ? 'missing' : `no string but ${text === null ? 'null' : typeof text}`}; a string was expected (fields there: ${fields || 'none'})`,
      )
    }
    if (text.includes('\0')) throw bad(`"${textField}" holds a NUL character (\\u0000); text was expected`)
    let clean = text
    if (!(text as string & { isWellFormed(): boolean }).isWellFormed()) {
      if (invalidUtf8 === 'error') {
        throw bad(`"${textField}" holds half a surrogate pair; repair it, or read it with invalidUtf8 "replace"`)
      }
      statistics.replacedLines++
      clean = (text as string & { toWellFormed(): string }).toWellFormed()
    }
    builder.begin(number, typeof record.title === 'string' ? record.title : undefined)
    for (const paragraph of clean.split(/\r\n|\n|\r/)) builder.add(paragraph, number)
    builder.finish()
  }
}
