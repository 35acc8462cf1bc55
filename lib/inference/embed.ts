/** Vectors of texts. */
import { StrataError } from '../errors.js'
import type { Model } from '../model/index.js'
import { shownValue } from '../shown-value.js'
import type { EncodedText } from '../text/index.js'
import { textList, tokenLimit } from './check-arguments.js'
import type { CallOptions, Session } from './loaded-parts.js'
import { findMix, layersOf, mixedVectors } from './mixed-states.js'
import type { OptionKinds } from './own-arguments.js'
import { ownRows } from './own-rows.js'
import type { Question, Sequence } from './serving/question.js'

export interface EmbedOptions extends CallOptions {
  /** How token states become one vector; default `mean`. */
  pooling?: 'mean' | 'cls' | 'max'
  /**
   * 0 = embedding output, l = output of block l; default the top layer. Blocks above it are not computed. `mix` = the learned mix
   * of layers, or `mix:NAME` where there are several.
   */
  layer?: number | 'mix' | `mix:${string}`
  /** Scales each vector to unit length; default false. */
  normalize?: boolean
  /** Longest input in tokens, [CLS] and [SEP] included; default and limit: the encoder's positions. */
  maxTokens?: number
  /** True (default) cuts longer texts and lists them in `truncated`; false refuses them. */
  truncate?: boolean
  /** Name of an adapter that the texts run through; default none. */
  adapter?: string
}

/** See {@link EmbedOptions}. */
export const EMBED_OPTIONS: OptionKinds<EmbedOptions> = {
  signal: 'signal',
  pooling: 'any',
  layer: 'any',
  normalize: 'flag',
  maxTokens: 'any',
  truncate: 'flag',
  adapter: 'any',
}

/** Vectors of N texts in input order. */
export interface Embeddings {
  /** N vectors of `dimension` numbers: views of arrays that this call alone holds, one for each batch it had a part in. */
  vectors: Float32Array[]
  dimension: number
  /** Tokens computed, special tokens included. */
  tokenCount: number
  /** Indices of the texts that were cut at `maxTokens`. */
  truncated: number[]
}

export async function embed(session: Session, texts: unknown, options: EmbedOptions): Promise<Embeddings> {
  const { model } = session.parts
  const question = embedQuestion(model, options)
  const list = textList(texts)
  const blocks = await session.inBlocks(
    list,
    ({ length }) => length,
    async (block, inputs, first) => {
      const encoded = await encodeWhole(block, inputs, options, first)
      const [vectors] = await block.compute([question], encoded)
      return { encoded, vectors }
    },
  )
  const encoded = blocks.length === 1 ? blocks[0].encoded : blocks.flatMap((block) => block.encoded)
  return {
    vectors: blocks.length === 1 ? blocks[0].vectors : blocks.flatMap(({ vectors }) => vectors),
    dimension: model.config.encoder.hiddenSize,
    tokenCount: encoded.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
    truncated: encoded.flatMap(({ truncated }, index) => (truncated ? [index] : [])),
  }
}

/** Throws BAD_ARGUMENT for a layer, pooling, mix or adapter that there is not. */
export function embedQuestion(model: Model, options: EmbedOptions): Question<Float32Array> {
  const { layers, hiddenSize } = model.config.encoder
  const { layer = layers, pooling = 'mean', normalize = false, adapter } = options
  const mix = isMix(layer) ? findMix(model, mixName(layer)) : undefined
  if (!mix && (!Number.isInteger(layer) || (layer as number) < 0 || (layer as number) > layers))
    throw new StrataError('BAD_ARGUMENT', `layer came as ${shownValue(layer)}, expected 0 … ${layers}`)
  if (!['mean', 'cls', 'max'].includes(pooling))
    throw new StrataError('BAD_ARGUMENT', `pooling came as ${shownValue(pooling)}, expected mean, cls or max`)
  checkAdapter(model, adapter)
  const rowsOf = (vectors: Float32Array, sequences: readonly Sequence[]): Float32Array[] =>
    sequences.map((_, row) => vectors.subarray(row * hiddenSize, (row + 1) * hiddenSize))
  const known = {
    key: `vectors ${JSON.stringify([layer, pooling, normalize])}`,
    adapter,
    depth: mix ? layers : (layer as number),
    own: ownRows,
  }
  if (mix) {
    return {
      ...known,
      ask: () => ({ kind: 'states', layers: layersOf(mix, layers) }),
      read: async (answer, sequences, offsets, running) =>
        rowsOf(await mixedVectors(running, answer, offsets, mix, { pooling, normalize }), sequences),
    }
  }
  return {
    ...known,
    ask: () => ({ kind: 'vectors', layer: layer as number, pooling, normalize }),
    read: ([{ values }], sequences) => rowsOf(values as Float32Array, sequences),
  }
}

/** Texts as sequences; refuses long ones where they may not be cut. `first`: place of the first in the caller's list. */
export async function encodeWhole(
  session: Session,
  texts: readonly string[],
  options: Pick<EmbedOptions, 'maxTokens' | 'truncate'>,
  first: number,
): Promise<EncodedText[]> {
  const maxTokens = wholeLimit(session, options)
  return checkWhole(await session.encode(texts, { maxTokens }), maxTokens, options, first)
}

/** Tokens that a text may have; default: the encoder's positions. */
export function wholeLimit({ parts }: Session, { maxTokens }: Pick<EmbedOptions, 'maxTokens'>): number {
  const positions = parts.model.config.encoder.maxPositions
  return tokenLimit(maxTokens ?? positions, positions)
}

/** Throws BAD_ARGUMENT for a text that was cut where it may not be. */
export function checkWhole(
  encoded: EncodedText[],
  maxTokens: number,
  { truncate = true }: Pick<EmbedOptions, 'truncate'>,
  first: number,
): EncodedText[] {
  const tooLong = truncate ? -1 : encoded.findIndex((text) => text.truncated)
  if (tooLong < 0) return encoded
  const index = first + tooLong
  throw new StrataError(
    'BAD_ARGUMENT',
    `texts[${index}] has more than ${maxTokens} tokens; shorten it, or let embed cut it with truncate: true`,
    { details: { index, maxTokens } },
  )
}

export function checkAdapter(model: Model, name: string | undefined): void {
  if (name === undefined) return
  const known = (model.config.adapters ?? []).map((adapter) => adapter.name)
  if (known.includes(name)) return
  throw new StrataError(
    'BAD_ARGUMENT',
    known.length === 0
      ? `adapter came as ${shownValue(name)}; this model has none, leave it out or load one with adapterFolders`
      : `adapter came as ${shownValue(name)}, expected one of ${known.join(', ')}`,
  )
}

/** All that follows the colon of `mix:NAME`. */
function mixName(layer: string): string | undefined {
  return layer === 'mix' ? undefined : layer.slice('mix:'.length)
}

function isMix(layer: unknown): layer is string {
  return typeof layer === 'string' && /^mix(:.+)?$/.test(layer)
}
