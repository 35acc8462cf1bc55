/** Rows of a task's files: texts and label, before tokenising. */

import { basename } from 'node:path'
import { type RowTally, readTable, type TableFormat, tableFormatOf } from '../data/index.js'
import type { Label, LabelReader } from './label-reader.js'
import type { TextTaskDefinition } from './text-definition.js'

export interface TaskRow {
  line: number
  /** One text or a pair, in the files' order. */
  texts: readonly string[]
  label: Label
  id?: string
}

export interface TaskRowOptions {
  definition: TextTaskDefinition
  file: string
  labels: LabelReader
  /** Training rows may name new classes. */
  collect?: boolean
  /** The label column may be missing. */
  labelOptional?: boolean
  maxBadShare?: number
  signal?: AbortSignal
  tally: RowTally
}

/** Endings of the files that a definition reads, in the order in which a folder is searched. */
export function endingsOf(definition: TextTaskDefinition): readonly string[] {
  const all: Record<TableFormat, readonly string[]> = {
    tsv: ['tsv', 'txt'],
    csv: ['csv'],
    jsonl: ['jsonl', 'ndjson'],
    parquet: ['parquet'],
  }
  return definition.format ? all[definition.format] : ['tsv', 'csv', 'jsonl', 'ndjson', 'parquet', 'txt']
}

/**
 * Reads one file of a task. A row with a blank text or a blank label is a bad row: counted in `tally`, refused beyond `maxBadShare`
 * as in readTable. Throws what readTable and LabelReader throw.
 */
export async function* readTaskRows(options: TaskRowOptions): AsyncGenerator<TaskRow[]> {
  const { definition, file, labels, collect, labelOptional, tally } = options
  const { texts, label, id } = definition
  const columns = [...texts, { ...label, optional: label.optional || labelOptional }, ...(id ? [id] : [])]
  const blocks = readTable({
    source: file,
    format: definition.format ?? formatOf(definition, file),
    delimiter: definition.delimiter,
    header: definition.header,
    columnCount: definition.columnCount,
    columns,
    maxBadShare: options.maxBadShare,
    tally,
    signal: options.signal,
  })
  for await (const block of blocks) {
    const rows: TaskRow[] = []
    for (const { line, cells } of block) {
      const blank = texts.findIndex((_, index) => cells[index]!.trim() === '')
      if (blank >= 0) {
        tally.reject(line, texts.length === 2 ? `text ${blank + 1} of the pair is blank` : 'the text is blank')
        continue
      }
      const cell = cells[texts.length]
      if (cell !== undefined && cell.trim() === '' && !labelOptional) {
        tally.reject(line, 'the label is blank')
        continue
      }
      const row: TaskRow = {
        line,
        texts: cells.slice(0, texts.length) as string[],
        label: cell === undefined || cell.trim() === '' ? undefined : labels.read(cell, file, line, collect),
      }
      if (id) row.id = cells[texts.length + 1]
      rows.push(row)
    }
    yield rows
  }
}

function formatOf({ tabbedFiles, jsonlFiles }: TextTaskDefinition, file: string): TableFormat {
  const name = basename(file)
  if (tabbedFiles?.includes(name)) return 'tsv'
  return jsonlFiles?.includes(name) ? 'jsonl' : tableFormatOf(file)
}

/** A tally and what a user should know of it. */
export function describeTally(split: string, tally: RowTally): string | undefined {
  if (tally.bad === 0) return undefined
  return `${split}: ${tally.bad} of ${tally.rows} rows cannot be used and are left out:\n  ${tally.shown()}`
}
