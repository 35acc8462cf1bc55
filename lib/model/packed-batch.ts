import { StrataError } from '../errors.js'

/**
 * The one form in which data reach the encoder: B sequences of T tokens in all, laid end to end without padding.
 * Legend: T tokens, B sequences, M labelled positions, S labelled spans, C chunks.
 */
export interface PackedBatch {
  /** Token ids, shape (T). */
  tokenIds: Int32Array
  /** Segment (token type) of each token, shape (T). */
  segmentIds: Int32Array
  /** Where each sequence starts, shape (B + 1); the first is 0, the last is T, strictly ascending. */
  sequenceOffsets: Int32Array
  /** Labels by head name. A head without an entry takes no part in the step. */
  labels: Record<string, HeadLabels>
  /** Name of the model's adapter that the whole batch runs through. */
  adapter?: string
  /** What a model with `agreements` reads beside the tokens. */
  chunks?: BatchChunks
}

/** The C chunks of a batch. */
export interface BatchChunks {
  /** Chunk of each token, 0 to C − 1, shape (T); −1 = none, as of [CLS], [SEP] and padding. Every chunk has a token, all in one sequence. */
  ids: Int32Array
  /** Number of the sentence of each chunk, shape (C), ascending from any number; only chunks of one sentence can stand in a relation. */
  sentences: Int32Array
  /** Kind of each chunk as an index into CHUNK_KINDS, shape (C): for baselines, no model reads it. */
  kinds?: Uint8Array
}

/**
 * Labels of one head. Which fields a head reads depends on its kind:
 *
 * | head kind | fields |
 * |---|---|
 * | masked-lm | `positions` (M, index into T), `labels` (M, token ids) |
 * | next-sentence | `labels` (B; 0 = second segment follows, 1 = random, -100 = no label) |
 * | bigram-shift, level token | `positions` (M), `labels` (M; 1 = stands at a swapped place) |
 * | bigram-shift, level sentence | `spanStarts` (S), `spanEnds` (S, exclusive), `labels` (S; 1 = one pair was swapped) |
 * | classifier, san | `labels` (B, class) |
 * | regressor | `labels` (B; 0 = counts), `values` (B, target) |
 * | ranker | `labels` (B; 1 = the right candidate), `groups` (B; the question's number; its candidates stand beside each other) |
 * | span | `labels` (B; 0 = counts), `spanStarts` (B), `spanEnds` (B, exclusive): places in T; no answer = the first token |
 * | tagger | `positions` (M), `labels` (M, class) |
 * | parser | `positions` (M, the words' first tokens, ascending; the sequence's first token is the root), `labels` (M, relation), `heads` (M; number of the head among the sequence's words from 1, 0 = root), with tags `tags` (M, class or -100) |
 * | agreement | `labels` (C; the chunk that it stands in the relation to, as an index into C, of the same sentence and not itself; −1 = none) |
 *
 * A span lies within one sequence.
 */
export interface HeadLabels {
  labels: Int32Array
  positions?: Int32Array
  spanStarts?: Int32Array
  spanEnds?: Int32Array
  values?: Float32Array
  groups?: Int32Array
  heads?: Int32Array
  tags?: Int32Array
}

/** The label that takes no part in a loss. */
export const NO_LABEL = -100

/** Number of tokens of a batch. */
export function tokenCount(batch: PackedBatch): number {
  return batch.tokenIds.length
}

/** Number of sequences of a batch. */
export function sequenceCount(batch: PackedBatch): number {
  return batch.sequenceOffsets.length - 1
}

/** How many labels of a head count in its loss: places, sequences or spans; of a ranker its groups. */
export function labelCount({ labels, groups }: HeadLabels): number {
  let count = 0
  let group: number | undefined
  labels.forEach((label, index) => {
    if (label === NO_LABEL || (groups && groups[index] === group)) return
    group = groups?.[index]
    count++
  })
  return count
}

/** Whether any head gets a label that counts: without one a batch can neither be trained on nor scored. */
export function hasLabels({ labels }: Pick<PackedBatch, 'labels'>): boolean {
  return Object.values(labels).some((head) => head.labels.some((label) => label !== NO_LABEL))
}

/** The batch's own buffers, for a transfer between threads. */
export function transferList(batch: PackedBatch): ArrayBuffer[] {
  const arrays: (Int32Array | Float32Array | Uint8Array)[] = [batch.tokenIds, batch.segmentIds, batch.sequenceOffsets]
  if (batch.chunks) arrays.push(batch.chunks.ids, batch.chunks.sentences)
  if (batch.chunks?.kinds) arrays.push(batch.chunks.kinds)
  for (const head of Object.values(batch.labels))
    for (const field of Object.values(head) as (Int32Array | Float32Array | undefined)[]) if (field) arrays.push(field)
  return [...new Set(arrays.map((array) => array.buffer as ArrayBuffer))]
}

/** Packs single sequences into a batch without labels. Throws BAD_ARGUMENT on an empty sequence. */
export function packSequences(sequences: readonly (readonly number[] | Int32Array)[]): PackedBatch {
  const sequenceOffsets = new Int32Array(sequences.length + 1)
  sequences.forEach((sequence, index) => {
    if (sequence.length === 0) {
      throw new StrataError('BAD_ARGUMENT', `sequence ${index} is empty, at least one token was expected`)
    }
    sequenceOffsets[index + 1] = sequenceOffsets[index] + sequence.length
  })
  const tokenIds = new Int32Array(sequenceOffsets[sequences.length])
  sequences.forEach((sequence, index) => {
    tokenIds.set(sequence, sequenceOffsets[index])
  })
  return { tokenIds, segmentIds: new Int32Array(tokenIds.length), sequenceOffsets, labels: {} }
}
