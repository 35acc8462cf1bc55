import { NO_LABEL } from '../data/packed-batch.js'

const BINS = 1 << 16

/** How probable a head with two classes held label 1, by true label; of bounded size whatever the number of labels. */
export class ScoreHistogram {
  readonly #counts = [new Float64Array(BINS), new Float64Array(BINS)]

  /** `logits` are (labels that count, 2), in the order of the labels. */
  add(labels: Int32Array, logits: ArrayLike<number>): void {
    let row = 0
    for (const label of labels) {
      if (label === NO_LABEL) continue
      const probability = 1 / (1 + Math.exp(logits[2 * row] - logits[2 * row + 1]))
      this.#counts[label][Math.min(BINS - 1, Math.floor(probability * BINS))]++
      row++
    }
  }

  /**
   * Mean of both recalls when label 1 is said wherever its probability is above the share of label 1. Probabilities are rounded to
   * 1 / 65,536. NaN unless both labels occur.
   */
  balancedAtPrior(): number {
    const [zeros, ones] = this.#counts
    const [countOfZeros, countOfOnes] = [total(zeros), total(ones)]
    const threshold = Math.ceil((countOfOnes / (countOfZeros + countOfOnes)) * BINS)
    const below = (counts: Float64Array) => total(counts.subarray(0, threshold))
    return (below(zeros) / countOfZeros + 1 - below(ones) / countOfOnes) / 2
  }
}

function total(counts: Float64Array): number {
  let sum = 0
  for (const count of counts) sum += count
  return sum
}
