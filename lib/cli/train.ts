import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { StrataError } from '../errors.js'
import {
  attachmentTable,
  type DataCounts,
  describeLeftOut,
  heldOutTable,
  openRecipe,
  openRunData,
  overlayOfSetOptions,
  planRun,
  pruningTable,
  type ResolvedRecipe,
  type RunPlan,
  type RunResult,
  runRecipe,
  type StageSpeeds,
  taskTable,
  type Values,
} from '../recipes/index.js'
import {
  createProgressLine,
  interruptedExitCode,
  RESOLVED_RECIPE_FILE,
  readResolvedRecipe,
  TrainingEvents,
} from '../training/index.js'
import { dataSlots, example, gather, wholeNumber } from './arguments.js'
import { note, printJson, printLines, progressNotes } from './output.js'

interface TrainFlags {
  /** Missing with `dryRun` alone. */
  output?: string
  data?: string[]
  init?: string
  set?: string[]
  seed?: number
  device?: string
  precision?: string
  resume: boolean
  dryRun: boolean
  tokensPerSecond?: StageSpeeds
  json: boolean
}

export function registerTrain(program: Command): void {
  const command = program
    .command('train')
    .description('execute a recipe; writes logs and checkpoints into a run folder')
    .argument('<recipe>', 'a recipe name (see: stratabert recipes), or a .yaml, .json or .js file')
    .option('--output <run>', 'the run folder (required without --dry-run)')
    .option(
      '--data <name=path>',
      'a data slot: corpus=FILE|FOLDER, heldOut=FILE|FOLDER, or a task (rte=FOLDER, reviews=rows.csv); may be repeated',
      gather,
    )
    .option('--init <checkpoint>', 'start from a checkpoint, run or Hugging Face folder')
    .option('--set <key=value>', 'change keys of the recipe, like encoder.layers=4 seed=2; may be repeated', gather)
    .option('--seed <n>', "seed of weights, data order and masks (default: the recipe's)", wholeNumber(0))
    .option('--device <device>', "auto, cpu, cuda or cuda:N (default: the recipe's)")
    .option('--precision <precision>', "auto, fp32, bf16, fp16 or fp64 (default: the recipe's)")
    .option('--resume', 'go on with the run in the folder; starts it if there is none', false)
    .option('--dry-run', 'resolve, open the data, count steps, tokens, parameters and memory; train nothing', false)
    .option(
      '--tokens-per-second <n>',
      'speed for the forecast of --dry-run; STAGE=N for one stage; may be repeated',
      stageSpeed,
    )
    .option('--json', 'print one JSON document at the end', false)
    .action(train)
  example(
    command,
    'stratabert train hierarchical-pretrain --output runs/first --data corpus=text.txt --set budget.steps=500',
    'stratabert train hierarchical-pretrain --output runs/first --data corpus=text.txt --set budget.steps=500 --resume',
  )
}

async function train(recipeName: string, flags: TrainFlags): Promise<void> {
  const { output } = flags
  if (flags.resume && output === undefined) {
    throw new StrataError('BAD_ARGUMENT', '--resume came without --output, the folder of the run that it goes on with')
  }
  const resumed =
    flags.resume && existsSync(join(output!, RESOLVED_RECIPE_FILE)) ? await readResolvedRecipe(output!) : undefined
  const recipe = await openRecipe(recipeName, {
    overlay: overlayOf(flags),
    resumed: resumed as ResolvedRecipe | undefined,
  })
  if (flags.tokensPerSecond !== undefined && !flags.dryRun) {
    throw new StrataError(
      'BAD_ARGUMENT',
      '--tokens-per-second came without --dry-run, whose forecast it is for; add it',
    )
  }
  const progress = progressNotes()
  if (flags.dryRun) {
    const data = await openRunData(recipe, { onProgress: progress.say, planOnly: true })
    const plan = planRun(recipe, data, flags.tokensPerSecond)
    progress.done()
    return flags.json ? printJson(plan) : printLines(describePlan(plan))
  }
  const result = await runRecipe(recipe, {
    output: output!,
    resume: flags.resume,
    handleSignals: true,
    onProgress: progress.say,
    onNote: (line) => {
      progress.done()
      note(line)
    },
    events: new TrainingEvents().on('start', progress.done).addLogger(createProgressLine()),
  })
  if (flags.json) printJson(result)
  else printLines(describeResult(result))
  if (result.status === 'interrupted') process.exitCode = interruptedExitCode(result.signal)
}

/** One `--tokens-per-second` after the other. */
function stageSpeed(text: string, before: StageSpeeds = {}): StageSpeeds {
  const equals = text.indexOf('=')
  const tokensPerSecond = wholeNumber(1)(text.slice(equals + 1))
  if (equals < 0) return { ...before, tokensPerSecond }
  const stage = text.slice(0, equals)
  return { ...before, stageTokensPerSecond: { ...before.stageTokensPerSecond, [stage]: tokensPerSecond } }
}

/** The flags are short for keys; `--set` has the last word. */
function overlayOf(flags: TrainFlags): Values {
  const overlay = overlayOfSetOptions(flags.set ?? [])
  const data = dataSlots(flags.data)
  const short: Values = { init: flags.init, seed: flags.seed, device: flags.device, precision: flags.precision }
  for (const [key, value] of Object.entries(short)) if (value !== undefined && !(key in overlay)) overlay[key] = value
  if (Object.keys(data).length > 0) overlay.data = { ...data, ...(overlay.data as Values | undefined) }
  return overlay
}

