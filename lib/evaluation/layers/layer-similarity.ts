/**
 * How alike the layers of one encoder are, or those of two: linear CKA (Kornblith et al. 2019, arXiv 1905.00414, §3) over the same
 * tokens or sentences. Which rows count is our choice: tokens without [CLS] and [SEP], whose few far-off states would decide the
 * figure; or a sentence's mean over all its tokens.
 */
import { setImmediate } from 'node:timers/promises'
import type { PackedBatch } from '../../data/packed-batch.js'
import { StrataError } from '../../errors.js'
import type { Values } from '../../model/index.js'
import { LayerCka } from './layer-cka.js'
import { type ReadingOptions, readBatches, type SentenceReader } from './sentence-reader.js'

export type LayerUnit = 'token' | 'sentence'

export interface LayerSimilarity {
  unit: LayerUnit
  /** Tokens or sentences that were compared. */
  rows: number
  /** CKA[layer][other layer], layers 0 … L. NaN where a layer's states are all the same or not finite. */
  matrix: number[][]
  /**
   * About what unrelated states would get: of independent isotropic normal ones √(p q / ((n + p)(n + q))) for n rows of widths p and q.
   * The estimate is biased upwards by that much; more rows lower it.
   */
  chance: number
}

export interface SimilarityOptions extends ReadingOptions {
  /** Default `token`. */
  unit?: LayerUnit
}

/**
 * CKA of each layer of `left` with each of `right`, or of `left` itself. By tokens both must cut every sentence alike: BAD_ARGUMENT
 * names the first that differs. Widths and numbers of layers may differ. BAD_DATA when there are fewer than two rows.
 */
export async function layerSimilarity(
  left: SentenceReader,
  right: SentenceReader | undefined,
  options: SimilarityOptions = {},
): Promise<LayerSimilarity> {
  const { unit = 'token' } = options
  if (right && unit === 'token') checkSameTokens(left, right)
  const readers = right ? [left, right] : [left]
  const widths = readers.map(({ model }) => model.config.encoder.hiddenSize)
  const layerWidths = readers.map(({ model }, side) => Array(model.config.encoder.layers + 1).fill(widths[side]))
  await using table = await LayerCka.open(layerWidths[0], layerWidths[1])
  for await (const batches of readBatches(readers, options)) {
    const blocks: Float64Array[][] = []
    for (const [side, reader] of readers.entries()) {
      const rowsOf = unit === 'token' ? tokenRows(batches[side], reader) : sentenceRows(batches[side])
      const states = await reader.model.hiddenStates(batches[side])
      const layers: Float64Array[] = []
      for (const layer of states) {
        layers.push(rowsOf(layer, widths[side]))
        await setImmediate()
      }
      blocks.push(layers)
    }
    await table.add(blocks[0], blocks[1])
  }
  const { rows } = table
  if (rows < 2)
    throw new StrataError('BAD_DATA', `${rows} ${unit}s came, at least 2 are needed to compare layers; give more text`)
  const [p, q] = [widths[0], widths[1] ?? widths[0]]
  return { unit, rows, matrix: await table.values(), chance: Math.sqrt((p * q) / ((rows + p) * (rows + q))) }
}

type RowsOf = (states: Values, width: number) => Float64Array

/** One row a token that is neither [CLS] nor [SEP]. */
function tokenRows({ tokenIds }: PackedBatch, { tokenizer }: SentenceReader): RowsOf {
  const { clsId, sepId } = tokenizer.specialTokens
  const places = [...tokenIds.keys()].filter((place) => tokenIds[place] !== clsId && tokenIds[place] !== sepId)
  return (states, width) => {
    const rows = new Float64Array(places.length * width)
    for (const [row, place] of places.entries())
      rows.set(states.subarray(place * width, (place + 1) * width), row * width)
    return rows
  }
}

/** One row a sentence: the mean of its tokens' states, special ones among them. */
function sentenceRows({ sequenceOffsets }: PackedBatch): RowsOf {
  return (states, width) => {
    const rows = new Float64Array((sequenceOffsets.length - 1) * width)
    for (let row = 0; row + 1 < sequenceOffsets.length; row++) {
      const [start, end] = [sequenceOffsets[row], sequenceOffsets[row + 1]]
      for (let place = start; place < end; place++)
        for (let unit = 0; unit < width; unit++)
          rows[row * width + unit] += states[place * width + unit] / (end - start)
    }
    return rows
  }
}

/** Two tokenizers may give the same pieces other ids: the pieces count. */
function checkSameTokens(left: SentenceReader, right: SentenceReader): void {
  const sameIds = left.tokenizer.fingerprint === right.tokenizer.fingerprint
  const piece = ({ tokenizer }: SentenceReader, id: number) => (sameIds ? id : tokenizer.idToToken(id))
  for (const [index, { tokenIds, place }] of left.sentences.entries()) {
    const other = right.sentences[index]?.tokenIds ?? []
    const same =
      tokenIds.length === other.length && tokenIds.every((id, at) => piece(left, id) === piece(right, other[at]))
    if (same) continue
    const shown = (reader: SentenceReader, ids: ArrayLike<number>) =>
      Array.from({ length: Math.min(8, ids.length - 2) }, (_, at) => reader.tokenizer.idToToken(ids[at + 1])).join(' ')
    throw new StrataError(
      'BAD_ARGUMENT',
      `${place}: ${left.name} and ${right.name} cut sentence ${index + 1} differently (${shown(left, tokenIds)} … and ${shown(right, other)} …), the same tokens were expected: compare by sentence (--unit sentence)`,
      { details: { sentence: index } },
    )
  }
}
