import type { TokenCorpus } from '../data/token-corpus.js'

/** Where an objective may change a batch while it is made. T tokens; every array has shape (T). */
export interface BatchDraft {
  tokenIds: Int32Array
  segmentIds: Int32Array
  /** TOKEN_FLAGS of each token; 0 for special tokens that the builder added. */
  flags: Uint8Array
  /** 1 = stands at a swapped place. */
  swapped: Uint8Array
  /** 1 = never masked: special tokens, swapped words and the dummy pairs of unswapped sentences. */
  protectedFromMask: Uint8Array
  /** 1 = chosen for prediction by masked LM. */
  predicted: Uint8Array
  /** 1 = [CLS] or [SEP] that the builder added. */
  added: Uint8Array
}

/** An empty draft. The arrays that reach the user are fresh; the others come from `scratch`. */
export function newDraft(length: number, scratch: DraftScratch): BatchDraft {
  const parts = 5
  if (parts * length > scratch.bytes.length) scratch.bytes = new Uint8Array(2 * parts * length)
  const stride = scratch.bytes.length / parts
  const take = (part: number): Uint8Array => scratch.bytes.subarray(part * stride, part * stride + length).fill(0)
  return {
    tokenIds: new Int32Array(length),
    segmentIds: new Int32Array(length),
    flags: take(0),
    swapped: take(1),
    protectedFromMask: take(2),
    predicted: take(3),
    added: take(4),
  }
}

/** Working memory that a source keeps from batch to batch. */
export interface DraftScratch {
  bytes: Uint8Array
}

/** A sentence, or what the length limit left of one, within a draft; `end` is exclusive. */
export interface SentenceSpan {
  start: number
  end: number
  /** False when the limit cut a part off. */
  whole: boolean
}

/** The sentences that a run of corpus tokens touches, as positions in a draft where the run begins at `draftStart`, with their numbers. */
export function sentenceSpans(
  corpus: TokenCorpus,
  start: number,
  length: number,
  draftStart: number,
): (SentenceSpan & { sentence: number })[] {
  const offsets = corpus.sentenceOffsets
  const spans: (SentenceSpan & { sentence: number })[] = []
  const end = start + length
  const shift = draftStart - start
  for (let sentence = sentenceAt(offsets, start); sentence < corpus.sentenceCount; sentence++) {
    const first = offsets[sentence]
    const last = offsets[sentence + 1]
    if (first >= end) break
    if (last === first) continue
    spans.push({
      sentence,
      start: Math.max(first, start) + shift,
      end: Math.min(last, end) + shift,
      whole: first >= start && last <= end,
    })
  }
  return spans
}

/** The sentence that holds a token: the last one that starts at or before it. */
function sentenceAt(offsets: Uint32Array, token: number): number {
  let low = 0
  let high = offsets.length - 1
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    if (offsets[middle] <= token) low = middle
    else high = middle
  }
  return low
}
