/**
 * Exponential moving average with the weight of the missing past taken out (Adam's bias correction), so that the curve begins at the first
 * value and not at 0. Gaps stay gaps.
 */
export function movingAverage(values: readonly (number | null)[], weight: number): (number | null)[] {
  let [sum, known] = [0, 0]
  return values.map((value) => {
    if (value === null) return null
    sum = weight * sum + (1 - weight) * value
    known = weight * known + (1 - weight)
    return sum / known
  })
}
