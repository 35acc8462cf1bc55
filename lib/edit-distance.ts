/** Levenshtein distance, two rows. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      current[j] = Math.min(previous[j] + 1, current[j - 1] + 1, substituted)
    }
    previous = current
  }
  return previous[b.length]
}

/** The candidate that was probably meant: nearest by spelling, at most 40 % of its letters off; undefined if none is near. */
export function nearest(given: string, candidates: readonly string[]): string | undefined {
  if (given.length > 100) return undefined
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    const [a, b] = [given.toLowerCase(), candidate.toLowerCase()]
    const distance = a.length > 2 && (b.startsWith(a) || a.startsWith(b)) ? 1 : editDistance(a, b)
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(0.4 * Math.max(a.length, b.length)))) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}
