import { IntList } from './int-list.js'

/** How far ahead a sequence is looked for that fills what is left of a batch. */
const LOOK_AHEAD = 128

/**
 * Cuts a list of sequences into batches of at most `batchTokens` tokens. Sequences are taken in order; when the next one does
 * not fit, the longest fitting one among the following {@link LOOK_AHEAD} changes places with it, which fills batches to about
 * 99 % where cutting at the first misfit would waste half a sequence each.
 *
 * @param order indices of the sequences; rearranged in place
 * @param lengthOf tokens of a sequence, at most `batchTokens`
 * @returns where each batch starts in `order`, shape (batches + 1)
 */
export function groupByTokens(
  order: Uint32Array,
  lengthOf: (sequence: number) => number,
  batchTokens: number,
): Uint32Array {
  const starts = new IntList()
  starts.push(0)
  let next = 0
  let room = batchTokens
  while (next < order.length) {
    let chosen = next
    if (lengthOf(order[next]) > room) {
      chosen = -1
      let best = 0
      const end = Math.min(order.length, next + LOOK_AHEAD)
      for (let i = next + 1; i < end && best < room; i++) {
        const length = lengthOf(order[i])
        if (length <= room && length > best) {
          best = length
          chosen = i
        }
      }
    }
    if (chosen < 0) {
      starts.push(next)
      room = batchTokens
      continue
    }
    const sequence = order[chosen]
    order[chosen] = order[next]
    order[next++] = sequence
    room -= lengthOf(sequence)
  }
  if (order.length > 0) starts.push(next)
  return new Uint32Array(starts.view())
}
