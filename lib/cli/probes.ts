import type { Command } from 'commander'
import { expandFiles } from '../recipes/index.js'
import {
  BUILDABLE_PROBES,
  buildProbeSets,
  DEFAULT_PROBE_SIZES,
  type ProbeSet,
  probeSize,
  writeProbeSets,
} from '../tasks/index.js'
import { example, gather, wholeNumber } from './arguments.js'
import { note, printJson, printLines, progressNotes } from './output.js'
import { probeSlots, taskNames } from './probe-slots.js'

interface BuildFlags {
  data: string[]
  output: string
  tasks?: string[]
  train: number
  dev: number
  test: number
  seed: number
  json: boolean
}

export function registerProbes(program: Command): void {
  const probes = program.command('probes').description('probing tasks: what a layer may be asked')
  example(probes, 'stratabert probes build --data treebank=en_ewt-ud-train.conllu --output probes')
  const build = probes
    .command('build')
    .description('build balanced probing tasks from a treebank or text')
    .option(
      '--data <name=path>',
      'treebank=FILE[,FILE…]: CoNLL-U with UD or ClearNLP labels; corpus=FILE[,FILE…]: text for SentLen, WC, BShift; may be repeated (required)',
      gather,
    )
    .option('--output <folder>', 'folder for the tasks and probes.json (required)')
    .option(
      '--tasks <names>',
      `which, with commas: ${BUILDABLE_PROBES.map(({ name }) => name).join(', ')} (default: all that the data fill)`,
      gather,
    )
    .option('--train <n>', 'training examples a task', wholeNumber(1), DEFAULT_PROBE_SIZES.train)
    .option('--dev <n>', 'dev examples a task', wholeNumber(1), DEFAULT_PROBE_SIZES.dev)
    .option('--test <n>', 'test examples a task', wholeNumber(1), DEFAULT_PROBE_SIZES.test)
    .option('--seed <n>', 'the same seed gives the same bytes', wholeNumber(0), 1)
    .option('--json', 'print one JSON document', false)
    .action(buildProbes)
  example(build, 'stratabert probes build --data treebank=en_ewt-ud-train.conllu --output probes --train 2000')
}

async function buildProbes(flags: BuildFlags): Promise<void> {
  const { treebank = [], corpus = [] } = probeSlots(flags.data, ['treebank', 'corpus'])
  const tasks = taskNames(flags.tasks)
  const { train, dev, test, seed } = flags
  const progress = progressNotes()
  const leftOut: string[] = []
  const sets = await buildProbeSets({
    treebank,
    corpus: await expandFiles(corpus),
    tasks,
    train,
    dev,
    test,
    seed,
    // Tasks that were asked for by name must be built.
    onLeftOut: tasks ? undefined : ({ message }) => leftOut.push(message),
    onProgress: ({ pass, source, sentences }) =>
      progress.say(`${source}, pass ${pass} of 2: ${sentences.toLocaleString('en-US')} sentences`),
  })
  progress.done()
  await writeProbeSets(flags.output, sets, { seed })
  if (flags.json) return printJson({ output: flags.output, seed, tasks: sets.map(summary), leftOut })
  for (const message of leftOut) note(`left out: ${message}`)
  printLines([`${sets.length} tasks in ${flags.output}`, ...sets.flatMap(describe)])
}

function summary(set: ProbeSet) {
  const { name, kind, source, notes } = set
  const sizes = { train: probeSize(set, 'train'), dev: probeSize(set, 'dev'), test: probeSize(set, 'test') }
  return { name, kind, classes: set.classes.length, sizes, source, notes }
}

function describe(set: ProbeSet): string[] {
  const { name, classes, sizes, notes } = summary(set)
  const line = [sizes.train, sizes.dev, sizes.test].map((size) => size.toLocaleString('en-US')).join(' / ')
  return [`${name.padEnd(14)}${`${classes} classes`.padEnd(16)}${line}`, ...notes.map((text) => `  ${text}`)]
}
