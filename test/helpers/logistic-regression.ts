/**
 * Balanced accuracy of a logistic regression on the second half of the rows, trained on the first half: what a linear reader of
 * the features can tell about the labels.
 */
export function balancedAccuracy({ features, labels }: { features: number[][]; labels: number[] }): number {
  const half = features.length >> 1
  const width = features[0].length
  const mean = new Float64Array(width)
  for (let row = 0; row < half; row++) for (let j = 0; j < width; j++) mean[j] += features[row][j] / half
  const score = (row: number): number => {
    let sum = bias
    for (let j = 0; j < width; j++) sum += weights[j] * (features[row][j] - mean[j])
    return sum
  }
  const weights = new Float64Array(width)
  let bias = 0
  for (let step = 0; step < 200; step++) {
    const gradient = new Float64Array(width)
    let biasGradient = 0
    for (let row = 0; row < half; row++) {
      const error = 1 / (1 + Math.exp(-score(row))) - labels[row]
      biasGradient += error / half
      for (let j = 0; j < width; j++) gradient[j] += (error * (features[row][j] - mean[j])) / half
    }
    bias -= biasGradient
    for (let j = 0; j < width; j++) weights[j] -= gradient[j]
  }
  const right = [0, 0]
  const total = [0, 0]
  for (let row = half; row < features.length; row++) {
    total[labels[row]]++
    if (Number(score(row) > 0) === labels[row]) right[labels[row]]++
  }
  return (right[0] / total[0] + right[1] / total[1]) / 2
}
