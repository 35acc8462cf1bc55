import type { BatchSource } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'

export interface UnigramEntropy {
  /** Entropy of the targets in nats: the loss of a model that knows each token's frequency and nothing of its context. */
  nats: number
  /** Targets counted. */
  labels: number
  /** Different tokens among them. */
  distinct: number
}

/**
 * Entropy of a masked-LM head's targets, to stand beside its loss. It is the plug-in estimate of the counted targets, which is
 * what a unigram model fitted on these very targets would lose.
 *
 * @param options.epoch pass to read, default 0
 * @param options.batches how many of its batches, default all
 */
export function unigramEntropy(
  source: BatchSource,
  head: string,
  options: { epoch?: number; batches?: number } = {},
): UnigramEntropy {
  const { epoch = 0 } = options
  const batches = Math.min(source.batchCount(epoch), options.batches ?? Infinity)
  const counts = new Map<number, number>()
  let total = 0
  for (let index = 0; index < batches; index++) {
    for (const label of source.build(epoch, index).labels[head]?.labels ?? []) {
      if (label < 0) continue
      counts.set(label, (counts.get(label) ?? 0) + 1)
      total++
    }
  }
  if (total === 0) {
    throw new StrataError(
      'BAD_DATA',
      `head ${head} has no label in ${batches} batches; name a masked-LM head of this source`,
    )
  }
  let nats = 0
  for (const count of counts.values()) nats -= (count / total) * Math.log(count / total)
  return { nats, labels: total, distinct: counts.size }
}
