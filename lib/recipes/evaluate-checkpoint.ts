import { type CorpusView, openCorpus, wholeCorpus } from '../data/index.js'
import { labelCount, NO_LABEL, type PackedBatch } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import { evaluateHeads } from '../evaluation/index.js'
import { type HeadConfig, loadModel, type Model, type ModelFolder, readModelFolder } from '../model/index.js'
import type { PretrainingSource } from '../objectives/index.js'
import { Tokenizer } from '../text/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { type HeldOutRow, heldOutRows } from './held-out-table.js'
import type { Values } from './merge.js'
import { recipeSource } from './pretraining-sources.js'
import { type ResolvedRecipe, resolveRecipe } from './resolve-recipe.js'
import { expandFiles, openRunData } from './run-data.js'
import { runtimeChoice } from './run-recipe.js'

export interface EvaluateCheckpointOptions {
  /** Text to evaluate on, all of it; default: what the checkpoint's run held out. */
  data?: string | string[]
  /** Names of heads; default all that the checkpoint has. */
  heads?: string[]
  device?: string
  precision?: ResolvedRecipe['precision']
  cacheDirectory?: string
  signal?: AbortSignal
  onProgress?: (line: string) => void
  /** Gets every label with what the head said. */
  onPrediction?: (prediction: Prediction) => void | Promise<void>
}

export interface Prediction {
  head: string
  /** Batch and label within it. */
  batch: number
  index: number
  label: number
  predicted: number
  /** Probability of `predicted`. */
  probability: number
}

export interface EvaluationReport {
  checkpoint: string
  /** `held out` of the run, or the files. */
  data: string
  documents: number
  tokens: number
  rows: HeldOutRow[]
  warnings: string[]
}

/**
 * Figures of a checkpoint's pre-training heads on held-out text. Throws UNSUPPORTED when it has no heads, BAD_ARGUMENT when
 * neither data are given nor the checkpoint knows its run's.
 */
export async function evaluateCheckpoint(
  path: string,
  options: EvaluateCheckpointOptions = {},
): Promise<EvaluationReport> {
  const { folder, warnings } = await resolveCheckpoint(path)
  const found = await readModelFolder(folder)
  const heads = chosenHeads(found, options.heads)
  const recipe = recipeOf(found)
  const tokenizer = await Tokenizer.load(folder)
  const view = await openView(recipe, found, tokenizer, options)
  // Every head's labels, also when few heads are wanted: the inputs are then the run's own.
  const all = found.config.heads.map(({ name }) => name)
  const source = recipeSource(recipe, { view, tokenizer, heads: all, batch: recipe.batch, evaluation: true })

  const choice = runtimeChoice({ device: options.device ?? 'auto', precision: options.precision ?? 'auto' })
  const { model } = await loadModel(folder, choice)
  try {
    const onBatch = (done: number, total: number) => options.onProgress?.(`evaluated ${done} of ${total} batches`)
    const scores = await evaluateHeads(model, source, { heads, signal: options.signal, onBatch })
    if (options.onPrediction) await predict(model, source, heads, options.onPrediction)
    return {
      checkpoint: folder,
      data: options.data === undefined ? 'held out' : [options.data].flat().join(', '),
      documents: view.documents.length,
      tokens: view.tokenCount,
      rows: heldOutRows(scores, source),
      warnings,
    }
  } finally {
    await model.dispose()
  }
}

function chosenHeads(found: ModelFolder, wanted: string[] | undefined): string[] {
  const known = found.config.heads.map(({ name }) => name)
  if (known.length === 0) {
    throw new StrataError(
      'UNSUPPORTED',
      `${found.folder} has no head, so there is nothing to evaluate; use a checkpoint of a pre-training run`,
    )
  }
  const missing = wanted?.find((name) => !known.includes(name))
  if (missing !== undefined) {
    throw new StrataError('BAD_ARGUMENT', `no head is named "${missing}", the checkpoint has ${known.join(', ')}`)
  }
  return wanted ?? known
}

/** The recipe that the checkpoint was trained with, else one of defaults around its heads. */
function recipeOf(found: ModelFolder): ResolvedRecipe {
  const trained = found.strata?.extra.recipe
  if (trained) return resolveRecipe(trained as Values, { label: `${found.folder}/stratabert.json extra.recipe` })
  const { vocabSize: _, ...encoder } = found.config.encoder
  const heads = Object.fromEntries(found.config.heads.map(recipeHead))
  return resolveRecipe({ resolved: true, encoder, heads, budget: { steps: 1 } }, { label: found.folder })
}

function recipeHead({ name, tap, ...head }: HeadConfig): [string, Values] {
  return [name, { ...head, layer: tap.layer }]
}

async function openView(
  recipe: ResolvedRecipe,
  found: ModelFolder,
  tokenizer: Tokenizer,
  options: EvaluateCheckpointOptions,
): Promise<CorpusView> {
  if (options.data !== undefined) {
    const { cacheDirectory, signal } = options
    return wholeCorpus(
      await openCorpus({ inputs: await expandFiles(options.data), tokenizer, ...recipe.text, cacheDirectory, signal }),
    )
  }
  if (recipe.data.corpus === undefined) {
    throw new StrataError('BAD_ARGUMENT', `${found.folder} does not say what its run held out; give --data corpus=FILE`)
  }
  const { heldOut } = await openRunData(recipe, { ...options, tokenizerFolder: found.folder })
  if (!heldOut)
    throw new StrataError('BAD_ARGUMENT', `the run of ${found.folder} held nothing out; give --data corpus=FILE`)
  return heldOut
}

async function predict(
  model: Model,
  source: PretrainingSource,
  heads: readonly string[],
  tell: NonNullable<EvaluateCheckpointOptions['onPrediction']>,
): Promise<void> {
  for (let batch = 0; batch < source.batchCount(0); batch++) {
    const packed = source.build(0, batch)
    for (const { name: head, kind } of model.config.heads) {
      const labelled = packed.labels[head]
      if (!heads.includes(head) || !labelled || labelCount(labelled) === 0) continue
      const { tokenIds, probabilities } =
        kind === 'masked-lm' ? await likeliestTokens(model, packed, head) : await likelierClass(model, packed, head)
      let row = 0
      for (const [index, label] of labelled.labels.entries()) {
        if (label === NO_LABEL) continue
        await tell({ head, batch, index, label, predicted: tokenIds[row], probability: probabilities[row] })
        row++
      }
    }
  }
}

function likeliestTokens(model: Model, batch: PackedBatch, head: string) {
  const { labels, positions } = batch.labels[head]
  return model.predictMasked(
    batch,
    head,
    (positions ?? new Int32Array(0)).filter((_, index) => labels[index] !== NO_LABEL),
    1,
  )
}

/** One row for each place that has a label. */
async function likelierClass(model: Model, batch: PackedBatch, head: string) {
  const { values } = await model.headLogits(batch, head)
  const probabilities = new Float32Array(values.length / 2)
  const tokenIds = new Int32Array(values.length / 2)
  for (let row = 0; row < tokenIds.length; row++) {
    const difference = values[2 * row + 1] - values[2 * row]
    tokenIds[row] = difference > 0 ? 1 : 0
    probabilities[row] = 1 / (1 + Math.exp(-Math.abs(difference)))
  }
  return { tokenIds, probabilities }
}
