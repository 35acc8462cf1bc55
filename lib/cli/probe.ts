import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { StrataError } from '../errors.js'
import {
  PROBE_CONTROLS,
  type ProbeControl,
  type ProbeReport,
  probeLines,
  unconvergedNote,
  writePredictions,
  writeProbeReport,
} from '../evaluation/index.js'
import { expandFiles, probeCheckpoint, runtimeChoice } from '../recipes/index.js'
import { DEFAULT_PROBE_SIZES, openProbeSets } from '../tasks/index.js'
import { softwareVersions } from '../training/index.js'
import { example, gather, precisionOption, wholeNumber } from './arguments.js'
import { ownCommandLine } from './command-line.js'
import { note, printJson, printLines, progressNotes } from './output.js'
import { probeSlots, taskNames } from './probe-slots.js'

interface ProbeFlags {
  data: string[]
  tasks?: string[]
  layers: string
  pooling: 'mean' | 'cls'
  classifier: 'logistic' | 'mlp' | 'both'
  controls: string
  agreements: string
  train: number
  dev: number
  test: number
  seed: number
  predictions: boolean
  device: string
  precision: 'auto' | 'fp32' | 'bf16' | 'fp16' | 'fp64'
  output: string
  json: boolean
}

export function registerProbe(program: Command): void {
  const command = program
    .command('probe')
    .description('what each layer of a frozen encoder knows: probing tasks with controls')
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder')
    .option(
      '--data <name=path>',
      'treebank=FILE[,FILE…]: CoNLL-U; corpus=FILE[,FILE…]: text; senteval=FOLDER: its own files; probes=FOLDER: built before; may be repeated (required)',
      gather,
    )
    .option('--tasks <names>', 'which, with commas (default: all that the data fill)', gather)
    .option('--layers <layers>', 'all, or numbers and mix with commas between, like 0,3,mix', 'all')
    .addOption(
      new Option('--pooling <kind>', 'how a sentence becomes one vector: the mean over all its tokens, or [CLS]')
        .choices(['mean', 'cls'])
        .default('mean'),
    )
    .addOption(
      new Option('--classifier <kind>', 'logistic regression, SentEval’s MLP with 50 hidden units, or both')
        .choices(['logistic', 'mlp', 'both'])
        .default('logistic'),
    )
    .option('--controls <names>', `all, none, or some of ${PROBE_CONTROLS.join(',')}`, 'all')
    .option(
      '--agreements <which>',
      'of a checkpoint with agreements: on, off (the encoder by itself), or the relations that stay, with commas',
      'on',
    )
    .option('--train <n>', 'training examples of a task that is built', wholeNumber(1), DEFAULT_PROBE_SIZES.train)
    .option('--dev <n>', 'dev examples of a task that is built', wholeNumber(1), DEFAULT_PROBE_SIZES.dev)
    .option('--test <n>', 'test examples of a task that is built', wholeNumber(1), DEFAULT_PROBE_SIZES.test)
    .option('--seed <n>', 'seed of the tasks that are built, the controls and the MLP', wholeNumber(0), 1)
    .option('--predictions', 'write what every cell answered on test too', false)
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .addOption(precisionOption('scoring', 'auto'))
    .option('--output <folder>', 'where probes.json, probes.md and probes.csv go (required)')
    .option('--json', 'print one JSON document', false)
    .action(probe)
  example(command, 'stratabert probe runs/first --data treebank=en_ewt-ud-train.conllu --output probes/first')
}

async function probe(checkpoint: string, flags: ProbeFlags): Promise<void> {
  const data = await probeData(flags.data)
  const tasks = taskNames(flags.tasks)
  const layers = layerList(flags.layers)
  const controls = controlList(flags.controls)
  const { train, dev, test, seed, output } = flags
  if (data.probes !== undefined && resolve(data.probes) === resolve(output)) {
    throw new StrataError('BAD_ARGUMENT', `--output is ${output}, the folder of the tasks; expected another one`)
  }
  const progress = progressNotes()
  const leftOut: ProbeReport['leftOut'] = []
  const openSets = () =>
    openProbeSets({
      ...data,
      tasks,
      train,
      dev,
      test,
      seed,
      // Tasks that were asked for by name must be there.
      onLeftOut: tasks ? undefined : (error) => void leftOut.push(leftOutOf(error)),
      onProgress: ({ pass, source, sentences }) =>
        progress.say(`${source}, pass ${pass} of 2: ${sentences.toLocaleString('en-US')} sentences`),
    })
  const { device, precision } = runtimeChoice({ device: flags.device, precision: flags.precision })
  const writing: Promise<unknown>[] = []
  const figures = await probeCheckpoint(checkpoint, openSets, {
    layers,
    pooling: flags.pooling,
    classifiers: flags.classifier === 'both' ? ['logistic', 'mlp'] : [flags.classifier],
    controls,
    agreements: relationList(flags.agreements),
    seed,
    device,
    precision,
    folder: output,
    onProgress: progress.say,
    onPredictions: flags.predictions
      ? ({ set }, cell, labels, predictions) => writing.push(writePredictions(output, set, cell, labels, predictions))
      : undefined,
  })
  await Promise.all(writing)
  progress.done()
  const report: ProbeReport = {
    format: 1,
    ...figures,
    date: new Date().toISOString(),
    command: ownCommandLine(),
    versions: softwareVersions(),
    leftOut,
  }
  const files = await writeProbeReport(output, report)
  for (const { task, reason } of leftOut) note(`${task} is left out: ${reason}`)
  if (flags.json) return printJson(report)
  printLines(probeLines(report))
  for (const task of report.tasks) {
    const text = unconvergedNote(task)
    if (text !== undefined) note(`${task.name}: ${text}`)
  }
  for (const file of files) note(`wrote ${file}`)
}

function leftOutOf(error: StrataError): ProbeReport['leftOut'][number] {
  return { task: String(error.details.task ?? 'a task'), reason: error.message }
}

async function probeData(options: readonly string[]) {
  const { treebank, corpus, senteval, probes } = probeSlots(options, ['treebank', 'corpus', 'senteval', 'probes'])
  const folder = (name: string, paths: string[] | undefined): string | undefined => {
    if (paths && paths.length > 1) {
      throw new StrataError('BAD_ARGUMENT', `--data ${name} came with ${paths.length} paths, expected one folder`)
    }
    return paths?.[0]
  }
  return {
    treebank,
    corpus: corpus && (await expandFiles(corpus)),
    senteval: folder('senteval', senteval),
    probes: folder('probes', probes),
  }
}

function layerList(text: string): (number | 'mix')[] | undefined {
  if (text === 'all') return undefined
  return text.split(',').map((part) => {
    const name = part.trim()
    if (name === 'mix') return name
    if (/^\d+$/.test(name)) return Number(name)
    throw new StrataError('BAD_ARGUMENT', `--layers came as "${text}", expected all, or numbers and mix like 0,3,mix`)
  })
}

/** Undefined: as the checkpoint has them. */
function relationList(text: string): string[] | undefined {
  if (text === 'on') return undefined
  return text === 'off' ? [] : text.split(',').map((name) => name.trim())
}

function controlList(text: string): ProbeControl[] | undefined {
  if (text === 'all') return undefined
  if (text === 'none') return []
  return text.split(',').map((part) => {
    const found = PROBE_CONTROLS.find((name) => name === part.trim())
    if (found) return found
    throw new StrataError(
      'BAD_ARGUMENT',
      `--controls came as "${text}", expected all, none or some of ${PROBE_CONTROLS.join(', ')}`,
    )
  })
}
