/** Vectors of texts. */
import { StrataError } from '../errors.js'
import type { Model } from '../model/index.js'
import { shownValue } from '../shown-value.js'
import type { EncodedText } from '../text/index.js'
import { textList, tokenLimit } from './check-arguments.js'
import type { CallOptions, Session } from './loaded-parts.js'
import { embedMix, findMix } from './mixed-states.js'
import { ownRows } from './own-rows.js'
import type { Work } from './serving/work.js'

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
  const work = embedWork(model, options)
  const list = textList(texts)
  const blocks = await session.inBlocks(
    list,
    ({ length }) => length,
    async (block, inputs, first) => {
      const encoded = await encodeWhole(block, inputs, options, first)
      return { encoded, vectors: await block.compute(work, encoded) }
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
export function embedWork(model: Model, options: EmbedOptions): Work<Float32Array> {
  const { layers, hiddenSize } = model.config.encoder
  const { layer = layers, pooling = 'mean', normalize = false, adapter } = options
  const mix = isMix(layer) ? findMix(model, layer.split(':', 2)[1]) : undefined
  if (!mix && (!Number.isInteger(layer) || (layer as number) < 0 || (layer as number) > layers))
    throw new StrataError('BAD_ARGUMENT', `layer came as ${shownValue(layer)}, expected 0 … ${layers}`)
  if (!['mean', 'cls', 'max'].includes(pooling))
    throw new StrataError('BAD_ARGUMENT', `pooling came as ${shownValue(pooling)}, expected mean, cls or max`)
  checkAdapter(model, adapter)
  return {
    kind: `embed ${JSON.stringify([layer, pooling, normalize, adapter])}`,
    async run(running, plain, sequences) {
      const batch = adapter === undefined ? plain : { ...plain, adapter }
      const vectors = mix
        ? await embedMix(running, batch, mix, { pooling, normalize })
        : await running.embed(batch, { layer: layer as number, pooling, normalize })
      return sequences.map((_, row) => vectors.subarray(row * hiddenSize, (row + 1) * hiddenSize))
    },
    own: ownRows,
  }
}

/** Texts as sequences; refuses long ones where they may not be cut. `first`: place of the first in the caller's list. */
export async function encodeWhole(
  session: Session,
  texts: readonly string[],
  { maxTokens: asked, truncate = true }: Pick<EmbedOptions, 'maxTokens' | 'truncate'>,
  first: number,
): Promise<EncodedText[]> {
  const positions = session.parts.model.config.encoder.maxPositions
  const maxTokens = tokenLimit(asked ?? positions, positions)
  const encoded = await session.encode(texts, { maxTokens })
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

function isMix(layer: unknown): layer is string {
  return typeof layer === 'string' && /^mix(:.+)?$/.test(layer)
}
