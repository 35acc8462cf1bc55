/** What the submodels of agreements say of a text: to which chunk each chunk of a sentence attaches in each relation. */
import { packSequences } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import type { Model } from '../model/index.js'
import type { Tokenizer } from '../text/index.js'

/** One sentence of C chunks. */
export interface AgreementMap {
  /** As they stand in the text. */
  chunks: string[]
  /** By relation: for each chunk the probabilities of the C chunks (its own is 0) and of none; shape (C, C + 1). */
  relations: Record<string, number[][]>
}

/**
 * The maps of a text's sentences. Throws UNSUPPORTED for a model without agreements, BAD_ARGUMENT for a text without a word or with more
 * tokens than the model takes.
 */
export async function agreementMaps(model: Model, tokenizer: Tokenizer, text: string): Promise<AgreementMap[]> {
  const { agreements, encoder } = model.config
  if (!agreements) {
    throw new StrataError(
      'UNSUPPORTED',
      'this checkpoint has no agreements; use one that the recipe dacbert has trained',
    )
  }
  const [{ tokenIds, starts, ends }] = await tokenizer.encodeWithOffsets([text])
  if (tokenIds.length === 0) throw new StrataError('BAD_ARGUMENT', 'the text has no word; a sentence was expected')
  const room = encoder.maxPositions - 2
  if (tokenIds.length > room) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `the text has ${tokenIds.length} tokens, at most ${room} were expected; shorten it`,
    )
  }
  const { clsId, sepId } = tokenizer.specialTokens
  const batch = model.prepared(packSequences([Int32Array.of(clsId, ...tokenIds, sepId)]))
  const said = await model.agreements(batch)
  const { ids, sentences } = batch.chunks!
  const spans = Array.from(sentences, () => ({ start: text.length, end: 0 }))
  tokenIds.forEach((_, token) => {
    const span = spans[ids[token + 1]]
    if (!span) return
    span.start = Math.min(span.start, starts[token])
    span.end = Math.max(span.end, ends[token])
  })
  const maps: AgreementMap[] = []
  for (let first = 0; first < sentences.length; ) {
    const last = sentences.lastIndexOf(sentences[first])
    const members = Array.from({ length: last + 1 - first }, (_, index) => first + index)
    const relations = agreements.relations.map((relation): [string, number[][]] => {
      const { offsets, probabilities } = said[relation]
      return [relation, members.map((chunk) => [...probabilities.subarray(offsets[chunk], offsets[chunk + 1])])]
    })
    maps.push({
      chunks: members.map((chunk) => text.slice(spans[chunk].start, spans[chunk].end)),
      relations: Object.fromEntries(relations),
    })
    first = last + 1
  }
  return maps
}
