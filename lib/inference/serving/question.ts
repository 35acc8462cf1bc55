import type { AskedOfModel, Model, ModelAnswer } from '../../model/index.js'

/** One sequence of S tokens that a model computes. */
export interface Sequence {
  /** Token ids, shape (S). */
  tokenIds: Int32Array
  /** Shape (S). */
  segmentIds: Int32Array
  /** Places in the sequence that a head is asked about: first pieces of words, masks. */
  places?: readonly number[]
}

/**
 * What a call asks about its sequences. Questions of any kinds share a pass of the encoder when they run the same layers through the same
 * adapter, and those of one key share an answer. B sequences lie end to end: `offsets` (B + 1) says where each begins.
 */
export interface Question<Row> {
  /** Equal for questions that ask the same: same head, or same layer and pooling. */
  readonly key: string
  /** The adapter that the sequences run through; a batch has one, or none. */
  readonly adapter: string | undefined
  /** The highest layer that is read. Tokens of which less is asked do not run further for their neighbours' sake. */
  readonly depth: number
  ask(sequences: readonly Sequence[], offsets: Int32Array): AskedOfModel
  /** One row a sequence; rows may be views of one array. */
  read(answer: ModelAnswer, sequences: readonly Sequence[], offsets: Int32Array, model: Model): Row[] | Promise<Row[]>
  /**
   * A call's rows in memory of its own. Asked when several calls shared an answer and rows reach them, so that no call
   * holds, transfers or reads (`vector.buffer`) what is another's. Missing where rows stay inside.
   */
  own?(rows: readonly Row[]): Row[]
}

/** Questions whose rows are of the given types, in their order. */
export type QuestionsOf<Rows extends unknown[]> = readonly [...{ [At in keyof Rows]: Question<Rows[At]> }]
/** Their rows, a list a question. */
export type RowsOf<Rows extends unknown[]> = { [At in keyof Rows]: Rows[At][] }
