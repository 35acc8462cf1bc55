import type { CorpusView, PlanStatistics } from '../data/index.js'
import { StrataError } from '../errors.js'
import { type ModelConfig, modelParameterShapes, prunedWeights, pruningScores } from '../model/index.js'
import type { TaskSet } from '../tasks/index.js'
import { checkWatched, forecastOfBatches, forecastOfSteps } from '../training/index.js'
import { relationNames } from './agreements-of-recipe.js'
import { modelConfigOf, type TaskShape } from './model-of-recipe.js'
import { recipeSource } from './pretraining-sources.js'
import { stagesOf } from './recipe-stages.js'
import { sequenceTokensOf, shapeOf, shapesWithoutData, taskDefinition } from './recipe-tasks.js'
import type { ResolvedRecipe, ResolvedStage } from './resolve-recipe.js'
import type { RunData } from './run-data.js'
import { trainingStages } from './training-stages.js'

/** What a run would do: counts, not promises. */
export interface RunPlan {
  recipe: ResolvedRecipe
  tokenizer: { source: string; vocabSize: number }
  data: { training?: DataCounts; heldOut?: DataCounts }
  tasks: TaskPlan[]
  stages: StagePlan[]
  /** The submodels of agreements, where the recipe has them. */
  agreements?: { relations: string[]; parameters: number }
  parameters: ParameterPlan
  /** Estimated from the shapes: weights, gradients, the optimiser's moments, and the activations of the largest batch. */
  memoryBytes: { weights: number; gradients: number; optimizer: number; activations: number; total: number }
  notes: string[]
}

export interface DataCounts {
  documents: number
  sentences: number
  tokens: number
}

export interface TaskPlan {
  name: string
  kind: string
  /** Number of classes, where the task has some. */
  classes?: number
  /** Examples by split; empty when the recipe was planned without the task's data. */
  examples: Record<string, number>
  /** Parameters that this task has for itself. */
  parameters: { head: number; adapter: number }
}

export interface ParameterPlan {
  total: number
  /** Embeddings and blocks, without heads, mixes and adapters. */
  encoder: number
  /** All that is not the encoder's. */
  added: number
  /** BERT as published with this encoder: encoder and pooler. Its multiple is what multi-task papers print. */
  encoderWithPooler: number
  /** Adapters of all tasks and one encoder with pooler, as a multiple of the latter. */
  adaptedRatio: number
}

export interface StagePlan {
  name: string
  heads: string[]
  tasks: string[]
  budget: Record<string, number>
  batchesPerEpoch: number
  inputsPerEpoch: number
  /**
   * Special tokens included; of a task with more than 2,000 batches told from so many of them. What follows from it takes each set's share
   * of a pass, whatever the sampler. Unknown (null) where a task was planned without its data.
   */
  tokensPerEpoch: number | null
  /** How the inputs of raw text come out in the first pass, what they leave out among it; absent where the stage reads none. */
  textInputs?: PlanStatistics
  /** Unknown (null) for a budget in hours without a speed. */
  steps: number | null
  tokens: number | null
  epochs: number | null
  /** Without evaluations; null where neither the budget nor a speed tells. */
  hours: number | null
}

/** Speeds to forecast with, as a run's log or a short trial tells them: real tokens trained in a second. */
export interface StageSpeeds {
  /** Of every stage that trains the encoder; submodels of agreements by themselves have another. */
  tokensPerSecond?: number
  /** Of single stages by name. */
  stageTokensPerSecond?: Readonly<Record<string, number>>
}

/** Throws BAD_ARGUMENT for the speed of a stage that the recipe does not have, and for a watched score that no evaluation will tell. */
export function planRun(recipe: ResolvedRecipe, data: RunData, speeds: StageSpeeds = {}): RunPlan {
  checkStageNames(recipe, speeds)
  const withoutData = shapesWithoutData(recipe, data.tasks)
  const shapes = [...data.tasks.map(shapeOf), ...withoutData]
  const config = {
    ...(data.agreements && { agreements: data.agreements }),
    ...modelConfigOf(recipe, data.tokenizer.vocabSize, shapes),
  }
  // Which splits are scored shows the data.
  if (withoutData.length === 0) checkWatched(trainingStages(recipe, data), recipe, config)
  const parameters = parameterPlan(config)
  const stages = stagesOf(recipe)
  const plans = stages.map((stage) => stagePlan(recipe, stage, data, speedOf(recipe, stage, speeds)))
  return {
    recipe,
    tokenizer: { source: data.tokenizerSource, vocabSize: data.tokenizer.vocabSize },
    data: data.text
      ? { training: counts(data.text.training), ...(data.text.heldOut && { heldOut: counts(data.text.heldOut) }) }
      : {},
    tasks: shapes.map((shape) => taskPlan(shape, config, data)),
    stages: plans,
    ...(config.agreements && {
      agreements: {
        relations: config.agreements.relations,
        parameters: countOf(config, (name) => name.startsWith('agreements.')),
      },
    }),
    parameters,
    memoryBytes: estimateMemory(recipe, config, parameters.total),
    notes: [...data.notes, ...emptyStageNotes(stages, plans)],
  }
}

