import type { HeadConfig, Model, SavedTask } from '../model/index.js'
import type { EncodedText, EncodeInput, EncodeOptions, Tokenizer } from '../text/index.js'
import type { QuestionsOf, RowsOf, Sequence } from './serving/question.js'

/** What every kind of question to a trained model is asked with. */
export interface LoadedParts {
  model: Model
  tokenizer: Tokenizer
  /** What the model's heads were trained for. */
  tasks: readonly SavedTask[]
}

/** A call at work: the model that answers it, and its way into the batches that it shares with other calls. */
export interface Session {
  readonly parts: LoadedParts
  /** Takes room in the queue for tokens that are on their way to {@link compute}. Throws OVERLOADED. */
  announce(tokens: number): Promise<void>
  /** Token ids of texts, for which room is taken. Throws OVERLOADED. */
  encode(inputs: readonly EncodeInput[], options?: EncodeOptions): Promise<EncodedText[]>
  /** For each question one row a sequence, in their order; the questions are asked of every sequence, through the same adapter. */
  compute<Rows extends unknown[]>(questions: QuestionsOf<Rows>, sequences: readonly Sequence[]): Promise<RowsOf<Rows>>
  /**
   * A long list in blocks, so that neither tokens nor the queue's room are taken for all of it at once; each with a session of its own
   * and the place of its first input. Results in the order of the blocks.
   */
  inBlocks<Input, Output>(
    inputs: readonly Input[],
    charactersOf: (input: Input) => number,
    run: (session: Session, block: readonly Input[], first: number) => Promise<Output>,
  ): Promise<Output[]>
}

/** What all questions take. */
export interface CallOptions {
  /** Takes the call out of the queue, or drops what is being computed of it, and rejects with ABORTED at once. */
  signal?: AbortSignal
}

/** Kind of head, narrowed by its name. */
export type HeadOf<Kind extends HeadConfig['kind']> = Extract<HeadConfig, { kind: Kind }>
