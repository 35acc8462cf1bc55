/**
 * The demo: on a sample of Wikipedia, trains a small vocabulary, then pre-trains the same encoder twice with equal data, steps and
 * seeds: every task at the top layer (bert-pretrain), and each task at its own layer (hierarchical-pretrain). Prints what
 * every head reaches on held-out articles, and fills some masks. Then fine-tunes the second encoder on two labelled tasks together,
 * shows their scores beside the majority class, and tags and classifies with the result. Needs no network.
 *
 * Usage: npm run demo [-- --steps N] [--output FOLDER]
 */
import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import {
  createProgressLine,
  Encoder,
  type HeldOutRow,
  heldOutTable,
  Model,
  modelConfigOf,
  openRecipe,
  openRunData,
  planRun,
  type ResolvedRecipe,
  type RunData,
  recipeSource,
  runRecipe,
  StrataError,
  TrainingEvents,
  trainTokenizer,
} from '../lib/index.js'
import { affordableSteps } from './demo-steps.js'
import { learnTwoTasks, showTasks } from './demo-tasks.js'

const TEXT = resolve(__dirname, '../examples/data/wikipedia-sample.txt')
const TAGGED = resolve(__dirname, '../examples/data/upos')
const VOCABULARY = 2048
/** Two runs, their evaluations and the rest stay below four minutes, the two tasks below two. */
const SECONDS_PER_RUN = 75
const MOST_STEPS = 3000
const RECIPES = {
  'bert-pretrain': 'every task at the top layer (the baseline)',
  'hierarchical-pretrain': 'each task at its own layer, next sentence handed to the masked LM',
}
const MASKED = [
  'He was born in the [MASK] of London.',
  'The river flows through the [MASK] of the city.',
  'She was a member of the [MASK] party from 1990 to 2001.',
]

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { steps: { type: 'string' }, output: { type: 'string' } },
  })
  const asked = values.steps === undefined ? undefined : Number(values.steps)
  if (asked !== undefined && !(Number.isInteger(asked) && asked >= 1)) {
    throw new StrataError('BAD_ARGUMENT', `--steps came as "${values.steps}", expected a whole number ≥ 1`)
  }
  const folder = values.output ? resolve(values.output) : freshFolder()
  const started = performance.now()

  say(`1. A vocabulary of ${VOCABULARY} pieces from ${shown(TEXT)} (CC BY-SA, see ATTRIBUTION.md beside it)`)
  const tokenizer = resolve(folder, 'tokenizer')
  await trainTokenizer({ inputs: [TEXT], vocabSize: VOCABULARY, output: tokenizer })

  const larger = await openRecipe('hierarchical-pretrain', { overlay: overlay(tokenizer, 1) })
  const data = await openRunData(larger)
  const steps = asked ?? (await measuredSteps(larger, data))
  const plan = planRun(await openRecipe('hierarchical-pretrain', { overlay: overlay(tokenizer, steps) }), data)
  const { layers, hiddenSize } = larger.encoder
  console.log(
    `   encoder: ${layers} layers × ${hiddenSize}, ${(plan.parameters.total / 1e6).toFixed(1)} M parameters; ${plan.data.training?.documents} articles to learn from, ` +
      `${plan.data.heldOut?.documents} held out; ${steps} steps, ${((plan.stages[0].tokens ?? 0) / 1e6).toFixed(1)} M tokens each`,
  )

  const heldOut: Record<string, HeldOutRow[]> = {}
  for (const [number, [name, what]] of Object.entries(RECIPES).entries()) {
    const recipe = await openRecipe(name, { overlay: overlay(tokenizer, steps) })
    say(`${number + 2}. ${name}: ${what}`)
    const events = new TrainingEvents().addLogger(createProgressLine())
    const result = await runRecipe(recipe, { output: resolve(folder, name), events, handleSignals: true })
    if (result.status === 'interrupted') throw new StrataError('ABORTED', `stopped at step ${result.state.step}`)
    heldOut[name] = result.heldOut
  }

  say('4. Held-out articles: what every head reaches at its layer')
  for (const line of heldOutTable(heldOut)) console.log(`   ${line}`)
  console.log(
    '\n   unigram: loss of guessing by frequency alone; chance: accuracy of always naming the more frequent class.\n' +
      '   So little training moves the masked LM alone: next sentence and bigram shift leave chance after millions of tokens,\n' +
      '   or soon when the run starts from a trained encoder (--init FOLDER).',
  )

  say('5. Some masks, filled by each encoder')
  for (const name of Object.keys(RECIPES)) {
    await using encoder = await Encoder.load(resolve(folder, name))
    for (const text of MASKED) {
      const [mask] = await encoder.fillMask(text, { topK: 4 })
      const words = mask.candidates.map(({ token, probability }) => `${token} ${probability.toFixed(2)}`)
      console.log(`   ${name.padEnd(22)} ${text}  →  ${words.join(', ')}`)
    }
  }

  const encoder = resolve(folder, 'hierarchical-pretrain')
  const tuned = resolve(folder, 'two-tasks')
  say(
    '6. Two labelled tasks learned together on the hierarchical encoder: parts of speech (upos) and whether one sentence follows\n' +
      '   from another (snli); excerpts of UD English EWT and SNLI (CC BY-SA, see ATTRIBUTION.md beside them)',
  )
  await learnTwoTasks(encoder, tuned, asked)
  console.log(
    '\n   What to expect: minutes of reading are enough to learn parts of speech far above the majority class; whether a sentence\n' +
      '   follows from another needs far more text than this encoder has seen: at or little above a third is usual.',
  )

  say('7. The trained folder at work')
  await showTasks(tuned)

  const run = shown(encoder)
  const tasks = shown(tuned)
  say(
    `Done in ${((performance.now() - started) / 1000).toFixed(0)} s. The run folders are in ${shown(folder)}. What to try next:`,
  )
  for (const line of [
    `npx stratabert evaluate ${run}`,
    `npx stratabert fill-mask ${run} --text "The capital of France is [MASK]."`,
    `echo "A sentence." | npx stratabert embed ${run} --input - --normalize`,
    `npx stratabert evaluate ${tasks}`,
    `npx stratabert tag ${tasks} --text "She sells sea shells."`,
    `npx stratabert classify ${tasks} --text "A dog runs." --second "An animal moves."`,
    `npx stratabert train fine-tune --init ${run} --data upos=${shown(TAGGED)} --output runs/tagger --set optimizer.learningRate=1e-3`,
    `npx stratabert train hierarchical-pretrain --output runs/mine --data corpus=YOUR-TEXT.txt --dry-run`,
    `tensorboard --logdir ${shown(folder)}`,
  ]) {
    console.log(`   ${line}`)
  }
}

