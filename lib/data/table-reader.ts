/** Chosen columns of a table, row by row, with a count of the rows that cannot be used. */
import { StrataError } from '../errors.js'
import { openParquet } from './parquet-records.js'
import {
  type RecordBlock,
  readTextRecords,
  type TableFormat,
  type TableRecord,
  tableFormatOf,
} from './table-formats.js'

/** Which column: by name (the first of `names` that the table has), else by place. */
export interface ColumnChoice {
  names?: readonly string[]
  /** From 0; TSV and CSV only. */
  position?: number
  /** A table or row without it gives undefined instead of an error. */
  optional?: boolean
  /** The cell is a list of texts (JSON lines, Parquet); it is given in `lists`. */
  list?: boolean
}

export interface TableOptions {
  source: string
  /** Default: by the file's name. */
  format?: TableFormat
  /** Of TSV and CSV. */
  delimiter?: string
  /**
   * TSV and CSV: whether the first row names the columns. `detect` = it does when it holds a name of every column that is not
   * optional; else the columns are taken by `position`. Default true.
   */
  header?: boolean | 'detect'
  columns: readonly ColumnChoice[]
  /** Cells a row of a table without header has: a number, or `any` (at least as many as are asked for). Default: as the first row. */
  columnCount?: number | 'any'
  /** Default 0.05. */
  maxBadShare?: number
  /** Counts rows; give one to read the figures or to reject rows yourself. */
  tally?: RowTally
  signal?: AbortSignal
}

export interface TableRow {
  line: number
  /** In the order of `columns`; undefined = missing (optional) or a list. */
  cells: (string | undefined)[]
  lists?: (string[] | undefined)[]
}

/** How many bad rows are shown. */
const SHOWN_PROBLEMS = 5

/** Counts the rows of one file and keeps the first bad ones. */
export class RowTally {
  /** All rows, the bad ones included. */
  rows = 0
  bad = 0
  blankLines = 0
  readonly problems: { line: number; problem: string }[] = []

  constructor(readonly source: string) {}

  /** A row that was read cannot be used. */
  reject(line: number, problem: string): void {
    this.bad++
    if (this.problems.length < SHOWN_PROBLEMS) this.problems.push({ line, problem })
  }

  /** `FILE:LINE: what is wrong`, one a line; at most five. */
  shown(): string {
    const list = this.problems.map(({ line, problem }) => `${this.source}:${line}: ${problem}`)
    if (this.bad > list.length) list.push(`and ${this.bad - list.length} more`)
    return list.join('\n  ')
  }

  /** Throws BAD_DATA when more than this share of the rows is bad. */
  check(maxBadShare: number): void {
    if (this.bad === 0 || this.bad <= maxBadShare * this.rows) return
    const [first] = this.problems
    throw new StrataError(
      'BAD_DATA',
      `${this.source}: ${this.bad} of ${this.rows} rows cannot be used, at most ${100 * maxBadShare} % may be (maxBadShare); check the format and the columns:\n  ${this.shown()}`,
      { details: { path: this.source, line: first.line, bad: this.bad, rows: this.rows } },
    )
  }
}

/**
 * Reads a table in blocks of rows. Rows with invalid UTF-8, NUL bytes, a wrong number of cells or without a wanted cell are counted
 * and left out; after the last block more than `maxBadShare` of them throw BAD_DATA with the first five.
 * Throws NOT_FOUND, BAD_FILE, BAD_ARGUMENT, and BAD_DATA on a missing column, naming those that there are.
 */
export async function* readTable(options: TableOptions): AsyncGenerator<TableRow[]> {
  const { source, columns, maxBadShare = 0.05, signal } = options
  if (!(maxBadShare >= 0 && maxBadShare <= 1)) {
    throw new StrataError('BAD_ARGUMENT', `maxBadShare is ${maxBadShare}; a share from 0 to 1 was expected`)
  }
  const format = options.format ?? tableFormatOf(source)
  const tally = options.tally ?? new RowTally(source)
  const blocks =
    format === 'parquet'
      ? parquetBlocks(source, columns, signal)
      : readTextRecords(source, format, { delimiter: options.delimiter, signal })
  const pick =
    format === 'tsv' || format === 'csv' ? pickerOfCells(options) : pickerOfFields(options, format === 'jsonl')
  for await (const { records, blankLines } of blocks) {
    tally.blankLines += blankLines
    const rows: TableRow[] = []
    for (const record of records) {
      const row = 'problem' in record ? record : pick(record)
      if (row === undefined) continue
      tally.rows++
      if ('problem' in row) tally.reject(row.line, row.problem)
      else rows.push(row)
    }
    if (rows.length > 0) yield rows
  }
  tally.check(maxBadShare)
}

type Picked = TableRow | { line: number; problem: string } | undefined
type Picker = (record: TableRecord) => Picked

