/** Words laid into a sequence: taggers read long sentences in several, when they are judged and when they serve. */

/** Some words of a text in one sequence. */
export interface WordWindow {
  /** [CLS] pieces [SEP], shape (T). */
  tokenIds: Int32Array
  /** Where in the sequence the first piece of each word stands. */
  places: number[]
  /** The word that the next window begins with; the number of words behind the last one. */
  next: number
}

/** As many whole words from `first` on as fit into `maxTokens`. A word longer than a sequence is cut: its first piece decides. */
export function wordWindow(
  words: readonly { pieces: Int32Array }[],
  first: number,
  maxTokens: number,
  { clsId, sepId }: { clsId: number; sepId: number },
): WordWindow {
  const room = maxTokens - 2
  const places: number[] = []
  let length = 1
  let next = first
  for (; next < words.length; next++) {
    const pieces = Math.min(room, words[next].pieces.length)
    if (length - 1 + pieces > room) break
    places.push(length)
    length += pieces
  }
  const tokenIds = new Int32Array(length + 1)
  tokenIds[0] = clsId
  tokenIds[length] = sepId
  // Value by value: most words are one or two pieces, for which a view costs more than they do.
  let at = 1
  for (let word = first; word < next; word++) {
    const { pieces } = words[word]
    for (let piece = 0; piece < pieces.length && piece < room; piece++) tokenIds[at++] = pieces[piece]
  }
  return { tokenIds, places, next }
}
