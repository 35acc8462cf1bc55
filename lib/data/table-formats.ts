/** Text tables: lines of a file to records, before anybody asks for columns. */
import { isUtf8 } from 'node:buffer'
import { StrataError } from '../errors.js'
import { readLines } from './corpus-line-reader.js'

/**
 * - `tsv`: cells between tabs, no quoting: a `"` is a character of the text (the GLUE files)
 * - `csv`: RFC 4180, cells in double quotes may hold commas, doubled quotes and line ends
 * - `jsonl`: one JSON object a line
 * - `parquet`: Apache Parquet, columns of text, numbers, booleans or lists of them
 *
 * The first three may be gzipped.
 */
export type TableFormat = 'tsv' | 'csv' | 'jsonl' | 'parquet'

/** One record, or what is wrong with it. `line` counts from 1. */
export type TableRecord =
  | { line: number; cells: readonly string[] }
  | { line: number; fields: Readonly<Record<string, unknown>> }
  | { line: number; problem: string }

/** A longer record is a bad row: no sentence has a million characters. */
const LONGEST_RECORD_CHARACTERS = 1024 * 1024

const EXTENSIONS: Record<string, TableFormat> = {
  tsv: 'tsv',
  txt: 'tsv',
  csv: 'csv',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json: 'jsonl',
  parquet: 'parquet',
}

/** The format that a file's name tells. Throws BAD_ARGUMENT when it tells none. */
export function tableFormatOf(source: string): TableFormat {
  const extension = /\.(\w+?)(?:\.gz)?$/i.exec(source)?.[1].toLowerCase() ?? ''
  const format = Object.hasOwn(EXTENSIONS, extension) ? EXTENSIONS[extension] : undefined
  if (format) return format
  throw new StrataError(
    'BAD_ARGUMENT',
    `${source}: the name's ending tells no table format; name the format (tsv, csv, jsonl, parquet) or use an ending of ${Object.keys(EXTENSIONS).join(', ')}`,
    { details: { path: source } },
  )
}

/** What blocks of records tell beside them. */
export interface RecordBlock {
  records: TableRecord[]
  /** Lines without any character, which are no records. */
  blankLines: number
}

interface LineParser {
  line(text: string | undefined, number: number, problem?: string): TableRecord | undefined
  end(): TableRecord | undefined
}

/** Reads a text table in blocks of about 1 MiB. Throws NOT_FOUND, BAD_FILE, and BAD_DATA for a quote that nobody closes. */
export async function* readTextRecords(
  source: string,
  format: Exclude<TableFormat, 'parquet'>,
  options: { delimiter?: string; signal?: AbortSignal } = {},
): AsyncGenerator<RecordBlock> {
  const parser =
    format === 'jsonl'
      ? jsonLines()
      : format === 'csv'
        ? new CsvParser(source, options.delimiter ?? ',')
        : rawCells(options.delimiter ?? '\t')
  for await (const { firstLine, lines } of readLines(source, { signal: options.signal })) {
    const block: RecordBlock = { records: [], blankLines: 0 }
    let number = firstLine
    for (const [text, problem] of textLines(lines)) {
      const record = parser.line(text, number++, problem)
      if (record) block.records.push(record)
      else if (text === '') block.blankLines++
    }
    yield block
  }
  const last = parser.end()
  if (last) yield { records: [last], blankLines: 0 }
}

/** Each line's text without its end, or what is wrong with it. */
function* textLines(lines: Buffer): Generator<[text: string | undefined, problem?: string]> {
  const clean = lines.indexOf(0) < 0 && isUtf8(lines)
  for (let start = 0; start < lines.length; ) {
    const lineFeed = lines.indexOf(10, start)
    const next = lineFeed < 0 ? lines.length : lineFeed + 1
    let end = lineFeed < 0 ? lines.length : lineFeed
    if (end > start && lines[end - 1] === 13) end--
    const bytes = lines.subarray(start, end)
    start = next
    // A character takes at most three bytes a UTF-16 unit.
    if (bytes.length > LONGEST_RECORD_CHARACTERS * 3) yield [undefined, tooLong(bytes.length, 'bytes')]
    else if (!clean && bytes.includes(0))
      yield [undefined, 'a NUL byte; UTF-8 text was expected (convert UTF-16 first)']
    else if (!clean && !isUtf8(bytes)) yield [undefined, 'invalid UTF-8']
    else {
      const text = bytes.toString('utf8')
      if (text.length > LONGEST_RECORD_CHARACTERS) yield [undefined, tooLong(text.length, 'characters')]
      else yield [text]
    }
  }
}

