/**
 * Fine-tuning throughput on real tasks against Hugging Face: `npm run bench:finetune -- [--json] [--short] [--task rte|mrpc] [--precision bf16|fp32]
 * [--save]`.
 *
 * Programs fine-tune the same trained encoder on the same examples with the same settings (BERT's head on [CLS], batch 32, at most 128 tokens, dropout
 * 0.1, AdamW, linear schedule, clip 1.0) and take turns in rounds, each in a process of its own that sleeps between its turns.
 *
 * `hf` gets our batches, padded to the longest text of each; `hf-grouped` gets the examples of each pass in batches of like lengths, as
 * transformers' `group_by_length` makes them. Examples a second are real tokens a second ÷ the set's mean length, so that a turn
 * that happened to get long texts counts the same as one with short ones; padding counts for nothing. A ratio is the median over the rounds
 * of ours ÷ peer in the same round.
 */
import { existsSync, renameSync } from 'node:fs'
import path from 'node:path'
import { definitionOf, openTask } from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { readBatchFile, writeBatchFile } from './batch-file.js'
import { benchmarkCache, sharedData } from './enwiki-batches.js'
import { BATCH_SEQUENCES, FINETUNE_TASKS, type FinetuneTask, taskOptions } from './finetune-task.js'
import { PeerProcess } from './peer-process.js'
import {
  instructionSet,
  median,
  type Precision,
  python,
  ratioOf,
  runFacts,
  saveResult,
  sum,
  THREADS,
  takeTurns,
} from './rounds.js'

const PEERS = ['hf', 'hf-grouped'] as const
type Name = 'stratabert' | (typeof PEERS)[number]

/** Passes in the batch file: enough for all rounds and the warm-up on the smaller set. */
const PASSES = 3
const ROUNDS = 5
const STEPS = 40
const SHORT_STEPS = 3
const WARM_UP_STEPS = 3

interface Row {
  task: FinetuneTask
  program: Name
  examplesPerSecond: number
  tokensPerSecond: number
  millisecondsPerStep: number
  /** Token places computed per real token, minus 1. */
  paddingShare: number
  peakRssBytes: number
  lastLoss: number
}

interface Options {
  json: boolean
  short: boolean
  save: boolean
  tasks: readonly FinetuneTask[]
  precision: Precision
}

function parseArguments(list: string[]): Options {
  const options: Options = { json: false, short: false, save: false, tasks: FINETUNE_TASKS, precision: 'bf16' }
  for (let index = 0; index < list.length; index++) {
    const next = list[index + 1]
    if (list[index] === '--json') options.json = true
    else if (list[index] === '--short') options.short = true
    else if (list[index] === '--save') options.save = true
    else if (list[index] === '--task' && FINETUNE_TASKS.includes(next as FinetuneTask)) {
      options.tasks = [list[++index] as FinetuneTask]
    } else if (list[index] === '--precision' && /^(bf16|fp32)$/.test(next))
      options.precision = list[++index] as Precision
    else {
      throw new Error(
        `unknown argument ${list[index]}; known are --json, --short, --save, --task rte|mrpc, --precision bf16|fp32`,
      )
    }
  }
  return options
}

/** Path of the task's batches, in the order in which our side trains on them; made on first use. */
async function taskBatches(task: FinetuneTask, init: string): Promise<string> {
  const file = path.join(benchmarkCache(), `${task}-${BATCH_SEQUENCES}-v1.safetensors`)
  if (existsSync(file)) return file
  const { train } = await openTask(taskOptions(task, await Tokenizer.load(init)))
  const batches = Array.from({ length: PASSES }, (_, epoch) =>
    Array.from({ length: train!.batchCount(epoch) }, (_, index) => train!.build(epoch, index)),
  )
  writeBatchFile(`${file}.partial`, batches.flat())
  renameSync(`${file}.partial`, file)
  return file
}

function startPrograms(
  task: FinetuneTask,
  init: string,
  batchFile: string,
  batchesPerPass: number,
  { precision }: Options,
  interpreter: string,
  isa: Record<string, string>,
): PeerProcess[] {
  const environment = { OMP_NUM_THREADS: String(THREADS), ...isa }
  const ours = [process.execPath, '--import', 'tsx', path.join(__dirname, 'ours-finetune.ts'), task, init, precision]
  const peer = [
    interpreter,
    path.join(__dirname, 'peers', 'hf_finetune.py'),
    ...['--init', init, '--batches', batchFile, '--task', task, '--classes', String(definitionOf(task).labels!.length)],
    ...['--batches-per-pass', String(batchesPerPass), '--threads', String(THREADS), '--precision', precision],
  ]
  return [
    new PeerProcess('stratabert', ours, environment),
    new PeerProcess('hf', peer, environment),
    new PeerProcess('hf-grouped', [...peer, '--grouped'], environment),
  ]
}

