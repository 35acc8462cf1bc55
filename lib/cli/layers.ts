import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { fileError, StrataError } from '../errors.js'
import { analyzeLayers, layerPage, layerTable } from '../recipes/index.js'
import { makeFolder, replaceFile } from '../training/index.js'
import { dataSlots, example, gather, precisionOption, wholeNumber } from './arguments.js'
import { ownCommandLine } from './command-line.js'
import { note, plainJson, printJson, printLines, progressNotes } from './output.js'

interface LayersFlags {
  data?: string[]
  against?: string
  sentences: number
  unit: 'token' | 'sentence'
  probes?: string
  output: string
  device: string
  precision: 'auto' | 'fp32' | 'bf16' | 'fp16' | 'fp64'
  batchTokens: number
  json: boolean
}

export function registerLayers(program: Command): void {
  const command = program
    .command('layers')
    .description("what a checkpoint's layers do: similarity, attention, learned mixes, gradients")
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder')
    .option('--data <corpus=path>', 'the text that is read, corpus=FILE; may be repeated (required)', gather)
    .option('--against <checkpoint>', 'compare the layers with those of another checkpoint')
    .option('--sentences <n>', 'sentences that are read, from the start of the text', wholeNumber(1), 500)
    .addOption(
      new Option('--unit <unit>', 'what is compared between layers; sentence where two tokenizers differ')
        .choices(['token', 'sentence'])
        .default('token'),
    )
    .option('--probes <folder>', "what stratabert probe wrote: adds the tasks' centroids")
    .option('--output <folder>', 'where layers.json and layers.md go (required)')
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .addOption(precisionOption('scoring', 'fp32'))
    .option('--batch-tokens <n>', 'most tokens computed at once', wholeNumber(1), 2048)
    .option('--json', 'print one JSON document', false)
    .action(layers)
  example(
    command,
    'stratabert layers runs/first --data corpus=text.txt --output analysis/first',
    'stratabert layers runs/second --against runs/first --data corpus=text.txt --output analysis/second',
  )
}

async function layers(checkpoint: string, flags: LayersFlags): Promise<void> {
  const { output, json, batchTokens, data, ...options } = flags
  const progress = progressNotes()
  const analysis = await analyzeLayers(checkpoint, {
    ...options,
    corpus: corpusOf(data),
    maxBatchTokens: batchTokens,
    onProgress: progress.say,
  })
  progress.done()
  const command = ownCommandLine()
  const document = { ...analysis, command }
  await writeFiles(output, { 'layers.json': plainJson(document), 'layers.md': layerPage(analysis, command) })
  for (const text of analysis.notes) note(text)
  if (json) return printJson(document)
  const { cka, against } = analysis
  const best = against?.matrix.map((row) => Math.max(...row))
  printLines([
    analysis.checkpoint,
    `${analysis.data.sentences} sentences, ${analysis.data.tokens} tokens; CKA over ${cka.rows} ${cka.unit}s, of unrelated states about ${cka.chance.toFixed(3)}`,
    ...layerTable(analysis),
    ...(best
      ? [`most similar to a layer of ${against!.checkpoint}: ${best.map((value) => value.toFixed(3)).join(' ')}`]
      : []),
    `wrote ${join(output, 'layers.json')} and layers.md`,
  ])
}

function corpusOf(data: readonly string[] | undefined): string | string[] {
  const { corpus, ...others } = dataSlots(data) as Record<string, string | string[]>
  const unknown = Object.keys(others)[0]
  if (unknown !== undefined || corpus === undefined)
    throw new StrataError('BAD_ARGUMENT', `--data names ${unknown ?? 'nothing'}; corpus=FILE was expected`)
  return corpus
}

async function writeFiles(folder: string, files: Record<string, string>): Promise<void> {
  try {
    await makeFolder(folder)
    for (const [name, content] of Object.entries(files)) await replaceFile(join(folder, name), content)
  } catch (error) {
    throw fileError(error, folder, 'write the analysis')
  }
}
