/** What a masked-LM head would put in place of each [MASK]. */
import { StrataError } from '../errors.js'
import { type ModelConfig, tapLayer } from '../model/index.js'
import { checkText, positive } from './check-arguments.js'
import type { LoadedParts } from './loaded-parts.js'
import { packTexts } from './packed-texts.js'

export interface FillMaskOptions {
  /** Candidates per mask, most probable first; default 5. */
  topK?: number
  /** Masked-LM head to ask; default the only one, else the topmost. */
  head?: string
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

export async function fillMask(
  { model, tokenizer, maxBatchTokens }: LoadedParts,
  text: string,
  options: FillMaskOptions = {},
): Promise<FilledMask[]> {
  const { topK = 5 } = options
  positive('topK', topK)
  checkText('text', text)
  const head = maskedLmHead(model.config, options.head)
  const maxTokens = model.config.encoder.maxPositions
  const encoded = await tokenizer.encode(text, { maxTokens })
  if (encoded.truncated) {
    throw new StrataError('BAD_ARGUMENT', `the text has more than ${maxTokens} tokens; shorten it`)
  }
  const { maskId, vocabSize } = tokenizer.specialTokens
  const positions = Int32Array.from([...encoded.tokenIds].flatMap((id, index) => (id === maskId ? [index] : [])))
  if (positions.length === 0) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `the text has no ${tokenizer.idToToken(maskId)}: write it where a word is to be filled in`,
    )
  }
  const wanted = Math.min(topK, vocabSize)
  const [{ batch }] = packTexts([encoded], maxBatchTokens)
  const { tokenIds, probabilities } = await model.predictMasked(batch, head, positions, wanted)
  return [...positions].map((position, row) => ({
    position,
    candidates: [...tokenIds.subarray(row * wanted, (row + 1) * wanted)].map((tokenId, column) => ({
      token: tokenizer.idToToken(tokenId) ?? `[unused:${tokenId}]`,
      tokenId,
      probability: probabilities[row * wanted + column],
    })),
  }))
}

function maskedLmHead(config: ModelConfig, name: string | undefined): string {
  const { layers } = config.encoder
  const heads = config.heads.filter((head) => head.kind === 'masked-lm')
  const head =
    name === undefined
      ? [...heads].sort((a, b) => tapLayer(b.tap, layers) - tapLayer(a.tap, layers))[0]
      : heads.find((one) => one.name === name)
  if (head) return head.name
  const known = heads.map((one) => one.name).join(', ')
  throw new StrataError(
    'UNSUPPORTED',
    name === undefined || !known
      ? 'this checkpoint has no masked-LM head, which fill-mask needs; use one that was trained with masked LM'
      : `no masked-LM head is named "${name}"; the checkpoint has ${known}`,
  )
}
