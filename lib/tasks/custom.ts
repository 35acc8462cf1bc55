/** A user's own table as a task, without code. */
import type { ColumnChoice, TableFormat } from '../data/index.js'
import { StrataError } from '../errors.js'
import { checkTextDefinition, type TextTaskDefinition } from './text-definition.js'
import type { MetricName } from './types.js'

/** A column's name, or its number from 0 (TSV and CSV). */
export type ColumnName = string | number

/** What a recipe says about a user's own data. */
export interface CustomTask {
  kind?: 'classification' | 'regression'
  /** Column of the text, or of both texts of a pair. */
  text: ColumnName | readonly ColumnName[]
  label: ColumnName
  /** Class names by number; default: those of the training rows, sorted. */
  labels?: readonly string[]
  /** Bounds of a regression's values. */
  range?: readonly [low: number, high: number]
  /** Default: accuracy and f1Macro, or Pearson and Spearman. The first is the main one. */
  metrics?: readonly string[]
  /** Default: by the file's name. */
  format?: TableFormat
  /** Of TSV and CSV; default: a tab, a comma. */
  delimiter?: string
  /** Whether the first row names the columns. Default: yes when a column is given by name. */
  header?: boolean
  /** Cells that mean "no label". */
  noLabel?: readonly string[]
  hypothesisFirst?: boolean
}

/** Makes a definition of a user's own table. Throws BAD_RECIPE. */
export function customDefinition(name: string, custom: CustomTask): TextTaskDefinition {
  const { kind = 'classification', text, label, ...rest } = custom
  // A recipe may leave out what the type demands.
  const missing = text === undefined ? 'text' : label === undefined ? 'label' : undefined
  if (missing !== undefined) {
    throw new StrataError(
      'BAD_RECIPE',
      `task ${name}: definition.${missing} is missing; the column of ${missing === 'text' ? 'the text, or both of a pair,' : 'the label'} was expected`,
      { details: { task: name } },
    )
  }
  const columns: readonly ColumnName[] = typeof text === 'object' ? text : [text]
  const header = custom.header ?? [...columns, label].some((column) => typeof column === 'string')
  const named = [...columns, label].find((column) => typeof column === 'string')
  if (!header && named !== undefined) {
    throw new StrataError(
      'BAD_RECIPE',
      `task ${name}: column "${named}" has a name, but the table has no header; give columns by number from 0, or header: true`,
      { details: { task: name } },
    )
  }
  const metrics = custom.metrics ?? (kind === 'classification' ? ['accuracy', 'f1Macro'] : ['pearson', 'spearman'])
  const definition: TextTaskDefinition = {
    ...rest,
    name,
    kind,
    metrics: metrics as readonly MetricName[],
    texts: columns.map(choice),
    label: choice(label),
    header,
  }
  checkTextDefinition(definition)
  return definition
}

function choice(column: ColumnName): ColumnChoice {
  return typeof column === 'string' ? { names: [column] } : { position: column }
}
