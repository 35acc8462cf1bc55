/** One optimiser step's forward and backward passes over its micro-batches. */
import { labelCount, type PackedBatch } from '../data/packed-batch.js'
import type { HeadLoss, Model, StepLosses } from '../model/index.js'

/**
 * Adds up the gradients of all batches of a step. Each head's loss is the sum of its losses over all of them divided by
 * the count of its labels in all of them, so that cutting a step into batches changes nothing but rounding.
 */
export async function addGradients(model: Model, batches: readonly PackedBatch[]): Promise<StepLosses[]> {
  const lossDivisors = batches.length > 1 ? labelCounts(batches) : undefined
  const losses: StepLosses[] = []
  for (const batch of batches) losses.push(await model.step(batch, { lossDivisors }))
  return losses
}

/** Labels of each head over several batches; at least 1, as a head without labels adds nothing. */
export function labelCounts(batches: readonly PackedBatch[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const batch of batches) {
    for (const [head, labels] of Object.entries(batch.labels)) counts[head] = (counts[head] ?? 0) + labelCount(labels)
  }
  for (const head of Object.keys(counts)) counts[head] = Math.max(1, counts[head])
  return counts
}

/** Joins loss sums and label counts by head. */
export function addLosses(into: Record<string, HeadLoss>, part: Record<string, HeadLoss>): void {
  for (const [head, { lossSum, count, finite }] of Object.entries(part)) {
    const sum = into[head] ?? { lossSum: 0, count: 0, loss: 0, finite: true }
    const joined = { lossSum: sum.lossSum + lossSum, count: sum.count + count, finite: sum.finite && finite }
    into[head] = { ...joined, loss: joined.lossSum / joined.count }
  }
}
