import { packSequences } from '../../data/packed-batch.js'
import { headQuestion } from '../head-question.js'
import type { LoadedParts } from '../loaded-parts.js'
import { answerQuestions } from './answer-questions.js'

/** Short and long sequences, as many tokens as a batch has: what libtorch sets up at the first use of a shape is set up here. */
export async function warmUp({ model, tokenizer }: LoadedParts, maxBatchTokens: number): Promise<void> {
  const { maxPositions, layers } = model.config.encoder
  const { clsId, sepId, unkId } = tokenizer.specialTokens
  const sequence = (tokens: number): Int32Array => {
    const ids = new Int32Array(Math.max(3, tokens)).fill(unkId)
    ids[0] = clsId
    ids[ids.length - 1] = sepId
    return ids
  }
  const short = Math.min(8, maxPositions)
  const long = Math.min(128, maxPositions, Math.max(short, maxBatchTokens))
  for (const tokens of [short, long]) await model.embed(packSequences([sequence(tokens)]), { layer: layers })
  const count = Math.max(1, Math.floor(maxBatchTokens / long))
  await model.embed(packSequences(Array.from({ length: count }, () => sequence(long))), { layer: layers })
  const heads = model.config.heads.filter(({ kind }) => ASKED.has(kind))
  // A pair: some heads read nothing else.
  const tokenIds = sequence(short)
  const asked = { tokenIds, segmentIds: new Int32Array(tokenIds.length).fill(1, 2), places: [1] }
  for (const head of heads)
    await answerQuestions(model, [asked], [{ question: headQuestion(model, head, undefined), places: [0] }])
}

const ASKED = new Set(['classifier', 'san', 'regressor', 'ranker', 'span', 'tagger', 'parser'])
