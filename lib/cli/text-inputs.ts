import type { Command } from 'commander'
import { StrataError } from '../errors.js'
import { Encoder } from '../inference/index.js'
import type { InferencePrecision } from '../model/index.js'
import { precisionOption, wholeNumber } from './arguments.js'
import { inputLines } from './input-lines.js'

/** What the commands on trained heads share. */
export interface HeadFlags {
  task?: string
  maxTokens?: number
  adapter?: string[]
  device: string
  precision: InferencePrecision
  json: boolean
}

/** Texts that are computed together; bounds memory and keeps the output flowing. */
const CHUNK_TEXTS = 512

export function headOptions(command: Command, gather: (value: string, before?: string[]) => string[]): Command {
  return command
    .option(
      '--task <name>',
      'task or head to ask, of a run by its own checkpoint (default: the only one that can be asked)',
    )
    .option('--max-tokens <n>', "longest input in tokens (default: the task's own)", wholeNumber(3))
    .option('--adapter <folder>', "an adapter's folder to be added to the checkpoint; may be repeated", gather)
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .addOption(precisionOption('answering', 'fp32'))
    .option('--json', 'print one JSON document', false)
}

export function loadEncoder(checkpoint: string, flags: HeadFlags): Promise<Encoder> {
  const { device, precision, adapter, task } = flags
  return Encoder.load(checkpoint, { device: device as 'auto', precision, adapterFolders: adapter, task })
}

/** `--text` values, then the lines of `--input`, some at a time. */
export async function* textChunks(flags: { text?: string[]; input?: string }): AsyncGenerator<string[]> {
  if (!flags.text && !flags.input) {
    throw new StrataError('BAD_ARGUMENT', 'no text came, expected --text "…" or --input FILE')
  }
  if (flags.text) yield flags.text
  if (!flags.input) return
  let texts: string[] = []
  for await (const line of inputLines(flags.input)) {
    texts.push(line)
    if (texts.length < CHUNK_TEXTS) continue
    yield texts
    texts = []
  }
  if (texts.length > 0) yield texts
}

/** An error of the encoder speaks of `texts[index]`; here it counts from the first text on. */
export async function withPlace<Result>(before: number, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof StrataError) || typeof error.details.index !== 'number') throw error
    const line = before + error.details.index + 1
    const message = error.message.replace(/^texts\[\d+\]/, `text ${line}`)
    throw new StrataError(error.code, message, { cause: error, details: { line } })
  }
}
