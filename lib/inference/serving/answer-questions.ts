import { packSequences } from '../../data/packed-batch.js'
import type { Model } from '../../model/index.js'
import type { Question, Sequence } from './question.js'

/** One question about some sequences of a batch. */
export interface Asked<Row = unknown> {
  question: Question<Row>
  /** Their places in the batch. */
  places: readonly number[]
}

/** Rows of each question, one a sequence in the order of its places, all from one pass of the model over the sequences. */
export async function answerQuestions(
  model: Model,
  sequences: readonly Sequence[],
  asked: readonly Asked[],
): Promise<unknown[][]> {
  const batch = packSequences(sequences.map(({ tokenIds }) => tokenIds))
  sequences.forEach(({ segmentIds }, row) => {
    batch.segmentIds.set(segmentIds, batch.sequenceOffsets[row])
  })
  const { adapter } = asked[0].question
  const parts = asked.map(({ question, places }) => {
    const own = places.map((place) => sequences[place])
    return { question, places, own, offsets: offsetsOf(own) }
  })
  const answers = await model.answer(
    adapter === undefined ? batch : { ...batch, adapter },
    parts.map(({ question, places, own, offsets }) => ({
      ...question.ask(own, offsets),
      sequences: Int32Array.from(places),
    })),
  )
  return Promise.all(parts.map(({ question, own, offsets }, at) => question.read(answers[at], own, offsets, model)))
}

function offsetsOf(sequences: readonly Sequence[]): Int32Array {
  const offsets = new Int32Array(sequences.length + 1)
  sequences.forEach(({ tokenIds }, row) => {
    offsets[row + 1] = offsets[row] + tokenIds.length
  })
  return offsets
}
