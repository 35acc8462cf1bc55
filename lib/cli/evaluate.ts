import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import type { Command } from 'commander'
import { fileError } from '../errors.js'
import {
  attachmentTable,
  type EvaluationReport,
  evaluateCheckpoint,
  heldOutTable,
  taskTable,
} from '../recipes/index.js'
import type { TaskScores } from '../tasks/index.js'
import { dataSlots, example, gather, precisionOption } from './arguments.js'
import { note, printJson, printLines, progressNotes } from './output.js'

interface EvaluateFlags {
  task?: string[]
  data?: string[]
  predictions?: string
  submissions?: string
  device: string
  precision: 'auto' | 'fp32' | 'bf16' | 'fp16' | 'fp64'
  json: boolean
}

export function registerEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .description("figures of a checkpoint's heads, each at its own layer")
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder')
    .option(
      '--task <name>',
      'only this head or task, of a run by its own checkpoint; may be repeated: all by the newest one (default: all)',
      gather,
    )
    .option(
      '--data <name=path>',
      'corpus=FILE: text, all of it; or a task, like rte=FOLDER (default: what the run held out)',
      gather,
    )
    .option('--predictions <file>', 'write every label or example and what the model said, one JSON object a line')
    .option('--submissions <folder>', "write predictions as GLUE's submissions and SQuAD's scorer take them")
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .addOption(precisionOption('scoring', 'auto'))
    .option('--json', 'print one JSON document', false)
    .action(evaluate)
  example(
    command,
    'stratabert evaluate runs/first --data corpus=other.txt',
    'stratabert evaluate runs/tuned --task rte --predictions rte.jsonl',
  )
}

async function evaluate(checkpoint: string, flags: EvaluateFlags): Promise<void> {
  const progress = progressNotes()
  const predictions = flags.predictions === undefined ? undefined : await predictionWriter(flags.predictions)
  const report = await evaluateCheckpoint(checkpoint, {
    data: dataSlots(flags.data) as Record<string, string | string[]>,
    heads: flags.task,
    device: flags.device,
    precision: flags.precision,
    onProgress: progress.say,
    onPrediction: predictions?.write,
    submissions: flags.submissions,
    onSubmission: (file) => {
      progress.done()
      note(`wrote ${file}`)
    },
    onTaskPrediction: predictions?.add,
  }).catch((error) => {
    predictions?.leave()
    throw error
  })
  await predictions?.close()
  progress.done()
  for (const warning of report.warnings) note(warning)
  if (flags.json) return printJson(report)
  printLines(describe(report))
}

function describe({ checkpoint, text, rows, tasks }: EvaluationReport): string[] {
  const number = (value: number) => value.toLocaleString('en-US')
  const byTask: Record<string, Record<string, TaskScores>> = {}
  for (const scores of tasks) {
    byTask[scores.task] ??= {}
    byTask[scores.task][scores.split] = scores
  }
  return [
    checkpoint,
    ...(text ? [`${text.data}: ${number(text.documents)} documents, ${number(text.tokens)} tokens`] : []),
    ...(rows.length > 0 ? heldOutTable({ held: rows }) : []),
    ...attachmentTable(rows),
    ...taskTable(byTask),
  ]
}

/** The file is there before anything is computed: a path that cannot be written is told at once. */
async function predictionWriter(path: string) {
  const handle = await open(path, 'w').catch((error) => {
    throw fileError(error, path, 'write the predictions')
  })
  const file = handle.createWriteStream()
  // Waited for in close(); an early failure must not count as unhandled until then.
  const whole = finished(file).catch((error) => {
    throw fileError(error, path, 'write the predictions')
  })
  whole.catch(() => {})
  const add = (prediction: object): boolean => file.write(`${JSON.stringify(prediction)}\n`)
  return {
    /** For who cannot wait; close() tells what went wrong. */
    add: (prediction: object) => void add(prediction),
    write: async (prediction: object) => {
      if (!add(prediction)) await Promise.race([whole, once(file, 'drain')])
    },
    close: async () => {
      file.end()
      await whole
    },
    /** After a failure elsewhere. */
    leave: () => void file.destroy(),
  }
}
