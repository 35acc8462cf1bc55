import type { Command } from 'commander'
import { StrataError } from '../errors.js'
import type { Classification, Encoder, TextInput } from '../inference/index.js'
import { example, gather, wholeNumber } from './arguments.js'
import { note, printJson, printLines } from './output.js'
import { type HeadFlags, headOptions, loadEncoder, textChunks, withPlace } from './text-inputs.js'

interface ClassifyFlags extends HeadFlags {
  text?: string[]
  second?: string[]
  input?: string
  topK?: number
}

export function registerClassify(program: Command): void {
  const command = program
    .command('classify')
    .description(
      'the class of each text or pair of texts with its probability, or the number of a regression or ranking',
    )
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder with a classifier, SAN, regressor or ranker')
    .option('--text <text>', 'a text; may be repeated', gather)
    .option('--second <text>', 'the second text of a pair, one for each --text; may be repeated', gather)
    .option('--input <file>', 'one text a line, a tab between the texts of a pair; - reads stdin')
    .option('--top-k <n>', 'classes listed, most probable first (default: all)', wholeNumber(1))
  example(
    headOptions(command, gather).action(classify),
    'stratabert classify runs/mrpc --text "He left early." --second "He went away before time."',
  )
}

async function classify(checkpoint: string, flags: ClassifyFlags): Promise<void> {
  const { text, second, task, maxTokens, topK } = flags
  if (second && second.length !== (text?.length ?? 0)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${second.length} --second came with ${text?.length ?? 0} --text; give one for each`,
    )
  }
  await using encoder = await loadEncoder(checkpoint, flags)
  const pairs = readsPairs(encoder, task)
  const results: unknown[] = []
  let count = 0
  let truncated = 0
  for await (const chunk of textChunks(flags)) {
    const inputs = chunk.map((line, index): TextInput => {
      if (chunk === text) return second ? [line, second[index]] : line
      return pairs === false ? line : atTab(line)
    })
    const answers = await withPlace(count, () => encoder.classify(inputs, { task, maxTokens, topK }))
    count += inputs.length
    truncated += answers.filter((answer) => answer.truncated).length
    if (flags.json) results.push(...answers.map((answer, index) => ({ ...namedTexts(inputs[index]), ...answer })))
    else printLines(answers.map((answer, index) => `${shown(answer)}\t${[inputs[index]].flat().join('\t')}`))
  }
  if (flags.json) printJson(results)
  if (truncated > 0) note(`${truncated} of ${count} texts were cut at the longest input`)
}

/** Whether the task reads pairs, where that is known. */
function readsPairs(encoder: Encoder, name: string | undefined): boolean | undefined {
  const tasks = encoder.tasks.filter((task) => name === undefined || task.name === name)
  return tasks.length === 1 ? tasks[0].pair : undefined
}

function atTab(line: string): TextInput {
  const tab = line.indexOf('\t')
  return tab < 0 ? line : [line.slice(0, tab), line.slice(tab + 1)]
}

function namedTexts(input: TextInput): Record<string, string> {
  return typeof input === 'string' ? { text: input } : { text: input[0], second: input[1] }
}

function shown({ label, score, labels }: Classification): string {
  if (label === undefined) return score.toFixed(4)
  return labels.map((one) => `${one.label} ${one.score.toFixed(3)}`).join('  ')
}
