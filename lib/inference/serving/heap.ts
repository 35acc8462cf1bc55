/** A binary heap: the smallest first. */
export class Heap<Item> {
  #items: Item[] = []

  constructor(private readonly before: (a: Item, b: Item) => boolean) {}

  get size(): number {
    return this.#items.length
  }

  peek(): Item | undefined {
    return this.#items[0]
  }

  /** All items, in no order. */
  items(): readonly Item[] {
    return this.#items
  }

  push(item: Item): void {
    const items = this.#items
    let place = items.push(item) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!this.before(item, items[parent])) break
      items[place] = items[parent]
      place = parent
    }
    items[place] = item
  }

  pop(): Item | undefined {
    const items = this.#items
    const first = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return first
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= items.length) break
      if (child + 1 < items.length && this.before(items[child + 1], items[child])) child++
      if (!this.before(items[child], last)) break
      items[place] = items[child]
      place = child
    }
    items[place] = last
    return first
  }

  /** Takes out what does not fit; returns it. */
  filter(keep: (item: Item) => boolean): Item[] {
    const all = this.#items
    this.#items = []
    const removed: Item[] = []
    for (const item of all) {
      if (keep(item)) this.push(item)
      else removed.push(item)
    }
    return removed
  }
}
