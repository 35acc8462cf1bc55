import type { ColumnChoice, TableFormat } from '../data/index.js'
import { StrataError } from '../errors.js'
import type { MetricName, TaskDefinition } from './types.js'

/** One text or a pair of texts, with a class or a number. */
export interface TextTaskDefinition extends TaskDefinition {
  kind: 'classification' | 'regression'
  /** Columns of the text, or of both texts of a pair (premise, hypothesis). */
  texts: readonly ColumnChoice[]
  label: ColumnChoice
  /** A row's own identifier, kept for predictions. */
  id?: ColumnChoice
  /** Default: by each file's name. */
  format?: TableFormat
  delimiter?: string
  /** See TableOptions; default true. */
  header?: boolean | 'detect'
  columnCount?: number | 'any'
  /** Other spellings of class names in the files. */
  labelAliases?: Readonly<Record<string, string>>
  /** Cells that mean "no label"; such rows are counted and left out. */
  noLabel?: readonly string[]
  /** Bounds of a regression's values, as the files have them. */
  range?: readonly [low: number, high: number]
  /** Targets are the files' values divided by this (PALs train STS-B on values / 5); default 1. */
  targetDivisor?: number
  /** The second text comes first: [CLS] hypothesis [SEP] premise [SEP], as MT-DNN's answer module reads it (v0.1 of its code). */
  hypothesisFirst?: boolean
  /** Files of an official folder: names without ending by split, the first that is there counts. Default `train`; `dev`, `validation`; `test`. */
  files?: Readonly<Record<string, readonly string[]>>
  /** Files that hold tabs although their names end otherwise. */
  tabbedFiles?: readonly string[]
  /** Files that hold JSON lines although their names end otherwise. */
  jsonlFiles?: readonly string[]
  /** GLUE's submission: a file by split, and what stands for each class there (default: its name). */
  submission?: { files: Readonly<Record<string, string>>; labels?: readonly string[] }
}

const METRICS: Record<TextTaskDefinition['kind'], readonly MetricName[]> = {
  classification: ['accuracy', 'f1', 'f1Macro', 'matthews'],
  regression: ['pearson', 'spearman'],
}

/** Throws BAD_RECIPE when a definition contradicts itself. */
export function checkTextDefinition(definition: TextTaskDefinition): void {
  const { name, kind, texts, labels, metrics, range, targetDivisor } = definition
  const refuse = (what: string): never => {
    throw new StrataError('BAD_RECIPE', `task ${name}: ${what}`, { details: { task: name } })
  }
  if (texts.length !== 1 && texts.length !== 2) {
    refuse(`${texts.length} text columns; one, or two for a pair, were expected`)
  }
  if (metrics.length === 0) refuse(`no metric; name one of ${METRICS[kind].join(', ')}`)
  for (const metric of metrics) {
    if (!METRICS[kind].includes(metric)) {
      refuse(`metric ${metric} does not fit a ${kind}; ${METRICS[kind].join(', ')} were expected`)
    }
  }
  if (kind === 'regression' && labels) refuse('a regression has numbers and no class names; leave labels out')
  if (kind === 'classification' && range) refuse('a classification has classes and no range; leave range out')
  if (range && !(range[0] < range[1])) refuse(`range ${range.join(' … ')}; the smaller number first was expected`)
  if (targetDivisor !== undefined && !(targetDivisor > 0 && Number.isFinite(targetDivisor))) {
    refuse(`targetDivisor ${targetDivisor}; a positive number was expected`)
  }
  if (labels) checkLabels(name, labels, metrics)
}

/** Throws BAD_RECIPE on fewer than two classes, a name that comes twice, or a metric that needs exactly two. */
export function checkLabels(task: string, labels: readonly string[], metrics: readonly MetricName[]): void {
  const details = { task }
  if (labels.length < 2) {
    throw new StrataError('BAD_RECIPE', `task ${task} has ${labels.length} class; at least two were expected`, {
      details,
    })
  }
  const repeated = labels.find((label, index) => labels.indexOf(label) !== index)
  if (repeated !== undefined) {
    throw new StrataError('BAD_RECIPE', `task ${task} names class "${repeated}" twice; names must differ`, { details })
  }
  if (labels.length > 2 && metrics.includes('f1')) {
    throw new StrataError(
      'BAD_RECIPE',
      `task ${task} has ${labels.length} classes and metric f1, which is of class 1 of two; use f1Macro`,
      { details },
    )
  }
}
