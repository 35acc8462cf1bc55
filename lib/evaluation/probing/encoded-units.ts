/** Texts of a {@link UnitPlan} as token ids, and the tokens of each unit in them. */
import type { EncodedText, Tokenizer } from '../../text/index.js'
import type { PlannedUnit, UnitPlan } from './units.js'

/** How a sentence becomes one vector: the mean over all its tokens, [CLS] and [SEP] included, or the state of [CLS]. */
export type ProbePooling = 'mean' | 'cls'

export interface EncodedUnits {
  /** The tokens of each text, [CLS] … [SEP]. */
  sequences: { tokenIds: Int32Array; units: { unit: number; start: number; end: number }[] }[]
  /** How many units the plan has. */
  unitCount: number
  tokens: number
  /** Texts that were cut at the encoder's positions. */
  cut: number
}

/** Texts that are tokenised together; between blocks the event loop runs. */
const TEXTS_PER_BLOCK = 2048

/**
 * Words without a piece of their own (nothing but characters that the tokenizer drops), and those behind the cut of a text that is too
 * long, get no place: their unit is missing in the result.
 */
export async function encodeUnits(
  plan: UnitPlan,
  tokenizer: Tokenizer,
  options: { maxTokens: number; pooling: ProbePooling; onProgress?: (done: number, total: number) => void },
): Promise<EncodedUnits> {
  const result: EncodedUnits = { sequences: [], unitCount: plan.count, tokens: 0, cut: 0 }
  const texts = [...plan.texts]
  for (let first = 0; first < texts.length; first += TEXTS_PER_BLOCK) {
    const block = texts.slice(first, first + TEXTS_PER_BLOCK)
    options.onProgress?.(first, texts.length)
    const plain = block.filter(([, units]) => units.every(({ characters }) => !characters))
    const worded = block.filter(([, units]) => units.some(({ characters }) => characters))
    const encoded = await tokenizer.encodeBatch(
      plain.map(([text]) => text),
      { maxTokens: options.maxTokens },
    )
    plain.forEach(([, units], index) => {
      add(result, encoded[index], units, options.pooling)
    })
    const { clsId, sepId } = tokenizer.specialTokens
    const room = options.maxTokens - 2
    const withOffsets = await tokenizer.encodeWithOffsets(worded.map(([text]) => text))
    worded.forEach(([, units], index) => {
      const { tokenIds, starts, ends } = withOffsets[index]
      const kept = Math.min(tokenIds.length, room)
      const sequence = Int32Array.of(clsId, ...tokenIds.subarray(0, kept), sepId)
      add(result, { tokenIds: sequence, truncated: kept < tokenIds.length }, units, options.pooling, { starts, ends })
    })
  }
  return result
}

function add(
  result: EncodedUnits,
  { tokenIds, truncated }: Pick<EncodedText, 'tokenIds' | 'truncated'>,
  units: readonly PlannedUnit[],
  pooling: ProbePooling,
  offsets?: { starts: Int32Array; ends: Int32Array },
): void {
  const placed = units.flatMap(({ unit, characters }) => {
    if (!characters) return [{ unit, start: 0, end: pooling === 'cls' ? 1 : tokenIds.length }]
    const [start, end] = piecesOf(characters, offsets!, tokenIds.length - 2)
    // Behind [CLS].
    return end > start ? [{ unit, start: start + 1, end: end + 1 }] : []
  })
  result.sequences.push({ tokenIds, units: placed })
  result.tokens += tokenIds.length
  if (truncated) result.cut++
}

/** The pieces that share a character with the word; a word that is cut in the middle is none. */
function piecesOf(
  [from, to]: [number, number],
  { starts, ends }: { starts: Int32Array; ends: Int32Array },
  kept: number,
): [start: number, end: number] {
  let start = 0
  while (start < starts.length && ends[start] <= from) start++
  let end = start
  while (end < starts.length && starts[end] < to) end++
  return end <= kept ? [start, end] : [0, 0]
}
