/** What the layers of a checkpoint do with text: one document of similarity, attention, mixes and gradients. */
import { readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import {
  type AttentionReading,
  attentionByHead,
  type LayerUnit,
  layerSimilarity,
  type SentenceReader,
} from '../evaluation/index.js'
import { type EncoderConfig, loadModel, type Model } from '../model/index.js'
import { Tokenizer } from '../text/index.js'
import {
  type GradientReading,
  type MixReading,
  readGradientNorms,
  readMixes,
  resolveCheckpoint,
  softwareVersions,
} from '../training/index.js'
import { encodeSentences, firstSentences } from './layer-sentences.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import { runtimeChoice } from './run-model.js'

export interface AnalyzeLayersOptions {
  /** Text files or folders of such. */
  corpus: string | readonly string[]
  /** Another checkpoint whose layers are compared with this one's. */
  against?: string
  /** How many sentences are read, from the start of the text; default 500. */
  sentences?: number
  /** What is compared between layers; default `token`. */
  unit?: LayerUnit
  /** What `probe` wrote for this checkpoint: the folder or its probes.json. */
  probes?: string
  device?: string
  precision?: ResolvedRecipe['precision']
  /** Most tokens that are computed at once; default 2048. */
  maxBatchTokens?: number
  signal?: AbortSignal
  onProgress?: (line: string) => void
}

/** Layers by name: `0` the embedding output, `l` the output of block l. */
export interface CkaReading {
  unit: LayerUnit
  rows: number
  chance: number
  /** Of the matrix's rows and columns. */
  names: string[]
  matrix: number[][]
}

export interface LayerAnalysis {
  format: 1
  checkpoint: string
  encoder: Pick<EncoderConfig, 'layers' | 'hiddenSize' | 'heads'>
  date: string
  versions: Record<string, string>
  data: { corpus: string[]; sentences: number; tokens: number }
  cka: CkaReading
  /** This checkpoint's layers are the rows, the other's the columns. */
  against?: Omit<CkaReading, 'names'> &
    Pick<LayerAnalysis, 'checkpoint' | 'encoder'> &
    Record<'rowNames' | 'columnNames', string[]>
  attention: AttentionReading['heads']
  /** Of a head that looks everywhere alike. */
  uniformAttention: AttentionReading['uniform']
  /** Learned shares of the layers. */
  mixes: Record<string, MixReading & { layers: number[] }>
  /** After the first and last step of each stage of the checkpoint's run; empty where it lies in no run or the log has none. */
  gradientNorms: GradientReading[]
  /** Of each probing task over the layers, as probes.json has them. */
  centroids?: Record<string, number>
  notes: string[]
}

/**
 * Reads text with a checkpoint and tells what its layers do. Throws what loading throws; BAD_DATA for text without sentences,
 * BAD_ARGUMENT when `against` cuts them into other tokens and the unit is the token.
 */
export async function analyzeLayers(checkpoint: string, options: AnalyzeLayersOptions): Promise<LayerAnalysis> {
  const { corpus, unit = 'token', sentences: wanted = 500, signal, onProgress } = options
  if (unit !== 'token' && unit !== 'sentence')
    throw new StrataError('BAD_ARGUMENT', `unit is ${JSON.stringify(unit)}; token or sentence was expected`)
  if (!Number.isInteger(wanted) || wanted < 1)
    throw new StrataError('BAD_ARGUMENT', `sentences is ${wanted}; a whole number of at least 1 was expected`)
  const centroids = options.probes === undefined ? undefined : await readCentroids(options.probes)
  const texts = await firstSentences(corpus, wanted, signal)
  await using left = await openEncoder(checkpoint, options)
  await using right = options.against === undefined ? undefined : await openEncoder(options.against, options)
  const encoders = right ? [left, right] : [left]
  const maxTokens = Math.min(...encoders.map(({ model }) => model.config.encoder.maxPositions))
  const read = await encodeSentences(
    texts,
    encoders.map(({ tokenizer }) => tokenizer),
    maxTokens,
  )
  const [own, other] = encoders.map(
    ({ folder, model, tokenizer }, index): SentenceReader => ({
      name: folder,
      model,
      tokenizer,
      sentences: read.sentences[index],
    }),
  )
  const reading = (what: string) => ({
    unit,
    signal,
    maxTokens: options.maxBatchTokens,
    onProgress: (done: number, of: number) => onProgress?.(`${what}: ${done} of ${of} sentences`),
  })
  // What may be refused comes first.
  const against = right && (await layerSimilarity(own, other, reading(`layers against ${right.folder}`)))
  const cka = await layerSimilarity(own, undefined, reading('layers'))
  const attention = await attentionByHead(own, reading('attention'))
  const names = layerNames(left.model)
  const notes = [...left.warnings, ...(right?.warnings ?? []), ...read.notes]
  if (texts.length < wanted) notes.push(`the text has ${texts.length} sentences only, ${wanted} were asked for`)
  return {
    format: 1,
    checkpoint: left.folder,
    encoder: shapeOf(left.model),
    date: new Date().toISOString(),
    versions: softwareVersions(),
    data: { corpus: [corpus].flat(), sentences: own.sentences.length, tokens: attention.tokens },
    cka: { ...cka, names },
    ...(right &&
      against && {
        against: {
          checkpoint: right.folder,
          encoder: shapeOf(right.model),
          ...against,
          rowNames: names,
          columnNames: layerNames(right.model),
        },
      }),
    attention: attention.heads,
    uniformAttention: attention.uniform,
    mixes: await mixesOf(left.model),
    gradientNorms: left.step === undefined ? [] : await readGradientNorms(left.folder, left.step),
    ...(centroids && { centroids }),
    notes,
  }
}

async function openEncoder(path: string, options: AnalyzeLayersOptions) {
  const { folder, step, warnings } = await resolveCheckpoint(path)
  const tokenizer = await Tokenizer.load(folder)
  const choice = runtimeChoice({ device: options.device ?? 'auto', precision: options.precision ?? 'fp32' })
  const { model } = await loadModel(folder, choice)
  return { folder, step, warnings, tokenizer, model, [Symbol.asyncDispose]: () => model.dispose() }
}

const shapeOf = ({ config }: Model): LayerAnalysis['encoder'] => {
  const { layers, hiddenSize, heads } = config.encoder
  return { layers, hiddenSize, heads }
}

const layerNames = ({ config }: Model): string[] =>
  Array.from({ length: config.encoder.layers + 1 }, (_, layer) => String(layer))

async function mixesOf(model: Model): Promise<LayerAnalysis['mixes']> {
  const readings = Object.entries((await readMixes(model)) ?? {})
  const top = model.config.encoder.layers
  return Object.fromEntries(
    // The top layer is always the last that takes part.
    readings.map(([name, mix]) => [
      name,
      { ...mix, layers: mix.weights.map((_, index) => top - mix.weights.length + 1 + index) },
    ]),
  )
}

/** The `summary.centroid` of a probe's output. */
async function readCentroids(path: string): Promise<Record<string, number>> {
  const given = resolve(path)
  const isFolder = await stat(given).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const file = isFolder ? join(given, 'probes.json') : given
  const text = await readFile(file, 'utf8').catch((error) => {
    throw fileError(error, file, "read the probes' output")
  })
  const bad = (what: string, cause?: unknown) =>
    new StrataError('BAD_FILE', `${file} ${what}; what stratabert probe writes was expected`, { cause })
  let found: { format?: unknown; summary?: { centroid?: Record<string, number> } } | null
  try {
    found = JSON.parse(text)
  } catch (error) {
    throw bad(`is not JSON (${(error as Error).message})`, error)
  }
  const centroid = found?.summary?.centroid
  if (found?.format !== 1 || typeof centroid !== 'object' || centroid === null) throw bad('has no summary.centroid')
  return centroid
}
