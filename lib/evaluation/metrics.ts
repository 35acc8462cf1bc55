/** Figures from counts. Definitions are scikit-learn's where it has one, so that papers' numbers can be compared. */

/** exp(mean loss in nats). */
export const perplexity = (loss: number): number => Math.exp(loss)

/**
 * Wilson's score interval of a proportion (E. B. Wilson, JASA 1927); `z` = 1.96 gives 95 %.
 * NaN for a count of 0.
 */
export function wilsonInterval(correct: number, count: number, z = 1.959963984540054): [low: number, high: number] {
  const share = correct / count
  const scale = 1 + z ** 2 / count
  const centre = (share + z ** 2 / (2 * count)) / scale
  const half = (z / scale) * Math.sqrt((share * (1 - share)) / count + z ** 2 / (4 * count ** 2))
  return [Math.max(0, centre - half), Math.min(1, centre + half)]
}

/** Mean recall over the classes that occur. `confusion[label * classes + prediction]`. */
export function balancedAccuracy(confusion: ArrayLike<number>, classes: number): number {
  let recalls = 0
  let present = 0
  for (let label = 0; label < classes; label++) {
    const row = rowSum(confusion, classes, label)
    if (row === 0) continue
    recalls += confusion[label * classes + label] / row
    present++
  }
  return recalls / present
}

/** F1 of one class; 0 when it neither occurs nor is predicted. */
export function f1Score(confusion: ArrayLike<number>, classes: number, positive = 1): number {
  const hits = confusion[positive * classes + positive]
  let predicted = 0
  for (let label = 0; label < classes; label++) predicted += confusion[label * classes + positive]
  const total = rowSum(confusion, classes, positive) + predicted
  return total === 0 ? 0 : (2 * hits) / total
}

function rowSum(confusion: ArrayLike<number>, classes: number, label: number): number {
  let sum = 0
  for (let prediction = 0; prediction < classes; prediction++) sum += confusion[label * classes + prediction]
  return sum
}
