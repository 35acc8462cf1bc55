import type { CorpusView } from '../data/index.js'
import { type ModelConfig, modelParameterShapes } from '../model/index.js'
import { recipeSource } from './pretraining-sources.js'
import { modelConfigOf, type ResolvedRecipe, stagesOf } from './resolve-recipe.js'
import type { RunData } from './run-data.js'

/** What a run would do: counts, not promises. */
export interface RunPlan {
  recipe: ResolvedRecipe
  tokenizer: { source: string; vocabSize: number }
  data: { training: DataCounts; heldOut?: DataCounts }
  stages: StagePlan[]
  parameters: number
  /** Estimated from the shapes: weights, gradients, AdamW's moments, and the activations of one batch. */
  memoryBytes: { weights: number; gradients: number; optimizer: number; activations: number; total: number }
  notes: string[]
}

export interface DataCounts {
  documents: number
  sentences: number
  tokens: number
}

export interface StagePlan {
  name: string
  heads: string[]
  budget: Record<string, number>
  batchesPerEpoch: number
  inputsPerEpoch: number
  /** Special tokens included. */
  tokensPerEpoch: number
  /** Unknown (null) for a budget in hours. */
  steps: number | null
  tokens: number | null
  epochs: number | null
}

export function planRun(recipe: ResolvedRecipe, data: RunData): RunPlan {
  const config = modelConfigOf(recipe, data.tokenizer.vocabSize)
  const parameters = parameterCount(config)
  const stages = stagesOf(recipe).map((stage) => {
    const source = recipeSource(recipe, {
      view: data.training,
      tokenizer: data.tokenizer,
      heads: stage.heads,
      batch: stage.batch,
      evaluation: false,
    })
    const { inputs, tokens: tokensPerEpoch } = source.statistics(0)
    const batchesPerEpoch = source.batchCount(0)
    const { steps, tokens, epochs } = stage.budget
    const stepsPerEpoch = batchesPerEpoch / stage.batch.accumulation
    const tokensPerStep = tokensPerEpoch / stepsPerEpoch
    const planned =
      steps ?? (tokens ? Math.ceil(tokens / tokensPerStep) : epochs ? Math.ceil(epochs * stepsPerEpoch) : null)
    return {
      name: stage.name,
      heads: stage.heads,
      budget: stage.budget as Record<string, number>,
      batchesPerEpoch,
      inputsPerEpoch: inputs,
      tokensPerEpoch,
      steps: planned,
      tokens: planned === null ? null : Math.round(planned * tokensPerStep),
      epochs: planned === null ? null : planned / stepsPerEpoch,
    }
  })
  return {
    recipe,
    tokenizer: { source: data.tokenizerSource, vocabSize: data.tokenizer.vocabSize },
    data: { training: counts(data.training), ...(data.heldOut && { heldOut: counts(data.heldOut) }) },
    stages,
    parameters,
    memoryBytes: estimateMemory(recipe, config, parameters),
    notes: data.notes,
  }
}

export function parameterCount(config: ModelConfig): number {
  return Object.values(modelParameterShapes(config)).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)
}

function counts({ documents, sentenceCount, tokenCount }: CorpusView): DataCounts {
  return { documents: documents.length, sentences: sentenceCount, tokens: tokenCount }
}

/**
 * Weights, gradients and two moments in fp32 (fp64 doubles them). Activations kept for the backward pass: per token and layer
 * about 9 H (input, query, key, value, attention, its projection, both LayerNorms, output) + 2 × intermediate, per masked
 * position the vocabulary twice; 2 bytes a value under autocast.
 */
function estimateMemory(recipe: ResolvedRecipe, config: ModelConfig, parameters: number): RunPlan['memoryBytes'] {
  const bytes = recipe.precision === 'fp64' ? 8 : 4
  const activationBytes = recipe.precision === 'bf16' || recipe.precision === 'fp16' ? 2 : bytes
  const { hiddenSize, intermediateSize, layers, vocabSize } = config.encoder
  const tokens = Math.max(...stagesOf(recipe).map((stage) => stage.batch.tokens))
  const blocks = tokens * layers * (9 * hiddenSize + 2 * intermediateSize) * activationBytes
  const masked = config.heads.some((head) => head.kind === 'masked-lm') ? tokens * recipe.masking.maskShare : 0
  const activations = Math.round(blocks + masked * vocabSize * 2 * bytes)
  const weights = parameters * bytes
  return { weights, gradients: weights, optimizer: 2 * weights, activations, total: 4 * weights + activations }
}
