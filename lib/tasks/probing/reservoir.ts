/** The entries of the lowest priority among all that are offered, in bounded memory; each key counts once. */

export interface ReservoirEntry<T> {
  priority: number
  key: string
  value: T
}

export class Reservoir<T> {
  /** A heap with the highest priority on top. */
  readonly #heap: ReservoirEntry<T>[] = []
  readonly #keys = new Set<string>()

  constructor(readonly capacity: number) {}

  get size(): number {
    return this.#heap.length
  }

  /** Would an entry of this priority be kept? Spares making one that would not. */
  wants(priority: number): boolean {
    return this.#heap.length < this.capacity || (this.capacity > 0 && priority < this.#heap[0].priority)
  }

  /** A key's priority must always be the same: one that was pushed out does not come back. */
  offer(priority: number, key: string, value: T): void {
    if (!this.wants(priority) || this.#keys.has(key)) return
    this.#keys.add(key)
    if (this.#heap.length < this.capacity) {
      this.#heap.push({ priority, key, value })
      this.#up(this.#heap.length - 1)
      return
    }
    this.#keys.delete(this.#heap[0].key)
    this.#heap[0] = { priority, key, value }
    this.#down()
  }

  /** By priority, then key. */
  sorted(): ReservoirEntry<T>[] {
    return [...this.#heap].sort((left, right) => left.priority - right.priority || (left.key < right.key ? -1 : 1))
  }

  #up(from: number): void {
    const heap = this.#heap
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1
      if (heap[parent].priority >= heap[at].priority) return
      ;[heap[parent], heap[at]] = [heap[at], heap[parent]]
      at = parent
    }
  }

  #down(): void {
    const heap = this.#heap
    for (let at = 0; ; ) {
      let child = 2 * at + 1
      if (child >= heap.length) return
      if (child + 1 < heap.length && heap[child + 1].priority > heap[child].priority) child++
      if (heap[at].priority >= heap[child].priority) return
      ;[heap[child], heap[at]] = [heap[at], heap[child]]
      at = child
    }
  }
}
