/** Which classes a task takes when the text decides: labels, tags. */

/**
 * Leaves out classes that hold less than half of an even share of `total`; an even share counts as at most the classes' median, so that a
 * small text keeps its classes. Names from the most frequent on, ties in the order of the alphabet.
 */
export function fillableClasses(
  counts: ReadonlyMap<string, number>,
  total: number,
): { kept: string[]; dropped: [name: string, count: number][] } {
  const ordered = [...counts].sort((left, right) => right[1] - left[1] || (left[0] < right[0] ? -1 : 1))
  if (ordered.length === 0) return { kept: [], dropped: [] }
  const median = ordered[Math.floor((ordered.length - 1) / 2)][1]
  const needed = Math.min(total / ordered.length, median) / 2
  return {
    kept: ordered.filter(([, count]) => count >= needed).map(([name]) => name),
    dropped: ordered.filter(([, count]) => count < needed),
  }
}

export function droppedNote(dropped: readonly [name: string, count: number][]): string[] {
  if (dropped.length === 0) return []
  return [
    `classes left out, the text holds too few: ${dropped.map(([name, count]) => `${name} (${count.toLocaleString('en-US')})`).join(', ')}`,
  ]
}