function stagePlan(
  recipe: ResolvedRecipe,
  stage: ResolvedStage,
  data: RunData,
  tokensPerSecond: number | undefined,
): StagePlan {
  const { steps, epochs, hours } = stage.budget
  const askedTokens = stage.budget.tokens ?? (hours && tokensPerSecond ? hours * 3600 * tokensPerSecond : undefined)
  const sets = data.tasks.flatMap(({ name, train }) => (train && stage.tasks.includes(name) ? [train] : []))
  let batches = sets.reduce((sum, set) => sum + set.batchCount(0), 0)
  let inputs = sets.reduce((sum, set) => sum + set.examples, 0)
  let tokens = sets.reduce((sum, set) => sum + tokensOf(set), 0)
  let textInputs: PlanStatistics | undefined
  if (data.text && stage.heads.length > 0) {
    const source = recipeSource(recipe, {
      view: data.text.training,
      tokenizer: data.tokenizer,
      heads: stage.heads,
      batch: stage.batch,
      evaluation: false,
    })
    textInputs = source.statistics(0)
    batches += source.batchCount(0)
    inputs += textInputs.inputs
    tokens += textInputs.tokens
  }
  const isWhole = sets.length === stage.tasks.length && batches > 0
  const tokensPerEpoch = isWhole ? tokens : null
  const tokensPerBatch = isWhole ? tokens / batches : null
  const budget = askedTokens && tokensPerBatch ? askedTokens / tokensPerBatch : epochs ? epochs * batches : null
  const planned = steps
    ? forecastOfSteps(stage.batch, steps)
    : budget !== null
      ? forecastOfBatches(stage.batch, budget)
      : { steps: null, batches: null }
  const plannedTokens = planned.batches === null || tokensPerBatch === null ? null : planned.batches * tokensPerBatch
  const forecast = plannedTokens === null || !tokensPerSecond ? null : plannedTokens / tokensPerSecond / 3600
  return {
    name: stage.name,
    heads: stage.heads,
    tasks: stage.tasks,
    budget: ownBudget(stage.budget),
    batchesPerEpoch: batches,
    inputsPerEpoch: inputs,
    tokensPerEpoch,
    ...(textInputs && { textInputs }),
    steps: planned.steps,
    tokens: plannedTokens === null ? null : Math.round(plannedTokens),
    epochs: planned.batches === null || batches === 0 ? null : planned.batches / batches,
    hours: hours ?? forecast,
  }
}

/** Stages that will find nothing left of a budget in tokens that they share: batches are whole. */
function emptyStageNotes(stages: readonly ResolvedStage[], plans: readonly StagePlan[]): string[] {
  return stages.flatMap(({ name, budget: { tokens, total } }, index) => {
    const before = plans.slice(0, index).reduce((sum, plan) => sum + (plan.tokens ?? 0), 0)
    if (tokens === undefined || total === undefined || before < total) return []
    return `stage ${name} will take no step: the stages before it take ${before} tokens, of a budget of ${total}`
  })
}

/** Batches of a task whose tokens are counted; those of more follow from so many, which the order of a pass has mixed. */
const COUNTED_BATCHES = 2000

/** Real tokens of a pass. */
function tokensOf(set: TaskSet): number {
  const batches = set.batchCount(0)
  const counted = Math.min(batches, COUNTED_BATCHES)
  let tokens = 0
  for (let index = 0; index < counted; index++) tokens += set.build(0, index).tokenIds.length
  return counted === batches ? tokens : Math.round((tokens * batches) / counted)
}

function speedOf(recipe: ResolvedRecipe, { name, heads, tasks }: ResolvedStage, speeds: StageSpeeds) {
  const relations = relationNames(recipe)
  const submodelsAlone = tasks.length === 0 && heads.every((head) => relations.includes(head))
  return speeds.stageTokensPerSecond?.[name] ?? (submodelsAlone ? undefined : speeds.tokensPerSecond)
}

function checkStageNames(recipe: ResolvedRecipe, { stageTokensPerSecond = {} }: StageSpeeds): void {
  const names = stagesOf(recipe).map(({ name }) => name)
  const unknown = Object.keys(stageTokensPerSecond).find((name) => !names.includes(name))
  if (unknown === undefined) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `a speed came for the stage "${unknown}", expected one of the recipe's stages: ${names.join(', ')}`,
  )
}

/** Of a stage that shares a budget its part, without where that ends. */
function ownBudget({ total: _, ...budget }: ResolvedStage['budget']): Record<string, number> {
  return budget as Record<string, number>
}