function tooLong(length: number, unit: string): string {
  return `${length} ${unit} in one row, at most ${LONGEST_RECORD_CHARACTERS} characters were expected`
}

function rawCells(delimiter: string): LineParser {
  return {
    line(text, line, problem) {
      if (text === undefined) return { line, problem: problem! }
      return text === '' ? undefined : { line, cells: text.split(delimiter) }
    },
    end: () => undefined,
  }
}

function jsonLines(): LineParser {
  return {
    line(text, line, problem) {
      if (text === undefined) return { line, problem: problem! }
      if (text === '') return undefined
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch (error) {
        return { line, problem: `no JSON (${(error as Error).message.slice(0, 100)})` }
      }
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        return { line, problem: `${text.slice(0, 40)}; a JSON object was expected` }
      }
      return { line, fields: value as Record<string, unknown> }
    },
    end: () => undefined,
  }
}

/** RFC 4180, one line at a time; a record may span several. */
class CsvParser implements LineParser {
  #cells: string[] = []
  /** Text of the cell whose quotes are still open. */
  #quoted: string | undefined
  #line = 0
  #problem: string | undefined
  readonly #source: string
  readonly #delimiter: string

  constructor(source: string, delimiter: string) {
    this.#source = source
    this.#delimiter = delimiter
  }

  line(text: string | undefined, number: number, problem?: string): TableRecord | undefined {
    if (this.#quoted === undefined) {
      if (text === undefined) return { line: number, problem: problem! }
      if (text === '') return undefined
      this.#line = number
      this.#scan(text, 0)
    } else {
      this.#problem ??= problem
      this.#quoted += '\n'
      this.#scan(text ?? '', 0)
    }
    if (this.#quoted !== undefined) {
      if (this.#quoted.length > LONGEST_RECORD_CHARACTERS) throw this.#openQuote()
      return undefined
    }
    const record: TableRecord =
      this.#problem === undefined
        ? { line: this.#line, cells: this.#cells }
        : { line: this.#line, problem: this.#problem }
    this.#cells = []
    this.#problem = undefined
    return record
  }

  end(): undefined {
    if (this.#quoted !== undefined) throw this.#openQuote()
  }

  /** Takes cells off one line from `at` on; leaves `#quoted` set when the line ends inside quotes. */
  #scan(text: string, at: number): void {
    for (;;) {
      if (this.#quoted === undefined && text[at] === '"') {
        this.#quoted = ''
        at++
      }
      if (this.#quoted !== undefined) {
        const close = text.indexOf('"', at)
        if (close < 0) {
          this.#quoted += text.slice(at)
          return
        }
        this.#quoted += text.slice(at, close)
        at = close + 1
        if (text[at] === '"') {
          this.#quoted += '"'
          at++
          continue
        }
        this.#cells.push(this.#quoted)
        this.#quoted = undefined
        if (at < text.length && !text.startsWith(this.#delimiter, at)) {
          this.#problem ??= `"${text.slice(at, at + 20)}" after a closing quote; a delimiter was expected`
          return
        }
      } else {
        const end = text.indexOf(this.#delimiter, at)
        this.#cells.push(text.slice(at, end < 0 ? text.length : end))
        at = end < 0 ? text.length : end
      }
      if (at >= text.length) return
      at += this.#delimiter.length
      // A delimiter at the end of the line opens an empty cell.
      if (at === text.length) {
        this.#cells.push('')
        return
      }
    }
  }

  #openQuote(): StrataError {
    return new StrataError(
      'BAD_DATA',
      `${this.#source}:${this.#line}: a quote is opened and not closed within ${LONGEST_RECORD_CHARACTERS} characters or the file's end; quote cells as in RFC 4180, or read the file as tsv if quotes are plain characters`,
      { details: { path: this.#source, line: this.#line } },
    )
  }
}
