import { setImmediate } from 'node:timers/promises'

/** How long decoding may keep the event loop to itself, in milliseconds. */
const LONGEST_TURN_MS = 4

/** Maps items one by one and lets the event loop run in between when it takes long. */
export async function mapInTurns<Item, Result>(
  items: readonly Item[],
  result: (item: Item, index: number) => Result,
): Promise<Result[]> {
  const results: Result[] = []
  let begun = performance.now()
  for (let index = 0; index < items.length; index++) {
    results.push(result(items[index], index))
    if (index + 1 < items.length && performance.now() - begun > LONGEST_TURN_MS) {
      await setImmediate()
      begun = performance.now()
    }
  }
  return results
}
