import type { Command } from 'commander'
import { StrataError } from '../errors.js'
import { Encoder } from '../inference/index.js'
import type { InferencePrecision } from '../model/index.js'
import { example, gather, precisionOption, wholeNumber } from './arguments.js'
import { answered } from './asked.js'
import { inputLines } from './input-lines.js'
import { printJson, printLines } from './output.js'

interface FillMaskFlags {
  text?: string[]
  input?: string
  topK: number
  head?: string
  device: string
  precision: InferencePrecision
  json: boolean
}

export function registerFillMask(program: Command): void {
  const command = program
    .command('fill-mask')
    .description('what the masked LM would put in place of each [MASK]')
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder with a masked-LM head')
    .option('--text <text>', 'a text with [MASK]; may be repeated', gather)
    .option('--input <file>', 'one text a line; - reads stdin')
    .option('--top-k <n>', 'candidates per mask', wholeNumber(1), 5)
    .option('--head <name>', 'masked-LM head to ask (default: the topmost)')
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .addOption(precisionOption('answering', 'fp32'))
    .option('--json', 'print one JSON document', false)
    .action(fillMask)
  example(command, 'stratabert fill-mask runs/first --text "Paris is the [MASK] of France."')
}

async function fillMask(checkpoint: string, flags: FillMaskFlags): Promise<void> {
  if (!flags.text && !flags.input) {
    throw new StrataError('BAD_ARGUMENT', 'no text came, expected --text "… [MASK] …" or --input FILE')
  }
  await using encoder = await Encoder.load(checkpoint, { device: flags.device as 'auto', precision: flags.precision })
  const results = []
  const filled = answered(
    textsOf(flags),
    (texts) => encoder.fillMask(texts, { topK: flags.topK, head: flags.head }),
    (message, _text, place) => message.replace(/^texts\[\d+\]/, `text ${place}`),
  )
  for await (const [text, masks] of filled) {
    if (flags.json) results.push({ text, masks })
    else {
      const lines = masks.map(
        (mask) =>
          `  ${mask.candidates.map(({ token, probability }) => `${token} ${probability.toFixed(3)}`).join('  ')}`,
      )
      printLines([text, ...lines])
    }
  }
  if (flags.json) printJson(results)
}

async function* textsOf(flags: FillMaskFlags): AsyncGenerator<string> {
  yield* flags.text ?? []
  if (flags.input) yield* inputLines(flags.input)
}
