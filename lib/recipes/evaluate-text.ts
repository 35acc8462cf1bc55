import { type CorpusView, openCorpus, wholeCorpus } from '../data/index.js'
import { labelCount, NO_LABEL, type PackedBatch } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import { evaluateHeads } from '../evaluation/index.js'
import type { AgreementHeadConfig, Model, ModelFolder } from '../model/index.js'
import type { PretrainingSource } from '../objectives/index.js'
import type { Tokenizer } from '../text/index.js'
import { chunkOptions, relationNames } from './agreements-of-recipe.js'
import type { EvaluateCheckpointOptions } from './evaluate-checkpoint.js'
import { type HeldOutRow, heldOutRows } from './held-out-table.js'
import { recipeSource } from './pretraining-sources.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import { openRunData } from './run-data.js'
import { expandFiles } from './run-text.js'

/** The text that self-supervised heads were judged on. */
export interface EvaluatedText {
  /** `held out` of the run, or the files. */
  data: string
  documents: number
  tokens: number
}

export interface TextEvaluation {
  text: EvaluatedText
  rows: HeldOutRow[]
}

/** Opens the text; the answer runs the wanted self-supervised heads over it. */
export async function openTextEvaluation(
  recipe: ResolvedRecipe,
  found: ModelFolder,
  tokenizer: Tokenizer,
  wanted: readonly string[],
  options: EvaluateCheckpointOptions,
): Promise<(model: Model) => Promise<TextEvaluation>> {
  const corpus = options.data?.corpus as string | string[] | undefined
  const view = await openView(recipe, found, tokenizer, corpus, options)
  // Every head's labels, also when few heads are wanted: the inputs are then the run's own.
  const all = [...relationNames(recipe), ...Object.keys(recipe.heads)]
  const source = recipeSource(recipe, { view, tokenizer, heads: all, batch: recipe.batch, evaluation: true })
  const text: EvaluatedText = {
    data: corpus === undefined ? 'held out' : [corpus].flat().join(', '),
    documents: view.documents.length,
    tokens: view.tokenCount,
  }
  return async (model) => {
    const onBatch = (done: number, total: number) => options.onProgress?.(`evaluated ${done} of ${total} batches`)
    const scores = await evaluateHeads(model, source, { heads: wanted, signal: options.signal, onBatch })
    if (options.onPrediction) await predict(model, source, wanted, options.onPrediction)
    return { text, rows: heldOutRows(scores, source) }
  }
}

async function openView(
  recipe: ResolvedRecipe,
  found: ModelFolder,
  tokenizer: Tokenizer,
  corpus: string | string[] | undefined,
  options: EvaluateCheckpointOptions,
): Promise<CorpusView> {
  if (corpus !== undefined) {
    const { cacheDirectory, signal } = options
    // The filters are for text to train on.
    const { maxTokensPerCharacter: _, dropDuplicates: __, ...reading } = recipe.text
    return wholeCorpus(
      await openCorpus({
        inputs: await expandFiles(corpus),
        tokenizer,
        ...reading,
        chunks: chunkOptions(recipe),
        cacheDirectory,
        signal,
      }),
    )
  }
  if (recipe.data.corpus === undefined) {
    throw new StrataError('BAD_ARGUMENT', `${found.folder} does not say what its run held out; give --data corpus=FILE`)
  }
  const { text } = await openRunData({ ...recipe, tasks: {} }, { ...options, tokenizerFolder: found.folder })
  const heldOut = text?.heldOut
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
    for (const config of model.config.heads) {
      const { name: head, kind } = config
      const labelled = packed.labels[head]
      if (!heads.includes(head) || !labelled || labelCount(labelled) === 0) continue
      const { tokenIds, probabilities } =
        kind === 'masked-lm'
          ? await likeliestTokens(model, packed, head)
          : kind === 'agreement'
            ? await likeliestChunks(model, packed, config)
            : await likelierClass(model, packed, head)
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

/** The chunk of the batch that each labelled chunk is attached to, -1 for none. */
async function likeliestChunks(model: Model, batch: PackedBatch, { name, relation }: AgreementHeadConfig) {
  const { offsets, probabilities } = (await model.agreements(batch))[relation]
  const { sentences } = batch.chunks!
  const rows = [...batch.labels[name].labels.entries()].flatMap(([chunk, label]) => {
    if (label === NO_LABEL) return []
    const row = probabilities.subarray(offsets[chunk], offsets[chunk + 1])
    const best = row.indexOf(Math.max(...row))
    const first = sentences.indexOf(sentences[chunk])
    return [{ chunk: best === row.length - 1 ? -1 : first + best, probability: row[best] }]
  })
  return {
    tokenIds: Int32Array.from(rows, ({ chunk }) => chunk),
    probabilities: Float32Array.from(rows, ({ probability }) => probability),
  }
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