/** What both runs share. Bigram shift is on in both, so that they have the same tasks. */
function overlay(tokenizer: string, steps: number) {
  return {
    data: { corpus: TEXT },
    tokenizer,
    encoder: { layers: 4, hiddenSize: 128, heads: 2 },
    bigramShift: { level: 'both' },
    batch: { tokens: 1024, sequenceTokens: 128 },
    optimizer: { learningRate: 1e-3 },
    budget: { steps },
    evaluation: { everySteps: 0 },
    checkpoint: { everySteps: 0, keep: 1 },
    log: { everySteps: Math.max(1, Math.round(steps / 10)) },
    seed: 1,
  }
}

/** As many steps as this machine does in {@link SECONDS_PER_RUN}, at most {@link MOST_STEPS}: both runs then get the same number. */
async function measuredSteps(recipe: ResolvedRecipe, { text, tokenizer }: RunData): Promise<number> {
  const heads = Object.keys(recipe.heads)
  const source = recipeSource(recipe, {
    view: text!.training,
    tokenizer,
    heads,
    batch: recipe.batch,
    evaluation: false,
  })
  await using model = await Model.create(modelConfigOf(recipe, tokenizer.vocabSize), { device: 'cpu' })
  // Awaited here: the model lives to the end of this function.
  return await affordableSteps(model, [source], recipe.optimizer, { seconds: SECONDS_PER_RUN, most: MOST_STEPS })
}

/** runs/demo, or the first of runs/demo-2, … that does not exist: nothing of the user's is overwritten. */
function freshFolder(): string {
  for (let number = 1; ; number++) {
    const folder = resolve('runs', number === 1 ? 'demo' : `demo-${number}`)
    if (!existsSync(folder)) return folder
  }
}

function shown(path: string): string {
  const short = relative('.', path)
  return short.startsWith('..') ? path : short
}

function say(text: string): void {
  console.log(`\n${text}`)
}

main().catch((error) => {
  console.error(error instanceof StrataError ? `error[${error.code}]: ${error.message}` : error)
  process.exitCode = error instanceof StrataError ? error.exitCode : 1
})
