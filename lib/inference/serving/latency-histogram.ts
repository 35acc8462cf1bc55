/** Percentiles in fixed memory: counts by logarithmic buckets, the last one to two minutes. */

/** Each bucket ends 5 % above the one before: what is told is at most 2.5 % off. */
const GROWTH = Math.log(1.05)
const SHORTEST_MS = 0.01
/** The last bucket ends above two hours. */
const BUCKETS = Math.ceil(Math.log(7.2e6 / SHORTEST_MS) / GROWTH) + 1
const WINDOW_MS = 60_000

export class LatencyHistogram {
  #current = new Uint32Array(BUCKETS)
  #before = new Uint32Array(BUCKETS)
  #windowStart: number

  constructor(private readonly now: () => number = () => performance.now()) {
    this.#windowStart = now()
  }

  add(milliseconds: number): void {
    this.#turn()
    const bucket = Math.ceil(Math.log(Math.max(milliseconds, SHORTEST_MS) / SHORTEST_MS) / GROWTH)
    this.#current[Math.min(bucket, BUCKETS - 1)]++
  }

  /** The values that the given shares (0 … 1) of what was added lie at or below; zeros when nothing was added of late. */
  percentiles(shares: readonly number[]): number[] {
    this.#turn()
    const counts = this.#current.map((count, bucket) => count + this.#before[bucket])
    const total = counts.reduce((sum, count) => sum + count, 0)
    return shares.map((share) => {
      let seen = 0
      const wanted = Math.max(1, Math.ceil(share * total))
      const bucket = counts.findIndex((count) => {
        seen += count
        return seen >= wanted
      })
      return bucket < 0 ? 0 : SHORTEST_MS * Math.exp(GROWTH * (bucket - 0.5))
    })
  }

  #turn(): void {
    const age = this.now() - this.#windowStart
    if (age < WINDOW_MS) return
    // Both windows are old after a pause.
    this.#before = age < 2 * WINDOW_MS ? this.#current : new Uint32Array(BUCKETS)
    this.#current = new Uint32Array(BUCKETS)
    this.#windowStart += age
  }
}
