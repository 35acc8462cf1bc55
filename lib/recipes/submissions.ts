/** Predictions in the forms that official scorers read. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError } from '../errors.js'
import type { TaskPrediction } from '../evaluation/index.js'
import { type OpenedTask, type TextTaskDefinition, writeGlueSubmission, writeSpanPredictions } from '../tasks/index.js'

/** Whether predictions of a split have an official form: GLUE's test files, and SQuAD's predictions of any split. */
export function hasOfficialForm(task: OpenedTask, split: string): boolean {
  return task.kind === 'span' || (task.definition as Partial<TextTaskDefinition>).submission?.files[split] !== undefined
}

/**
 * Writes the predictions of a split and returns the files: GLUE's submission file by its official name, or SQuAD's predictions,
 * n-best lists and no-answer scores in a folder `<task>-<split>`. Throws DISK_FULL, READ_ONLY and what the writers throw.
 */
export async function writeOfficialForm(
  folder: string,
  task: OpenedTask,
  split: string,
  predictions: readonly TaskPrediction[],
): Promise<string[]> {
  const target = task.kind === 'span' ? join(folder, `${task.name}-${split}`) : folder
  await mkdir(target, { recursive: true }).catch((error) => {
    throw fileError(error, target, 'write the predictions')
  })
  if (task.kind !== 'span') return [await writeGlueSubmission(target, task, split, predictions)]
  return writeSpanPredictions(target, new Map(predictions.flatMap(({ id, span }) => (id && span ? [[id, span]] : []))))
}
