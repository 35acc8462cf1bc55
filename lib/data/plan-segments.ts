import { NO_LABEL } from './packed-batch.js'
import type { PlanTables } from './plan-tables.js'
import type { TokenCorpus } from './token-corpus.js'

/** A run of text that is longer than an input becomes several inputs, so that no token is lost. */
function addPieces(start: number, end: number, room: number, tables: PlanTables): void {
  for (let at = start; at < end; at += room) tables.add(at, Math.min(room, end - at), 0, 0, NO_LABEL)
}

/** One input a sentence. `sentences` are the non-empty ones of one document, `room` the text tokens an input takes. */
export function cutSentences(corpus: TokenCorpus, sentences: Uint32Array, room: number, tables: PlanTables): void {
  for (const sentence of sentences) {
    addPieces(corpus.sentenceOffsets[sentence], corpus.sentenceOffsets[sentence + 1], room, tables)
  }
}

/** Inputs of as many whole sentences of one document as fit; a sentence that is too long by itself is cut into pieces. */
export function cutSegments(corpus: TokenCorpus, sentences: Uint32Array, room: number, tables: PlanTables): void {
  const offsets = corpus.sentenceOffsets
  let start = offsets[sentences[0]]
  let end = start
  for (const sentence of sentences) {
    const sentenceEnd = offsets[sentence + 1]
    if (sentenceEnd - start > room && end > start) {
      addPieces(start, end, room, tables)
      start = end
    }
    end = sentenceEnd
  }
  addPieces(start, end, room, tables)
}
