/** exp(xᵢ) / Σ exp(xⱼ), safe for any finite scores: the largest is taken off first. */
export function softmax(scores: ArrayLike<number>): number[] {
  const list = Array.from(scores)
  const largest = Math.max(...list)
  const powers = list.map((score) => Math.exp(score - largest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}