const number = (value: number): string => value.toLocaleString('en-US')

function describePlan(plan: RunPlan): string[] {
  const size = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`
  const { recipe, data, memoryBytes: memory } = plan
  const { layers, hiddenSize, heads, intermediateSize } = recipe.encoder
  const place = (head: { layer: number; mix?: string }) =>
    head.mix === undefined ? `layer ${head.layer}` : `mix ${head.mix}`
  const counts = (of: DataCounts) =>
    `${number(of.documents)} documents, ${number(of.sentences)} sentences, ${number(of.tokens)} tokens`
  return [
    `recipe      ${recipe.name}${recipe.preset ? `, preset ${recipe.preset}` : ''}`,
    `encoder     ${layers} layers × ${hiddenSize}, ${heads} attention heads, intermediate ${intermediateSize}`,
    ...Object.entries(recipe.heads).map(
      ([name, head]) => `head        ${name}: ${head.kind} at ${place(head)}, weight ${head.weight}`,
    ),
    ...plan.tasks.map(({ name, kind, classes, examples, parameters }) => {
      const sets = Object.entries(examples).map(([split, count]) => `${split} ${number(count)}`)
      const own = parameters.adapter > 0 ? `, adapter ${number(parameters.adapter)}` : ''
      return `task        ${name}: ${kind}${classes ? ` in ${classes} classes` : ''} at ${place(recipe.tasks[name].head)}, ${sets.join(', ') || 'no data'}; parameters: head ${number(parameters.head)}${own}`
    }),
    ...(plan.agreements
      ? [`agreements  ${plan.agreements.relations.join(', ')}; parameters ${number(plan.agreements.parameters)}`]
      : []),
    ...(recipe.pruning ? [`pruning     ${describePruning(recipe.pruning)}`] : []),
    `tokenizer   ${number(plan.tokenizer.vocabSize)} pieces, ${plan.tokenizer.source}`,
    ...(data.training
      ? [`training    ${counts(data.training)}`, `held out    ${data.heldOut ? counts(data.heldOut) : 'nothing'}`]
      : []),
    ...plan.stages.flatMap((stage) => [
      `stage       ${stage.name}: ${[...stage.heads, ...stage.tasks].join(', ')}; budget ${Object.entries(stage.budget)
        .map(([key, value]) => `${number(value)} ${key}`)
        .join()}`,
      `  a pass    ${number(stage.inputsPerEpoch)} inputs, ${stage.tokensPerEpoch === null ? '' : `${number(stage.tokensPerEpoch)} tokens, `}${number(stage.batchesPerEpoch)} batches`,
      ...(stage.textInputs ? [`  of it     ${describeLeftOut(stage.textInputs)}`] : []),
      `  in all    ${stageForecast(stage, plan.stages.length === 1)}`,
    ]),
    `parameters  ${number(plan.parameters.total)}, of them ${number(plan.parameters.added)} beside the encoder's${recipe.adapter ? `; encoder and adapters are ${plan.parameters.adaptedRatio.toFixed(3)} × one encoder with pooler` : ''}`,
    `memory      about ${size(memory.total)}: weights ${size(memory.weights)}, gradients ${size(memory.gradients)}, optimizer ${size(memory.optimizer)}, activations ${size(memory.activations)}`,
    ...plan.notes.map((line) => `note        ${line}`),
    'nothing was trained (--dry-run)',
  ]
}

function stageForecast(
  { name, steps, tokens, epochs, hours, budget }: RunPlan['stages'][number],
  only: boolean,
): string {
  if (steps === null) return `known when the time is over (--tokens-per-second ${only ? '' : `${name}=`}N forecasts it)`
  const parts = [`${number(steps)} steps`]
  if (tokens !== null) parts.push(`${number(tokens)} tokens`)
  if (epochs !== null) parts.push(`${epochs.toFixed(2)} passes`)
  if (hours !== null && budget.hours === undefined) parts.push(`${hours.toPrecision(3)} hours`)
  return parts.join(', ')
}

function describePruning(pruning: NonNullable<ResolvedRecipe['pruning']>): string {
  const { method, finalDensity } = pruning
  const share =
    finalDensity === undefined ? '' : ` to ${100 * finalDensity} % of the weights of the blocks' linear layers`
  const penalty =
    'search' in pruning
      ? `, penalty ${pruning.penalty ?? (finalDensity ? 'searched for by short runs' : 'as published')}`
      : ''
  return `by ${method}${share}${penalty}`
}

function describeResult(result: RunResult): string[] {
  const { state, output, checkpoint, heldOut, status, stages } = result
  return [
    ...stages.flatMap((stage) =>
      Object.keys(stage.tasks).length > 0 ? [`after ${stage.name}`, ...taskTable(stage.tasks), ''] : [],
    ),
    ...stages.flatMap(({ name, scores }) => {
      const lines = attachmentTable(Object.values(scores))
      return lines.length > 0 ? [`after ${name}`, ...lines, ''] : []
    }),
    ...(heldOut.length > 0 ? [...heldOutTable({ held: heldOut }), ''] : []),
    ...(result.pruning ? [...pruningTable(result.pruning), ''] : []),
    `${status} at step ${state.step}, ${state.tokens.toLocaleString('en-US')} tokens in ${state.elapsedSeconds.toFixed(0)} s`,
    `run folder  ${output}`,
    ...(checkpoint ? [`checkpoint  ${checkpoint}`] : []),
    ...(status === 'interrupted' ? ['go on with the same command and --resume'] : []),
  ]
}
