/** Where in an encoder a task is solved: its best layer, and the centroid of its gains. */

export interface LayerScore {
  layer: number
  accuracy: number
  devAccuracy: number
}

/** The layer with the highest dev accuracy, of equals the lowest; undefined without layers. */
export function bestLayer(scores: readonly LayerScore[]): number | undefined {
  let best: LayerScore | undefined
  for (const score of byLayer(scores)) if (!best || score.devAccuracy > best.devAccuracy) best = score
  return best?.layer
}

/**
 * Σ l · gain_l / Σ gain_l over the layers above the lowest, with gain_l = what layer l adds to the best accuracy of the layers below it
 * (0 where nothing). It is the expected layer of Tenney, Das & Pavlick 2019 ("BERT rediscovers the classical NLP pipeline") with a probe a
 * layer in place of their probes on growing mixes: our choice. Undefined where no layer adds anything.
 */
export function layerCentroid(scores: readonly LayerScore[]): number | undefined {
  const ordered = byLayer(scores)
  let best = ordered[0]?.accuracy ?? 0
  let [weighted, total] = [0, 0]
  for (const { layer, accuracy } of ordered.slice(1)) {
    const gain = Math.max(0, accuracy - best)
    best = Math.max(best, accuracy)
    weighted += layer * gain
    total += gain
  }
  return total > 0 ? weighted / total : undefined
}

function byLayer(scores: readonly LayerScore[]): LayerScore[] {
  return [...scores].sort((a, b) => a.layer - b.layer)
}