function taskPlan(shape: TaskShape, config: ModelConfig, data: RunData): TaskPlan {
  const opened = data.tasks.find(({ name }) => name === shape.name)
  const sets = opened
    ? { ...(opened.train && { train: opened.train }), ...opened.evaluation, ...opened.prediction }
    : {}
  const own = (prefix: string) => countOf(config, (name) => name.startsWith(`${prefix}.${shape.name}.`))
  return {
    name: shape.name,
    kind: shape.kind,
    ...(shape.classes !== undefined && { classes: shape.classes }),
    examples: Object.fromEntries(Object.entries(sets).map(([split, set]) => [split, set.examples])),
    parameters: { head: own('heads'), adapter: own('adapters') },
  }
}

function parameterPlan(config: ModelConfig): ParameterPlan {
  const total = parameterCount(config)
  const encoder = countOf(config, (name) => name.startsWith('bert.'))
  const { hiddenSize } = config.encoder
  const encoderWithPooler = encoder + hiddenSize * (hiddenSize + 1)
  const adapters = countOf(config, (name) => name.startsWith('adapters.'))
  const adaptedRatio = (encoderWithPooler + adapters) / encoderWithPooler
  return { total, encoder, added: total - encoder, encoderWithPooler, adaptedRatio }
}

function countOf(config: ModelConfig, counts: (name: string) => boolean): number {
  return Object.entries(modelParameterShapes(config)).reduce(
    (sum, [name, shape]) => sum + (counts(name) ? shape.reduce((a, b) => a * b, 1) : 0),
    0,
  )
}

export function parameterCount(config: ModelConfig): number {
  return countOf(config, () => true)
}

function counts({ documents, sentenceCount, tokenCount }: CorpusView): DataCounts {
  return { documents: documents.length, sentences: sentenceCount, tokens: tokenCount }
}

/** Bytes that training the recipe takes, as {@link RunPlan.memoryBytes} counts them, with the classes that its definitions tell. */
export function memoryWithoutData(recipe: ResolvedRecipe, vocabSize: number): number {
  const config = modelConfigOf(recipe, vocabSize, shapesWithoutData(recipe, []))
  return estimateMemory(recipe, config, parameterCount(config)).total
}

/** Tokens that a batch of the stage may have; of labelled tasks, whose batches go by examples, with all of them of full length. */
function largestBatch(recipe: ResolvedRecipe, { batch, tasks }: ResolvedStage): number {
  const labelled = tasks.flatMap((name) => {
    const definition = taskDefinition(recipe, name)
    return definition.kind === 'parsing' ? [] : [batch.sequences * sequenceTokensOf(recipe, name, definition)]
  })
  return Math.max(batch.tokens, ...labelled)
}

/**
 * Weights, gradients and two moments in fp32 (fp64 doubles them). Activations kept for the backward pass: per token and layer
 * about 9 H (input, query, key, value, attention, its projection, both LayerNorms, output) + 2 × intermediate, per masked
 * position the vocabulary twice; 2 bytes a value under autocast. Submodels of agreements count as blocks of their size.
 */
function estimateMemory(recipe: ResolvedRecipe, config: ModelConfig, parameters: number): RunPlan['memoryBytes'] {
  const bytes = recipe.precision === 'fp64' ? 8 : 4
  // `auto` is bf16 on CUDA; a device that nobody named yet counts as a processor, which takes more.
  const isHalf =
    recipe.precision === 'auto' ? recipe.device.startsWith('cuda') : ['bf16', 'fp16'].includes(recipe.precision)
  const activationBytes = isHalf ? 2 : bytes
  const { hiddenSize, intermediateSize, layers, vocabSize } = config.encoder
  const tokens = Math.max(...stagesOf(recipe).map((stage) => largestBatch(recipe, stage)))
  const { relations = [], ...submodel } = config.agreements ?? { layers: 0, size: 0, intermediateSize: 0 }
  const widths =
    layers * (9 * hiddenSize + 2 * intermediateSize) +
    relations.length * submodel.layers * (9 * submodel.size + 2 * submodel.intermediateSize)
  const blocks = tokens * widths * activationBytes
  const masked = config.heads.some((head) => head.kind === 'masked-lm') ? tokens * recipe.masking.maskShare : 0
  const activations = Math.round(blocks + masked * vocabSize * 2 * bytes)
  // Scores are trained like weights; masks and masked weights are kept beside them.
  const names = new Set(config.pruning ? prunedWeights(config.encoder) : [])
  const pruned = countOf(config, (name) => names.has(name))
  const trained = (parameters + (pruningScores(config).length > 0 ? pruned : 0)) * bytes
  const weights = trained + 2 * pruned * bytes
  const total = weights + 3 * trained + activations
  return { weights, gradients: trained, optimizer: 2 * trained, activations, total }
}
