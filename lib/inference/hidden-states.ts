/** States of every token at chosen layers. */
import { StrataError } from '../errors.js'
import type { Values } from '../model/index.js'
import { shownValue } from '../shown-value.js'
import { textList } from './check-arguments.js'
import { checkAdapter, encodeWhole } from './embed.js'
import type { CallOptions, Session } from './loaded-parts.js'
import type { OptionKinds } from './own-arguments.js'
import { ownRows } from './own-rows.js'
import type { Question } from './serving/question.js'

export interface HiddenStatesOptions extends CallOptions {
  /** Layers to read: 0 = embedding output, l = output of block l. Blocks above the highest are not computed. */
  layers: readonly number[]
  /** Longest input in tokens, [CLS] and [SEP] included; default and limit: the encoder's positions. */
  maxTokens?: number
  /** True (default) cuts longer texts; false refuses them. */
  truncate?: boolean
  /** Name of an adapter that the texts run through; default none. */
  adapter?: string
}

/** See {@link HiddenStatesOptions}. */
export const HIDDEN_STATES_OPTIONS: OptionKinds<HiddenStatesOptions> = {
  signal: 'signal',
  layers: 'any',
  maxTokens: 'any',
  truncate: 'flag',
  adapter: 'any',
}

/** States of one text of S tokens. */
export interface TokenStates {
  /** Token ids, special tokens included, shape (S). */
  tokenIds: Int32Array
  /** The same as written in the vocabulary, (S). */
  tokens: string[]
  /** For each asked layer (S, H) row-major: Float32Array, in precision fp64 Float64Array. */
  states: Values[]
  /** True when the text was cut at `maxTokens`. */
  truncated: boolean
}

export async function hiddenStates(
  session: Session,
  texts: unknown,
  options: HiddenStatesOptions,
): Promise<TokenStates[]> {
  const { tokenizer } = session.parts
  const question = statesQuestion(session, options)
  const blocks = await session.inBlocks(
    textList(texts),
    ({ length }) => length,
    async (block, inputs, first) => {
      const encoded = await encodeWhole(block, inputs, options, first)
      const [rows] = await block.compute([question], encoded)
      return encoded.map(({ tokenIds, truncated }, index): TokenStates => {
        const tokens = Array.from(tokenIds, (id) => tokenizer.idToToken(id) ?? `[unused:${id}]`)
        return { tokenIds, tokens, states: rows[index], truncated }
      })
    },
  )
  return blocks.flat()
}

function statesQuestion({ parts: { model } }: Session, options: HiddenStatesOptions): Question<Values[]> {
  const { layers: top, hiddenSize } = model.config.encoder
  const { layers, adapter } = options ?? {}
  if (
    !Array.isArray(layers) ||
    layers.length === 0 ||
    !layers.every((l) => Number.isInteger(l) && l >= 0 && l <= top)
  ) {
    throw new StrataError('BAD_ARGUMENT', `layers came as ${shownValue(layers)}, expected a list of 0 … ${top}`)
  }
  checkAdapter(model, adapter)
  return {
    key: `states ${JSON.stringify(layers)}`,
    adapter,
    depth: Math.max(...layers),
    ask: () => ({ kind: 'states', layers: Int32Array.from(layers) }),
    read: (answer, sequences, offsets) =>
      sequences.map((_, row) => {
        const [from, to] = [offsets[row] * hiddenSize, offsets[row + 1] * hiddenSize]
        return answer.map(({ values }) => (values as Values).subarray(from, to))
      }),
    own: (rows) => {
      const owned = ownRows(rows.flat())
      return rows.map((row, index) => owned.slice(index * row.length, (index + 1) * row.length))
    },
  }
}
