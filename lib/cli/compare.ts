import type { Command } from 'commander'
import { StrataError } from '../errors.js'
import {
  type CompareResult,
  compareExperiment,
  comparisonLines,
  type Estimate,
  estimateExperiment,
  type Job,
  type JobEvent,
} from '../experiments/index.js'
import { alignedTable } from '../recipes/index.js'
import { interruptedExitCode } from '../training/index.js'
import { dataSlots, example, gather, wholeNumber } from './arguments.js'
import { ownCommandLine } from './command-line.js'
import { printJson, printLines, progressNotes } from './output.js'

interface CompareFlags {
  output: string
  data?: string[]
  only?: string[]
  parallel: number
  keep?: string
  table: boolean
  dryRun: boolean
  json: boolean
}

const KEEP = ['newest', 'all', 'none'] as const

export function registerCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('run an experiment (variants × seeds) and write a table with intervals and tests')
    .argument('<experiment>', 'a .yaml, .json or .js file')
    .option('--output <folder>', 'folder of the runs and the table (required)')
    .option(
      '--data <name=path>',
      'a folder or file for the place of this name in the experiment; may be repeated',
      gather,
    )
    .option('--only <variant>', 'run only this variant; may be repeated', gather)
    .option('--parallel <n>', 'runs at a time, if memory allows; they share the processors', wholeNumber(1), 1)
    .option('--keep <which>', "checkpoints of finished runs: newest, all or none (default: the experiment's)")
    .option('--table', 'write the table of what is done; run nothing', false)
    .option('--dry-run', 'say what would run and how long it takes, from a few real steps of each variant', false)
    .option('--json', 'print one JSON document at the end', false)
    .action(compare)
  example(
    command,
    'stratabert compare examples/experiments/tiny.yaml --output runs/tiny',
    'stratabert compare mix.yaml --output runs/mix --data glue=data/glue --dry-run',
  )
}

async function compare(experiment: string, flags: CompareFlags): Promise<void> {
  const stop = stopOnSignals()
  const options = {
    output: flags.output,
    paths: pathsOf(flags.data),
    only: flags.only,
    parallel: flags.parallel,
    keep: keepOf(flags.keep),
    tableOnly: flags.table,
    signal: stop.signal,
    kill: stop.kill,
    command: ownCommandLine(),
  }
  const progress = progressNotes()
  try {
    if (flags.dryRun) {
      const estimate = await estimateExperiment(experiment, { ...options, onProgress: progress.say })
      progress.done()
      return flags.json ? printJson(estimate) : printLines(describeEstimate(estimate, flags.parallel))
    }
    const result = await compareExperiment(experiment, { ...options, onEvent: tell(progress, flags.parallel) })
    progress.done()
    if (flags.json) printJson(result)
    else printLines(describe(result, flags.output))
    if (result.status === 'interrupted') process.exitCode = interruptedExitCode(stop.received())
    else if (result.failed > 0) process.exitCode = 1
  } finally {
    stop.release()
  }
}

function pathsOf(data: string[] | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(dataSlots(data)).map(([name, path]) => {
      if (typeof path === 'string') return [name, path]
      throw new StrataError('BAD_ARGUMENT', `--data ${name} came ${(path as string[]).length} times, expected once`)
    }),
  )
}

function keepOf(keep: string | undefined): (typeof KEEP)[number] | undefined {
  const found = KEEP.find((one) => one === keep)
  if (keep === undefined || found) return found
  throw new StrataError('BAD_ARGUMENT', `--keep came as "${keep}", expected one of ${KEEP.join(', ')}`)
}

/** The first signal lets the runs write their checkpoints, a second one ends them. */
function stopOnSignals() {
  const [soft, hard] = [new AbortController(), new AbortController()]
  let received: NodeJS.Signals | undefined
  const onSignal = (signal: NodeJS.Signals) => {
    if (received) hard.abort()
    received ??= signal
    soft.abort()
  }
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, onSignal)
  return {
    signal: soft.signal,
    kill: hard.signal,
    received: () => received,
    release: () => {
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, onSignal)
    },
  }
}

/** One line at the start and the end of each run, with what is left by the mean time of those that are done. */
function tell(progress: ReturnType<typeof progressNotes>, parallel: number): (event: JobEvent) => void {
  const nameOf = ({ variant, step, seed }: Job) => `${variant}, step ${step}, seed ${seed}`
  const done: number[] = []
  let of = 0
  const say = (line: string) => {
    progress.done()
    process.stderr.write(`${new Date().toTimeString().slice(0, 8)} ${line}\n`)
  }
  return (event) => {
    const name = nameOf(event.job)
    if (event.type === 'start') {
      of = event.of
      say(`run ${event.index} of ${event.of}: ${name}`)
    } else if (event.type === 'progress') progress.say(`${name}: ${event.line}`)
    else if (event.type === 'wait') say(`${name}: ${event.line}`)
    else {
      if (event.status === 'done') done.push(event.seconds)
      const left = ((of - done.length) * done.reduce((sum, one) => sum + one, 0)) / done.length / parallel
      const rest = event.status === 'done' && of > done.length ? `, about ${duration(left)} left` : ''
      say(`${event.status}: ${name}, ${event.seconds.toFixed(1)} s${event.message ? `: ${event.message}` : rest}`)
    }
  }
}

function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  return seconds < 120 ? `${seconds.toFixed(0)} s` : minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`
}

function describe({ comparison, status, failed, missing }: CompareResult, output: string): string[] {
  return [
    ...comparisonLines(comparison),
    '',
    ...(failed > 0 ? [`${failed} runs failed; the same command tries them again`] : []),
    ...(missing > failed
      ? [`${missing - failed} runs are missing${status === 'interrupted' ? '; go on with the same command' : ''}`]
      : []),
    `table       ${output}/comparison.md, .csv, .json; -costs.csv, -scores.csv`,
  ]
}

function describeEstimate(estimate: Estimate, parallel: number): string[] {
  const rows = estimate.steps.map((step) => [
    step.variant,
    step.step,
    String(step.done),
    String(step.missing),
    step.secondsPerRun === null ? '' : duration(step.secondsPerRun),
    step.from,
  ])
  return [
    ...alignedTable([['variant', 'step', 'done', 'missing', 'a run', 'from'], ...rows], 2),
    '',
    `${estimate.missing} runs to do, about ${duration(estimate.seconds)}${parallel > 1 ? ` with ${parallel} at a time, if each keeps its pace` : ''}${estimate.unknown > 0 ? `, and ${estimate.unknown} runs whose time is not known` : ''}`,
    'nothing was run but the measured steps (--dry-run)',
  ]
}
