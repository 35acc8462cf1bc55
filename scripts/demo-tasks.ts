/** The demo's second half: two labelled tasks on the encoder that was just pre-trained, learned together in one stage. */
import { resolve } from 'node:path'
import {
  createProgressLine,
  Encoder,
  Model,
  modelConfigOf,
  type OpenedTask,
  openRecipe,
  openRunData,
  type ResolvedRecipe,
  type RunData,
  type RunResult,
  runRecipe,
  StrataError,
  TrainingEvents,
  wilsonInterval,
} from '../lib/index.js'
import { affordableSteps } from './demo-steps.js'

/** Training alone; reading and scoring the two tasks take some seconds more. */
const SECONDS = 80
const MOST_STEPS = 2000
const DATA = resolve(__dirname, '../examples/data')
/** Columns of the table of scores. */
const WIDTHS = [7, 9, 8, 11, 15, 0]
const SENTENCE = 'The old man quickly opened two windows in London.'
const PAIRS: [string, string][] = [
  ['A man is playing a guitar on a stage.', 'A man is making music.'],
  ['A man is playing a guitar on a stage.', 'Nobody is on the stage.'],
]

/**
 * Fine-tunes both tasks from the newest checkpoint of `encoder`, prints scores beside the majority class and shows the result at
 * work. `steps`: default as many as fit into {@link SECONDS}.
 */
export async function learnTwoTasks(encoder: string, output: string, steps?: number): Promise<RunResult> {
  const timed = await openRecipe(recipeOf(encoder, 1))
  const data = await openRunData(timed)
  const wanted = steps ?? (await measuredSteps(timed, data))
  const recipe = await openRecipe(recipeOf(encoder, wanted))
  for (const { name, train, evaluation, labels } of data.tasks) {
    console.log(
      `   ${name.padEnd(5)} ${train!.examples} examples to learn from, ${evaluation.dev.examples} held out, ${labels!.length} classes`,
    )
  }
  console.log(
    `   ${wanted} steps of ${recipe.batch.sequences} examples, all batches of both tasks in one shuffled list`,
  )
  const events = new TrainingEvents().addLogger(createProgressLine())
  const result = await runRecipe(recipe, { output, events, handleSignals: true })
  if (result.status === 'interrupted') throw new StrataError('ABORTED', `stopped at step ${result.state.step}`)
  printScores(data.tasks, result)
  return result
}

/** The trained folder tags a sentence and classifies pairs. */
export async function showTasks(run: string): Promise<void> {
  await using encoder = await Encoder.load(run)
  const [words] = await encoder.tag(SENTENCE, { task: 'upos' })
  console.log(`   upos  ${words.map(({ word, tag }) => `${word}/${tag}`).join(' ')}`)
  const found = await encoder.classify(PAIRS, { task: 'snli' })
  for (const [index, { labels }] of found.entries()) {
    const said = labels.map(({ label, score }) => `${label} ${score.toFixed(2)}`).join(', ')
    console.log(`   snli  ${PAIRS[index].join(' | ')}  →  ${said}`)
  }
}

function recipeOf(encoder: string, steps: number) {
  return {
    extends: 'fine-tune',
    init: encoder,
    data: { upos: resolve(DATA, 'upos'), snli: resolve(DATA, 'snli') },
    sampler: { kind: 'shuffled' },
    // So young an encoder still has to move far.
    optimizer: { learningRate: 1e-3 },
    batch: { sequenceTokens: 64 },
    budget: { steps },
    evaluation: { everyEpochs: 0, everySteps: Math.max(1, Math.ceil(steps / 4)) },
    log: { everySteps: Math.max(1, Math.round(steps / 10)) },
    seed: 1,
  }
}

async function measuredSteps(recipe: ResolvedRecipe, data: RunData): Promise<number> {
  const shapes = data.tasks.map(({ name, kind, labels }) => ({
    name,
    kind,
    classes: labels?.length,
    pair: name === 'snli',
  }))
  await using model = await Model.create(modelConfigOf(recipe, data.tokenizer.vocabSize, shapes), { device: 'cpu' })
  const sources = data.tasks.map(({ train }) => train!)
  // Awaited here: the model lives to the end of this function.
  return await affordableSteps(model, sources, recipe.optimizer, { seconds: SECONDS, most: MOST_STEPS })
}

/** Each task's held-out accuracy beside that of always saying the class that is most frequent in training. */
function printScores(tasks: readonly OpenedTask[], result: RunResult): void {
  const scores = result.stages[0].tasks
  console.log(
    `\n   ${['task', 'labels', 'loss', 'accuracy', '95 %', 'majority class'].map((title, column) => title.padEnd(WIDTHS[column])).join('')}`,
  )
  for (const task of tasks) {
    const { count, loss, metrics } = scores[task.name].dev
    const [low, high] = wilsonInterval(metrics.accuracy * count, count)
    const { share, label } = majority(task)
    const cells = [
      task.name,
      String(count),
      loss.toFixed(3),
      metrics.accuracy.toFixed(3),
      `${low.toFixed(3)}…${high.toFixed(3)}`,
      `${share.toFixed(3)} (${label})`,
    ]
    console.log(`   ${cells.map((cell, column) => cell.padEnd(WIDTHS[column])).join('')}`)
  }
}

function majority({ head, labels, train, evaluation }: OpenedTask): { label: string; share: number } {
  const learned = classCounts(train!, head, labels!.length)
  const held = classCounts(evaluation.dev, head, labels!.length)
  const most = learned.indexOf(Math.max(...learned))
  return { label: labels![most], share: held[most] / held.reduce((sum, count) => sum + count, 0) }
}

function classCounts(set: NonNullable<OpenedTask['train']>, head: string, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0)
  for (let index = 0; index < set.batchCount(0); index++) {
    for (const label of set.build(0, index).labels[head].labels) if (label >= 0) counts[label]++
  }
  return counts
}
