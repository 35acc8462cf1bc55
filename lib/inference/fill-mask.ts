/** What a masked-LM head would put in place of each [MASK]. */
import { StrataError } from '../errors.js'
import { type Model, type ModelConfig, tapLayer } from '../model/index.js'
import { shownValue } from '../shown-value.js'
import type { Tokenizer } from '../text/index.js'
import { positive, textList } from './check-arguments.js'
import { positionsOf } from './head-question.js'
import type { CallOptions, HeadOf, Session } from './loaded-parts.js'
import type { OptionKinds } from './own-arguments.js'
import { mapInTurns } from './pause.js'
import type { Question, Sequence } from './serving/question.js'

export interface FillMaskOptions extends CallOptions {
  /** Candidates per mask, most probable first; default 5. */
  topK?: number
  /** Masked-LM head to ask; default the only one, else the topmost. */
  head?: string
  /**
   * Gives the head the states of this layer (0 = embedding output) in place of its own: what the encoder would say there. Layers that the
   * head was not trained on come out less sure. Not with a head that reads a mix.
   */
  layer?: number
}

/** See {@link FillMaskOptions}. */
export const FILL_MASK_OPTIONS: OptionKinds<FillMaskOptions> = {
  signal: 'signal',
  topK: 'any',
  head: 'any',
  layer: 'any',
}

export interface MaskCandidate {
  token: string
  tokenId: number
  probability: number
}

/** One [MASK] of a text. */
export interface FilledMask {
  /** Index of the token in the encoded text, [CLS] = 0. */
  position: number
  candidates: MaskCandidate[]
}

/** The masks of each text. */
export async function fillMask(
  session: Session,
  texts: unknown,
  options: FillMaskOptions = {},
): Promise<FilledMask[][]> {
  const { model, tokenizer } = session.parts
  const { topK = 5, layer } = options
  positive('topK', topK)
  const list = textList(texts)
  const head = maskedLmHead(model.config, options.head)
  const { layers } = model.config.encoder
  if (layer !== undefined && !(Number.isInteger(layer) && layer >= 0 && layer <= layers))
    throw new StrataError('BAD_ARGUMENT', `layer came as ${shownValue(layer)}, expected 0 … ${layers}`)
  const wanted = Math.min(topK, tokenizer.specialTokens.vocabSize)
  const question = maskQuestion(model, head, wanted, layer)
  const blocks = await session.inBlocks(
    list,
    ({ length }) => length,
    async (block, inputs, first) => {
      const sequences = await maskedSequences(block, inputs, typeof texts === 'string' ? undefined : first)
      const [rows] = await block.compute([question], sequences)
      return mapInTurns(rows, (row, index) => filledMasks(tokenizer, sequences[index].places, row, wanted))
    },
  )
  return blocks.flat()
}

/**
 * Whole texts with the places of their masks. `first`: place of the first text in the caller's list; undefined for a text of its own. Throws
 * BAD_ARGUMENT for a text that is too long or has no mask.
 */
async function maskedSequences(
  session: Session,
  texts: readonly string[],
  first: number | undefined,
): Promise<(Sequence & { places: readonly number[] })[]> {
  const { model, tokenizer } = session.parts
  const maxTokens = model.config.encoder.maxPositions
  const { maskId } = tokenizer.specialTokens
  const wrong = (index: number, problem: string): StrataError => {
    if (first === undefined) return new StrataError('BAD_ARGUMENT', `the text ${problem}`)
    const details = { index: first + index }
    return new StrataError('BAD_ARGUMENT', `texts[${first + index}] ${problem}`, { details })
  }
  return (await session.encode(texts, { maxTokens })).map((encoded, index) => {
    if (encoded.truncated) throw wrong(index, `has more than ${maxTokens} tokens; shorten it`)
    const places = [...encoded.tokenIds].flatMap((id, place) => (id === maskId ? [place] : []))
    if (places.length === 0)
      throw wrong(index, `has no ${tokenizer.idToToken(maskId)}: write it where a word is to be filled in`)
    return { ...encoded, places }
  })
}

function filledMasks(tokenizer: Tokenizer, places: readonly number[], row: MaskRow, topK: number): FilledMask[] {
  return places.map((position, mask) => ({
    position,
    candidates: Array.from(row.tokenIds.subarray(mask * topK, (mask + 1) * topK), (tokenId, column) => ({
      token: tokenizer.idToToken(tokenId) ?? `[unused:${tokenId}]`,
      tokenId,
      probability: row.probabilities[mask * topK + column],
    })),
  }))
}

/** Of one sequence with M masks; both (M, topK). */
interface MaskRow {
  tokenIds: Int32Array
  probabilities: Float32Array
}

/** What a masked-LM head says at the masks of each sequence. */
export function maskQuestion(
  { config }: Model,
  { name: head, tap }: HeadOf<'masked-lm'>,
  topK: number,
  layer: number | undefined,
): Question<MaskRow> {
  return {
    key: `masks ${JSON.stringify([head, topK, layer])}`,
    adapter: undefined,
    depth: Math.max(tapLayer(tap, config.encoder.layers), layer ?? 0),
    ask(sequences, offsets) {
      const positions = positionsOf(sequences, offsets)
      return { kind: 'masks', head, positions, topK, ...(layer !== undefined && { layer }) }
    },
    read([{ values: tokenIds }, { values: probabilities }], sequences) {
      let next = 0
      return sequences.map(({ places = [] }): MaskRow => {
        const first = next
        next += places.length * topK
        return {
          tokenIds: tokenIds.subarray(first, next) as Int32Array,
          probabilities: probabilities.subarray(first, next) as Float32Array,
        }
      })
    },
  }
}

function maskedLmHead(config: ModelConfig, name: string | undefined): HeadOf<'masked-lm'> {
  const { layers } = config.encoder
  const heads = config.heads.filter((head) => head.kind === 'masked-lm')
  const head =
    name === undefined
      ? [...heads].sort((a, b) => tapLayer(b.tap, layers) - tapLayer(a.tap, layers))[0]
      : heads.find((one) => one.name === name)
  if (head) return head
  const known = heads.map((one) => one.name).join(', ')
  throw new StrataError(
    'UNSUPPORTED',
    name === undefined || !known
      ? 'this checkpoint has no masked-LM head, which fill-mask needs; use one that was trained with masked LM'
      : `no masked-LM head is named ${shownValue(name)}; the checkpoint has ${known}`,
  )
}
