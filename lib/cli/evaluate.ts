import type { Command } from 'commander'
import { type Write, writeOutput } from '../output-file.js'
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
      'corpus=FILE: text, all of it; or a task, like rte=FOLDER, the known one to score a transformers folder by (default: what the run held out)',
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
  const evaluated = (write?: Write, signal?: AbortSignal): Promise<EvaluationReport> => {
    const tell = write && ((prediction: object) => write(`${JSON.stringify(prediction)}\n`))
    return evaluateCheckpoint(checkpoint, {
      data: dataSlots(flags.data) as Record<string, string | string[]>,
      heads: flags.task,
      device: flags.device,
      precision: flags.precision,
      signal,
      onProgress: progress.say,
      onPrediction: tell,
      submissions: flags.submissions,
      onSubmission: (file) => {
        progress.done()
        note(`wrote ${file}`)
      },
      onTaskPrediction: tell && ((prediction) => void tell(prediction)),
    })
  }
  // The file is opened before anything is computed: a path that cannot be written is told at once.
  const report = await (flags.predictions === undefined
    ? evaluated()
    : writeOutput(flags.predictions, 'write the predictions', evaluated))
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
