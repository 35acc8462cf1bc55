import { packSequences } from '../../data/packed-batch.js'
import { embedQuestion } from '../embed.js'
import { maskQuestion } from '../fill-mask.js'
import { headQuestion } from '../head-question.js'
import type { LoadedParts } from '../loaded-parts.js'
import { answerQuestions } from './answer-questions.js'
import type { Question } from './question.js'

/** Short and long sequences, as many tokens as a batch has: what libtorch sets up at the first use of a shape is set up here. */
export async function warmUp({ model, tokenizer, tasks }: LoadedParts, maxBatchTokens: number): Promise<void> {
  const { maxPositions, layers, segmentTypes } = model.config.encoder
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
  const tokenIds = sequence(short)
  // A pair where the encoder reads pairs: some heads read nothing else.
  const segmentIds = new Int32Array(tokenIds.length).fill(segmentTypes > 1 ? 1 : 0, 2)
  const asked = { tokenIds, segmentIds, places: [1] }
  for (const question of questionsOf({ model, tasks }))
    await answerQuestions(model, [asked], [{ question, places: [0] }])
}

/** Every head that can be asked, through the adapters of its tasks, and vectors through every adapter and of every mix. */
function questionsOf({ model, tasks }: Pick<LoadedParts, 'model' | 'tasks'>): Question<unknown>[] {
  const { encoder, heads, adapters = [], mixes = [] } = model.config
  const asking = heads.flatMap((head): Question<unknown>[] => {
    if (head.kind === 'masked-lm') return [maskQuestion(model, head, Math.min(5, encoder.vocabSize), undefined)]
    if (!ASKED.has(head.kind) || (head.kind === 'san' && encoder.segmentTypes < 2)) return []
    const through = new Set(tasks.filter((task) => task.head === head.name).map(({ adapter }) => adapter))
    return [...(through.size > 0 ? through : [undefined])].map((adapter) => headQuestion(model, head, adapter))
  })
  return [
    ...asking,
    ...adapters.map(({ name }) => embedQuestion(model, { adapter: name })),
    ...mixes.map(({ name }) => embedQuestion(model, { layer: `mix:${name}` })),
  ]
}

const ASKED = new Set(['classifier', 'san', 'regressor', 'ranker', 'span', 'tagger', 'parser'])
