/**
 * Scores of single-task fine-tuning over seeds, beside those of a reference run:
 * `npx tsx benchmarks/finetune-scores.ts --output DIR [--tasks rte,mrpc,cola,sts-b] [--seeds 5] [--recipe fine-tune] [--init FOLDER]
 * [--set key=value]… [--stop-after HH:MM] [--table]`.
 *
 * Each run appends one line to DIR/results.jsonl, and a run whose line is there is skipped; seed 1 comes first for all tasks, so that what is
 * there at any time is of use. An interrupted run goes on from its checkpoint; a finished run's checkpoints are deleted.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { summarize } from '../lib/evaluation/index.js'
import { openRecipe, overlayOfSetOptions, runRecipe, type Values } from '../lib/recipes/index.js'
import { createProgressLine, type TrainingEvent, TrainingEvents } from '../lib/training/index.js'
import { sharedData } from './enwiki-batches.js'
import { commit } from './rounds.js'

interface KnownTask {
  folder: string
  epochs: number
  /** Hugging Face transformers with the same settings in bf16, last epoch's dev set, one or two seeds; fractions × 100. */
  reference: Record<string, number[]>
}

const TASKS: Record<string, KnownTask> = {
  rte: { folder: 'glue/RTE', epochs: 5, reference: { accuracy: [54.2] } },
  mrpc: { folder: 'glue/MRPC', epochs: 5, reference: { accuracy: [77.7], f1: [84.9] } },
  cola: { folder: 'glue/CoLA', epochs: 5, reference: { matthews: [27.1, 30.3] } },
  'sts-b': { folder: 'glue/STS-B', epochs: 4, reference: { pearson: [86.7], spearman: [86.5] } },
}

interface ResultLine {
  task: string
  seed: number
  recipe: string
  set: string[]
  /** Of the last epoch, as fractions. */
  metrics: Record<string, number>
  /** The main metric at the end of each epoch. */
  byEpoch: number[]
  steps: number
  tokens: number
  /** From the first step to the last evaluation; parts before an interruption count. */
  seconds: number
  /** Training examples over all that time, evaluations included. */
  examplesPerSecond: number
  device: string
  precision: string
  commit: string
  date: string
}

interface Options {
  output: string
  tasks: string[]
  seeds: number
  recipe: string
  init: string
  set: string[]
}

/** The settings of the reference run; what they have in common with the recipe's defaults is said again on purpose. */
function settings(task: string, seed: number, { init, set }: Options): Values {
  const { folder, epochs } = TASKS[task]
  const asked = overlayOfSetOptions(set)
  return {
    init,
    seed,
    data: { [task]: path.join(sharedData(), folder) },
    optimizer: { kind: 'adamw', learningRate: 1e-4, epsilon: 1e-6, weightDecay: 0.01, ...(asked.optimizer as Values) },
    schedule: { kind: 'linear', warmup: 0.1, finalFactor: 0, ...(asked.schedule as Values) },
    clip: { maxGradNorm: 1, ...(asked.clip as Values) },
    encoder: { hiddenDropout: 0.1, attentionDropout: 0.1, ...(asked.encoder as Values) },
    batch: { sequences: 32, sequenceTokens: 128, ...(asked.batch as Values) },
    budget: { epochs },
    evaluation: { everyEpochs: 1 },
    checkpoint: { everySteps: 0, keep: 1 },
    ...Object.fromEntries(Object.entries(asked).filter(([key]) => !SECTIONS.includes(key))),
  }
}

/** Sections of a recipe in which `--set` changes single keys. */
const SECTIONS = ['optimizer', 'schedule', 'clip', 'encoder', 'batch']

async function runOne(task: string, seed: number, options: Options): Promise<ResultLine | undefined> {
  const output = path.join(options.output, `${task}-${seed}`)
  const recipe = await openRecipe(options.recipe, { overlay: settings(task, seed, options) })
  const result = await runRecipe(recipe, {
    output,
    resume: true,
    handleSignals: true,
    events: new TrainingEvents().addLogger(createProgressLine()),
    onNote: (note) => console.error(`note: ${note}`),
  })
  if (result.status === 'interrupted') return undefined
  const { step, tokens, elapsedSeconds } = result.state
  const { metrics } = Object.values(result.tasks[task])[0]
  const { batch } = recipe
  const byEpoch = mainMetrics(path.join(output, 'metrics.jsonl'), task)
  rmSync(output, { recursive: true })
  return {
    task,
    seed,
    recipe: recipe.name,
    set: options.set,
    metrics,
    byEpoch,
    steps: step,
    tokens,
    seconds: Math.round(elapsedSeconds),
    examplesPerSecond: Number(((step * batch.sequences * batch.accumulation) / elapsedSeconds).toFixed(1)),
    device: result.device,
    precision: result.precision,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
  }
}

