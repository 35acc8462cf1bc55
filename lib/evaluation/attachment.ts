/**
 * How well chunks are attached in one relation, beside two guesses without a model. Definitions are our choice (docs/dacbert.md):
 *
 * - accuracy: of the chunks that stand in the relation, the share whose head is the likeliest of all chunks (none left out);
 * - F1: of pairs over all chunks, where a chunk has a pair unless "none" is likelier than every chunk;
 * - `majority`: the distance in chunks that is the most frequent one in these very data, 0 where there is none;
 * - `nearest`: the nearest chunk that is no marker, on the side that is better in these very data.
 *
 * For F1 both guesses hold for every chunk that is no marker.
 */
import type { BatchChunks } from '../data/packed-batch.js'
import { NO_LABEL } from '../data/packed-batch.js'
import type { AgreementProbabilities } from '../model/index.js'
import { CHUNK_KINDS } from '../text/index.js'

export interface AttachmentGuess {
  accuracy: number
  f1: number
}

export interface AttachmentScores extends AttachmentGuess {
  /** Chunks that stand in the relation. */
  participants: number
  precision: number
  recall: number
  majority: AttachmentGuess & { distance: number }
  nearest: AttachmentGuess & { side: 'left' | 'right' }
}

const GUESS_FIGURES = ['accuracy', 'f1']

/** Every number in {@link AttachmentScores}, one inside another by both names. */
export const ATTACHMENT_FIGURES = [
  ...GUESS_FIGURES,
  'participants',
  'precision',
  'recall',
  ...[...GUESS_FIGURES, 'distance'].map((name) => `majority.${name}`),
  ...GUESS_FIGURES.map((name) => `nearest.${name}`),
]

const MARKER = CHUNK_KINDS.indexOf('marker')

/** Pairs that are said, and how many of them are right. */
interface Pairs {
  said: number
  right: number
}

/** One relation over all batches. */
export class AttachmentTally {
  #participants = 0
  #attached = 0
  readonly #model: Pairs = { said: 0, right: 0 }
  readonly #distances = new Map<number, Pairs>()
  readonly #nearest = { left: { said: 0, right: 0 }, right: { said: 0, right: 0 } }

  /** Adds a batch: its chunks, their labels and what the model says of them. */
  add({ sentences, kinds }: BatchChunks, labels: Int32Array, { offsets, probabilities }: AgreementProbabilities): void {
    const isMarker = (chunk: number): boolean => kinds?.[chunk] === MARKER
    for (let first = 0; first < sentences.length; ) {
      let end = first + 1
      while (end < sentences.length && sentences[end] === sentences[first]) end++
      for (let chunk = first; chunk < end; chunk++) {
        const label = labels[chunk]
        if (label === NO_LABEL) continue
        const row = probabilities.subarray(offsets[chunk], offsets[chunk + 1])
        this.#addChunk(chunk, label, row, first)
        if (!isMarker(chunk)) this.#addGuesses(chunk, label, first, end, isMarker)
      }
      first = end
    }
  }

  /** Undefined when no chunk stands in the relation. */
  finish(): AttachmentScores | undefined {
    const participants = this.#participants
    if (participants === 0) return undefined
    const guess = (pairs: Pairs): AttachmentGuess => ({ accuracy: pairs.right / participants, f1: this.#f1(pairs) })
    // Where markers alone stand in the relation, neither guess says a pair.
    const nothing: [number, Pairs] = [0, { said: 0, right: 0 }]
    const [distance, majority] = [...this.#distances].reduce(
      (best, other) => (other[1].right > best[1].right ? other : best),
      nothing,
    )
    const { left, right } = this.#nearest
    const side = left.right > right.right ? 'left' : 'right'
    return {
      participants,
      accuracy: this.#attached / participants,
      f1: this.#f1(this.#model),
      precision: this.#model.said === 0 ? 0 : this.#model.right / this.#model.said,
      recall: this.#model.right / participants,
      majority: { ...guess(majority), distance },
      nearest: { ...guess(this.#nearest[side]), side },
    }
  }

  #f1({ said, right }: Pairs): number {
    return (2 * right) / (said + this.#participants)
  }

  /** `row`: the sentence's chunks in order, the chunk itself with 0, then none. */
  #addChunk(chunk: number, label: number, row: Float32Array, first: number): void {
    const none = row.length - 1
    let best = -1
    for (let place = 0; place < none; place++) {
      if (place !== chunk - first && (best < 0 || row[place] > row[best])) best = place
    }
    const attaches = best >= 0 && row[best] > row[none]
    if (attaches) this.#model.said++
    if (label < 0) return
    this.#participants++
    if (best === label - first) this.#attached++
    if (attaches && best === label - first) this.#model.right++
  }

  #addGuesses(chunk: number, label: number, first: number, end: number, isMarker: (chunk: number) => boolean): void {
    for (let other = first; other < end; other++) {
      if (other === chunk) continue
      let pairs = this.#distances.get(other - chunk)
      if (!pairs) {
        pairs = { said: 0, right: 0 }
        this.#distances.set(other - chunk, pairs)
      }
      count(pairs, other === label)
    }
    let left = chunk - 1
    while (left >= first && isMarker(left)) left--
    if (left >= first) count(this.#nearest.left, left === label)
    let right = chunk + 1
    while (right < end && isMarker(right)) right++
    if (right < end) count(this.#nearest.right, right === label)
  }
}

function count(pairs: Pairs, isRight: boolean): void {
  pairs.said++
  if (isRight) pairs.right++
}
