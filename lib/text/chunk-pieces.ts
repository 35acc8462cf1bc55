/** Word pieces and chunks: a piece belongs to the chunk of the word that its characters come from. */

/**
 * The word of each piece, -1 for a piece of no word. Offsets are UTF-16 units of the same text: those of pieces survive lower-casing
 * and accent stripping, as the tokenizer reports them for the text that it was given. A piece that reaches over several words is the
 * first one's. Both lists ascend; words of one multi-word token may share their place (then it is the first one's).
 *
 * @param pieces starts and ends of T pieces
 * @param words starts and ends of W words
 * @returns (T) word indices from 0
 */
export function wordsOfPieces(
  pieces: { starts: ArrayLike<number>; ends: ArrayLike<number> },
  words: { starts: ArrayLike<number>; ends: ArrayLike<number> },
): Int32Array {
  const found = new Int32Array(pieces.starts.length).fill(-1)
  let word = 0
  for (let piece = 0; piece < found.length; piece++) {
    while (word < words.starts.length && words.ends[word] <= pieces.starts[piece]) word++
    if (word === words.starts.length) break
    if (words.starts[word] < pieces.ends[piece]) found[piece] = word
  }
  return found
}

/** (T): the chunk of each piece, -1 where it has no word. */
export function chunksOfPieces(wordOfPiece: Int32Array, chunkOfWord: Int32Array): Int32Array {
  return wordOfPiece.map((word) => (word < 0 ? -1 : chunkOfWord[word]))
}

/**
 * Cuts a sentence of T pieces into parts of at most `longest` pieces, between chunks where one fits; returns the parts' ends, the last
 * is T. A chunk that is longer is cut inside.
 */
export function cutAtChunks(chunkOfPiece: ArrayLike<number>, longest: number): number[] {
  const ends: number[] = []
  const total = chunkOfPiece.length
  for (let start = 0; start < total; ) {
    let end = Math.min(start + longest, total)
    if (end < total) {
      let border = end
      while (border > start && chunkOfPiece[border] === chunkOfPiece[border - 1]) border--
      if (border > start) end = border
    }
    ends.push(end)
    start = end
  }
  return ends
}
