/** 0.975 quantiles of Student's t for 1 … 30 degrees of freedom; beyond, the normal one. */
const T_QUANTILES = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
]

/** Mean of the values and half the width of its 95 % t-interval, which one value does not have. */
export function meanInterval(values: readonly number[]): { mean: number; half?: number } {
  const n = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / n
  if (n < 2) return { mean }
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)
  return { mean, half: (T_QUANTILES[n - 2] ?? 1.96) * Math.sqrt(variance / n) }
}
