import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import type { Command } from 'commander'
import { fileError, StrataError } from '../errors.js'
import { evaluateCheckpoint, heldOutTable, type Prediction } from '../recipes/index.js'
import { dataSlots, example, gather } from './arguments.js'
import { note, printJson, printLines, progressNotes } from './output.js'

interface EvaluateFlags {
  task?: string[]
  data?: string[]
  predictions?: string
  device: string
  precision: 'auto' | 'fp32' | 'bf16' | 'fp16' | 'fp64'
  json: boolean
}

export function registerEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .description("figures of a checkpoint's heads, each at its own layer")
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder')
    .option('--task <head>', 'only this head; may be repeated (default: all)', gather)
    .option(
      '--data <name=path>',
      'corpus=FILE: text to evaluate on, all of it (default: what the run held out)',
      gather,
    )
    .option('--predictions <file>', 'write every label and what the head said, one JSON object a line')
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .option('--precision <precision>', 'auto, fp32, bf16, fp16 or fp64', 'auto')
    .option('--json', 'print one JSON document', false)
    .action(evaluate)
  example(command, 'stratabert evaluate runs/first --data corpus=other.txt')
}

async function evaluate(checkpoint: string, flags: EvaluateFlags): Promise<void> {
  const { corpus, ...others } = dataSlots(flags.data)
  const other = Object.keys(others)[0]
  if (other) throw new StrataError('BAD_ARGUMENT', `--data ${other}: unknown slot, expected corpus`)
  const progress = progressNotes()
  const predictions = flags.predictions === undefined ? undefined : predictionWriter(flags.predictions)
  const report = await evaluateCheckpoint(checkpoint, {
    data: corpus as string | string[] | undefined,
    heads: flags.task,
    device: flags.device,
    precision: flags.precision,
    onProgress: progress.say,
    onPrediction: predictions?.write,
  })
  await predictions?.close()
  progress.done()
  for (const warning of report.warnings) note(warning)
  if (flags.json) return printJson(report)
  const size = `${report.documents.toLocaleString('en-US')} documents, ${report.tokens.toLocaleString('en-US')} tokens`
  printLines([`${report.checkpoint} on ${report.data} (${size})`, ...heldOutTable({ held: report.rows })])
}

function predictionWriter(path: string) {
  const file = createWriteStream(path)
  // Waited for in close(); an early failure must not count as unhandled until then.
  const whole = finished(file).catch((error) => {
    throw fileError(error, path, 'write the predictions')
  })
  whole.catch(() => {})
  return {
    write: async (prediction: Prediction) => {
      if (!file.write(`${JSON.stringify(prediction)}\n`)) await Promise.race([whole, once(file, 'drain')])
    },
    close: async () => {
      file.end()
      await whole
    },
  }
}
