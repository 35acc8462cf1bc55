/** Files for GLUE's server: `index TAB prediction`, named as it wants them. */
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { replaceOutput } from '../output-file.js'
import type { TextTaskDefinition } from './text-definition.js'
import type { OpenedTask } from './types.js'

/** A prediction for one row of a test set. */
export interface SubmissionRow {
  /** Number of the row in its set, from 0. */
  example: number
  /** The row's `index` column, where there is one. */
  id?: string
  predicted: string | number | readonly string[]
}

/**
 * The submission of a test split. Rows are put into the order of their index; numbers are clamped to the task's range.
 * Throws BAD_ARGUMENT for a task or split that GLUE does not take, BAD_DATA when rows are missing, come twice or name an unknown class.
 */
export function glueSubmission(
  task: OpenedTask,
  split: string,
  rows: readonly SubmissionRow[],
): { file: string; text: string } {
  const definition = task.definition as TextTaskDefinition
  const file = definition.submission?.files[split]
  if (!file) {
    const splits = Object.keys(definition.submission?.files ?? {})
    throw new StrataError(
      'BAD_ARGUMENT',
      splits.length > 0
        ? `GLUE takes no predictions for split ${split} of ${definition.name}; it takes ${splits.join(', ')}`
        : `GLUE takes no predictions for task ${definition.name}`,
    )
  }
  const lines: string[] = new Array(rows.length)
  for (const row of rows) {
    const index = row.id !== undefined && /^\d+$/.test(row.id) ? Number(row.id) : row.example
    if (!(index < rows.length) || lines[index] !== undefined) {
      throw new StrataError(
        'BAD_DATA',
        `task ${task.name}, split ${split}: the row with index ${index} ${index < rows.length ? 'comes twice' : `is there, but only ${rows.length} rows are`}; GLUE wants a prediction for every row from 0 on (rows that could not be read are missing)`,
        { details: { task: task.name, split, index } },
      )
    }
    lines[index] = `${index}\t${cellOf(definition, row.predicted)}`
  }
  return { file, text: `index\tprediction\n${lines.map((line) => `${line}\n`).join('')}` }
}

/** Writes {@link glueSubmission} into a folder and returns the file's path. */
export async function writeGlueSubmission(
  folder: string,
  task: OpenedTask,
  split: string,
  rows: readonly SubmissionRow[],
): Promise<string> {
  const { file, text } = glueSubmission(task, split, rows)
  const path = join(folder, file)
  await replaceOutput(path, text, { durable: true }).catch((error) => {
    throw fileError(error, path, 'write the submission')
  })
  return path
}

function cellOf({ name, kind, labels = [], range, submission }: TextTaskDefinition, predicted: unknown): string {
  if (kind === 'regression' && typeof predicted === 'number' && Number.isFinite(predicted)) {
    const [low, high] = range ?? [-Infinity, Infinity]
    return Math.min(high, Math.max(low, predicted)).toFixed(3)
  }
  const number = kind === 'classification' ? labels.indexOf(predicted as string) : -1
  if (number < 0) {
    throw new StrataError(
      'BAD_DATA',
      `prediction ${JSON.stringify(predicted)} for task ${name}; ${kind === 'regression' ? 'a number' : labels.join(', ')} was expected`,
    )
  }
  return submission?.labels?.[number] ?? labels[number]
}
