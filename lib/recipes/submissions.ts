/** Predictions in the forms that official scorers read. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import type { TaskPrediction } from '../evaluation/index.js'
import { type OpenedTask, type TextTaskDefinition, writeGlueSubmission, writeSpanPredictions } from '../tasks/index.js'

/** Whether predictions of a split have an official form: GLUE's test files, and SQuAD's predictions of any split. */
export function hasOfficialForm(task: OpenedTask, split: string): boolean {
  return officialName(task, split) !== undefined
}

/** Throws BAD_ARGUMENT when two tasks would write one file: GLUE's names tell which known task it is, not what the run calls it. */
export function checkOfficialForms(tasks: readonly OpenedTask[]): void {
  const owners = new Map<string, string>()
  for (const task of tasks) {
    for (const split of Object.keys({ ...task.evaluation, ...task.prediction })) {
      const name = officialName(task, split)
      if (name === undefined) continue
      const owner = owners.get(name)
      if (owner !== undefined) {
        throw new StrataError(
          'BAD_ARGUMENT',
          `submissions: tasks ${owner} and ${task.name} would both write ${name}, the name that is asked for; evaluate one at a time (--task), each into a folder of its own`,
          { details: { tasks: [owner, task.name], file: name } },
        )
      }
      owners.set(name, task.name)
    }
  }
}

/** GLUE's file of a split's predictions, or SQuAD's folder. */
function officialName(task: OpenedTask, split: string): string | undefined {
  if (task.kind === 'span') return `${task.name}-${split}`
  return (task.definition as Partial<TextTaskDefinition>).submission?.files[split]
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
  const target = task.kind === 'span' ? join(folder, officialName(task, split)!) : folder
  await mkdir(target, { recursive: true }).catch((error) => {
    throw fileError(error, target, 'write the predictions')
  })
  if (task.kind !== 'span') return [await writeGlueSubmission(target, task, split, predictions)]
  return writeSpanPredictions(target, new Map(predictions.flatMap(({ id, span }) => (id && span ? [[id, span]] : []))))
}