/** The task's main metric at each evaluation of a run's log. */
function mainMetrics(log: string, task: string): number[] {
  const events = readLines<TrainingEvent>(log)
  return events.flatMap((event) => (event.type === 'evaluation' ? [Object.values(event.tasks[task])[0].main] : []))
}

function readLines<Line>(file: string): Line[] {
  if (!existsSync(file)) return []
  // The last line may be cut short by a kill.
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line ? [JSON.parse(line) as Line] : []
      } catch {
        return []
      }
    })
}

/** Markdown: one row a task and metric. */
function table(lines: readonly ResultLine[], tasks: readonly string[]): string {
  const rows = tasks.flatMap((task) => {
    const own = lines.filter((line) => line.task === task)
    if (own.length === 0) return []
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
    return Object.keys(own[0].metrics).map((metric) => {
      const values = own.map(({ metrics }) => 100 * metrics[metric])
      const { mean: centre, low, high } = summarize(values)
      const reference = TASKS[task].reference[metric]
      return [
        task,
        metric,
        `${own.length}`,
        centre.toFixed(1),
        values.length < 2 ? '' : `± ${((high - low) / 2).toFixed(1)}`,
        values.map((value) => value.toFixed(1)).join(', '),
        reference ? reference.join(', ') : '',
        reference ? (centre - mean(reference)).toFixed(1) : '',
        mean(own.map(({ examplesPerSecond }) => examplesPerSecond)).toFixed(0),
        mean(own.map(({ seconds }) => seconds)).toFixed(0),
      ]
    })
  })
  const head = 'task|metric|seeds|mean|95 %|runs|reference|difference|examples/s|s a run'.split('|')
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** Milliseconds until the next time that the clock shows HH:MM (UTC). */
function untilTime(text: string): number {
  const [hours, minutes] = text.split(':').map(Number)
  const now = new Date()
  const then = new Date(now)
  then.setUTCHours(hours, minutes, 0, 0)
  return (then.getTime() - now.getTime() + 86_400_000) % 86_400_000
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      output: { type: 'string' },
      tasks: { type: 'string', default: Object.keys(TASKS).join() },
      seeds: { type: 'string', default: '5' },
      recipe: { type: 'string', default: 'fine-tune' },
      init: { type: 'string', default: path.join(sharedData(), 'minilm_l6') },
      set: { type: 'string', multiple: true, default: [] },
      'stop-after': { type: 'string' },
      table: { type: 'boolean', default: false },
    },
  })
  if (!values.output) throw new Error('--output is missing, expected a folder for results.jsonl')
  const options: Options = {
    ...values,
    output: values.output,
    tasks: values.tasks.split(','),
    seeds: Number(values.seeds),
  }
  const unknown = options.tasks.find((task) => !(task in TASKS))
  if (unknown) throw new Error(`unknown task ${unknown}; known are ${Object.keys(TASKS).join(', ')}`)
  if (!(Number.isInteger(options.seeds) && options.seeds >= 1))
    throw new Error('--seeds: a whole number ≥ 1 was expected')
  mkdirSync(options.output, { recursive: true })
  const file = path.join(options.output, 'results.jsonl')
  const isOf = (line: ResultLine) => line.recipe === options.recipe && line.set.join() === options.set.join()
  // The run in progress writes a checkpoint and is gone on with next time.
  if (values['stop-after'])
    setTimeout(() => process.kill(process.pid, 'SIGTERM'), untilTime(values['stop-after'])).unref()

  if (!values.table) {
    for (let seed = 1; seed <= options.seeds; seed++) {
      for (const task of options.tasks) {
        if (readLines<ResultLine>(file).some((line) => isOf(line) && line.task === task && line.seed === seed)) continue
        console.error(`${new Date().toISOString().slice(11, 19)} ${task}, seed ${seed}`)
        const line = await runOne(task, seed, options)
        if (!line) {
          process.exitCode = 130
          console.error('interrupted; the same command goes on')
          return
        }
        appendFileSync(file, `${JSON.stringify(line)}\n`)
        console.log(`${table(readLines<ResultLine>(file).filter(isOf), options.tasks)}\n`)
      }
    }
  }
  console.log(table(readLines<ResultLine>(file).filter(isOf), options.tasks))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