/** What to call a column in a message. */
export function columnLabel({ names, position }: ColumnChoice): string {
  const named = (names ?? []).map((name) => `"${name}"`).join(' or ')
  return named || `number ${position}`
}

function missingColumn(source: string, line: number, choice: ColumnChoice, there: readonly string[]): StrataError {
  const list = there.slice(0, 30).map((name) => JSON.stringify(name.slice(0, 60)))
  if (there.length > 30) list.push('…')
  return new StrataError(
    'BAD_DATA',
    `${source}:${line}: there is no column ${columnLabel(choice)}; the columns are ${list.join(', ') || 'none'}: name the one that is meant`,
    { details: { path: source, line, column: choice.names ?? choice.position, columns: there.slice(0, 30) } },
  )
}

function pickerOfCells(options: TableOptions): Picker {
  const { source, columns, header = true, columnCount } = options
  let places: number[] | undefined
  let expected: number | undefined
  /** Settles the columns by the first row; true when that row is a header. */
  const begin = (first: readonly string[], line: number): boolean => {
    const named = columns.map(({ names = [] }) => first.indexOf(names.find((name) => first.includes(name)) ?? '\0'))
    const isHeader = header === 'detect' ? columns.every(({ optional }, i) => optional || named[i] >= 0) : header
    places = columns.map((choice, index) => {
      const place = isHeader && choice.names ? named[index] : (choice.position ?? -1)
      if (place >= 0 && place < first.length) return place
      if (choice.optional) return -1
      throw missingColumn(source, line, choice, first)
    })
    if (isHeader) expected = first.length
    else if (columnCount !== 'any') expected = columnCount ?? first.length
    return isHeader
  }
  return (record) => {
    const { line } = record
    const { cells } = record as { line: number; cells: readonly string[] }
    if (!places && begin(cells, line)) return undefined
    if (expected !== undefined && cells.length !== expected) {
      return { line, problem: `${cells.length} columns, ${expected} were expected` }
    }
    const picked: TableRow = { line, cells: new Array(columns.length).fill(undefined) }
    for (let index = 0; index < columns.length; index++) {
      const place = places![index]
      const cell = place < 0 ? undefined : cells[place]
      if (cell === undefined && !columns[index].optional) {
        return { line, problem: `${cells.length} columns, column ${columnLabel(columns[index])} was expected` }
      }
      picked.cells[index] = cell
    }
    return picked
  }
}

function pickerOfFields(options: TableOptions, checkFirst: boolean): Picker {
  const { source, columns } = options
  for (const choice of columns) {
    if (choice.names?.length || choice.optional) continue
    throw new StrataError(
      'BAD_ARGUMENT',
      `${source}: column ${columnLabel(choice)} of a table whose columns have names; name it`,
    )
  }
  let first = checkFirst
  return (record) => {
    const { line } = record
    const { fields } = record as { line: number; fields: Readonly<Record<string, unknown>> }
    const picked: TableRow = { line, cells: new Array(columns.length).fill(undefined) }
    for (let index = 0; index < columns.length; index++) {
      const choice = columns[index]
      const name = choice.names?.find((candidate) => Object.hasOwn(fields, candidate))
      if (name === undefined && first && !choice.optional)
        throw missingColumn(source, line, choice, Object.keys(fields))
      const value = name === undefined ? undefined : fields[name]
      if (value === undefined || value === null) {
        if (choice.optional) continue
        const state = name === undefined ? 'is missing' : 'is null'
        return { line, problem: `column ${columnLabel(choice)} ${state}` }
      }
      if (choice.list) {
        const list = Array.isArray(value) ? value.map(textOf) : undefined
        if (!list || list.includes(undefined)) {
          return { line, problem: `column ${columnLabel(choice)} is no list of texts` }
        }
        picked.lists ??= new Array(columns.length).fill(undefined)
        picked.lists[index] = list as string[]
        continue
      }
      const text = textOf(value)
      if (text === undefined) {
        const kind = Array.isArray(value) ? 'a list' : 'an object'
        return { line, problem: `column ${columnLabel(choice)} is ${kind}; text was expected` }
      }
      if (text.includes('\0')) return { line, problem: `column ${columnLabel(choice)} holds a NUL character` }
      picked.cells[index] = text
    }
    first = false
    return picked
  }
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : undefined
}

async function* parquetBlocks(
  source: string,
  columns: readonly ColumnChoice[],
  signal: AbortSignal | undefined,
): AsyncGenerator<RecordBlock> {
  const table = await openParquet(source)
  try {
    const wanted = new Set<string>()
    for (const choice of columns) {
      const name = choice.names?.find((candidate) => table.columns.includes(candidate))
      if (name !== undefined) wanted.add(name)
      else if (!choice.optional) throw missingColumn(source, 1, choice, table.columns)
    }
    yield* table.records([...wanted], signal)
  } finally {
    await table[Symbol.asyncDispose]()
  }
}
