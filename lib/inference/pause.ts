import { setImmediate } from 'node:timers/promises'

/** How long work may keep the event loop to itself, in milliseconds: a model that is done is given its next batch by that loop. */
const LONGEST_TURN_MS = 4

/** Long work in turns: the event loop runs in between. */
export class Turns {
  #begun = performance.now()

  /** To be asked between two pieces of the work; waits when its turn is over. */
  async next(): Promise<void> {
    if (performance.now() - this.#begun <= LONGEST_TURN_MS) return
    await setImmediate()
    this.#begun = performance.now()
  }
}

/** Maps items one by one and lets the event loop run in between when it takes long. */
export async function mapInTurns<Item, Result>(
  items: readonly Item[],
  result: (item: Item, index: number) => Result,
): Promise<Result[]> {
  const results: Result[] = []
  const turns = new Turns()
  for (let index = 0; index < items.length; index++) {
    if (index > 0) await turns.next()
    results.push(result(items[index], index))
  }
  return results
}
