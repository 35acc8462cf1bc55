/** Predictions that are kept tell the metrics that their evaluation told. */
import assert from 'node:assert/strict'
import type { TaskPrediction } from '../../lib/evaluation/index.js'
import { exampleScores } from '../../lib/experiments/example-scores.js'

export function keepsScores(predictions: readonly TaskPrediction[], metrics: Record<string, number>): void {
  const kept = [...predictions].sort((a, b) => a.example - b.example)
  const all = Int32Array.from(kept.keys())
  for (const [name, figure] of Object.entries(metrics)) {
    const scores = exampleScores(name, kept)
    assert.ok(scores && 'of' in scores, `${name}: ${JSON.stringify(scores)}`)
    assert.ok(
      Math.abs(scores.of(all) - figure) < 1e-12,
      `${name} of the predictions: ${scores.of(all)}, told ${figure}`,
    )
  }
}