async function benchmarkTask(task: FinetuneTask, options: Options, interpreter: string, isa: Record<string, string>) {
  const init = path.join(sharedData(), 'minilm_l6')
  const batchFile = await taskBatches(task, init)
  const batches = readBatchFile(batchFile)
  const tokens = sum(batches.map(({ tokenIds }) => tokenIds.length))
  const tokensPerExample = tokens / sum(batches.map(({ sequenceOffsets }) => sequenceOffsets.length - 1))
  const programs = startPrograms(task, init, batchFile, batches.length / PASSES, options, interpreter, isa)
  try {
    const { turns, disturbed } = await takeTurns(programs, {
      label: task,
      rounds: ROUNDS,
      warmUpSteps: WARM_UP_STEPS,
      stepsOf: () => (options.short ? SHORT_STEPS : STEPS),
      tell: (rate) => `${(rate / tokensPerExample).toFixed(1)} examples/s`,
    })
    const rows: Row[] = []
    for (const program of programs) {
      const own = turns.get(program.name)!
      const tokensPerSecond = median(own.map(({ rate }) => rate))
      rows.push({
        task,
        program: program.name as Name,
        examplesPerSecond: tokensPerSecond / tokensPerExample,
        tokensPerSecond,
        millisecondsPerStep: median(own.map(({ ms }) => ms)),
        paddingShare: median(own.map(({ padding }) => padding)),
        peakRssBytes: (await program.ask<{ peakRssBytes: number }>({ command: 'memory' })).peakRssBytes,
        lastLoss: own.at(-1)!.loss,
      })
    }
    const ratios = Object.fromEntries(PEERS.map((peer) => [peer, ratioOf(turns, 'stratabert', peer)]))
    return { task, rounds: ROUNDS, disturbed, tokensPerExample, rows, ratios }
  } finally {
    await Promise.all(programs.map((program) => program.quit()))
  }
}

const geometricMean = (values: number[]): number => Math.exp(sum(values.map(Math.log)) / values.length)

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2))
  const interpreter = python()
  const isa = instructionSet(interpreter)
  const tasks: Awaited<ReturnType<typeof benchmarkTask>>[] = []
  for (const task of options.tasks) tasks.push(await benchmarkTask(task, options, interpreter, isa))
  const result = {
    name: 'finetune',
    ...runFacts(isa),
    precision: options.precision,
    batchSequences: BATCH_SEQUENCES,
    stepsPerRound: options.short ? SHORT_STEPS : STEPS,
    rows: tasks.flatMap(({ rows }) => rows),
    // Over the tasks: the geometric mean.
    ratios: {
      ...Object.fromEntries(PEERS.map((peer) => [peer, geometricMean(tasks.map(({ ratios }) => ratios[peer]))])),
      ...Object.fromEntries(
        tasks.flatMap(({ task, ratios }) => Object.entries(ratios).map(([peer, value]) => [`${task}/${peer}`, value])),
      ),
    },
    tasks: tasks.map(({ rows: _, ...rest }) => rest),
  }
  if (options.save) saveResult(result)
  if (options.json) {
    console.log(JSON.stringify(result, null, 2))
    return
  }
  for (const { task, rows, ratios, disturbed, rounds, tokensPerExample } of tasks) {
    const size = `${tokensPerExample.toFixed(1)} tokens an example`
    console.log(`\n${task}: ${options.precision}, ${size}, ${disturbed} of ${rounds} rounds disturbed`)
    for (const row of rows) {
      console.log(
        `${row.program.padEnd(12)} ${row.examplesPerSecond.toFixed(1).padStart(6)} examples/s ${row.millisecondsPerStep.toFixed(0).padStart(6)} ms/step ` +
          `${(row.peakRssBytes / 2 ** 20).toFixed(0).padStart(6)} MiB ${(100 * row.paddingShare).toFixed(1).padStart(5)} % padding`,
      )
    }
    for (const [peer, value] of Object.entries(ratios)) console.log(`stratabert ÷ ${peer}: ${value.toFixed(2)}`)
  }
}

main().catch((error) => {
  console.error(`error: ${error.message}`)
  process.exitCode = 1
})
